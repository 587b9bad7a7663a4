"""Lanes, plan pool and deadlines behind one call: `run(plan, outbox)`."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from sidelight.core.ask import Ask, Edit, Local
from sidelight.core.errors import DeadlineExceeded, Unavailable, Unknown, Unsupported
from sidelight.core.predictor import Executor, Predictor
from sidelight.core.sweep import Plan, Stop
from sidelight.engine.clock import Clock
from sidelight.engine.lane import Lane
from sidelight.engine.local import LocalLane
from sidelight.engine.mailbox import Outbox
from sidelight.engine.observer import Guarded, Label, Observer, Silent
from sidelight.engine.run import Run, Task
from sidelight.engine.threads import alone


class Engine:
    """Runs plans. Thread-safe. Close it to stop its threads and processes."""

    def __init__(self, observer: Observer | None = None, plan_threads: int = 4, local_processes: int = 1) -> None:
        self._observer = cast(Observer, Guarded(observer or Silent()))
        self._predictors: dict[str, Predictor] = {}
        self._twins: dict[str, Predictor] = {}
        self._editors: dict[str, Executor] = {}
        self._lanes: dict[str, Lane] = {}
        self._local = LocalLane(local_processes)
        self._pool = ThreadPoolExecutor(plan_threads, "plan", alone)
        self._clock = Clock()
        self._runs: set[Run] = set()
        self._closed = False
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Start the processes for local work before the first of it comes."""
        self._local.warm()

    @property
    def predictors(self) -> Mapping[str, Predictor]:
        """By the model's name."""
        return dict(self._predictors)

    def add(self, predictor: Predictor, *, twin: bool = False) -> None:
        """Serve a model, or its differentiable twin; predictors with equal `lane` share its worker."""
        (self._twins if twin else self._predictors)[predictor.name] = predictor
        self._join(predictor)

    def add_editor(self, editor: Executor) -> None:
        """Have an editor, by the name that `Edit` asks give it; executors with equal `lane` share its worker."""
        self._editors[editor.name] = editor
        self._join(editor)

    def _join(self, executor: Executor) -> None:
        lane = self._lanes.get(executor.lane)
        if lane is None:
            self._lanes[executor.lane] = Lane(executor.lane, self._executor_of, executor.depth, self._observer)
        else:
            lane.depth = max(lane.depth, executor.depth)

    def run(
        self,
        plan: Plan,
        outbox: Outbox,
        *,
        label: Label,
        deadline: float | None = None,
        partial: bool = False,
        margin: float = 0.0,
        preview_every: float | None = None,
    ) -> Run:
        """Start a plan; its progress and end go to `outbox`. Raises Unavailable once it is closing.

        At `deadline` (monotonic) the run is killed with DeadlineExceeded; with `partial` it is stopped `margin`
        seconds before, so that the plan can answer with what there is.
        """
        forget: list[Callable[[], None]] = []

        def over(run: Run) -> None:
            self._runs.discard(run)
            self._forget(run)
            while forget:  # emptied: what is in it refers to the run, which would wait for the garbage collector
                forget.pop()()

        run = Run(
            plan,
            outbox,
            label=label,
            submit=self._submit,
            spawn=self._spawn,
            preview_every=preview_every,
            on_end=over,
        )
        with self._lock:
            if self._closed:
                raise Unavailable("the service is shutting down")
            self._runs.add(run)
        if deadline is not None:
            if partial:
                forget.append(self._clock.at(deadline - margin, lambda: run.stop(Stop.DEADLINE)))
            forget.append(self._clock.at(deadline, lambda: run.kill(_late(run))))
        run.start()
        return run

    def seconds_per_row(self, ask: Ask) -> float | None:
        """Measured cost of a row, where one was measured."""
        return self._lanes[self._executor_of(ask).lane].seconds_per_row(ask)

    def close(self) -> None:
        """Kill what runs, then stop every thread and process."""
        with self._lock:
            self._closed = True
        for run in list(self._runs):
            run.kill(Unavailable("the service is shutting down"))
        self._clock.close()
        for lane in self._lanes.values():
            lane.close()
        self._local.close()
        self._pool.shutdown(wait=True)
        for executor in (*self._predictors.values(), *self._twins.values(), *self._editors.values()):
            executor.close()

    def _executor_of(self, ask: Ask) -> Executor:
        if isinstance(ask, Edit):
            if ask.editor not in self._editors:
                raise Unknown("editor", ask.editor, self._editors)
            return self._editors[ask.editor]
        model = getattr(ask, "model", None)
        if model is None:
            raise Unsupported("NO_EXECUTOR", ask.kind, f"nothing here answers {ask.kind} asks")
        if model.name not in self._predictors:
            raise Unknown("model", model.name, self._predictors)
        if not model.variant:
            return self._predictors[model.name]
        if model.name not in self._twins:
            raise Unsupported("NO_TWIN", model.name, f"model {model.name} has no differentiable twin here")
        return self._twins[model.name]

    def _submit(self, task: Task) -> None:
        ask = task.sweep.ask
        lane = None if isinstance(ask, Local) else self._lanes[self._executor_of(ask).lane]
        self._forget(task.run, lane)
        (lane or self._local).submit(task)

    def _forget(self, run: Run, here: Lane | None = None) -> None:
        """Lanes but `here` wait for no rows of it."""
        for lane in self._lanes.values():
            if lane is not here:
                lane.forget(run)

    def _spawn(self, function: Callable[..., object], *args: object) -> None:
        with self._lock:
            if not self._closed:
                self._pool.submit(function, *args)
                return
        function(*args)  # closing: all runs are dead, and what is left to do for them is to close their plans


def _late(run: Run) -> DeadlineExceeded:
    return DeadlineExceeded(f"the deadline passed after {run.rows} evaluations", run.rows)
