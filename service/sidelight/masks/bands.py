"""Sums of products with matrices that are zero far from their diagonals, without multiplying those zeros.

    Z = sum_l R_l W_l C_l             R_l [H, g] and C_l [g', W]: pixels by cells, zero further apart than `radius`

Rows and columns of what comes out are made in blocks, each from what it sees: at 224 pixels a third of the products.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

BLOCK = 32  # pixels

Blocks = list[tuple[slice, slice]]  # of what comes out, and what it sees


@dataclass(frozen=True)
class Side:
    """The blocks of one side, whose cells have `cell` pixels each, both ways."""

    pixels: Blocks  # and the cells that they see
    cells: Blocks  # and the pixels that see them

    @staticmethod
    def of(pixels: int, cell: int, radius: int) -> "Side":
        """A pixel sees the cells that have a pixel within `radius`."""
        to_pixels, to_cells = [], []
        wide = -(-BLOCK // cell) * cell  # whole cells
        for begin in range(0, pixels, wide):
            end = min(begin + wide, pixels)
            low, high = max(begin - radius, 0), min(end + radius, pixels)
            own, others = slice(begin // cell, -(-end // cell)), slice(low // cell, -(-high // cell))
            to_pixels.append((slice(begin, end), others))
            to_cells.append((own, slice(low, high)))
        return Side(to_pixels, to_cells)


class BandedSum(torch.autograd.Function):
    """Z [H, W] of W [l, g, g'], differentiable in it; `down` and `across` are the blocks of rows and of columns."""

    @staticmethod
    def forward(ctx: Any, W: torch.Tensor, R: torch.Tensor, C: torch.Tensor, down: Side, across: Side) -> torch.Tensor:
        ctx.constants = R, C, down, across
        half = W.new_empty(len(W), W.shape[1], C.shape[2])  # [l, g, W]
        Z = W.new_empty(R.shape[1], C.shape[2])
        for pixels, cells in across.pixels:
            half[:, :, pixels] = W[:, :, cells] @ C[:, cells, pixels]
        for pixels, cells in down.pixels:
            torch.sum(R[:, pixels, cells] @ half[:, cells], 0, out=Z[pixels])
        return Z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, G: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        R, C, down, across = ctx.constants
        half = G.new_empty(len(R), R.shape[2], C.shape[2])
        V = G.new_empty(len(R), R.shape[2], C.shape[1])  # sum over pixels of what each cell is seen by
        for cells, pixels in down.cells:
            half[:, cells] = R[:, pixels, cells].transpose(1, 2) @ G[pixels]
        for cells, pixels in across.cells:
            V[:, :, cells] = half[:, :, pixels] @ C[:, cells, pixels].transpose(1, 2)
        return V, None, None, None, None
