"""What each parametric change does to pixels, and on what scale.

Every change takes rows x [k, 3, H, W] float32, whole levels 0..255, and their strengths s [k, 1, 1, 1], and returns
the changed rows before rounding. What is done to a row is done by elementary operations on it alone, so it comes out
the same to the last bit whoever its neighbours are. Each default series begins with the unedited image.
"""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sidelight.core.editor import Scale

GREY = 127.5
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, of red, green and blue
TRUNCATE = 4  # standard deviations at which a Gaussian's kernel ends
COUNT = 100  # N, of a default series
JPEG_ERROR = 5  # levels of 255: the most by which a channel of a pixel is off at quality 100, also of noise


class Change(Enum):
    """What is changed."""

    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    HUE = "hue"
    SATURATION = "saturation"
    BLUR = "blur"
    NOISE = "noise"
    JPEG = "jpeg"
    ROTATION = "rotation"
    SCALE = "scale"
    TRANSLATION = "translation"
    OVERLAY = "overlay"
    CROSSFADE = "crossfade"


@dataclass(frozen=True, eq=False)
class Given:
    """What rows have beside pixels and strengths."""

    columns: Mapping[str, torch.Tensor]  # [k, ...]
    check: Callable[[], None]  # to be called between long steps; raises Cancelled


Apply = Callable[[torch.Tensor, torch.Tensor, Given], torch.Tensor]


@dataclass(frozen=True)
class Law:
    """How a change is made, on what scale, and which columns of `Given` it needs."""

    apply: Apply
    scale: Scale
    needs: tuple[str, ...]


LAWS: dict[Change, Law] = {}


def law(
    change: Change,
    unit: str,
    bounds: tuple[float, float],
    first: float,
    last: float,
    *,
    needs: tuple[str, ...] = (),
    error: float = 0.0,
) -> Callable[[Apply], Apply]:
    """Register how a change is made; its `first` strength is the neutral one, with this error."""

    def register(apply: Apply) -> Apply:
        LAWS[change] = Law(apply, Scale(unit, *bounds, first, last, COUNT, first, error), needs)
        return apply

    return register


