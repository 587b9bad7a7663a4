"""Batches of a network in this process: done when they are made on a CPU, under way on a GPU."""

import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue

import torch

from sidelight.core.errors import ModelFailed
from sidelight.core.fold import Out
from sidelight.core.memory import is_full


def translate(model: str, error: Exception) -> MemoryError | ModelFailed:
    """What an error of somebody else's network means."""
    if is_full(error):
        return MemoryError(str(error))
    return ModelFailed(model, f"{type(error).__name__}: {error}")


class Finished:
    """A batch that was computed in `start`."""

    def __init__(self, out: Out, wake: Callable[[], None]) -> None:
        self._out = out
        wake()

    def done(self) -> bool:
        return True

    def result(self) -> Out:
        return self._out

    def cancel(self) -> None: ...


def _fetched(t: torch.Tensor) -> torch.Tensor:
    """Pinned memory that the tensor is being copied to."""
    host = torch.empty(t.shape, dtype=t.dtype, pin_memory=True)
    return host.copy_(t, non_blocking=True)


class UnderWay:
    """A batch that a GPU is working on; its outputs come to pinned host memory by themselves."""

    def __init__(self, model: str, out: Out, watcher: "Watcher", wake: Callable[[], None]) -> None:
        self._model = model
        self._host = {name: _fetched(t) for name, t in out.items()}
        self._copied = torch.cuda.Event()
        self._copied.record(torch.cuda.current_stream(next(iter(out.values())).device))
        watcher.watch(self._copied, wake)

    def done(self) -> bool:
        try:
            return self._copied.query()
        except RuntimeError:  # a kernel failed: `result` says so
            return True

    def result(self) -> Out:
        try:
            self._copied.synchronize()
        except RuntimeError as error:
            raise translate(self._model, error) from error
        return self._host

    def cancel(self) -> None:
        """A kernel cannot be recalled; its outputs are dropped."""


class Watcher:
    """A thread that waits for events of one GPU and wakes their lane."""

    def __init__(self) -> None:
        self._events: SimpleQueue[tuple[torch.cuda.Event, Callable[[], None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="cuda-watcher", daemon=True)
        self._thread.start()

    def watch(self, event: torch.cuda.Event, wake: Callable[[], None]) -> None:
        """Call `wake` when `event` has happened."""
        self._events.put((event, wake))

    def close(self) -> None:
        """Return when all events that are watched have happened."""
        self._events.put(None)
        self._thread.join()

    def _watch(self) -> None:
        while (watched := self._events.get()) is not None:
            event, wake = watched
            with contextlib.suppress(RuntimeError):  # `result` raises it again, where it can be told whose it is
                event.synchronize()
            wake()
