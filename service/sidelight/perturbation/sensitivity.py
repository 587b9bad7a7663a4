"""Sobol indices: how much of the output's variance involves a unit, over continuous masks."""

from dataclasses import dataclass

import torch

from sidelight.perturbation.calculators import Sums


@dataclass(frozen=True)
class Sobol:
    """Total-order Sobol index by Jansen's estimator, from designs of rows A, B, A with column 1..M from B:

        a_s = 1/(2N) sum_j (f(A_j) - f(A_j^(s)))^2 / V      V the variance of f over all rows A and B

    Jansen, Comput. Phys. Commun. 1999; Fel et al., NeurIPS 2021. It has no sign; it is 0 for a constant output.
    """

    def together(self, units: int) -> int:
        return units + 2

    def evidence(self, sums: Sums, rows: int) -> float:
        _, _, _, n = sums
        return n.item()

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        y = y.unflatten(-2, (-1, z.shape[-1] + 2))  # [..., N, M+2, T]
        ab, swapped = y[..., :2, :], y[..., 2:, :]
        squares = (ab[..., :1, :] - swapped).square().sum(-3)  # [..., M, T]
        n = y.new_full((*y.shape[:-3], 1), y.shape[-3])
        return squares, ab.sum((-3, -2)), ab.square().sum((-3, -2)), n  # [M, T], [T], [T], [1]

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        squares, total, total_squares, n = sums
        mean = total / (2 * n)
        variance = ((total_squares / (2 * n) - mean.square()).clamp(min=0)).unsqueeze(-1)  # [..., T, 1]
        index = squares.mT / (2 * n.unsqueeze(-1))
        return torch.where(variance > 0, index / variance, 0.0)