@law(Change.BRIGHTNESS, "level of 255", (-255, 255), 0, 100)
def brightness(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """x + s"""
    return x + s


@law(Change.CONTRAST, "factor", (0, 10), 1, 0)
def contrast(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """127.5 + s (x - 127.5)"""
    return (x - GREY) * s + GREY


@law(Change.SATURATION, "factor", (0, 10), 1, 0)
def saturation(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """g + s (x - g), g each pixel's own luma"""
    red, green, blue = (x[:, i : i + 1] * LUMA[i] for i in range(3))
    g = red + green + blue
    return (x - g) * s + g


@law(Change.HUE, "degree", (-360, 360), 0, 360)
def hue(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """The hue of HSV turned by s, its saturation and value left alone, as torchvision's `adjust_hue` does it.

    With V the largest of red, green and blue, C the largest minus the smallest and h the hue in sixths of a turn,

        red, green, blue = V - C min(max(min(k, 4 - k), 0), 1),   k = (n + h) mod 6,   n = 5, 3, 1     [k, 1, H, W] each
    """
    red, green, blue = x[:, 0:1], x[:, 1:2], x[:, 2:3]
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    c = chroma.clamp(min=1)  # whole levels: only of greys, which have no hue, is it 0
    h = torch.where(value == green, (blue - red) / c + 2, (red - green) / c + 4)
    h = torch.where(value == red, (green - blue) / c, h) + s / 60
    turned = []
    for n in (5, 3, 1):
        k = h + n
        k = k - (k / 6).floor() * 6
        turned.append(value - torch.minimum(k, 4 - k).clamp(0, 1) * chroma)
    return torch.cat(turned, 1)


@law(Change.BLUR, "pixel", (0, 50), 0, 10)
def blur(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """Convolved with a Gaussian of standard deviation s along both axes, the border's pixels repeated beyond it.

    The kernel ends at 4 s and sums to 1. Taps outside a row's own kernel weigh 0, which adds nothing to the bit.
    """
    kernels = _gaussians(s.flatten().double().cpu().numpy()).to(x.device)  # [k, R + 1]
    reach = kernels.shape[1] - 1
    for axis, pad in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        size = x.shape[axis]
        wide = F.pad(x, pad, mode="replicate")
        x = x * kernels[:, 0].view(-1, 1, 1, 1)
        for d in range(1, reach + 1):
            both = wide.narrow(axis, reach - d, size) + wide.narrow(axis, reach + d, size)
            x += both.mul_(kernels[:, d].view(-1, 1, 1, 1))
            given.check()
    return x


def _gaussians(sd: np.ndarray) -> torch.Tensor:
    """[k, R + 1] float32: the halves of the kernels, from the centre."""
    d = np.arange(math.ceil(TRUNCATE * sd.max()) + 1)
    kernels = np.exp(-0.5 * (d / np.maximum(sd, 1e-9)[:, None]) ** 2)
    kernels[d > np.ceil(TRUNCATE * sd)[:, None]] = 0
    return torch.from_numpy(kernels / (2 * kernels.sum(1, keepdims=True) - 1)).float()


@law(Change.NOISE, "level of 255", (0, 255), 0, 64, needs=("noise",))
def noise(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """x + s n, n one standard normal field [3, H, W] for the whole series"""
    return given.columns["noise"] * s + x


@law(Change.JPEG, "lost quality", (0, 99), 0, 99, error=JPEG_ERROR)
def jpeg(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """Encoded as JPEG of quality 100 - s, a whole number (halves up), and decoded; colour is not subsampled.

    Quality 100 still rounds, so the neutral strength gives the input back up to JPEG_ERROR.
    """
    decoded = []
    for row, strength in zip(x.byte().cpu(), s.flatten().tolist(), strict=True):
        file = io.BytesIO()
        image = Image.fromarray(row.permute(1, 2, 0).numpy())
        image.save(file, "JPEG", quality=math.floor(100 - strength + 0.5), subsampling=0)
        decoded.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
        given.check()
    return torch.stack(decoded).to(x)


@law(Change.ROTATION, "degree", (-360, 360), 0, 360)
def rotation(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """Turned counter-clockwise by s about the centre."""
    s = torch.deg2rad(s.double())
    cos, sin = s.cos().float(), s.sin().float()
    u, v = _centred(x)
    return _sampled(x, u * cos - v * sin, u * sin + v * cos)


@law(Change.SCALE, "factor", (0.1, 10), 1, 2)
def scale(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """Enlarged s times about the centre."""
    u, v = _centred(x)
    return _sampled(x, u / s, v / s)


@law(Change.TRANSLATION, "per cent", (-100, 100), 0, 25, needs=("angle",))
def translation(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """Moved by s per cent of width and height along `angle`: 0 to the right, 90 down."""
    angle = torch.deg2rad(given.columns["angle"].double().view(-1, 1, 1, 1))
    height, width = x.shape[2:]
    u, v = _centred(x)
    return _sampled(x, u - s * angle.cos().float() * (width / 100), v - s * angle.sin().float() * (height / 100))


def _centred(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns [1, 1, 1, W] and rows [1, 1, H, 1] of pixels, from the image's centre."""
    height, width = x.shape[2:]
    u = torch.arange(width, device=x.device, dtype=torch.float32) - (width - 1) / 2
    v = torch.arange(height, device=x.device, dtype=torch.float32) - (height - 1) / 2
    return u.view(1, 1, 1, -1), v.view(1, 1, -1, 1)


def _sampled(x: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Each pixel from the place (u, v) of x, about its centre: bilinear, and beyond the border reflected at its edge.

    Reflected, since a border of one colour would come with the change, and be a property of its own.
    """
    height, width = x.shape[2:]
    u, v = torch.broadcast_tensors(u * (2 / width), v * (2 / height))  # -1..1 from edge to edge
    grid = torch.stack([u[:, 0], v[:, 0]], -1).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


@law(Change.OVERLAY, "opacity", (0, 1), 0, 1, needs=("over",))
def overlay(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """x (1 - s a) + s a o, o the image or colour laid over, a its opacity; `over` holds a o and a"""
    over = given.columns["over"]
    return x - (x * over[:, 3:] - over[:, :3]) * s


@law(Change.CROSSFADE, "weight", (0, 1), 0, 1, needs=("over",))
def crossfade(x: torch.Tensor, s: torch.Tensor, given: Given) -> torch.Tensor:
    """x (1 - s) + s o, o the other image"""
    return overlay(x, s, given)
