"""Edits of one property, asked once for all models of a request, and kept by content between requests."""

import dataclasses
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any, Protocol

from sidelight.core.editor import Frame, Prepared
from sidelight.core.fold import Fold, Out
from sidelight.core.sweep import Folded, Placement, Plan, Rows, Stopped, Sweep


class Store(Protocol):
    """Frames by the content that decides them. Thread-safe; it may forget any of them at any time."""

    def get(self, key: str) -> Frame | None:
        """The frame, if it is still there."""

    def put(self, key: str, frame: Frame) -> None:
        """Keep it as long as there is room."""


@dataclass(eq=False)
class Sequence:
    """One property of the explained image: do(X := strength), for strengths on a grid.

    The same object is in the jobs of all models of a request, whose plans are stepped together: what one of them has
    asked is there for the others, and no strength is in two of the sweeps that they ask at once.
    """

    name: str  # the property's
    editor: str
    unit: str
    strengths: tuple[float, ...]  # the grid, in order
    prepared: Prepared
    store: Store
    field: str = ""  # of the request: "interventional.properties[0]"
    neutral: float | None = None
    original: Frame = dataclasses.field(kw_only=True)  # the unedited image
    distances: dict[int, tuple[float, float]] = dataclasses.field(default_factory=dict)  # of its frames
    edits: int = 0  # that were made for it, rather than found in the store
    _frames: dict[float, Frame] = dataclasses.field(default_factory=dict)
    _under_way: dict[tuple[float, ...], Sweep] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.prepared.frames:
            self._frames = dict(zip(self.strengths, self.prepared.frames, strict=True))

    def frames(self, strengths: Several[float]) -> Plan[dict[float, Frame]]:
        """The frames at these strengths, of which only those are edited that are nowhere yet.

        Some are missing where the deadline came between them. Raises Stopped where it came before the first.
        """
        for x in strengths:
            if x not in self._frames and (found := self.store.get(self._key(x))) is not None:
                self._frames[x] = found
        if missing := {x: None for x in strengths if x not in self._frames}:
            coming = [xs for xs in self._under_way if not missing.keys().isdisjoint(xs)]
            if rest := tuple(x for x in missing if not any(x in xs for xs in coming)):
                self._under_way[rest] = self._sweep(rest)
                coming.append(rest)
            answers = yield tuple(self._under_way[xs] for xs in coming)
            for xs, folded in zip(coming, answers, strict=True):
                self._keep(xs, folded)
            if not any(x in self._frames for x in strengths):
                raise Stopped(answers[0].stop)
        return {x: self._frames[x] for x in strengths if x in self._frames}

    def _keep(self, strengths: tuple[float, ...], folded: Folded[list[Frame]]) -> None:
        """What came of a sweep; of those who asked for it at once the first one keeps it for all."""
        if self._under_way.pop(strengths, None) is None or not folded.rows:
            return
        self.edits += folded.rows
        for x, frame in zip(strengths, folded.value, strict=False):  # the deadline may have come between them
            self._frames[x] = frame
            self.store.put(self._key(x), frame)

    def _sweep(self, strengths: tuple[float, ...]) -> Sweep[list[Frame]]:
        def render(rows: range, on: Placement) -> tuple[Rows, Any]:
            return self.prepared.rows(strengths[rows.start : rows.stop], on), None

        return Sweep(self.prepared.ask, len(strengths), render, _Frames(), self.prepared.like, counts=False)

    def _key(self, strength: float) -> str:
        return f"{self.prepared.key}:{strength!r}"


class _Frames(Fold[list[Frame]]):
    """The frames themselves, on the host: the one thing of which all rows are kept."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def add(self, rows: range, memo: Any, out: Out) -> None:
        self.frames += list(out["x"].cpu().clone())

    def value(self) -> list[Frame]:
        return self.frames
