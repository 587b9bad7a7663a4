"""Many short runs out of a long one: what a calculator makes of every stretch of so many rows.

Rows are drawn by number, so a stretch of whole i.i.d. blocks is a run of its own; averaged over such runs an error is
told better than by one run. The sums are those of the service's calculators, which add up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from sidelight.core.fold import Fold, Out
from sidelight.core.sweep import Plan, Stopped, Sweep
from sidelight.perturbation.attribution import Attribution
from sidelight.perturbation.calculators import Sums


@dataclass(frozen=True, eq=False)
class Runs:
    """What runs of equal length gave, for one target."""

    units: torch.Tensor  # [run, M]
    pixels: torch.Tensor  # [run, H, W]


class Windows(Fold[list[list[Runs]]]):
    """Of `folds` over the same rows, for each of `lengths`, all runs that fit one after another: [fold][length]."""

    def __init__(self, folds: Sequence[Attribution], lengths: Sequence[int]) -> None:
        self.folds, self.lengths = folds, lengths
        self.chunk = math.gcd(*lengths)  # rows that are summed at once
        self.sums: list[list[Sums]] = [[] for _ in folds]  # [fold][chunk]
        self.open: list[tuple[torch.Tensor, Out]] = []  # of the chunk to come
        self.rows = 0

    def add(self, rows: range, memo: torch.Tensor, out: Out) -> None:
        self.open.append((memo.double().cpu(), out))
        self.rows += len(rows)
        if self.rows < self.chunk:
            return
        z = torch.cat([m for m, _ in self.open])
        outs = {name: torch.cat([o[name] for _, o in self.open]) for name in out}
        whole = len(z) // self.chunk * self.chunk
        self.open = [(z[whole:], {name: y[whole:] for name, y in outs.items()})]
        self.rows = len(z) - whole
        if whole:
            kept = z[:whole].unflatten(0, (-1, self.chunk))
            for fold, sums in zip(self.folds, self.sums, strict=True):
                y = fold.target.score(outs["y"][:whole]).cpu().unflatten(0, (-1, self.chunk))
                found = fold.blocks.calculator.observe(kept, y)
                sums.extend(zip(*(s.unbind() for s in found), strict=True))

    def value(self) -> list[list[Runs]]:
        return [
            [self._runs(fold, sums, n // self.chunk) for n in self.lengths]
            for fold, sums in zip(self.folds, self.sums, strict=True)
        ]

    def _runs(self, fold: Attribution, sums: list[Sums], chunks: int) -> Runs:
        count = len(sums) // chunks
        stacked = (torch.stack(part[: count * chunks]) for part in zip(*sums, strict=True))
        total = tuple(part.unflatten(0, (count, chunks)).sum(1) for part in stacked)
        scores = fold.blocks.calculator.solve(total, fold.ends)[:, 0]  # [run, M] of the one target
        return Runs(scores, fold.place(scores))


def windows(plans: Sequence[Plan], lengths: Sequence[int]) -> Plan[list[list[Runs]]]:
    """Runs [plan][length] of perturbation plans of one target whose rows are the same and stream."""
    try:
        sweeps = [next(plan) for plan in plans]  # on a grid, nothing is asked before the rows
        folds = [sweep.fold for sweep in sweeps if isinstance(sweep, Sweep) and isinstance(sweep.fold, Attribution)]
        if len(folds) < len(plans) or not isinstance(sweeps[0], Sweep):
            raise TypeError("windows are of plans that ask for the rows of one attribution")
        size = sweeps[0].size
        folded = yield replace(sweeps[0], fold=Windows(folds, lengths))
        if folded.rows < size:
            raise Stopped(folded.stop)
        return folded.value
    finally:
        for plan in plans:
            plan.close()
