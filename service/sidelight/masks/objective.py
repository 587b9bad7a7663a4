"""The terms of the objective that need no model, and how all of them add up.

    size        a_size (mean lambda)^2
    sigma       -a_sigma mean(log sigma)
    variation   a_TV TV(lambda)              TV = 1/(H W) sum over pairs of 8-neighbours of (lambda_i - lambda_j)^2

Each pair is counted once: the authors' weight of 10 is for that. The term of sigma has no bound of its own, so it is
told, and masks are compared by the sum of the others.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from sidelight.masks.field import Cells
from sidelight.masks.options import Options

UNCOUNTED = "sigma"  # the term that a comparison leaves out
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # a half of the eight: the other half are the same pairs


class _Variation(torch.autograd.Function):
    """TV, and with it its gradient: of each pair 2 (lambda_i - lambda_j) / (H W), and the opposite."""

    @staticmethod
    def forward(ctx: Any, mask: torch.Tensor) -> torch.Tensor:
        height, width = mask.shape
        total, gradient = mask.new_zeros(()), torch.zeros_like(mask)
        for down, across in NEIGHBOURS:
            left, right = max(-across, 0), max(across, 0)
            there = slice(down, None), slice(right, width - left)
            here = slice(height - down), slice(left, width - right)
            change = (mask[there] - mask[here]).contiguous()
            total += torch.dot(change.view(-1), change.view(-1))
            gradient[there] += change
            gradient[here] -= change
        ctx.gradient = gradient.mul_(2 / mask.numel())
        return total / mask.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
        return upstream * ctx.gradient


def variation(mask: torch.Tensor) -> torch.Tensor:
    """TV of a mask [H, W], differentiable once."""
    return _Variation.apply(mask)


def regularisers(mask: torch.Tensor, cells: Cells, options: Options) -> dict[str, torch.Tensor]:
    """The terms by name, weight and sign included, differentiable in the mask and in sigma."""
    terms = {
        "size": options.size_weight * mask.mean().square(),
        "sigma": -options.sigma_weight * cells.sigma.log().mean(),
    }
    if mask.dim() == 2:
        terms["variation"] = options.variation_weight * variation(mask)
    return terms


def comparable(terms: Mapping[str, float]) -> float:
    """What masks are compared by."""
    return sum(value for name, value in terms.items() if name != UNCOUNTED)
