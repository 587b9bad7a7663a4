"""What the map was along the way: the scores of one sweep of rows at several numbers of evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from sidelight.core.fold import Fold, Out
from sidelight.core.sweep import Plan, Stopped, Sweep
from sidelight.perturbation.attribution import Attribution


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Scores of the units and the map that they make, for one target."""

    units: torch.Tensor  # [M]
    pixels: torch.Tensor  # [H, W]


class Snapshots(Fold[list[list[Snapshot]]]):
    """Folds over the same rows, looked at after each of `at` rows: [fold][at]."""

    def __init__(self, folds: Sequence[Attribution], at: Sequence[int]) -> None:
        self.folds, self.at = folds, at
        self.shots: list[list[Snapshot]] = [[] for _ in folds]

    def add(self, rows: range, memo: Any, out: Out) -> None:
        looks = [n for n in self.at if rows.start < n <= rows.stop]
        for begin, end in pairwise([rows.start, *looks, *([rows.stop] if rows.stop not in looks else [])]):
            here = slice(begin - rows.start, end - rows.start)
            for fold in self.folds:
                fold.add(range(begin, end), memo[here], {name: y[here] for name, y in out.items()})
            if end in looks:
                self._look()

    def _look(self) -> None:
        for fold, shots in zip(self.folds, self.shots, strict=True):
            scores = fold.blocks.scores(fold.ends)
            if scores is None:
                raise ValueError("a snapshot before there are scores")
            shots.append(Snapshot(scores[0], fold.place(scores)[0]))

    def value(self) -> list[list[Snapshot]]:
        return self.shots


def snapshots(plans: Sequence[Plan], at: Sequence[int]) -> Plan[list[list[Snapshot]]]:
    """Snapshots [plan][at] of perturbation plans whose rows are the same, after each of `at` rows, ascending."""
    try:
        sweeps = [next(plan) for plan in plans]  # on a grid, nothing is asked before the rows
        folds = [sweep.fold for sweep in sweeps if isinstance(sweep, Sweep) and isinstance(sweep.fold, Attribution)]
        if len(folds) < len(plans) or not isinstance(sweeps[0], Sweep):
            raise TypeError("snapshots are of plans that ask for the rows of one attribution")
        folded = yield replace(sweeps[0], size=at[-1], fold=Snapshots(folds, at))
        if folded.rows < at[-1]:
            raise Stopped(folded.stop)
        return folded.value
    finally:
        for plan in plans:
            plan.close()
