"""One request's plan, stepped on the plan pool, its sweeps folded tile by tile as answers come.

Two endings. *Kill*: nobody wants the answer; unborn rows are never born and the plan is closed. *Stop*: the budget is
spent; running sweeps end at their last folded tile, the plan gets their value, and a later ask raises Stopped in it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sidelight.core.ask import Ask, Edit, Local
from sidelight.core.errors import DeadlineExceeded, InvalidRequest, SidelightError
from sidelight.core.fold import Out
from sidelight.core.sweep import Folded, Plan, Stop, Stopped, Sweep
from sidelight.engine.mailbox import Outbox, Progress
from sidelight.engine.observer import Label
from sidelight.engine.scheduler import Queue, Ticket

ERROR_EVERY = 0.5  # seconds between statements of the error so far, which costs a pass over the map


@dataclass
class Timing:
    """Seconds of one run, by where they went."""

    queue: float = 0.0
    edit: float = 0.0
    infer: float = 0.0
    fold: float = 0.0

    def add(self, ask: Ask, seconds: float) -> None:
        """A share of a batch: of editing, or of asking a model."""
        if isinstance(ask, Edit):
            self.edit += seconds
        else:
            self.infer += seconds


class Task:
    """A sweep under way. Tiles may be answered in any order; they are folded in row order, under the task's lock."""

    def __init__(self, run: "Run", sweep: Sweep) -> None:
        self.run, self.sweep = run, sweep
        self.queue: Queue | None = None  # its place in a lane's scheduler
        self.withdraw: Callable[[Task], None] = lambda task: None
        self.folded = 0
        self.ended: Stop | None = None
        self._early: dict[int, tuple[range, Any, Out | Exception]] = {}  # answered before their predecessors
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether anybody waits for its rows."""
        return self.ended is None and self.run.alive

    def accept(self, rows: range, memo: Any, out: Out | Exception) -> None:
        """Take the answers of one tile, or why there are none; fold what is next in row order.

        A failure counts only when its turn comes, so whether a fold had enough before it does not depend on load.
        """
        self.run.answered(len(rows), self.sweep)
        began = time.monotonic()
        with self._lock:
            self._early[rows.start] = (rows, memo, out)
            while self.alive and (item := self._early.pop(self.folded, None)):
                tile, kept, found = item
                if isinstance(found, Exception):
                    self.run.fail(found)
                    return
                self.sweep.fold.add(tile, kept, found)
                self.folded = tile.stop
                if self.queue is not None:
                    self.queue.folded = self.folded
                if self.sweep.fold.enough():
                    self._end(Stop.ENOUGH)
                elif self.folded >= self.sweep.size:
                    self._end(Stop.COMPLETE)
        self.run.timing.fold += time.monotonic() - began

    def preview(self) -> Any:
        """The map so far, if the fold has one."""
        with self._lock:
            return self.sweep.fold.preview() if self.folded else None

    def end(self, why: Stop) -> None:
        """End at the last folded tile. Any thread."""
        with self._lock:
            if self.ended is None:
                self._end(why)

    def _end(self, why: Stop) -> None:
        self.ended = why
        self._early.clear()
        self.withdraw(self)
        self.run.ended(self)

    def value(self) -> Folded:
        """What the plan gets, once the sweep has ended."""
        why = self.ended or Stop.COMPLETE
        return Folded(self.sweep.fold.value(), self.folded, why) if self.folded else Folded.nothing(why)


class Run:
    """One plan. `kill` and `stop` may come from any thread, at any time; only the first end counts."""

    def __init__(
        self,
        plan: Plan,
        outbox: Outbox,
        *,
        label: Label,
        submit: Callable[[Task], None],
        spawn: Callable[..., Any],
        preview_every: float | None = None,
        on_end: Callable[["Run"], None] = lambda run: None,
    ) -> None:
        self.plan, self.outbox, self.label = plan, outbox, label
        self.ticket = Ticket()
        self.timing = Timing()
        self.rows = 0  # answered by models
        self.edits = 0
        self._submit, self._spawn, self._on_end = submit, spawn, on_end
        self._preview_every, self._preview_at = preview_every, time.monotonic()
        self._error_at = time.monotonic()
        self._tasks: tuple[Task, ...] = ()
        self._open = 0  # tasks that have not ended
        self._stop: Stop | None = None
        self._steps = 0  # spawned and not yet over
        self._single = False
        self._lock = threading.RLock()
        self.began = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether anybody waits for the result."""
        return self.ticket.alive

    @property
    def stepping(self) -> bool:
        """Whether its plan is at work: nothing that it asked for is under way."""
        return self.alive and not self._open

    def start(self) -> None:
        """Take the first step."""
        self.outbox.progress(Progress(0, queued=True))
        self._go(lambda: next(self.plan))

    def kill(self, error: SidelightError) -> None:
        """Nobody wants the answer any more."""
        self._finish(self.outbox.fail, error)

    def stop(self, why: Stop) -> None:
        """The budget is spent: the plan gets what there is."""
        with self._lock:
            if not self.alive or self._stop:
                return
            self._stop = why
            tasks = self._tasks
        for task in tasks:
            task.end(why)

    # -- stepping, on the plan pool ----------------------------------------------------------------------------------

    def _go(self, move: Callable[[], Any]) -> None:
        with self._lock:
            if not self.alive:
                return
            self._steps += 1
        self._spawn(self._step, move)

    def _step(self, move: Callable[[], Any]) -> None:
        try:
            if not self.alive:
                return
            wanted = move()
        except StopIteration as end:
            self._finish(self.outbox.finish, end.value)
        except Stopped as stopped:
            self._finish(self.outbox.fail, self._too_early(stopped.stop))
        except Exception as error:  # noqa: BLE001 - the boundary between one request's code and everybody else's
            self._finish(self.outbox.fail, error)
        else:
            try:
                self._ask(wanted if isinstance(wanted, tuple) else (wanted,), single=not isinstance(wanted, tuple))
            except Exception as error:  # noqa: BLE001 - as above: what is asked is the plan's own
                self._finish(self.outbox.fail, error)
        finally:
            with self._lock:
                self._steps -= 1
                closing = not self.alive and not self._steps
            if closing:
                self.plan.close()

    def _ask(self, sweeps: tuple[Sweep, ...], single: bool) -> None:
        if not sweeps or not all(isinstance(sweep, Sweep) for sweep in sweeps):
            raise TypeError("a plan yields a sweep or a tuple of sweeps that is not empty")
        with self._lock:
            if not self.alive:
                return
            stop = self._stop
            if stop is None:
                self._single = single
                self._tasks = tasks = tuple(Task(self, sweep) for sweep in sweeps)
                self._open = len(tasks)
        if stop is not None:
            self._go(lambda: self.plan.throw(Stopped(stop)))
            return
        for task in tasks:
            self._submit(task)

    # -- called by tasks and lanes -----------------------------------------------------------------------------------

    def ended(self, task: Task) -> None:
        """A sweep has ended; with the last of them the plan goes on."""
        with self._lock:
            self._open -= 1
            if self._open or not self.alive:
                return
            tasks, self._tasks = self._tasks, ()
            due = self._preview_due(time.monotonic())
        # Of sweeps as short as a step of an optimiser there is nothing to be seen before.
        seen = (t.sweep.fold.preview() for t in tasks if due and t.folded)
        if previews := tuple(p for p in seen if p is not None):
            self._preview_at = time.monotonic()
            self.outbox.progress(Progress(self.rows, edits=self.edits, previews=previews))
        self._go(lambda: self.plan.send(tasks[0].value() if self._single else tuple(t.value() for t in tasks)))

    def picked(self) -> float | None:
        """The first row is on its way: seconds waited, the first time; else None."""
        if self.timing.queue:
            return None
        self.timing.queue = max(time.monotonic() - self.began, 1e-9)
        return self.timing.queue

    def answered(self, rows: int, sweep: Sweep) -> None:
        """Rows of one tile were answered: tell how far it is."""
        with self._lock:
            if not self.alive:
                return
            if isinstance(sweep.ask, Edit):
                self.edits += rows
            elif not isinstance(sweep.ask, Local):  # that evaluates no model
                self.rows += rows
            now = time.monotonic()
            tasks = self._tasks if self._preview_due(now) else ()
            telling = now - self._error_at >= ERROR_EVERY
            if telling:
                self._error_at = now
        previews = tuple(p for t in tasks if (p := t.preview()) is not None)
        if previews:
            self._preview_at = now
        error = sweep.fold.progress() if telling else None
        self.outbox.progress(Progress(self.rows, edits=self.edits, previews=previews, relative_error=error))

    def _preview_due(self, now: float) -> bool:
        return self._preview_every is not None and now - self._preview_at >= self._preview_every

    def fail(self, error: Exception) -> None:
        """One of its rows failed for good."""
        self._finish(self.outbox.fail, error)

    def _too_early(self, why: Stop) -> SidelightError:
        if why is Stop.MAX_EVALUATIONS:
            return InvalidRequest("budget.max_evaluations", "too small for this method to answer anything: allow more")
        return DeadlineExceeded("the deadline passed before there was anything to answer with", self.rows)

    def _finish(self, tell: Callable[[Any], None], letter: Any) -> None:
        with self._lock:
            if not self.alive:
                return
            self.ticket.alive = False
            tasks, self._tasks = self._tasks, ()
            idle = not self._steps
        try:
            for task in tasks:
                task.withdraw(task)
            tell(letter)
        finally:
            self._on_end(self)
            if idle:
                self._spawn(self.plan.close)
