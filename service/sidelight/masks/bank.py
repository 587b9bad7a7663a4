"""Kernels whose width differs from source to source, summed without ever writing down a kernel for each source.

    Z_j = sum_i w_i exp(-d(i, j)^2 / sigma_i) [i and j within 20 pixels, by row and by column]

One width for all sources makes the sum separable, K w K^T. So sigma has a few levels, evenly spaced in log sigma, and
each source is shared out over the six around its own (Lagrange's weights, exact at the levels):

    Z = sum_l K_l (a_l(sigma) w) K_l^T                  K_l [pixels, cells], entries beyond the window zero

Two matrix products for all levels, without the H x W x 41 x 41 kernels of equation 6 as it stands. On random fields
with sigma anywhere between its bounds sigmoid(Z) is within 2e-4 of the exact sum, and its gradient by sigma within 1 %
(tests/masks/test_field.py); shares over the two nearest levels alone are far from that.
"""

import math
from functools import cache, lru_cache

import torch

from sidelight.masks.bands import BandedSum, Side

RADIUS = 20  # of the window, in pixels: 41 x 41, as the authors have it
SPACING = 0.33  # of levels, at most, in log sigma
LEAST = 1e-12  # of a kernel; less is nothing: its products would be denormal numbers, ten times as slow to multiply
AROUND = range(-2, 4)  # the levels that share a source, counted from the one just below it


class Bank:
    """Levels of sigma between two bounds, for the pixels [H, W] and square cells of `cell` pixels."""

    def __init__(self, shape: tuple[int, int], cell: int, low: float, high: float, dtype: torch.dtype) -> None:
        self.low, self.dtype = low, dtype
        self.gaps = math.ceil(math.log(high / low) / SPACING)  # between levels within the bounds
        self.step = math.log(high / low) / self.gaps
        # Some lie beyond the bounds, so that every source has as many levels below it as above.
        levels = [low * math.exp(self.step * i) for i in range(AROUND.start, self.gaps + AROUND.stop - 1)]
        self.rows = torch.stack([kernels(shape[0], cell, sigma, dtype) for sigma in levels])  # [L, H, g]
        self.columns = torch.stack([kernels(shape[1], cell, sigma, dtype).T for sigma in levels])  # [L, g', W]
        self._down, self._across = (Side.of(side, cell, RADIUS) for side in shape)

    def sum(self, w: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Z [H, W] of w and sigma [g, g'], sigma within the bounds; differentiable in both."""
        at = (sigma.log() - math.log(self.low)) / self.step
        below = at.detach().floor().clamp(0, self.gaps - 1)
        a = shares(at - below) * w  # [6, g, g']
        first, last = int(below.min()), int(below.max()) + len(AROUND)  # levels that no source uses cost nothing
        which = (below.long() - first).unsqueeze(0) + torch.arange(len(AROUND)).view(-1, 1, 1)
        W = torch.zeros(last - first, *w.shape, dtype=self.dtype).scatter_add(0, which, a)  # [l, g, g']
        return BandedSum.apply(W, self.rows[first:last], self.columns[first:last], self._down, self._across)


@lru_cache(maxsize=2)  # requests on one model have one size, and 10 MB of kernels at 224 x 224
def bank(shape: tuple[int, int], cell: int, low: float, high: float, dtype: torch.dtype) -> Bank:
    """A bank, which nothing changes, of those that were made last."""
    return Bank(shape, cell, low, high, dtype)


def kernels(pixels: int, cell: int, sigma: float, dtype: torch.dtype) -> torch.Tensor:
    """K [pixels, cells]: at each pixel, the sum over the pixels of each cell of exp(-d^2 / sigma) within the window.

    A cell is so many sources with one w and one sigma; the last has as many as fit.
    """
    x = torch.arange(pixels, dtype=torch.float64)
    d = (x.view(-1, 1) - x).abs()
    k = torch.exp(-d.square() / sigma)
    k = k * ((d <= RADIUS) & (k >= LEAST))
    k = torch.nn.functional.pad(k, (0, -pixels % cell))
    return k.view(pixels, -1, cell).sum(2).to(dtype)


def shares(t: torch.Tensor) -> torch.Tensor:
    """[6, *t.shape]: of a source at t in [0, 1] between two levels, what each level around it gets; adds up to 1."""
    powers = [torch.ones_like(t)]
    for _ in AROUND[1:]:
        powers.append(powers[-1] * t)
    return torch.tensordot(_lagrange().to(t.dtype), torch.stack(powers), dims=1)


@cache
def _lagrange() -> torch.Tensor:
    """[6, 6] float64: by level around, the coefficients of its polynomial, which is 1 there and 0 at the others."""
    nodes = torch.tensor(AROUND, dtype=torch.float64)
    return torch.linalg.inv(nodes.unsqueeze(1) ** torch.arange(len(AROUND))).T.contiguous()
