"""Small real editors, each named for what it does."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from sidelight.core.ask import Edit
from sidelight.core.editor import Canvas, Prepared, Scale
from sidelight.core.errors import Cancelled
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Rows, Shared

CPU = torch.device("cpu")


class StepEditor:
    """Adds strength / steps at each of its steps: the frame is the image plus whole strengths."""

    digest = "0" * 64

    def __init__(self, name: str = "step", steps: int = 4, batch_rows: int = 8, lane: str = "steps") -> None:
        self.name, self.steps, self.batch_rows, self.lane = name, steps, batch_rows, lane
        self.placement = Placement(CPU)
        self.done = 0  # steps
        self.batches: list[int] = []  # rows of each
        self.shared: list[int] = []  # ids of the images that it was given
        self.at_once, self.most = 0, 0
        self.closed = False

    def scale(self, params: Any, canvas: Canvas) -> Scale:
        return Scale("level", 0, 100, 0, 100, 100, 0)

    def prepare(self, params: Any, canvas: Canvas, stream: Stream) -> Prepared:
        def rows(strengths: Sequence[float], on: Placement) -> Rows:
            return {"x": Shared(canvas.digest, canvas.pixels), "strength": torch.tensor(strengths)}

        size = tuple(canvas.pixels.shape[1:])
        return Prepared(Edit(self.name, size, self.steps), (), rows, f"{self.name}:{canvas.digest}", size)

    def edit(self, ask: Edit, tiles: Sequence[Rows], alive: Callable[[], bool]) -> torch.Tensor:
        assert not self.closed, "edited after it was closed"
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            return self.edited(ask, tiles, alive)
        finally:
            self.at_once -= 1

    def edited(self, ask: Edit, tiles: Sequence[Rows], alive: Callable[[], bool]) -> torch.Tensor:
        self.shared += [id(tile["x"].value) for tile in tiles]
        s = torch.cat([tile["strength"] for tile in tiles])
        x = torch.cat([tile["x"].value.float().expand(len(tile["strength"]), -1, -1, -1) for tile in tiles])
        self.batches.append(len(s))
        for _ in range(ask.steps):
            if not alive():
                raise Cancelled
            self.step(s)
            x = x + (s / ask.steps).view(-1, 1, 1, 1)
            self.done += 1
        return x.round().clamp(0, 255).byte()

    def step(self, strengths: torch.Tensor) -> None:
        """Before each step."""

    def close(self) -> None:
        assert not self.at_once, "closed while it edits"
        self.closed = True


class SlowEditor(StepEditor):
    """Takes `seconds` for every step."""

    def __init__(self, seconds: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds
        self.began = threading.Event()

    def step(self, strengths: torch.Tensor) -> None:
        self.began.set()
        time.sleep(self.seconds)


class HeldEditor(StepEditor):
    """Waits at every step until it is let go: `go.release(n)` is for n steps."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.began, self.go = threading.Event(), threading.Semaphore(0)

    def step(self, strengths: torch.Tensor) -> None:
        self.began.set()
        assert self.go.acquire(timeout=20), "it was not let go"


class BrokenEditor(StepEditor):
    """Raises `error` for a batch with a strength of 13."""

    def __init__(self, error: Exception, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error = error

    def step(self, strengths: torch.Tensor) -> None:
        if (strengths == 13).any():
            raise self.error


class NarrowEditor(StepEditor):
    """Has device memory for `rows` rows at a time."""

    def __init__(self, rows: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def step(self, strengths: torch.Tensor) -> None:
        if len(strengths) > self.rows:
            raise RuntimeError(f"CUDA error: out of memory ({len(strengths)} rows)")
