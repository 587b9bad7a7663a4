"""What a segment shows when it is taken away, made from its own image: a mean or a filling for every segment.

The filling runs in a process of its own, whose start would wait for torch: numpy and scikit-image only.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.restoration import inpaint_biharmonic

from sidelight.core.local import local

MAX_UNKNOWNS = 2**12  # blocks that one segment is filled in by: a filling is smooth, and its cost grows beyond its size
REACH = 2  # blocks around a segment that a biharmonic filling continues

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]


def segment_mean(pixels: Pixels, labels: Labels) -> Pixels:
    """Each segment's own mean colour: pixels [C, H, W], labels [H, W] from 0 on -> [C, H, W]."""
    flat = labels.ravel()
    size = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, weights=channel.ravel()) / size for channel in pixels])
    return means[:, labels].astype(np.float32)


@local("inpaint")
def inpaint(columns: Mapping[str, Any]) -> dict[str, Pixels]:
    """Columns pixels float32 [k, C, H, W] and labels int64 [k, H, W] -> pixels [k, C, H, W]."""
    return {"pixels": np.stack([inpainted(*row) for row in zip(columns["pixels"], columns["labels"], strict=True)])}


def inpainted(pixels: Pixels, labels: Labels) -> Pixels:
    """Every segment filled in from the pixels around it, as if it alone were missing: [C, H, W], [H, W] -> [C, H, W].

    Biharmonic (Damelin & Hoang, 2018), clipped to the colours around. Large segments are filled in by square blocks.
    Raises ValueError where a segment is the whole image: there is nothing around it.
    """
    if (labels == labels.flat[0]).all():
        raise ValueError("labels: at least two segments, for the whole image has nothing around it")
    image = np.moveaxis(pixels, 0, 2).astype(np.float64)
    filled = np.empty_like(image)
    for s, box in enumerate(find_objects(labels + 1)):
        if box is not None:
            step = math.ceil(math.sqrt(np.count_nonzero(labels[box] == s) / MAX_UNKNOWNS))
            around = tuple(slice(max(side.start - REACH * step, 0), side.stop + REACH * step) for side in box)
            own = labels[around] == s
            filled[around][own] = _filling(image[around], own, step)[own]
    return np.moveaxis(filled, 2, 0).astype(np.float32)


def _filling(image: NDArray[np.float64], own: NDArray[np.bool_], step: int) -> NDArray[np.float64]:
    """The image [h, w, C] by blocks of step x step pixels: the mean of those that are not `own`, or a filling."""
    others = ~own[..., None]
    known = _block_sums(others, step)
    colour = _block_sums(image * others, step) / np.maximum(known, 1)
    missing = known[..., 0] == 0
    if missing.any():
        colour = inpaint_biharmonic(colour, missing, channel_axis=2)
    height, width = own.shape
    return colour[np.arange(height)[:, None] // step, np.arange(width) // step]


def _block_sums(values: NDArray[Any], step: int) -> NDArray[np.float64]:
    """Sums [h / step, w / step, C] over square blocks, the last ones cut off by the edge."""
    down, right = (np.arange(0, n, step) for n in values.shape[:2])
    return np.add.reduceat(np.add.reduceat(values.astype(np.float64), down, axis=0), right, axis=1)
