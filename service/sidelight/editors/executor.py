"""Lets a lane run an editor, whose batch may last minutes: each in a thread of its own, given up between two steps.

An editor that encodes a shared column (an image, a prompt) before it uses it keeps the encoding under the column's key,
as the lane keeps the upload: `Shared(key, value)` with equal keys have equal values, in this batch or a later one.
"""

import threading
from collections.abc import Callable, Sequence

import torch

from sidelight.core.ask import Ask, Edit
from sidelight.core.editor import Editor
from sidelight.core.errors import EditorFailed, SidelightError, Unsupported
from sidelight.core.fold import Out
from sidelight.core.memory import is_full
from sidelight.core.sweep import Placement, Rows

SHARES = 8  # of a batch: so many requests can be in one, and one that is stopped loses no more than that part of it


class EditorExecutor:
    """An editor as a lane knows it (core.predictor.Executor); answers x [k, 3, H, W] uint8 on the host.

    `begin` is called by each batch's thread first: it says how many cores that may use. A thread ends with its batch,
    so that no more teams of threads are kept than networks run.
    """

    depth = 1

    def __init__(self, editor: Editor, begin: Callable[[], None] = lambda: None) -> None:
        self._editor, self._begin = editor, begin
        self.name, self.lane = editor.name, editor.lane
        self._turn = threading.Lock()  # a batch that was given up ends before the next one begins

    @property
    def placement(self) -> Placement:
        return self._editor.placement

    @property
    def tile_rows(self) -> int:
        return max(1, self._editor.batch_rows // SHARES)

    @property
    def batch_rows(self) -> int:
        return self._editor.batch_rows // self.tile_rows * self.tile_rows

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> "Editing":
        if not isinstance(ask, Edit) or ask.editor != self.name:
            raise Unsupported("NO_EXECUTOR", ask.kind, f"editor {self.name} answers no such ask: {ask}")
        return Editing(self._editor, ask, tiles, self._begin, self._turn, wake)

    def close(self) -> None:
        """When what was given up has ended."""
        with self._turn:
            self._editor.close()


class Editing:
    """A batch in its thread (core.predictor.Call)."""

    def __init__(
        self,
        editor: Editor,
        ask: Edit,
        tiles: Sequence[Rows],
        begin: Callable[[], None],
        turn: threading.Lock,
        wake: Callable[[], None],
    ) -> None:
        self._name, self._cancelled, self._over = editor.name, threading.Event(), threading.Event()
        self._frames: torch.Tensor | None = None
        self._error: Exception | None = None

        def work() -> None:
            begin()
            try:
                with turn, torch.no_grad():
                    if self._alive():
                        self._frames = _promised(editor.edit(ask, tiles, self._alive), ask.size, editor.name)
            except Exception as error:  # noqa: BLE001 - somebody else's network may raise anything; `result` raises it
                self._error = error
            self._over.set()
            wake()

        threading.Thread(target=work, name=f"edit-{editor.name}", daemon=True).start()

    def _alive(self) -> bool:
        return not self._cancelled.is_set()

    def done(self) -> bool:
        return self._over.is_set()

    def result(self) -> Out:
        self._over.wait()
        if self._error is not None:
            raise _told(self._error, self._name) from self._error
        assert self._frames is not None  # or it was cancelled, and nobody asks
        return {"x": self._frames}

    def cancel(self) -> None:
        """Give it up between two steps; what comes next waits for that."""
        self._cancelled.set()


def _promised(frames: torch.Tensor, size: tuple[int, ...], name: str) -> torch.Tensor:
    """The frames on the host. Raises EditorFailed where they are not what an editor promises."""
    shape = (len(frames), 3, *size)
    if frames.dtype != torch.uint8 or tuple(frames.shape) != shape:
        raise EditorFailed(name, f"frames are uint8 {list(shape)}, not {frames.dtype} {list(frames.shape)}")
    return frames.cpu()


def _told(error: Exception, name: str) -> Exception:
    """What the lane makes of it: another try with fewer rows, or the refusal of the request whose rows these are."""
    if isinstance(error, SidelightError):
        return error
    if is_full(error):
        return MemoryError(str(error))
    return EditorFailed(name, f"{type(error).__name__}: {error}")
