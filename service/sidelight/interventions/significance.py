"""The permutation tests of several series, asked of the processes for local work in chunks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sidelight.core.ask import Local
from sidelight.core.fold import Fold
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep
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
    permutation was done are left out.
    """
    questions = {key: Question(q.statistic, resolved(q.y), q.x) for key, q in questions.items()}
    if not questions:
        return {}
    try:
        answers = yield tuple(_sweep(q, permutations, stream) for q in questions.values())
    except Stopped:
        return {}
    return {
        key: [against_null(q.statistic, y, q.x, null[:permutations]) for y, null in zip(q.y, folded.value, strict=True)]
        for (key, q), folded in zip(questions.items(), answers, strict=True)
        if folded.rows
    }


def _sweep(q: Question, permutations: int, stream: Stream) -> Sweep[NDArray[np.float64]]:
    fixed = {"statistic": q.statistic, "y": q.y, "x": q.x, "seed": stream.seed, "stream": stream.name}

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        columns: dict[str, Any] = fixed | {"first": rows.start, "rows": len(rows)}
        return columns, None

    return Sweep(Local(WORK), -(-permutations // CHUNK), render, _Null(), counts=False)


class _Null(Fold[NDArray[np.float64]]):
    """[T, permutations]."""

    def __init__(self) -> None:
        self.parts: list[NDArray[np.float64]] = []

    def add(self, rows: range, memo: Any, out: Mapping[str, Any]) -> None:
        self.parts.extend(out["null"])  # [T, CHUNK] each

    def value(self) -> NDArray[np.float64]:
        return np.concatenate(self.parts, axis=1)
