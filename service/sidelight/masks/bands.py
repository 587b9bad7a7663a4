"""Sums of products with matrices that are zero far from their diagonals, without multiplying those zeros.

    Z = sum_l R_l W_l C_l             R_l [H, g] and C_l [g', W]: pixels by cells, zero further apart than `radius`

Rows and columns of pixels are taken in blocks, each with the cells that it sees: at 224 pixels a third of the products.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

BLOCK = 32  # pixels

Blocks = list[tuple[slice, slice]]  # of pixels, and the cells that they see


def blocks(pixels: int, cell: int, radius: int) -> Blocks:
    """Of one side, whose cells have `cell` pixels each and see so far."""
    found = []
    for begin in range(0, pixels, BLOCK):
        end = min(begin + BLOCK, pixels)
        seen = slice(max(begin - radius, 0) // cell, -(-min(end + radius, pixels) // cell))
        found.append((slice(begin, end), seen))
    return found


class BandedSum(torch.autograd.Function):
    """Z [H, W] of W [l, g, g'], differentiable in it; `down` and `across` are the blocks of rows and of columns."""

    @staticmethod
    def forward(
        ctx: Any, W: torch.Tensor, R: torch.Tensor, C: torch.Tensor, down: Blocks, across: Blocks
    ) -> torch.Tensor:
        ctx.constants = R, C, down, across
        half = W.new_empty(len(W), W.shape[1], C.shape[2])  # [l, g, W]
        for pixels, cells in across:
            half[:, :, pixels] = W[:, :, cells] @ C[:, cells, pixels]
        Z = W.new_empty(R.shape[1], C.shape[2])
        for pixels, cells in down:
            Z[pixels] = R[:, pixels, cells].transpose(0, 1).flatten(1) @ half[:, cells].flatten(0, 1)
        return Z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, G: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        R, C, down, across = ctx.constants
        half = G.new_zeros(len(R), R.shape[2], C.shape[2])
        for pixels, cells in down:
            half[:, cells] += R[:, pixels, cells].transpose(1, 2) @ G[pixels]
        V = G.new_zeros(len(R), R.shape[2], C.shape[1])  # sum over pixels of what each cell is seen by
        for pixels, cells in across:
            V[:, :, cells] += half[:, :, pixels] @ C[:, cells, pixels].transpose(1, 2)
        return V, None, None, None, None
