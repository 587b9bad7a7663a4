"""How an image of any size becomes the model's, and how a map at the model's resolution goes back onto the image.

The geometry is that of torchvision's Resize (shorter side) and CenterCrop, roundings and black padding included.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sidelight.core.predictor import Fit

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}
_MOST_PIXELS = 1 << 24  # of an image that is resized as a whole
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2, as PIL has it


@dataclass(frozen=True)
class Geometry:
    """Where the model's image lies in the input. All sizes are (height, width) in pixels."""

    source: tuple[int, int]  # the input
    resized: tuple[int, int]  # the input after the resize
    offset: tuple[int, int]  # top left corner of the crop in the resized input; negative where the crop is padded
    size: tuple[int, int]  # the crop

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the crop that show the input rather than padding."""
        bounds = zip(self.offset, self.resized, self.size, strict=True)
        rows, columns = (slice(max(0, -at), min(size, full - at)) for at, full, size in bounds)
        return rows, columns

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The visible part of the crop in the input's coordinates: left, top, right, bottom."""
        rows, columns = self.inside
        y, x = (full / resized for full, resized in zip(self.source, self.resized, strict=True))
        (top, left), (height, width) = self.offset, self.source
        right, bottom = min((left + columns.stop) * x, width), min((top + rows.stop) * y, height)
        return (left + columns.start) * x, (top + rows.start) * y, right, bottom


def geometry(source: tuple[int, int], fit: Fit) -> Geometry:
    """Where the model's image of an input of size `source` (height, width) lies."""
    height, width = source
    resized = _resized(height, width, fit)
    size = fit.size or resized
    top, left = (_offset(full, crop) for full, crop in zip(resized, size, strict=True))
    return Geometry(source, resized, (top, left), size)


def _resized(height: int, width: int, fit: Fit) -> tuple[int, int]:
    """Truncated, not rounded, as torchvision has it."""
    if fit.resize is not None:
        short = fit.resize
        return (short, int(short * width / height)) if height <= width else (int(short * height / width), short)
    if fit.size is None:
        return height, width
    h, w = fit.size
    if h * width >= w * height:  # the height decides
        return h, max(w, int(h * width / height))
    return max(h, int(w * height / width)), w


def _offset(full: int, crop: int) -> int:
    """Of a centred crop; halves are rounded to even where it cuts, and down where it pads, as torchvision has it."""
    return -((crop - full) // 2) if crop > full else round((full - crop) / 2)


def fit(image: Image.Image | NDArray[np.floating], to: Fit, order: str = "RGB") -> tuple[torch.Tensor, Geometry]:
    """Pixels [C, H, W] float32 in 0..255, channels in `order` ("RGB", "BGR" or "L"), with where they lie in the image.

    image: a PIL image of mode RGB (resized in 8 bits), or an array [3 or 1, H, W] in 0..255 of red, green and blue or
    of grey (resized in floating point).
    """
    planes = _planes(image, order)
    source = (planes[0].height, planes[0].width)
    where = geometry(source, to)
    rows, columns = where.inside
    pixels = np.zeros((CHANNELS[order], *where.size), np.float32)
    parts = [_resized_and_cropped(plane, where, INTERPOLATIONS[to.interpolation]) for plane in planes]
    values = np.concatenate([np.atleast_3d(np.asarray(part, np.float32)) for part in parts], axis=2)
    pixels[:, rows, columns] = values.transpose(2, 0, 1).clip(0, 255)  # a bicubic filter overshoots
    return torch.from_numpy(pixels[::-1].copy() if order == "BGR" else pixels), where


def _resized_and_cropped(plane: Image.Image, where: Geometry, how: Image.Resampling) -> Image.Image:
    """The visible part of the crop."""
    rows, columns = where.inside
    height, width = where.resized
    if height * width > _MOST_PIXELS:  # a 1 x 10000 image must not become 224 x 2240000; the same but for last digits
        return plane.resize((columns.stop - columns.start, rows.stop - rows.start), how, box=where.box)
    top, left = where.offset
    box = left + columns.start, top + rows.start, left + columns.stop, top + rows.stop
    return plane.resize((width, height), how).crop(box)


def _planes(image: Image.Image | NDArray[np.floating], order: str) -> list[Image.Image]:
    """The image as PIL can resize it: one picture of 8 bits, or one of mode F for each channel."""
    if isinstance(image, Image.Image):
        return [image.convert("L" if order == "L" else "RGB")]
    array = np.asarray(image, np.float32)
    if order == "L" and len(array) == 3:
        array = np.tensordot(np.asarray(_LUMA, np.float32), array, 1)[None]
    elif order != "L" and len(array) == 1:
        array = array.repeat(3, axis=0)
    return [Image.fromarray(channel) for channel in array]


def unfit(maps: torch.Tensor, where: Geometry) -> torch.Tensor:
    """Maps [..., h, w] at the model's resolution as maps [..., H, W] of the input; NaN where the crop does not reach.

    A pixel of the input gets the bilinear average of the map around it, over its own area where that is the larger.
    """
    rows, columns = where.inside
    out = maps.new_full((*maps.shape[:-2], *where.source), torch.nan)
    (y, down), (x, across) = (
        _weights(full, resized, at, part)
        for full, resized, at, part in zip(where.source, where.resized, where.offset, (rows, columns), strict=True)
    )
    out[..., y, x] = down.to(maps) @ maps[..., rows, columns] @ across.to(maps).T
    return out


def _weights(full: int, resized: int, at: int, part: slice) -> tuple[slice, torch.Tensor]:
    """Along one axis: the input's pixels whose centres the crop shows, and their weights over the crop's [n, part]."""
    scale = resized / full
    centre = (torch.arange(full, dtype=torch.float64) + 0.5) * scale - at  # in the crop's coordinates
    shown = ((centre >= part.start) & (centre < part.stop)).nonzero()
    if not len(shown):  # one input pixel larger than the crop, its centre outside: the nearest one
        shown = (centre - (part.start + part.stop) / 2).abs().argmin().view(1, 1)
    first, last = int(shown[0]), int(shown[-1]) + 1
    pixels = torch.arange(part.start, part.stop, dtype=torch.float64) + 0.5
    # Clamped, so that pixels at the edge look at the edge instead of at padding.
    centre = centre[first:last].clamp(part.start + 0.5, part.stop - 0.5)
    weight = (1 - (pixels - centre.view(-1, 1)).abs() / max(scale, 1.0)).clamp(min=0)
    return slice(first, last), weight / weight.sum(1, keepdim=True)
