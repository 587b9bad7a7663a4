"""Sweeps and plans. A method is a generator of sweeps; a sweep is rows by index plus a fold; the rest is the engine's.

row     one thing a model is asked
sweep   a finite set of independent rows with one ask, a pure `render` that makes them, a `fold` that takes answers
plan    a generator of sweeps (or tuples of sweeps) that returns a result
"""

from collections import Counter
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Generic, TypeVar

import torch

from sidelight.core.ask import Ask
from sidelight.core.fold import Fold

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class Shared:
    """A column that is the same for all its rows: equal keys are uploaded or encoded once per lane."""

    key: Hashable
    value: torch.Tensor


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Placement:
    """Where and how the model takes its rows, so that a row is made once and never converted."""

    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    channels_last: bool = False

    def layout(self, axes: int) -> torch.memory_format:
        """Of a tensor with so many axes."""
        return torch.channels_last if self.channels_last and axes == 4 else torch.contiguous_format


Column = torch.Tensor | Sequence[str] | Shared
Rows = Mapping[str, Column]  # named columns; the first axis is the row
Render = Callable[[range, Placement], tuple[Rows, Any]]


@dataclass(frozen=True, eq=False)
class Sweep(Generic[A]):
    """`size` rows of one ask. `render(rows, on)` is pure: it may be called twice, out of order, on any thread."""

    ask: Ask
    size: int
    render: Render
    fold: Fold[A]
    like: Hashable = ()  # what else must be equal for rows to share a batch: column shapes and dtypes
    counts: bool = True  # whether its rows spend the caller's budget

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("a sweep has at least one row")


class Stop(Enum):
    """Why a sweep ended."""

    COMPLETE = "complete"
    ENOUGH = "tolerance"
    MAX_EVALUATIONS = "max_evaluations"
    DEADLINE = "deadline"


@dataclass(frozen=True)
class Folded(Generic[A]):
    """What a plan gets for a sweep: the fold's value over the first `rows` rows (None where there are none)."""

    value: A
    rows: int
    stop: Stop

    @staticmethod
    def nothing(stop: Stop) -> "Folded[Any]":
        """No row was folded."""
        return Folded(None, 0, stop)


class Stopped(Exception):
    """Raised inside a plan whose budget is spent; it may catch it and return its best so far."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.value)
        self.stop = stop


Plan = Generator[Sweep | tuple[Sweep, ...], Any, R]


def ask(sweep: Sweep[A]) -> Plan[Folded[A]]:
    """Yield one sweep and return what was folded, of at least one row. Raises Stopped where no row was."""
    folded = yield sweep
    if not folded.rows:
        raise Stopped(folded.stop)
    return folded


def together(*plans: Plan) -> Plan[tuple]:
    """Step several plans in lockstep, merging what they yield, so that their rows share batches.

    A sweep that several of them yield at once, the very same object, is asked once and answered to all. Returns their
    results in order. An error in one closes the others and is raised.
    """
    results: list[Any] = [None] * len(plans)
    wanted: dict[int, Sweep | tuple[Sweep, ...]] = {}

    def step(i: int, move: Callable[..., Any], *args: Any) -> None:
        try:
            wanted[i] = move(*args)
        except StopIteration as end:
            wanted.pop(i, None)
            results[i] = end.value

    try:
        for i, plan in enumerate(plans):
            step(i, next, plan)
        while wanted:
            groups = {i: w if isinstance(w, tuple) else (w,) for i, w in wanted.items()}
            sweeps = tuple(dict.fromkeys(s for group in groups.values() for s in group))  # what several ask is one
            try:
                answers = dict(zip(sweeps, (yield sweeps), strict=True))
            except Stopped as stopped:
                for i in groups:
                    step(i, plans[i].throw, Stopped(stopped.stop))
                continue
            shares = {i: tuple(answers[s] for s in group) for i, group in groups.items()}
            for i, share in shares.items():
                step(i, plans[i].send, share if isinstance(wanted[i], tuple) else share[0])
    finally:
        for plan in plans:
            plan.close()
    return tuple(results)


@dataclass
class Meter:
    """What a plan may spend and what it spent: rows by kind of ask, and how its last budgeted sweep ended."""

    left: int | None = None  # budgeted rows that it may still ask for; None: no bound
    rows: Counter = field(default_factory=Counter)
    rows_done: int = 0
    stop: Stop = Stop.COMPLETE

    def allot(self, sweep: Sweep) -> int:
        """Rows of `sweep` that the budget allows; they are taken from it."""
        if self.left is None or not sweep.counts:
            return sweep.size
        share = min(sweep.size, self.left)
        self.left -= share
        return share

    def count(self, sweep: Sweep, share: int, folded: Folded) -> Folded:
        """Book what came back; rows that were not needed return to the budget."""
        self.rows[sweep.ask.kind] += folded.rows
        if not sweep.counts:
            return folded
        self.rows_done += folded.rows
        if self.left is not None:
            self.left += share - folded.rows
        if folded.stop is Stop.COMPLETE and share < sweep.size:
            folded = replace(folded, stop=Stop.MAX_EVALUATIONS)
        self.stop = folded.stop
        return folded


def metered(plan: Plan[R], meter: Meter) -> Plan[R]:
    """The same plan, held to the budget of `meter`, with what it spends counted there.

    A sweep is cut to what is left; when nothing is, Stopped is raised in the plan.
    """
    try:
        wanted = next(plan)
        while True:
            sweeps = wanted if isinstance(wanted, tuple) else (wanted,)
            shares = [meter.allot(s) for s in sweeps]
            try:
                if not any(shares):
                    raise Stopped(Stop.MAX_EVALUATIONS)
                cut = zip(sweeps, shares, strict=True)
                answers = iter((yield tuple(s if n == s.size else replace(s, size=n) for s, n in cut if n)))
            except Stopped as stopped:
                meter.stop = stopped.stop
                wanted = plan.throw(stopped)
                continue
            nothing = Folded.nothing(Stop.MAX_EVALUATIONS)
            booked = tuple(
                meter.count(s, n, next(answers) if n else nothing) for s, n in zip(sweeps, shares, strict=True)
            )
            wanted = plan.send(booked if isinstance(wanted, tuple) else booked[0])
    except StopIteration as end:
        return end.value
    finally:
        plan.close()
