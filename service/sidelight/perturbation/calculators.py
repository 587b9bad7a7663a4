"""Attribution calculators: from kept units Z [N, M] and explained outputs y [N, T] to a score a_s of every unit.

A calculator is a sum over rows and a solve, so that it streams: what is kept is of size M or M^2, never N x M. Sums and
solves take any leading axes, for the many part sums that a standard error needs. Here are those that compare means;
least squares are in `regression`, Sobol indices in `sensitivity`, HSIC in `dependence`.
"""

from dataclasses import dataclass
from typing import Protocol

import torch

from sidelight.perturbation.options import PdaForm

Sums = tuple[torch.Tensor, ...]


class Calculator(Protocol):
    """All in float64. `ends` [2, T] are the explained outputs on the input and on the baseline."""

    def together(self, units: int) -> int:
        """Rows that only make sense together: 1, but for designs of fixed order."""

    def evidence(self, sums: Sums, rows: int) -> float:
        """How many equally weighted rows bear on the least known score, for each number that is fitted with it."""

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        """Sums over the rows of z [..., n, M] and y [..., n, T]."""

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        """a [..., T, M]. A unit about which the rows say nothing gets the score of one that does not matter."""


class _Means:
    """What calculators have in common that take rows one by one and compare means: the second sum counts rows."""

    def together(self, units: int) -> int:
        return 1

    def evidence(self, sums: Sums, rows: int) -> float:
        return sums[1].min().item()


@dataclass(frozen=True)
class Rise(_Means):
    """a_s = sum_n Z_ns y_n / sum_n Z_ns: the mean output while the unit is kept. Petsiuk et al., BMVC 2018."""

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        return z.mT @ y, z.sum(-2), y.sum(-2), y.new_full((*y.shape[:-2], 1), y.shape[-2])  # [M, T], [M], [T], [1]

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        zy, z, y, n = sums
        return _ratio(zy, z, y / n)


@dataclass(frozen=True)
class Pda(_Means):
    """Prediction difference analysis: how far the output falls, in the mean, while the unit is off.

    difference   a_s = y_full - p_s,  p_s = mean(y | s off)
    information  a_s = log2 y_full - log2 p_s
    evidence     a_s = log2 odds(y_full) - log2 odds(p_s),  odds(p) = p / (1 - p)
    The two in logs take probabilities, Laplace-corrected, p -> (p n + 1) / (n + K), as if read off n training
    examples of K classes. Robnik-Sikonja & Kononenko, TKDE 2008.
    """

    form: PdaForm = PdaForm.DIFFERENCE
    outputs: int = 2  # K
    examples: int = 1_000_000  # n

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        return _while_off(z, y)

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        y, off = sums
        return self._scale(ends[0].unsqueeze(-1)) - self._scale(_ratio(y, off, ends[0]))  # [T, 1] - [..., T, M]

    def _scale(self, p: torch.Tensor) -> torch.Tensor:
        if self.form is PdaForm.DIFFERENCE:
            return p
        p = (p * self.examples + 1) / (self.examples + self.outputs)
        return p.log2() if self.form is PdaForm.INFORMATION else (p / (1 - p)).log2()


@dataclass(frozen=True)
class Ciu(_Means):
    """Contextual importance and utility, from rows that each lack one unit: a_s = CI (CU - 1/2).

    CI = (hi - lo) / (max y - min y),  CU = (y_full - lo) / (hi - lo), with lo and hi the smaller and the larger of
    y_full and the output without s, max and min over all of these. Framling, 1996; as in py-ciu-image.
    """

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        return _while_off(z, y)

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        y, rows = sums
        return _influence(_ratio(y, rows, ends[0]), ends[0])


@dataclass(frozen=True)
class InverseCiu(_Means):
    """CIU from rows that each keep one unit alone, whose probability p counts as the output 1 - p without it."""

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        return z.mT @ (1 - y), z.sum(-2)  # [M, T], [M]

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        y, rows = sums
        return _influence(_ratio(y, rows, ends[0]), ends[0])


def _while_off(z: torch.Tensor, y: torch.Tensor) -> Sums:
    off = 1 - z
    return off.mT @ y, off.sum(-2)  # [M, T], [M]


def _ratio(weighted: torch.Tensor, weight: torch.Tensor, absent: torch.Tensor) -> torch.Tensor:
    """weighted [..., M, T] / weight [..., M] as [..., T, M]; `absent` [..., T] where there is no weight."""
    weight = weight.unsqueeze(-2)
    return torch.where(weight > 0, weighted.mT / weight, absent.unsqueeze(-1))


def _influence(without: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
    """CI (CU - 1/2) [..., T, M] of outputs without each unit [..., T, M] and of the full input [T]."""
    full = full.unsqueeze(-1)  # [T, 1]
    low, high = torch.minimum(without, full), torch.maximum(without, full)
    spread = high.amax(-1, keepdim=True) - low.amin(-1, keepdim=True)
    importance = _or_zero(high - low, spread)
    utility = _or_zero(full - low, high - low)
    return importance * (utility - 0.5)


def _or_zero(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """above / below, and 0 where nothing varies."""
    return torch.where(below > 0, above / below, 0.0)
