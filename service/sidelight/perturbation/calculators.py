"""Attribution calculators: streaming folds from masks and outputs to maps, with standard errors."""

import math

import torch

from sidelight.core.fold import Fold, Out
from sidelight.core.job import Saliency
from sidelight.core.target import Target

MIN_ROWS = 256  # before a tolerance is believed: a standard error of few rows is itself a guess
GROWTH = 1.1  # and how many times as many rows until it is tested again: a test is a pass over the whole map


class MaskMean(Fold[Saliency]):
    """RISE: S(u) = 1/(N p) sum_n y_n M_n(u), with its standard error over i.i.d. rows (paper eq. 6).

    The terms t_n = y_n M_n(u)/p are i.i.d., so SE^2 = (mean t^2 - (mean t)^2) / (N - 1). Two matrix products a tile.
    """

    def __init__(self, target: Target, keep: float, tolerance: float | None) -> None:
        self.target, self.keep, self.tolerance = target, keep, tolerance
        self.n = 0
        self.test_at = MIN_ROWS
        self.sum = self.squares = torch.zeros((), dtype=torch.float64)
        self.shape = torch.Size()

    def add(self, rows: range, memo: torch.Tensor, out: Out) -> None:
        y = self.target.score(out["y"])  # [k, T]
        m = memo.flatten(1)  # [k, U]
        s = y.T.to(m)  # float32 within a tile: its rounding is far below the sampling error
        self.shape = memo.shape[1:]
        if not self.n:
            self.sum, self.squares = self.sum.to(m.device), self.squares.to(m.device)
        self.sum = self.sum + (s @ m).double()  # [T, U]
        self.squares = self.squares + (s.square() @ m.square()).double()
        self.n += len(rows)

    def preview(self) -> torch.Tensor:
        return (self.sum / (self.n * self.keep)).view(-1, *self.shape).cpu()

    def standard_error(self) -> torch.Tensor | None:
        """[T, *shape]; None below two rows."""
        if self.n < 2:
            return None
        variance = (self.squares / self.n - (self.sum / self.n).square()).clamp(min=0)
        return ((variance / (self.n - 1)).sqrt() / self.keep).view(-1, *self.shape).cpu()

    def relative_error(self) -> tuple[float, ...] | None:
        """[T]: 95th percentile over u of SE / (max - min of the map); infinite for a constant map with error."""
        error = self.standard_error()
        if error is None:
            return None
        span = self.preview().flatten(1)
        span = span.amax(1) - span.amin(1)
        e95 = torch.quantile(error.flatten(1), 0.95, dim=1)
        return tuple(torch.where(e95 == 0, e95, e95 / span).tolist())

    def progress(self) -> float | None:
        relative = self.relative_error()
        return None if relative is None else max(relative)

    def enough(self) -> bool:
        if self.tolerance is None or self.n < self.test_at:
            return False
        self.test_at = math.ceil(self.n * GROWTH)
        reached = self.progress()
        return reached is not None and reached <= self.tolerance

    def value(self) -> Saliency:
        return Saliency(self.preview(), self.standard_error(), self.relative_error())
