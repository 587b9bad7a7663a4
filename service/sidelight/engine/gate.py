"""The door: a bounded queue, and no work begun that cannot end in time."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sidelight.core.errors import DeadlineExceeded, Exhausted, Unavailable

# Expected seconds by lane, of stages one after another: lanes work side by side within a stage only.
Stages: TypeAlias = Sequence[Mapping[str, float]]


def seconds(stages: Stages) -> float:
    """Expected until work of `stages` would be done by itself."""
    return sum(max(stage.values(), default=0.0) for stage in stages)


@dataclass(eq=False)
class Admission:
    """An admitted request. Use as a context manager; leaving it frees the place."""

    gate: "Gate"
    stages: Stages
    done: float = 0.0  # fraction

    def left(self, lane: str) -> float:
        """Expected seconds of work still to do on `lane`."""
        return sum(stage.get(lane, 0.0) for stage in self.stages) * (1 - self.done)

    def progress(self, fraction: float) -> None:
        """Tell how far it has come, in 0..1."""
        self.done = min(max(fraction, 0.0), 1.0)

    def __enter__(self) -> "Admission":
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.leave(self)


@dataclass
class Gate:
    """Admits up to `places` requests. Thread-safe."""

    places: int
    _inside: list[Admission] = field(default_factory=list)
    _draining: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expected(self, stages: Stages) -> float:
        """Seconds until work of `stages` would be done beside what is admitted.

        Fair sharing serves k requests in turns, so another request delays a stage by at most the smaller of the two.
        """
        with self._lock:
            return self._expected(stages)

    def _expected(self, stages: Stages) -> float:
        def beside(lane: str, cost: float) -> float:
            return cost + sum(min(cost, a.left(lane)) for a in self._inside)

        return seconds([{lane: beside(lane, cost) for lane, cost in stage.items()} for stage in stages])

    def admit(self, stages: Stages, remaining: float, partial: bool) -> Admission:
        """Take a place. Raises Unavailable when draining, Exhausted when full, DeadlineExceeded when it cannot end."""
        with self._lock:
            expected = self._expected(stages)
            if self._draining:
                raise Unavailable("the service is shutting down", retry_after=5.0)
            if len(self._inside) >= self.places:
                soonest = min(seconds(a.stages) * (1 - a.done) for a in self._inside)
                raise Exhausted("queue", f"all {self.places} places are taken", retry_after=max(soonest, 0.1))
            if remaining <= 0:
                raise DeadlineExceeded("the deadline had passed when the request arrived")
            if expected > remaining and not partial:
                raise DeadlineExceeded(
                    f"would take about {expected:.1f} s and {remaining:.1f} s remain: allow more time, ask for fewer "
                    "evaluations, or set budget.allow_partial"
                )
            admission = Admission(self, stages)
            self._inside.append(admission)
            return admission

    def leave(self, admission: Admission) -> None:
        """Free a place."""
        with self._lock:
            if admission in self._inside:
                self._inside.remove(admission)

    def drain(self) -> None:
        """Admit no one from now on."""
        with self._lock:
            self._draining = True

    def inside(self) -> int:
        """How many were admitted and have not left."""
        return len(self._inside)
