"""A map drawn over the input it explains, as PNG."""

import io
import math
import zlib
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sidelight.predictors.fit import Geometry, unfit

MAX_SIDE = 2048
MIN_SIDE = 32
OPACITY = (0.3, 0.75)  # of the smallest and the largest value: the photo stays readable where the map is low

# Matplotlib's "inferno" (CC0) at nine equally spaced points: perceptually uniform, also in grey.
INFERNO = np.array([
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
    (249, 201, 50), (252, 255, 164),
])  # fmt: skip


def overlay(values: torch.Tensor, where: Geometry, photo: Image.Image, max_bytes: int) -> bytes:
    """The PNG of a map [h, w] at the model's resolution over the whole `photo`; transparent outside the model's crop.

    As large as the photo, at most `MAX_SIDE` pixels a side, and smaller still where it would take over `max_bytes`.
    """
    longest, pixels = max(where.source), math.prod(where.source)
    # A photo takes a byte a pixel at least: what cannot fit is not tried.
    side = max(MIN_SIDE, int(longest * min(1.0, MAX_SIDE / longest, (max_bytes / pixels) ** 0.5)))
    while True:
        png = _drawn(values, where, photo, side)
        if len(png) <= max_bytes or side <= MIN_SIDE:
            return png
        # Bytes go with the area; a little less, since small pictures compress worse.
        side = max(MIN_SIDE, int(side * min(0.9 * (max_bytes / len(png)) ** 0.5, 0.9)))


def _drawn(values: torch.Tensor, where: Geometry, photo: Image.Image, side: int) -> bytes:
    scale = side / max(where.source)
    height, width = (max(1, round(n * scale)) for n in where.source)
    at_input = unfit(values.float(), replace(where, source=(height, width))).numpy()
    shown = np.isfinite(at_input)
    low, high = (at_input[shown].min(), at_input[shown].max()) if shown.any() else (0.0, 0.0)
    level = (np.where(shown, at_input, low) - low) / ((high - low) or 1.0)
    opacity = (OPACITY[0] + (OPACITY[1] - OPACITY[0]) * level)[:, :, None]
    small = photo if photo.size == (width, height) else photo.resize((width, height), Image.Resampling.BOX)
    heat = COLOURS[(255 * level).round().astype(np.uint8)]  # [H,W,3]
    rgb = (1 - opacity) * np.asarray(small, np.float32) + opacity * heat
    rgba = np.dstack([rgb.round().astype(np.uint8), np.where(shown, np.uint8(255), np.uint8(0))])
    buffer = io.BytesIO()
    # Blended photos hardly repeat themselves: as small as at zlib's default level, in a quarter of its time.
    Image.fromarray(rgba).save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_HUFFMAN_ONLY)
    return buffer.getvalue()


def _colours(level: NDArray[np.floating]) -> NDArray[np.float32]:
    """[n, 3] in 0..255 of levels [n] in 0..1."""
    points = np.linspace(0.0, 1.0, len(INFERNO))
    return np.stack([np.interp(level, points, INFERNO[:, c]) for c in range(3)], axis=-1).astype(np.float32)


COLOURS = _colours(np.linspace(0.0, 1.0, 256))
