"""The image that is edited, and how an edited frame becomes each model's pixels: as if it had been sent itself."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from PIL import Image

from sidelight.core.editor import Canvas, Frame
from sidelight.core.predictor import Fit, ModelSpec
from sidelight.predictors.fit import INTERPOLATIONS, fit, geometry
from sidelight.rpc.series import Series, frame_of
from sidelight.rpc.sources import Encoded, Pixels


def canvas(source: Encoded | Pixels, specs: Sequence[ModelSpec]) -> Canvas:
    """The image in 8 bits, no larger than the largest that any of the models sees of it. Slow for series.

    Brought down as that model does it, so that what it does to a frame afterwards is nothing; never up. Raises
    InvalidRequest for a series of which an image does not decode, or that is too large.
    """

    def small(image: Image.Image) -> Image.Image:
        """Its shorter side no more than the largest that any model resizes it to."""
        found = [(geometry((image.height, image.width), spec.fit).resized, spec.fit) for spec in specs]
        (height, width), wanted = max(found, key=lambda one: min(one[0]))
        if min(height, width) >= min(image.size):
            return image
        return image.resize((width, height), INTERPOLATIONS[wanted.interpolation])

    captured = source.captured(small) if isinstance(source, Series) else None
    # Raw pixels have the size of a model already; a captured series has its first image made small.
    photo = source.photo if isinstance(source, Pixels) else small(source.photo)
    pixels = captured.frames[0] if captured else frame_of(photo)
    return Canvas(pixels, _digest(pixels), captured)


def _digest(pixels: Frame) -> str:
    total = hashlib.sha256(repr(tuple(pixels.shape)).encode())
    total.update(pixels.numpy().tobytes())
    return total.hexdigest()


def fitting(source: Encoded | Pixels, spec: ModelSpec) -> Callable[[Frame], torch.Tensor]:
    """What makes a frame this model's pixels [C, H, W] float32 in 0..255: what it does to the input itself."""

    def fitted(frame: Frame) -> torch.Tensor:
        image = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
        to = Fit(source.size) if isinstance(source, Pixels) else spec.fit  # an editor may work at another size
        pixels, _ = fit(image, to, spec.pixels.order)
        return pixels

    return fitted
