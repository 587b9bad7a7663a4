"""Frames by what decides them, as many as a budget of bytes holds: the one exception to never holding N x H x W."""

import threading
from collections import OrderedDict

from sidelight.core.editor import Frame


class FrameStore:
    """At most `budget` bytes of frames; the longest unused go first. Thread-safe. Frames are not to be changed."""

    def __init__(self, budget: int) -> None:
        self._budget, self._used = budget, 0
        self._frames: OrderedDict[str, Frame] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes."""
        return self._used

    def get(self, key: str) -> Frame | None:
        """The frame, if it is still there."""
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
            return self._frames.get(key)

    def put(self, key: str, frame: Frame) -> None:
        """Keep it, on the host, unless it is larger than the whole store."""
        if frame.nbytes > self._budget:
            return
        frame = frame.cpu()
        if frame.untyped_storage().nbytes() > frame.nbytes:  # a row of a batch would keep the whole batch
            frame = frame.clone()
        with self._lock:
            former = self._frames.pop(key, None)
            self._used += frame.nbytes - (0 if former is None else former.nbytes)
            self._frames[key] = frame
            while self._used > self._budget:
                self._used -= self._frames.popitem(last=False)[1].nbytes
