"""Things to do at a time: one thread for all deadlines."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from sidelight.engine.threads import alone

log = logging.getLogger(__name__)


class Clock:
    """Calls back at given times of the monotonic clock, each from the clock's thread: callbacks must be quick."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="clock", daemon=True)
        self._thread.start()

    def at(self, when: float, act: Callable[[], None]) -> Callable[[], None]:
        """Call `act` at `when`; the returned function takes that back."""
        entry = (when, next(self._count), act)
        with self._changed:
            heapq.heappush(self._heap, entry)
            self._changed.notify()

        def forget() -> None:
            with self._changed:
                if entry in self._heap:
                    self._heap.remove(entry)
                    heapq.heapify(self._heap)

        return forget

    def close(self) -> None:
        """Stop; nothing is called any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        alone()
        while True:
            with self._changed:
                while not self._closed and (not self._heap or self._heap[0][0] > time.monotonic()):
                    self._changed.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
                if self._closed:
                    return
                _, _, act = heapq.heappop(self._heap)
            try:
                act()
            except Exception:
                log.exception("a timed callback failed")
            del act  # or the last run would live until the next deadline
