"""The permutation tests of several series, asked of the processes for local work in chunks."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sidelight.core.ask import Local
from sidelight.core.fold import Fold
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep, ask
from sidelight.interventions.permutation import CHUNK, WORK, Tested, against_null, resolved

Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class Question:
    """A statistic of T series y [T, N] against the strengths x [N]."""

    statistic: str  # of permutation.STATISTICS
    y: NDArray[np.float64]
    x: NDArray[np.float64]


def permutation_tests(
    questions: Mapping[Key, Question], permutations: int, stream: Stream
) -> Plan[dict[Key, list[Tested]]]:
    """What each comes to for its T series, with as many permutations as were done before the deadline.

    Series of equal length are permuted alike, so that one's answer does not depend on the others. Those of which no
    permutation was done are left out. One after another, since T x K numbers are held of each.
    """
    found: dict[Key, list[Tested]] = {}
    try:
        for key, q in questions.items():
            y = resolved(q.y)
            folded = yield from ask(_sweep(Question(q.statistic, y, q.x), permutations, stream))
            found[key] = [against_null(q.statistic, *one) for one in zip(y, repeat(q.x), folded.value)]
    except Stopped:  # the deadline: what is tested is tested
        pass
    return found


def _sweep(q: Question, permutations: int, stream: Stream) -> Sweep[NDArray[np.float64]]:
    fixed = {"statistic": q.statistic, "y": q.y, "x": q.x, "seed": stream.seed, "stream": stream.name}

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        columns: dict[str, Any] = fixed | {"first": rows.start, "rows": len(rows)}
        return columns, None

    return Sweep(Local(WORK), -(-permutations // CHUNK), render, _Null(len(q.y), permutations), counts=False)


class _Null(Fold[NDArray[np.float64]]):
    """The statistic [T, K] of T series under K permutations, or as many of them as there are yet."""

    def __init__(self, numbers: int, permutations: int) -> None:
        self.null = np.empty((numbers, permutations))
        self.done = 0

    def add(self, rows: range, memo: Any, out: Mapping[str, Any]) -> None:
        for chunk in out["null"]:  # [T, CHUNK] each; the last one may have more than were asked for
            self.null[:, self.done : self.done + CHUNK] = chunk[:, : self.null.shape[1] - self.done]
            self.done = min(self.done + CHUNK, self.null.shape[1])

    def value(self) -> NDArray[np.float64]:
        return self.null[:, : self.done]
