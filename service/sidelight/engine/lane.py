"""A device or endpoint: one worker that picks, renders just in time, calls, and settles.

Where calls are under way elsewhere (a GPU, a Triton), `depth` of them are, so masking, transfer and inference overlap.
Memory is bounded by the batches in flight, whatever the number of rows.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sidelight.core.ask import Ask, Edit
from sidelight.core.errors import EditorFailed, Exhausted, ModelFailed, NonFinite, Unavailable, VersionGone
from sidelight.core.fold import Out
from sidelight.core.predictor import Call, Executor
from sidelight.core.sweep import Placement, Rows, Shared
from sidelight.engine.observer import Observer
from sidelight.engine.run import Run, Task
from sidelight.engine.scheduler import Batch, Key, Queue, Scheduler
from sidelight.engine.threads import spread

log = logging.getLogger(__name__)

SHARED_BYTES = 256 << 20  # of uploaded shared columns kept on the device
PATIENCE = 0.25  # of what a batch cost the lane: how long it waits for the plans that the batch has set to work
AHEAD = 4  # batches, for each call under way, that a sweep may be ahead of its fold: answers may overtake each other


@dataclass(eq=False)
class Flight:
    """A batch under way; `prepared` is when its first row was begun, `began` when the call was."""

    prepared: float
    batch: Batch
    tasks: tuple[Task, ...]
    memos: tuple[Any, ...]
    call: Call
    began: float


class Lane:
    """One worker thread. `submit`, `withdraw` and `wake` may be called from any thread."""

    def __init__(self, name: str, executor_of: Callable[[Ask], Executor], depth: int, observer: Observer) -> None:
        self.name, self._executor_of, self.depth, self._observer = name, executor_of, depth, observer
        self._scheduler = Scheduler()
        self._tasks: dict[Queue, Task] = {}
        self._stepping: dict[Run, Key] = {}  # what they asked in the last batch, and will most likely ask again
        self._patient_until = 0.0
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
        executor = self._executor_of(task.sweep.ask)
        key = (task.sweep.ask, task.sweep.like)
        task.queue = Queue(
            task.run.ticket, key, task.sweep.size, executor.tile_rows, AHEAD * self.depth * executor.batch_rows
        )
        task.withdraw = self.withdraw
        with self._changed:
            self._stepping.pop(task.run, None)
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
                self._stepping[task.run] = task.queue.key
            self._changed.notify()

    def forget(self, run: Run) -> None:
        """It has ended, or asks elsewhere: it is not waited for."""
        with self._changed:
            if self._stepping.pop(run, None) is not None:
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
        spread()
        batch: Batch | None
        while True:
            with self._changed:
                while True:
                    dead = [f for f in self._flights if not any(t.alive for t in f.tasks)]
                    done = next((f for f in self._flights if f not in dead and _over(f.call)), None)
                    patience = self._patient_until - time.monotonic()
                    batch = None if done or dead or self._closed else self._pick(patience > 0)
                    if dead or done or batch or self._closed:
                        break
                    self._changed.wait(patience if patience > 0 else None)
            if self._closed:
                self._drop(list(self._flights))
                return
            self._drop(dead)
            if done:
                self._settle(done)
            elif batch:
                self._start(batch)
            del dead, done, batch  # an idle worker must not keep the last request's masks

    def _pick(self, patient: bool) -> Batch | None:
        """The next batch. Plans in lockstep ask the like again, one after another, as soon as they have stepped: if the
        first of them were picked at once, it would run alone, and from then on in turns with the others.
        """
        if len(self._flights) >= self.depth:
            return None
        later = {key for run, key in self._stepping.items() if run.stepping} if patient and not self._flights else ()
        return self._scheduler.pick(self._rows, later)

    def _rows(self, ask: Ask) -> int:
        return self._room.get(ask, self._executor_of(ask).batch_rows)

    def _start(self, batch: Batch) -> None:
        ask = batch.key[0]
        executor = self._executor_of(ask)
        prepared = time.monotonic()
        tasks, columns, memos, tiles = [], [], [], []
        for tile in batch.tiles:
            began = time.monotonic()
            task = self._tasks.get(tile.queue)
            if task is None or not task.alive:
                continue
            if (waited := task.run.picked()) is not None:
                self._observer.queue_wait(waited)
            try:
                rows, memo = task.sweep.render(tile.rows, executor.placement)
                columns.append(self._placed(rows, executor.placement))
            except Exception as error:  # noqa: BLE001 - one method's bug must not stop the lane
                task.accept(tile.rows, None, _refusal(error))
                continue
            tasks.append(task)
            memos.append(memo)
            tiles.append(tile)
            task.run.timing.fold += time.monotonic() - began
        with self._changed:
            self._scheduler.refund((t for t in batch.tiles if t not in tiles), batch.charged)
        if not tasks:
            return
        batch = Batch(batch.key, tuple(tiles), batch.charged)
        began = time.monotonic()
        try:
            call = executor.start(ask, columns, self.wake)
        except Exception as error:  # noqa: BLE001 - one executor's bug must not stop the lane
            self._failed(batch, tasks, error)
            return
        self._flights.append(Flight(prepared, batch, tuple(tasks), tuple(memos), call, began))
        self._observer.in_flight(self.name, len(self._flights))

    def _placed(self, rows: Rows, on: Placement) -> Mapping[str, Any]:
        """Shared columns come from the device's store; equal keys are uploaded once."""
        return {n: self._upload(c, on) if isinstance(c, Shared) else c for n, c in rows.items()}

    def _upload(self, column: Shared, on: Placement) -> Shared:
        if column.key not in self._shared:
            self._shared[column.key] = column.value.to(on.device)
            while len(self._shared) > 1 and sum(v.nbytes for v in self._shared.values()) > SHARED_BYTES:
                self._shared.popitem(last=False)
        self._shared.move_to_end(column.key)
        return Shared(column.key, self._shared[column.key])

    def _remove(self, flight: Flight) -> None:
        self._flights.remove(flight)
        self._observer.in_flight(self.name, len(self._flights))

    def _drop(self, flights: list[Flight]) -> None:
        """Cancel calls that nobody waits for."""
        for flight in flights:
            try:
                flight.call.cancel()
            except Exception:
                log.exception("a call could not be cancelled")
            self._remove(flight)
            with self._changed:
                self._scheduler.refund(flight.batch.tiles, flight.batch.charged)

    def _settle(self, flight: Flight) -> None:
        self._remove(flight)
        ask, now = flight.batch.key[0], time.monotonic()
        try:
            out = flight.call.result()
            _check_rows(out, flight.batch.rows, ask)
            finite = _finite_rows(out)
        except Exception as error:  # noqa: BLE001 - one executor's bug must not stop the lane
            self._observer.call(ask, now - flight.began, type(error).__name__)
            self._failed(flight.batch, flight.tasks, error)
            return
        self._observer.call(ask, now - flight.began, "OK")
        # With several calls under way their times overlap: a batch costs what it held the lane back.
        spent = now - max(flight.began, self._free_at)
        with self._changed:
            self._stepping.clear()
        at = 0
        for tile, task, memo in zip(flight.batch.tiles, flight.tasks, flight.memos, strict=True):
            here = slice(at, at + len(tile.rows))
            at = here.stop
            task.run.timing.add(ask, spent * len(tile.rows) / flight.batch.rows)
            self._observer.rows(task.run.label, ask, len(tile.rows))
            if not task.alive:
                continue
            good = all(finite[here])
            answer = {name: y[here] for name, y in out.items()} if good else NonFinite(task.run.label.model)
            try:
                task.accept(tile.rows, memo, answer)
            except Exception as error:  # noqa: BLE001 - one method's bug must not stop the lane
                task.run.fail(error)
        over = time.monotonic()
        cost = over - max(flight.prepared, self._free_at)  # masking and folding held the lane back as well
        self._free_at = over
        with self._changed:
            self._patient_until = over + PATIENCE * cost
            self._scheduler.settle(flight.batch, cost)
        self._observer.batch(self.name, ask, flight.batch.rows, self._rows(ask), cost)

    def _failed(self, batch: Batch, tasks: Sequence[Task], error: Exception) -> None:
        ask = batch.key[0]
        if isinstance(error, Unavailable | VersionGone):  # the endpoint's fault: asking again tile by tile is no help
            for task in tasks:
                task.run.fail(error)
        elif len(tasks) > 1:
            if _is_full(error):
                self._room[ask] = max(batch.rows // 2, 1)
                log.warning("device memory is short: batches of %s rows from now on", self._room[ask])
            with self._changed:
                self._scheduler.retry(batch)
        elif _is_full(error) and self._flights:  # there is room when the others have ended
            self._settle(self._flights[0])
            with self._changed:
                self._scheduler.retry(batch)
        else:
            tasks[0].accept(batch.tiles[0].rows, None, _refusal(error))


def _over(call: Call) -> bool:
    """Whether `result` tells what became of the call; a call that cannot even say so is over."""
    try:
        return call.done()
    except Exception:
        log.exception("a call does not say whether it is done")
        return True


def _is_full(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError)


def _refusal(error: Exception) -> Exception:
    """What the request is told that is alone with this error."""
    if _is_full(error):
        return Exhausted("device memory", "the device has no room for one tile", retry_after=5.0)
    return error


def _check_rows(out: Out, rows: int, ask: Ask) -> None:
    for name, y in out.items():
        if len(y) != rows:
            told = f"{rows} rows were asked, and {len(y)} came back as {name}"
            if isinstance(ask, Edit):
                raise EditorFailed(ask.editor, told)
            raise ModelFailed(getattr(getattr(ask, "model", None), "name", ask.kind), told)


def _finite_rows(out: Out) -> list[bool]:
    """Which rows the model answered with numbers: one transfer a batch.

    What is made of its answers, an explained number `s` and gradients `g.*`, is for the fold to judge: the logarithm of
    a probability of 0 is not the model's fault.
    """
    own = [y for name, y in out.items() if name != "s" and not name.startswith("g.")]
    checks = [torch.isfinite(y).reshape(len(y), -1).all(1) for y in own if y.is_floating_point()]
    if not checks:  # frames, in whole levels
        return [True] * max((len(y) for y in out.values()), default=0)
    return torch.stack(checks).all(0).tolist()
