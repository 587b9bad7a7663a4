"""Heavy pure host work (segmentation, permutations) in a process pool: off the event loop, the plan pool and the lanes.

A `Sweep` with a `Local` ask renders its arguments as columns; the function registered under the ask's name gets them
and returns named tensors whose first axis is the row.
"""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from functools import partial
from typing import Any

from sidelight.core.errors import Unavailable, Unknown
from sidelight.core.sweep import Placement
from sidelight.engine.run import Task

Work = Callable[[Mapping[str, Any]], Mapping[str, Any]]
_WORK: dict[str, Work] = {}

TILE_ROWS = 16


def local(name: str) -> Callable[[Work], Work]:
    """Register a module-level function as `Local(name)`. It must be pure and importable by its name."""

    def register(work: Work) -> Work:
        _WORK[name] = work
        return work

    return register


class LocalLane:
    """Runs `Local` sweeps. Processes start on first use, by `spawn`: forking under gRPC's threads is not safe."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._futures: dict[Task, list[Future]] = {}

    def submit(self, task: Task) -> None:
        """Queue a sweep, a tile a process call."""
        name = getattr(task.sweep.ask, "name", "")
        if name not in _WORK:
            raise Unknown("local function", name, _WORK)
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, mp_context=context)
        task.withdraw = self._withdraw
        task.run.picked()
        futures = self._futures[task] = []
        for start in range(0, task.sweep.size, TILE_ROWS):
            rows = range(start, min(start + TILE_ROWS, task.sweep.size))
            columns, memo = task.sweep.render(rows, Placement())
            future = self._pool.submit(_WORK[name], columns)
            futures.append(future)
            future.add_done_callback(partial(self._settle, task, rows, memo))

    def _settle(self, task: Task, rows: range, memo: Any, done: Future) -> None:
        if not task.alive:
            return
        try:
            task.accept(rows, memo, done.result())
        except CancelledError:
            task.run.fail(Unavailable("the service is shutting down"))
        except Exception as error:  # noqa: BLE001 - one request's work must not reach another's
            task.run.fail(error)

    def _withdraw(self, task: Task) -> None:
        for future in self._futures.pop(task, []):
            future.cancel()

    def close(self) -> None:
        """End the processes; work that has not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
