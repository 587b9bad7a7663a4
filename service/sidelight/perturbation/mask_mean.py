"""RISE's own sum over pixels: the one that masks with a random shift need, since no unit has a place of its own."""

import torch

from sidelight.core.fold import Fold, Out
from sidelight.core.job import Saliency, relative_error
from sidelight.core.target import Target
from sidelight.perturbation.precision import MIN_BLOCKS, Timetable, students
from sidelight.perturbation.samplers import Sampler


class MaskMean(Fold[Saliency]):
    """S(u) = 1/(N E[M]) sum_n y_n M_n(u), with its standard error over i.i.d. blocks (RISE, eq. 6). The memo is M.

    Sums t_b of y_n M_n(u) over blocks of r rows are i.i.d., so SE^2 = (mean t^2 - (mean t)^2) / (B - 1) / (r E[M])^2.
    """

    def __init__(self, target: Target, sampler: Sampler, tolerance: float | None) -> None:
        self.target, self.keep, self.block, self.tolerance = target, sampler.mean, sampler.block, tolerance
        self.n = 0
        self.tests = Timetable()
        self.sum = self.squares = self.open = torch.zeros((), dtype=torch.float64)  # of t, of t^2, of no whole block
        self.shape = torch.Size()

    @property
    def whole(self) -> int:
        """Rows in whole blocks."""
        return self.n - self.n % self.block if self.block else 0

    def add(self, rows: range, memo: torch.Tensor, out: Out) -> None:
        y = self.target.score(out["y"])  # [k, T]
        m = memo.flatten(1)  # [k, U]
        s = y.T.to(m)  # float32 within a tile: its rounding is far below the sampling error
        self.shape = memo.shape[1:]
        if not self.n:
            self.sum, self.squares, self.open = (v.to(m.device) for v in (self.sum, self.squares, self.open))
        if self.block == 1:
            self.sum = self.sum + (s @ m).double()  # [T, U]
            self.squares = self.squares + (s.square() @ m.square()).double()
            self.n += len(rows)
        else:
            self._add_blocks(s, m)

    def _add_blocks(self, s: torch.Tensor, m: torch.Tensor) -> None:
        while len(m):
            k = min(len(m), self.block - self.n % self.block) if self.block else len(m)
            self.open = self.open + (s[:, :k] @ m[:k]).double()
            self.n += k
            s, m = s[:, k:], m[k:]
            if self.n == self.whole:
                self.sum, self.squares = self.sum + self.open, self.squares + self.open.square()
                self.open = torch.zeros_like(self.open)

    def preview(self) -> torch.Tensor:
        return ((self.sum + self.open) / (self.n * self.keep)).view(-1, *self.shape).cpu()

    def standard_error(self) -> torch.Tensor | None:
        """[T, *shape]; None below 8 blocks."""
        blocks = self.whole // self.block if self.block else 0
        if blocks < MIN_BLOCKS:
            return None
        variance = (self.squares / blocks - (self.sum / blocks).square()).clamp(min=0)
        error = (variance / (blocks - 1)).sqrt() * (students(blocks) / (self.block * self.keep))
        return error.view(-1, *self.shape).cpu()

    def relative_error(self) -> tuple[float, ...] | None:
        """[T], as `precision.relative_error`."""
        error = self.standard_error()
        return None if error is None else relative_error(self.preview(), error)

    def progress(self) -> float | None:
        relative = self.relative_error()
        return None if relative is None else max(relative)

    def enough(self) -> bool:
        if self.tolerance is None or not self.tests.due(self.whole):
            return False
        reached = self.progress()
        return reached is not None and reached <= self.tolerance

    def value(self) -> Saliency:
        return Saliency(self.preview(), self.standard_error(), self.relative_error())
