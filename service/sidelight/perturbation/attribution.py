"""The fold of all calculators that stream: kept units and outputs in; scores, map and standard errors out."""

import torch

from sidelight.core.fold import Fold, Out
from sidelight.core.job import Saliency, Segments, relative_error
from sidelight.core.target import Target
from sidelight.perturbation.blocks import ROOM, Blocks
from sidelight.perturbation.calculators import Calculator
from sidelight.perturbation.fields import Fixed
from sidelight.perturbation.precision import Timetable
from sidelight.perturbation.samplers import Sampler


class Attribution(Fold[Saliency | None]):
    """Scores by `calculator` of rows drawn by `sampler`, placed by `field`. The memo is z [k, M].

    The value and every preview are those of all rows so far; standard errors are those of whole i.i.d. blocks.
    The value is None as long as there is nothing to answer with: before the first whole design of Sobol indices.
    """

    def __init__(
        self,
        calculator: Calculator,
        sampler: Sampler,
        field: Fixed,
        per_pixel: bool,
        target: Target,
        ends: torch.Tensor,
        tolerance: float | None,
        labels: torch.Tensor | None = None,
    ) -> None:
        """`ends` [2, T]: the scores on the input and on the baseline; `labels` [H, W] where units are segments."""
        self.target, self.ends, self.tolerance, self.labels = target, ends.double().cpu(), tolerance, labels
        self.blocks = Blocks(calculator, sampler.block, sampler.units)
        self.place = field.spread if per_pixel else field.paint
        self.tests = Timetable()

    def add(self, rows: range, memo: torch.Tensor, out: Out) -> None:
        self.blocks.add(memo.double().cpu(), self.target.score(out["y"]).cpu())

    def preview(self) -> torch.Tensor | None:
        a = self.blocks.scores(self.ends)
        return None if a is None else self.place(a)

    def progress(self) -> float | None:
        deviations = self.blocks.deviations(self.ends)
        maps = None if deviations is None else self.preview()
        if maps is None or deviations is None:
            return None
        return max(relative_error(maps, self._placed_error(deviations, maps)))

    def enough(self) -> bool:
        if self.tolerance is None or not self.tests.due(self.blocks.whole):
            return False
        reached = self.progress()
        return reached is not None and reached <= self.tolerance

    def value(self) -> Saliency | None:
        scores, deviations = self.blocks.scores(self.ends), self.blocks.deviations(self.ends)
        if scores is None:
            return None
        maps = self.place(scores)
        error = None if deviations is None else self._placed_error(deviations, maps)
        return Saliency(
            maps,
            error,
            None if error is None else relative_error(maps, error),
            None if self.labels is None else Segments(self.labels, scores, _norm(deviations)),
        )

    def _placed_error(self, deviations: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Standard errors [T, *shape]: a map is linear in the scores, so its deviations are the scores', placed."""
        variance = torch.zeros_like(maps)
        stride = max(1, ROOM // maps[0].numel())
        for t, total in enumerate(variance):
            for part in deviations[:, t].split(stride):
                total += self.place(part).square().sum(0)
        return variance.sqrt()


def _norm(deviations: torch.Tensor | None) -> torch.Tensor | None:
    return None if deviations is None else deviations.square().sum(0).sqrt()
