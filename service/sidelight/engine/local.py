"""Heavy pure host work (segmentation, permutations) in a process pool: off the event loop, the plan pool and the lanes.

A `Sweep` with a `Local` ask renders its arguments as columns; the function registered under the ask's name
(core/local.py) gets them and returns named arrays whose first axis is the row.
"""

import logging
import multiprocessing
import threading
from collections import deque
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from sidelight.core.errors import Unavailable, Unknown
from sidelight.core.local import works
from sidelight.core.sweep import Placement
from sidelight.engine import child
from sidelight.engine.run import Task

log = logging.getLogger(__name__)

TILE_ROWS = 16


class LocalLane:
    """Runs `Local` sweeps, two tiles a process at a time, sweeps in turn. Thread-safe.

    Processes start on first use or by `warm`, by `spawn`: forking under gRPC's threads is not safe.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: tuple[Connection, Connection] | None = None  # read by the processes, held open here
        self._waiting: deque[tuple[Task, range]] = deque()  # the next tile of each sweep
        self._out = 0
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Start the processes, with the modules of all functions, in the background: that takes them seconds."""
        modules = sorted({work.__module__ for work in works().values()})
        with self._lock:
            pool = self._started()
        for _ in range(self._processes):  # one each: a busy process gets no second
            pool.submit(child.prepare, modules).add_done_callback(partial(self._warmed, pool))

    def _warmed(self, pool: ProcessPoolExecutor, done: Future) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and pool is self._pool:  # else the lane was closed meanwhile
            log.error("a process for local work could not begin", exc_info=error)
            self._lost(pool, error)

    def submit(self, task: Task) -> None:
        """Queue a sweep. Raises Unknown for a function that is not registered."""
        name = getattr(task.sweep.ask, "name", "")
        if name not in works():
            raise Unknown("local function", name, works())
        task.run.picked()
        with self._lock:
            self._waiting.append((task, range(min(TILE_ROWS, task.sweep.size))))
        self._feed()

    def _feed(self) -> None:
        """Start what there is room for; tiles are rendered only then."""
        while True:
            with self._lock:
                if not self._waiting or self._out >= 2 * self._processes:
                    return
                task, rows = self._waiting.popleft()
                if not task.alive:
                    continue
                if rows.stop < task.sweep.size:
                    self._waiting.append((task, range(rows.stop, min(rows.stop + TILE_ROWS, task.sweep.size))))
                self._out += 1
                pool = self._started()
            try:
                columns, memo = task.sweep.render(rows, Placement())
                future = pool.submit(works()[getattr(task.sweep.ask, "name", "")], columns)
            except Exception as error:  # noqa: BLE001 - one method's bug must not stop the others
                self._over(task, error, pool)
            else:
                future.add_done_callback(partial(self._settle, task, rows, memo, pool))

    def _started(self) -> ProcessPoolExecutor:
        """The pool, under the lock."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            if self._lifeline is None:
                self._lifeline = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                self._processes, mp_context=context, initializer=child.begin, initargs=(self._lifeline[0],)
            )
        return self._pool

    def _settle(self, task: Task, rows: range, memo: Any, pool: ProcessPoolExecutor, done: Future) -> None:
        try:
            task.accept(rows, memo, done.result())
        except (Exception, CancelledError) as error:  # noqa: BLE001 - one request's work must not reach another's
            self._over(task, error, pool)
        else:
            self._over(task, None, pool)
        self._feed()

    def _over(self, task: Task, error: BaseException | None, pool: ProcessPoolExecutor) -> None:
        """A tile has ended."""
        with self._lock:
            self._out -= 1
        self._lost(pool, error)
        if isinstance(error, BrokenProcessPool | CancelledError):
            task.run.fail(Unavailable("a process for local work has ended"))
        elif isinstance(error, Exception):
            task.run.fail(error)

    def _lost(self, pool: ProcessPoolExecutor, error: BaseException | None) -> None:
        """A pool that lost a process is of no more use: the next tile starts another."""
        with self._lock:
            if isinstance(error, BrokenProcessPool) and self._pool is pool:
                self._pool = None

    def close(self) -> None:
        """End the processes; work that has not ended is dropped."""
        with self._lock:
            pool, self._pool = self._pool, None
            lifeline, self._lifeline = self._lifeline, None
            self._waiting.clear()
        if lifeline is not None:
            lifeline[1].close()  # a segmentation, or an import, may take longer than a shutdown should
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        if lifeline is not None:
            lifeline[0].close()
