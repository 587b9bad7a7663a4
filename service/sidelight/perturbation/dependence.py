"""HSIC: how much the output depends on whether a unit is kept, over one space-filling design."""

import torch

from sidelight.core.fold import Fold, Out
from sidelight.core.job import Saliency, Segments
from sidelight.core.target import Target
from sidelight.perturbation.fields import Fixed
from sidelight.perturbation.samplers import Sampler

STRIDE = 256  # rows that are compared with as many at a time: 0.5 MiB of the kernel matrix


class Hsic(Fold[Saliency]):
    """Hilbert-Schmidt independence criterion between a unit's mask and the output. Novello et al., NeurIPS 2022.

        a_s = tr(K_s H L H) / (N - 1)^2      H = I - 1/N

    K_s the Dirac kernel on the mask, L the Gaussian kernel on outputs, its width the median distance between two of
    them. A Dirac kernel on 0 and 1 is (1 + c c^T)/2 with c = 2 Z_s - 1, so that the trace is (H c)^T L (H c) / 2.
    It keeps the outputs alone, draws Z again, and has neither preview nor standard error. The memo is not used.
    Of size N x M there are only the signs, a byte each; nothing is N x N.
    """

    def __init__(
        self, sampler: Sampler, field: Fixed, per_pixel: bool, target: Target, labels: torch.Tensor | None = None
    ) -> None:
        self.sampler, self.target, self.labels = sampler, target, labels
        self.place = field.spread if per_pixel else field.paint
        self.parts: list[torch.Tensor] = []

    def add(self, rows: range, memo: object, out: Out) -> None:
        self.parts.append(self.target.score(out["y"]).cpu())

    def value(self) -> Saliency:
        y = torch.cat(self.parts)  # [N, T]
        scores = torch.stack([hsic(self._signs(len(y)), outputs) for outputs in y.T])
        segments = None if self.labels is None else Segments(self.labels, scores)
        return Saliency(self.place(scores), segments=segments)

    def _signs(self, n: int) -> torch.Tensor:
        """c [N, M] int8."""
        signs = torch.empty(n, self.sampler.units, dtype=torch.int8)
        for part, at in zip(signs.split(STRIDE), range(0, n, STRIDE), strict=True):
            part.copy_(2 * self.sampler.draw(range(at, at + len(part))) - 1)
        return signs


def hsic(signs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """HSIC [M] of each column of masks of +-1 [N, M] with y [N]; 0 for a constant output."""
    n, width = len(y), median_distance(y)
    total = torch.zeros(signs.shape[1], dtype=torch.float64)
    if not width:
        return total
    mean = torch.stack([c.sum(0) for c in signs.split(STRIDE)]).sum(0).double() / n  # sum() widens all at once
    blocks = list(zip(signs.split(STRIDE), y.split(STRIDE), strict=True))
    for i, (c, v) in enumerate(blocks):
        for d, w in blocks[:i]:  # L is symmetric
            total += 2 * _compared(c - mean, d - mean, v, w, width)
        total += _compared(c - mean, c - mean, v, v, width)
    return total / 2 / (n - 1) ** 2


def _compared(c: torch.Tensor, d: torch.Tensor, v: torch.Tensor, w: torch.Tensor, width: float) -> torch.Tensor:
    """Diagonal [M] of c^T L d for rows c [k, M] with the outputs v [k] and rows d [l, M] with w [l]."""
    near = (-((v[:, None] - w) / width).square() / 2).exp()
    return (c * (near @ d)).sum(0)


def median_distance(y: torch.Tensor) -> float:
    """Median of |y_i - y_j| over pairs; the mean, where more than half of them are equal; 0 for a constant.

    By bisection, since the pairs themselves are N^2 / 2 numbers. Of an even number of pairs it is the lower median.
    """
    n, pairs = len(y), len(y) * (len(y) - 1) // 2
    if n < 2:
        return 0.0
    y = (y - y.min()).double().sort().values
    if 2 * _within(y, 0.0) >= pairs:
        return ((2 * torch.arange(n, dtype=y.dtype) - n + 1) @ y).item() / pairs
    low, high = 0.0, y[-1].item()
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if 2 * _within(y, middle) >= pairs else (middle, high)
    return high


def _within(y: torch.Tensor, distance: float) -> int:
    """How many pairs of the sorted y are no further apart."""
    return int((torch.searchsorted(y, y + distance, right=True) - 1 - torch.arange(len(y))).sum())
