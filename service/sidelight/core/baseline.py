"""What a masked-out part of an image shows. Explicit in every request and answer; all values in pixels 0..255."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sidelight.core.errors import InvalidRequest
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream

MIN_SIGMA, MAX_SIGMA = 0.1, 100.0  # pixels; the cost of a blur grows with its width


def default_sigma(shape: Sequence[int]) -> float:
    """Of a Gaussian over an image [H, W]: 10 pixels at 224 x 224, scaled with the shorter side."""
    return min(max(min(shape) * 10 / 224, MIN_SIGMA), MAX_SIGMA)


@dataclass(frozen=True)
class ModelMean:
    """The pixel that the model sees as zero: its card's mean (black, for a model without one)."""

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        colour = torch.tensor([m / space.scale for m in space.mean], dtype=x.dtype)
        return colour.view(-1, 1, 1).expand_as(x)


@dataclass(frozen=True)
class Constant:
    """One colour: one number (grey) or one for each channel, in the order red, green, blue."""

    value: tuple[float, ...]

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        if len(self.value) not in (1, len(x)) or not all(0 <= v <= 255 for v in self.value):
            raise InvalidRequest("baseline.constant.value", f"1 or {len(x)} numbers in 0..255, not {list(self.value)}")
        value = self.value[::-1] if space.order == "BGR" else self.value
        return torch.tensor(value, dtype=x.dtype).view(-1, 1, 1).expand_as(x)


@dataclass(frozen=True)
class ImageMean:
    """The mean colour of the input."""

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        return x.mean((1, 2), keepdim=True).expand_as(x)


@dataclass(frozen=True)
class ImageMedian:
    """The median of the input in each channel: of an even number, the lower of the two in the middle."""

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        return x.flatten(1).median(1).values.view(-1, 1, 1).expand_as(x)


@dataclass(frozen=True)
class Blur:
    """The input under a Gaussian of standard deviation `sigma` pixels (None: 10/224 of the shorter side)."""

    sigma: float | None = None

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        sigma = self.width(x)
        most = max(min(min(x.shape[1:]) / 2, MAX_SIGMA), MIN_SIGMA)
        if not MIN_SIGMA <= sigma <= most:
            raise InvalidRequest("baseline.blur.sigma", f"a number of pixels in [{MIN_SIGMA}, {most}], not {sigma}")
        return gaussian(x, sigma)

    def width(self, x: torch.Tensor) -> float:
        """Sigma for the image x [C, H, W]."""
        return default_sigma(x.shape[1:]) if self.sigma is None else self.sigma


@dataclass(frozen=True)
class Noise:
    """Pixels drawn once, from a normal distribution clipped to 0..255, by the request's seed."""

    mean: float = 127.5
    sd: float = 64.0

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        if not (0 <= self.mean <= 255 and 0 < self.sd <= 255):
            raise InvalidRequest("baseline.noise", f"mean in 0..255 and sd in (0, 255], not {self.mean} and {self.sd}")
        rows, width = range(x.shape[0] * x.shape[1]), x.shape[2]
        z = torch.from_numpy(stream.child("baseline.noise").normal(rows, width)).view(x.shape)
        return (self.mean + self.sd * z).clamp(0, 255).to(x.dtype)


@dataclass(frozen=True)
class Histogram:
    """Every pixel shows the colour of one of the input's pixels, drawn by the request's seed with replacement."""

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        _, height, width = x.shape
        drawn = stream.child("baseline.histogram").integers(range(height), width, height * width)
        return x.flatten(1)[:, torch.from_numpy(drawn)]


@dataclass(frozen=True)
class RandomColour:
    """One colour, uniform in 0..255 for each channel, drawn by the request's seed."""

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        value = 255 * torch.from_numpy(stream.child("baseline.random_colour").uniform(range(1), len(x))[0])
        value = value.flip(0) if space.order == "BGR" else value  # the same colour for every model of a request
        return value.to(x.dtype).view(-1, 1, 1).expand_as(x)


@dataclass(frozen=True, eq=False)
class Picture:
    """Another image, fitted to the model as the input was: pixels [C, H, W]."""

    pixels: torch.Tensor

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        if self.pixels.shape != x.shape:
            height, width = x.shape[1:]
            raise InvalidRequest("baseline.image", f"an image of {width} x {height} pixels, as large as the input")
        return self.pixels


@dataclass(frozen=True, eq=False)
class ReferenceMean:
    """The mean colour of reference images, fitted to the model as the input was: pixels [C, H, W] each."""

    references: tuple[torch.Tensor, ...]

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        colours = torch.stack(
            [pixels.double().mean((1, 2)) for pixels in self.references]
        )  # each image weighs the same
        return colours.mean(0).to(x.dtype).view(-1, 1, 1).expand_as(x)


@dataclass(frozen=True)
class FromSegments:
    """Made by the local work `name` from the segments that a method finds; until then the input stands in."""

    name: str

    def image(self, x: torch.Tensor, space: PixelSpace, stream: Stream) -> torch.Tensor:
        return x


Baseline = (
    FromSegments
    | ModelMean
    | Constant
    | ImageMean
    | ImageMedian
    | Blur
    | Noise
    | Histogram
    | RandomColour
    | Picture
    | ReferenceMean
)


@dataclass(frozen=True)
class FeatureZero:
    """Zero at the layer."""


@dataclass(frozen=True, eq=False)
class FeatureMean:
    """At the layer, each channel's mean over positions: of the input, or of reference inputs where given."""

    references: tuple[torch.Tensor, ...] = ()  # pixels [C, H, W], as the input's


@dataclass(frozen=True)
class Neutral:
    """At the layer, a point whose output says nothing, searched for from the mean feature."""


FeatureBaseline = FeatureZero | FeatureMean | Neutral


def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """x [C, H, W] under a separable Gaussian cut at 4 sigma, edges replicated."""
    radius = max(1, math.ceil(4 * sigma))
    t = torch.arange(-radius, radius + 1, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (t / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    y = x.unsqueeze(1)
    for axis in (3, 2):
        pad = (radius, radius, 0, 0) if axis == 3 else (0, 0, radius, radius)
        y = F.conv2d(F.pad(y, pad, mode="replicate"), kernel if axis == 3 else kernel.transpose(2, 3))
    return y.squeeze(1)
