"""Curves of a score while an input is hidden, or shown, in the order of a map: all curves of a metric in one sweep.

A unit is a pixel of an image or a unit of a text. After step k of K, round(k U / K) of the U units have had their turn;
where U < K, a step is a unit. Among equal values the first unit (in reading order) has its turn first, whichever the
direction: a constant map ranks nothing, and its two ways of hiding are one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sidelight.core.ask import Forward
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.fold import Fold, Out
from sidelight.core.job import Job
from sidelight.core.metric import Subject
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep, ask
from sidelight.core.target import Target
from sidelight.metrics.replacement import Replacement, against

ROUNDING = 1e-6  # of the larger score: what float32 networks change by themselves
FIRST, LAST = 0, 1  # rows that hide nothing and everything: every path starts or ends there


def turns(maps: torch.Tensor, most_first: bool) -> torch.Tensor:
    """When each unit's turn comes, [T, U] int32 in 0..U-1, of maps [T, *shape]."""
    values = maps.flatten(1)
    order = torch.argsort(values, dim=1, descending=most_first, stable=True)
    place = torch.arange(values.shape[1], dtype=torch.int32).expand_as(order)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, place)


def steps_of(steps: int, units: int) -> int:
    """K: the steps asked for, but no step of less than a unit."""
    return min(steps, units)


def rows_of(paths: int, steps: int, shape: tuple[int, ...], targets: int) -> int:
    """Rows that `walk` asks for, or `visit` at equal shares: both ends once, what is between by path and target."""
    return 2 + paths * targets * (steps_of(steps, math.prod(shape)) - 1)


@dataclass(frozen=True, eq=False)
class Path:
    """A way between the whole input and the hidden one: units have their `turn` to be hidden, or to be shown."""

    turn: torch.Tensor  # [T, U] int32
    shows: bool = False

    def keep(self, t: int, n: int) -> torch.Tensor:
        """Which units show after n turns, [U] bool."""
        return (self.turn[t] < n) == self.shows


class OwnScores(Fold[tuple[torch.Tensor, torch.Tensor]]):
    """Scores of the two ends [2, T], and of each further row its own target's [N - 2]. `memo`: targets of the rows."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.ends: list[torch.Tensor] = []
        self.own: list[torch.Tensor] = []
        self.refused: Unsupported | None = None  # a score that is not finite, which is the metric's alone to bear

    def add(self, rows: range, memo: torch.Tensor, out: Out) -> None:
        try:
            s = self.target.score(out["y"]).cpu()  # [k, T]
        except Unsupported as error:
            self.refused = error
            return
        ends = max(0, LAST + 1 - rows.start)
        self.ends.append(s[:ends])
        self.own.append(s[ends:].gather(1, memo[ends:].unsqueeze(1)).squeeze(1))

    def value(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self.refused is not None:
            return torch.empty(0), torch.empty(0)
        return torch.cat(self.ends), torch.cat(self.own)

    def enough(self) -> bool:
        return self.refused is not None


def walk(job: Job, paths: Sequence[Path], steps: int) -> Plan[torch.Tensor]:
    """Scores along `paths`, [path, T, K+1] float64, after each of K equal steps and before the first.

    Raises Stopped where not every row was answered, Unsupported where a score is not finite.
    """
    units = paths[0].turn.shape[1]
    steps = steps_of(steps, units)
    return (yield from visit(job, paths, [round_half_up(k * units, steps) for k in range(steps + 1)]))


def visit(job: Job, paths: Sequence[Path], counts: Sequence[int]) -> Plan[torch.Tensor]:
    """Scores on `paths` after so many of the U units had their turn, [path, T, len(counts)] float64.

    Equal counts are asked once. Raises as `walk` does.
    """
    targets, units = paths[0].turn.shape
    shape = job.input.shape
    inner = sorted({n for n in counts if 0 < n < units})
    between = len(inner)
    size = 2 + len(paths) * targets * between

    def target_of(row: int) -> int:
        return (row - 2) // between % targets if row > LAST else 0

    def keep(row: int) -> torch.Tensor:
        if row <= LAST:
            return torch.full((units,), row == FIRST)
        path = (row - 2) // (between * targets)
        return paths[path].keep(target_of(row), inner[(row - 2) % between])

    def render(rows: range, on: Placement) -> tuple[Rows, torch.Tensor]:
        m = torch.stack([keep(row) for row in rows]).view(-1, *shape)  # [k, *shape] bool
        return job.input.blend(m.to(on.device).float(), on), torch.tensor([target_of(row) for row in rows])

    fold = OwnScores(job.target)
    folded = yield from ask(Sweep(Forward(job.model), size, render, fold, job.input.like, counts=False))
    if fold.refused is not None:
        raise fold.refused
    if folded.rows < size:
        raise Stopped(folded.stop)  # a part of a curve has no mean
    ends, own = folded.value
    ends = ends.T.unsqueeze(0).expand(len(paths), -1, -1)  # [path, T, 2]: whole, hidden
    shows = torch.tensor([path.shows for path in paths]).view(-1, 1, 1)
    ends = torch.where(shows, ends.flip(2), ends)
    curve = torch.cat([ends[..., :1], own.view(len(paths), targets, between), ends[..., 1:]], 2)
    place = {n: i for i, n in enumerate([0, *inner, units])}
    return curve[..., [place[n] for n in counts]]


def round_half_up(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest whole number, exactly."""
    return (2 * numerator + denominator) // (2 * denominator)


def area(curve: torch.Tensor) -> torch.Tensor:
    """Area under curves [..., K+1] over shares 0..1, by the trapezoid rule."""
    return torch.trapezoid(curve, dim=-1) / (curve.shape[-1] - 1)


def over(subject: Subject, replacement: Replacement) -> tuple[Job, str]:
    """The subject's job, its input over the replacement of the evaluation; and the name of what that came to."""
    x, used = against(subject.job.input, replacement, subject.job)
    return replace(subject.job, input=x), used.value


def gap(full: torch.Tensor, empty: torch.Tensor, field: str) -> torch.Tensor:
    """y_full - y_empty [T], to divide by. Raises InvalidRequest naming `field` where a score does not change."""
    difference = full - empty
    flat = difference.abs() <= ROUNDING * torch.maximum(full.abs(), empty.abs())
    if flat.any():
        raise InvalidRequest(
            field,
            f"target {int(flat.nonzero()[0])} scores the same on the input and on its replacement, so that nothing can "
            "be divided by the difference: leave this unset, or choose another replacement or target",
        )
    return difference
