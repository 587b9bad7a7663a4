"""Small real predictors, each named for what it does, and outboxes to read runs by."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from sidelight.core.ask import Ask
from sidelight.core.errors import ModelFailed, SidelightError, Unavailable, Unknown
from sidelight.core.fold import Out
from sidelight.core.predictor import Endpoint, Fit, ModelSpec, PixelSpace, TensorSpec
from sidelight.core.sweep import Placement, Rows, Shared
from sidelight.core.target import OutputKind
from sidelight.engine.mailbox import Progress

SIZE = (8, 8)


class Ready:
    """A call that was answered when it was made."""

    def __init__(self, out: Out) -> None:
        self.out = out

    def done(self) -> bool:
        return True

    def result(self) -> Out:
        return self.out

    def cancel(self) -> None: ...


class LinearPredictor:
    """Logits y = W x + c of 3-channel images, with the same W in every process: two classes."""

    depth = 1
    placement = Placement()
    kind = OutputKind.LOGITS

    def __init__(
        self, name: str = "linear", lane: str = "cpu", tile_rows: int = 8, batch_rows: int = 16, size=SIZE
    ) -> None:
        self.name, self.lane, self.tile_rows, self.batch_rows, self.size = name, lane, tile_rows, batch_rows, size
        generator = torch.Generator().manual_seed(7)
        self.weight = torch.rand((2, 3 * size[0] * size[1]), generator=generator, dtype=torch.float64) - 0.4
        self.calls: list[tuple[Ask, list[int]]] = []  # rows of each tile
        self.closed = False

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("embedded", self.lane, shares_production=False)

    def spec(self, version: str | None = None) -> ModelSpec:
        if version not in (None, "1"):
            raise Unknown("version", version, ["1"])
        image, logits = TensorSpec("x", "FP32", (3, *self.size)), TensorSpec("y", "FP32", (2,))
        fit = Fit(self.size)
        space = PixelSpace(scale=1 / 255)
        return ModelSpec(
            self.name, "1", "image", image, logits, self.kind, 2, ("cat", "dog"), space, fit, precision="float32"
        )

    def versions(self) -> tuple[str, ...]:
        return ("1",)

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Any:
        self.calls.append((ask, [len(t["x"]) for t in tiles]))
        out = {"y": self.answer(torch.cat([t["x"] for t in tiles]))}
        wake()
        return Ready(out)

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        # Row by row: a matrix product may add up a row's numbers in another order where there are more of them.
        return (x.double().flatten(1).unsqueeze(1) * self.weight).sum(2)

    def close(self) -> None:
        self.closed = True


class SlowPredictor(LinearPredictor):
    """Takes `seconds` for every batch."""

    def __init__(self, seconds: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return super().answer(x)


class PoisonPredictor(LinearPredictor):
    """Breaks the whole batch when a row's first pixel is `poison`; answers NaN for a row where it is `nan`."""

    poison, nan = 0.75, 0.25

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        first = x[:, 0, 0, 0]
        if (first - self.poison).abs().min() < 1e-6:
            raise ModelFailed(self.name, "poisoned row")
        y = super().answer(x)
        y[(first - self.nan).abs() < 1e-6] = torch.nan
        return y


class BrokenPredictor(LinearPredictor):
    """Raises `error` from the call's result until it is mended (`error = None`)."""

    def __init__(self, error: Exception | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error = error

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        if self.error is not None:
            raise self.error
        return super().answer(x)


class NarrowPredictor(LinearPredictor):
    """Has memory for `rows` rows at a time."""

    def __init__(self, rows: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.rows:
            raise MemoryError(f"{len(x)} rows")
        return super().answer(x)


class PendingCall:
    """A call that its predictor ends when it likes."""

    def __init__(self, out: Out, wake: Callable[[], None]) -> None:
        self.out, self.wake = out, wake
        self.ended = threading.Event()
        self.cancelled = False
        self.error: SidelightError | None = None

    def end(self, error: SidelightError | None = None) -> None:
        self.error = error
        self.ended.set()
        self.wake()

    def done(self) -> bool:
        return self.ended.is_set()

    def result(self) -> Out:
        self.ended.wait()
        if self.error is not None:
            raise self.error
        return self.out

    def cancel(self) -> None:
        self.cancelled = True


class RemotePredictor(LinearPredictor):
    """Answers when told to: every call waits in `pending` until the test ends it."""

    def __init__(self, depth: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth = depth
        self.pending: list[PendingCall] = []
        self.started = threading.Condition()

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> PendingCall:
        out = {"y": self.answer(torch.cat([t["x"] for t in tiles]))}
        self.calls.append((ask, [len(t["x"]) for t in tiles]))
        with self.started:
            call = PendingCall(out, wake)
            self.pending.append(call)
            self.started.notify_all()
        return call

    def wait_for(self, calls: int, seconds: float = 5.0) -> list[PendingCall]:
        with self.started:
            assert self.started.wait_for(lambda: len(self.pending) >= calls, seconds), f"{len(self.pending)} calls"
            return list(self.pending)


class DownPredictor(LinearPredictor):
    """Nobody listens at its endpoint."""

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Any:
        raise Unavailable("connection refused")


class SharingPredictor(LinearPredictor):
    """Remembers the shared columns that it was given."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: list[int] = []

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Any:
        for tile in tiles:
            self.seen += [id(c.value) for c in tile.values() if isinstance(c, Shared)]
        return super().start(ask, [{"x": t["x"]} for t in tiles], wake)


class Letter:
    """An outbox for tests without an event loop: wait for the end, read the progress."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self.seen: list[Progress] = []
        self.value: Any = None
        self.error: BaseException | None = None

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)

    def finish(self, value: Any) -> None:
        self.value = value
        self._end.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self._end.set()

    def wait(self, seconds: float = 10.0) -> Any:
        """The plan's result. Raises what the run failed with; AssertionError when it has not ended in time."""
        assert self._end.wait(seconds), "the run did not end"
        if self.error is not None:
            raise self.error
        return self.value

    @property
    def ended(self) -> bool:
        return self._end.is_set()


class Counting:
    """An observer that counts rows by model, and batches."""

    def __init__(self) -> None:
        self.answered: dict[str, int] = {}
        self.batches: list[int] = []
        self.flying: int = 0
        self.codes: list[str] = []
        self.waits: list[float] = []

    def batch(self, lane: str, ask: Ask, rows: int, room: int, seconds: float) -> None:
        self.batches.append(rows)

    def rows(self, label: Any, ask: Ask, rows: int) -> None:
        self.answered[label.model] = self.answered.get(label.model, 0) + rows

    def call(self, ask: Ask, seconds: float, code: str) -> None:
        self.codes.append(code)

    def in_flight(self, lane: str, calls: int) -> None:
        self.flying = calls

    def queue_wait(self, seconds: float) -> None:
        self.waits.append(seconds)
