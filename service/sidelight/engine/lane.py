"""A device or endpoint: one worker that picks, renders just in time, calls, and settles.

Where calls are under way elsewhere (a GPU, a Triton), `depth` of them are, so masking, transfer and inference overlap.
Memory is bounded by the batches in flight, whatever the number of rows.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sidelight.core.ask import Ask
from sidelight.core.errors import Exhausted, NonFinite, Unavailable, VersionGone
from sidelight.core.fold import Out
from sidelight.core.predictor import Call, Predictor
from sidelight.core.sweep import Placement, Rows, Shared
from sidelight.engine.observer import Observer
from sidelight.engine.run import Task
from sidelight.engine.scheduler import Batch, Queue, Scheduler

log = logging.getLogger(__name__)

SHARED_ENTRIES = 64  # uploaded shared columns kept on the device


@dataclass(eq=False)
class Flight:
    """A batch under way."""

    batch: Batch
    tasks: tuple[Task, ...]
    memos: tuple[Any, ...]
    call: Call
    began: float


class Lane:
    """One worker thread. `submit`, `withdraw` and `wake` may be called from any thread."""

    def __init__(self, name: str, predictor_of: Callable[[Ask], Predictor], depth: int, observer: Observer) -> None:
        self.name, self._predictor_of, self.depth, self._observer = name, predictor_of, depth, observer
        self._scheduler = Scheduler()
        self._tasks: dict[Queue, Task] = {}
        self._flights: list[Flight] = []
        self._room: dict[Ask, int] = {}  # batch rows after the device ran out of memory
        self._shared: OrderedDict[Any, torch.Tensor] = OrderedDict()
        self._free_at = time.monotonic()
        self._closed = False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work, name=f"lane-{name}", daemon=True)
        self._worker.start()

    def submit(self, task: Task) -> None:
        """Queue a sweep."""
        predictor = self._predictor_of(task.sweep.ask)
        key = (task.sweep.ask, task.sweep.like)
        task.queue = Queue(task.run.ticket(self), key, task.sweep.size, predictor.tile_rows)
        task.withdraw = self.withdraw
        with self._changed:
            if self._closed:
                raise Unavailable("the service is shutting down")
            if task.alive:  # killed while it was on its way: leave no trace of it
                self._tasks[task.queue] = task
                self._scheduler.submit(task.queue)
                self._changed.notify()

    def withdraw(self, task: Task) -> None:
        """Drop a sweep that has ended or died; calls that nobody waits for are cancelled."""
        with self._changed:
            if task.queue is not None:
                self._scheduler.withdraw(task.queue)
                self._tasks.pop(task.queue, None)
            self._changed.notify()

    def wake(self) -> None:
        """Something is done."""
        with self._changed:
            self._changed.notify()

    def seconds_per_row(self, ask: Ask) -> float | None:
        """Measured cost of a row."""
        with self._changed:
            return self._scheduler.rate(ask)

    def close(self) -> None:
        """Stop the worker; what is in flight is cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._worker.join()

    # -- the worker --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        batch: Batch | None
        while True:
            with self._changed:
                while True:
                    dead = [f for f in self._flights if not any(t.alive for t in f.tasks)]
                    done = next((f for f in self._flights if f not in dead and f.call.done()), None)
                    batch = None if done or dead or self._closed else self._pick()
                    if dead or done or batch or self._closed:
                        break
                    self._changed.wait()
            for flight in dead if not self._closed else list(self._flights):
                flight.call.cancel()
                self._remove(flight)
            if self._closed:
                return
            if done:
                self._settle(done)
            elif batch:
                self._start(batch)

    def _pick(self) -> Batch | None:
        if len(self._flights) >= self.depth:
            return None
        return self._scheduler.pick(self._rows)

    def _rows(self, ask: Ask) -> int:
        return self._room.get(ask, self._predictor_of(ask).batch_rows)

    def _start(self, batch: Batch) -> None:
        predictor = self._predictor_of(batch.key[0])
        tasks, columns, memos, tiles = [], [], [], []
        for tile in batch.tiles:
            began = time.monotonic()
            task = self._tasks.get(tile.queue)
            if task is None or not task.alive:
                continue
            if (waited := task.run.picked()) is not None:
                self._observer.queue_wait(waited)
            try:
                rows, memo = task.sweep.render(tile.rows, predictor.placement)
            except Exception as error:  # noqa: BLE001 - one method's bug must not stop the lane
                task.run.fail(error)
                continue
            tasks.append(task)
            columns.append(self._placed(rows, predictor.placement))
            memos.append(memo)
            tiles.append(tile)
            task.run.timing.fold += time.monotonic() - began
        if not tasks:
            return
        batch = Batch(batch.key, tuple(tiles), batch.charged)
        flight = Flight(batch, tuple(tasks), tuple(memos), _NotStarted(), time.monotonic())
        try:
            flight.call = predictor.start(batch.key[0], columns, self.wake)
        except Exception as error:  # noqa: BLE001 - one predictor's bug must not stop the lane
            self._failed(flight, error)
        else:
            self._flights.append(flight)
            self._observer.in_flight(self.name, len(self._flights))

    def _placed(self, rows: Rows, on: Placement) -> Mapping[str, Any]:
        """Shared columns come from the device's store; equal keys are uploaded once."""
        return {n: self._upload(c, on) if isinstance(c, Shared) else c for n, c in rows.items()}

    def _upload(self, column: Shared, on: Placement) -> Shared:
        if column.key not in self._shared:
            self._shared[column.key] = column.value.to(on.device)
            if len(self._shared) > SHARED_ENTRIES:
                self._shared.popitem(last=False)
        self._shared.move_to_end(column.key)
        return Shared(column.key, self._shared[column.key])

    def _remove(self, flight: Flight) -> None:
        self._flights.remove(flight)
        self._observer.in_flight(self.name, len(self._flights))

    def _settle(self, flight: Flight) -> None:
        self._remove(flight)
        ask, now = flight.batch.key[0], time.monotonic()
        # With several calls under way their times overlap: a batch costs what it held the lane back.
        cost = now - max(flight.began, self._free_at)
        self._free_at = now
        try:
            out = flight.call.result()
            finite = _finite_rows(out)
        except Exception as error:  # noqa: BLE001 - one predictor's bug must not stop the lane
            self._observer.call(ask, now - flight.began, type(error).__name__)
            self._failed(flight, error)
            return
        self._observer.call(ask, now - flight.began, "OK")
        self._observer.batch(self.name, ask, flight.batch.rows, self._rows(ask), cost)
        with self._changed:
            self._scheduler.settle(flight.batch, cost)
        at = 0
        for tile, task, memo in zip(flight.batch.tiles, flight.tasks, flight.memos, strict=True):
            here = slice(at, at + len(tile.rows))
            at = here.stop
            task.run.timing.infer += cost * len(tile.rows) / flight.batch.rows
            self._observer.rows(task.run.label, ask, len(tile.rows))
            if not task.alive:
                continue
            if not all(finite[here]):
                task.run.fail(NonFinite(task.run.label.model))
                continue
            try:
                task.accept(tile.rows, memo, {name: y[here] for name, y in out.items()})
            except Exception as error:  # noqa: BLE001 - one method's bug must not stop the lane
                task.run.fail(error)

    def _failed(self, flight: Flight, error: Exception) -> None:
        alone = len(flight.tasks) == 1
        if isinstance(error, Unavailable | VersionGone):  # the endpoint's fault: asking again tile by tile is no help
            for task in flight.tasks:
                task.run.fail(error)
        elif not alone:
            if isinstance(error, MemoryError):
                ask = flight.batch.key[0]
                self._room[ask] = max(flight.batch.rows // 2, 1)
                log.warning("device memory is short: batches of %s rows from now on", self._room[ask])
            with self._changed:
                self._scheduler.retry(flight.batch)
        elif isinstance(error, MemoryError):
            flight.tasks[0].run.fail(Exhausted("device memory", "the device has no room for one tile", retry_after=5.0))
        else:
            flight.tasks[0].run.fail(error)


class _NotStarted:
    """The call of a flight that has not left the ground."""

    def done(self) -> bool:
        return False

    def result(self) -> Out:
        raise RuntimeError("not started")

    def cancel(self) -> None: ...


def _finite_rows(out: Out) -> list[bool]:
    """Which rows are finite in every output: one transfer a batch."""
    checks = [torch.isfinite(y).flatten(1).all(1) for y in out.values()]
    return torch.stack(checks).all(0).tolist()
