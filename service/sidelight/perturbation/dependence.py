"""HSIC: how much the output depends on whether a unit is kept, over one space-filling design."""

import torch

from sidelight.core.fold import Fold, Out
from sidelight.core.job import Saliency, Segments
from sidelight.core.target import Target
from sidelight.perturbation.fields import Fixed
from sidelight.perturbation.samplers import Sampler

MAX_ROWS = 4096  # every row is compared with every other
STRIDE = 256  # rows of the kernel matrix at a time: at most 8 MiB


class Hsic(Fold[Saliency]):
    """Hilbert-Schmidt independence criterion between a unit's mask and the output. Novello et al., NeurIPS 2022.

        a_s = tr(K_s H L H) / (N - 1)^2      H = I - 1/N

    K_s the Dirac kernel on the mask, L the Gaussian kernel on outputs, its width the median distance between two of
    them. A Dirac kernel on 0 and 1 is (1 + c c^T)/2 with c = 2 Z_s - 1, so that the trace is (H c)^T L (H c) / 2.
    It keeps the outputs alone, draws Z again, and has neither preview nor standard error. The memo is not used.
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
        c = 2 * self.sampler.draw(range(len(y))).double() - 1
        scores = torch.stack([hsic(c - c.mean(0), outputs) for outputs in y.T])
        segments = None if self.labels is None else Segments(self.labels, scores)
        return Saliency(self.place(scores), segments=segments)


def hsic(centred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """HSIC [M] of each column of centred masks of +-1 [N, M] with y [N]; 0 for a constant output."""
    n, width = len(y), median_distance(y)
    total = torch.zeros(centred.shape[1], dtype=torch.float64)
    if not width:
        return total
    for at in range(0, n, STRIDE):
        near = (-((y[at : at + STRIDE, None] - y) / width).square() / 2).exp()  # [k, N] of L
        total += (centred[at : at + STRIDE] * (near @ centred)).sum(0)
    return total / 2 / (n - 1) ** 2


def median_distance(y: torch.Tensor) -> float:
    """Median of |y_i - y_j| over pairs; the mean, where more than half of them are equal; 0 for a constant."""
    if len(y) < 2:
        return 0.0
    distances = torch.pdist(y.unsqueeze(1))
    return (distances.median() or distances.mean()).item()
