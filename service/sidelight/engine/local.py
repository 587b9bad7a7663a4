"""Heavy pure host work (segmentation, permutations) in a process pool: off the event loop, the plan pool and the lanes.

A `Sweep` with a `Local` ask renders its arguments as columns; the function registered under the ask's name
(core/local.py) gets them and returns named arrays whose first axis is the row.
"""

import multiprocessing
import threading
from collections import deque
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from sidelight.core.errors import Unavailable, Unknown
from sidelight.core.local import works
from sidelight.core.sweep import Placement
from sidelight.engine.run import Task

TILE_ROWS = 16


class LocalLane:
    """Runs `Local` sweeps, two tiles a process at a time, sweeps in turn. Thread-safe.

    Processes start on first use, by `spawn`: forking under gRPC's threads is not safe.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._waiting: deque[tuple[Task, range]] = deque()  # the next tile of each sweep
        self._out = 0
        self._lock = threading.Lock()

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
                if self._pool is None:
                    context = multiprocessing.get_context("spawn")
                    self._pool = ProcessPoolExecutor(self._processes, mp_context=context)
                pool = self._pool
            try:
                columns, memo = task.sweep.render(rows, Placement())
                future = pool.submit(works()[getattr(task.sweep.ask, "name", "")], columns)
            except Exception as error:  # noqa: BLE001 - one method's bug must not stop the others
                self._over(task, error, pool)
            else:
                future.add_done_callback(partial(self._settle, task, rows, memo, pool))

    def _settle(self, task: Task, rows: range, memo: Any, pool: ProcessPoolExecutor, done: Future) -> None:
        try:
            task.accept(rows, memo, done.result())
        except (Exception, CancelledError) as error:  # noqa: BLE001 - one request's work must not reach another's
            self._over(task, error, pool)
        else:
            self._over(task, None, pool)
        self._feed()

    def _over(self, task: Task, error: BaseException | None, pool: ProcessPoolExecutor) -> None:
        """A tile has ended. A pool that lost a process is of no more use: the next tile starts another."""
        with self._lock:
            self._out -= 1
            if isinstance(error, BrokenProcessPool) and self._pool is pool:
                self._pool = None
        if isinstance(error, BrokenProcessPool | CancelledError):
            task.run.fail(Unavailable("a process for local work has ended"))
        elif isinstance(error, Exception):
            task.run.fail(error)

    def close(self) -> None:
        """End the processes; work that has not begun is dropped."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._waiting.clear()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
