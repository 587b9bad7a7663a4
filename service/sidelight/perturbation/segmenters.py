"""Superpixels: an image cut into about so many segments, by scikit-image.

Runs in a process of its own, whose start would wait for torch: numpy and scikit-image only.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2gray
from skimage.filters import sobel
from skimage.segmentation import felzenszwalb, quickshift, slic, watershed
from skimage.transform import resize_local_mean

from sidelight.core.local import local

MAX_SEGMENTS = 1024
MAX_PIXELS = 2**18  # that an image is cut at; a larger one is reduced first, for segments are far coarser than pixels
PIXELS_A_SEGMENT = 2**10  # that quick shift looks at: about as far as its kernel reaches
TRIES = 10  # of a fineness
NEAR = 0.1  # of the number wanted: no more tries

Labels = NDArray[np.int64]


@local("segment")
def segment(columns: Mapping[str, Any]) -> dict[str, Labels]:
    """Columns pixels uint8 [k, H, W, C] (red, green, blue; or one channel), kind and segments -> labels [k, H, W]."""
    rows = zip(columns["pixels"], columns["kind"], columns["segments"], strict=True)
    return {"labels": np.stack([superpixels(*row) for row in rows])}


def superpixels(pixels: NDArray[np.uint8], kind: str, wanted: int) -> Labels:
    """Labels [H, W] from 0 to M - 1 of pixels [H, W, C], M near `wanted` where the image allows and never over 1024.

    Raises ValueError for an unknown kind and for a number that cannot be had.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind: one of {', '.join(_KINDS)}, not {kind!r}")
    if not 1 <= wanted <= MAX_SEGMENTS:
        raise ValueError(f"segments: 1 to {MAX_SEGMENTS}, not {wanted}")
    height, width, channels = pixels.shape
    if wanted >= height * width:
        return np.arange(height * width).reshape(height, width)
    image = pixels / 255.0 if channels == 3 else np.repeat(pixels[..., :1] / 255.0, 3, axis=2)
    size = _reduced(height, width, wanted * PIXELS_A_SEGMENT if kind == "quickshift" else MAX_PIXELS)
    labels = _KINDS[kind](resize_local_mean(image, size, channel_axis=2) if size != (height, width) else image, wanted)
    return labels[np.arange(height)[:, None] * size[0] // height, np.arange(width) * size[1] // width]


def _reduced(height: int, width: int, most: int) -> tuple[int, int]:
    """The size of at most about `most` pixels in the same proportions."""
    factor = min(1.0, math.sqrt(min(most, MAX_PIXELS) / (height * width)))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _slic(image: NDArray[np.float64], wanted: int) -> Labels:
    """Simple linear iterative clustering (Achanta et al., 2012), which takes a number of seeds and then merges some."""
    return _nearest(wanted, wanted / 8, wanted * 8, lambda n: slic(image, n_segments=round(n), start_label=0))


def _watershed(image: NDArray[np.float64], wanted: int) -> Labels:
    """Compact watershed of the edges (Neubert & Protzel, 2014) from a regular grid of seeds."""
    edges = sobel(rgb2gray(image))
    return _nearest(
        wanted, wanted / 8, wanted * 8, lambda n: watershed(edges, markers=max(1, round(n)), compactness=0.001)
    )


def _felzenszwalb(image: NDArray[np.float64], wanted: int) -> Labels:
    """Graph-based segmentation (Felzenszwalb & Huttenlocher, 2004); its scale is the inverse of fineness."""
    speck = max(1, image.shape[0] * image.shape[1] // (50 * wanted))  # no segment is smaller
    return _nearest(wanted, 1e-6, 1.0, lambda fineness: felzenszwalb(image, scale=1 / fineness, min_size=speck))


def _quickshift(image: NDArray[np.float64], wanted: int) -> Labels:
    """Quick shift (Vedaldi & Soatto, 2008): every pixel links to its nearest one of higher density.

    A threshold on the links' length, max_dist, cuts this tree into segments; cutting it at the longest links instead
    is the same with the threshold that gives the number wanted, found without another pass.
    """
    _, parent, length = quickshift(image, kernel_size=4, ratio=0.2, max_dist=math.inf, return_tree=True, rng=0)
    to, length = np.asarray(parent).ravel().copy(), np.asarray(length).ravel().copy()
    own = np.arange(to.size)
    length[to == own] = math.inf  # modes: whatever their number, they link to nothing
    cut = np.argsort(-length, kind="stable")[: max(wanted, int((to == own).sum()))]
    to[cut] = cut
    while (to[to] != to).any():
        to = to[to]
    return _renumbered(to.reshape(image.shape[:2]))


_KINDS: dict[str, Callable[[NDArray[np.float64], int], Labels]] = {
    "slic": _slic,
    "felzenszwalb": _felzenszwalb,
    "quickshift": _quickshift,
    "watershed": _watershed,
}


def _nearest(wanted: int, low: float, high: float, cut: Callable[[float], NDArray[Any]]) -> Labels:
    """Of what `cut(fineness)` gives, the labels whose number is nearest to `wanted`; by bisection of the fineness."""
    found: list[tuple[bool, int, Labels]] = []  # one segment is of no use, however near it is
    for _ in range(TRIES):
        fineness = math.sqrt(low * high)
        labels = _renumbered(cut(fineness))
        count = int(labels.max()) + 1
        if count <= MAX_SEGMENTS:
            found.append((count == 1, abs(count - wanted), labels))
        if abs(count - wanted) <= NEAR * wanted and count <= MAX_SEGMENTS:
            break
        low, high = (fineness, high) if count < wanted else (low, fineness)
    if not found:
        raise ValueError(f"no more than {MAX_SEGMENTS} segments could be had")
    return min(found, key=lambda one: one[:2])[2]


def _renumbered(labels: NDArray[Any]) -> Labels:
    """The same segments from 0 on, without gaps."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)
