"""What is laid over an image or added to it: the same for all strengths of a series."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from sidelight.core.stream import Stream

BLOCK = 256  # rows of pixels whose noise is drawn at once


def laid(
    image: torch.Tensor | None, mask: torch.Tensor | None, fill: Sequence[float], size: tuple[int, int], *, cut: bool
) -> torch.Tensor:
    """[4, H, W] float32: the layer's colour (0..255) times its opacity, and its opacity (0..1), fitted to `size`.

    The image [3 or 4, h, w], or without one the colour `fill`; opaque where `mask` [1, h, w] is white, without a mask
    by the image's own alpha. Unless `cut` it is opaque everywhere, and what its alpha leaves out is white.
    """
    colour = _filled(fill, size) if image is None else image[:3].float()
    alpha = image[3:].float() / 255 if image is not None and len(image) == 4 else torch.ones_like(colour[:1])
    if not cut:
        return fitted(torch.cat([colour * alpha + 255 * (1 - alpha), torch.ones_like(alpha)]), size)
    if mask is None:  # fitted as it is weighed: hidden colours would seep in at its edges
        return fitted(torch.cat([colour * alpha, alpha]), size)
    opacity = fitted(mask.float() / 255, size)
    return torch.cat([fitted(colour, size) * opacity, opacity])


def fitted(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """x [C, h, w] stretched to `size`: bilinear, antialiased where that makes it smaller."""
    if tuple(x.shape[1:]) == size:
        return x
    return F.interpolate(x[None], size=size, mode="bilinear", antialias=True)[0]


def _filled(fill: Sequence[float], size: tuple[int, int]) -> torch.Tensor:
    colour = torch.tensor(list(fill) or [0.0], dtype=torch.float32)
    return colour.view(-1, 1, 1).expand(3, *size)


def noise(stream: Stream, size: tuple[int, int]) -> torch.Tensor:
    """[3, H, W] float32 standard normal numbers, row by row of `stream`, drawn in blocks to bound memory."""
    height, width = size
    field = torch.empty((3 * height, width))
    for at in range(0, 3 * height, BLOCK):
        rows = range(at, min(at + BLOCK, 3 * height))
        field[rows.start : rows.stop] = torch.from_numpy(stream.child("parametric.noise").normal(rows, width))
    return field.view(3, height, width)
