"""How many requests may be under way; the others wait, laid out and ready, for their turn."""

import threading
from collections import deque
from collections.abc import Callable


class Turnstile:
    """At most `most` at once, in the order of their coming, each `pause` seconds after whoever left. Any thread."""

    def __init__(self, most: int, pause: float = 0.0) -> None:
        self._room, self._pause = most, pause
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def enter(self, go: Callable[[], None]) -> None:
        """Call `go`, now or on another thread when there is room."""
        with self._lock:
            if not self._room:
                self._waiting.append(go)
                return
            self._room -= 1
        go()

    def leave(self) -> None:
        """Make room for the next. Once for each `go` that was called."""
        if self._pause:
            timer = threading.Timer(self._pause, self._next)
            timer.daemon = True
            timer.start()
        else:
            self._next()

    def _next(self) -> None:
        with self._lock:
            if not self._waiting:
                self._room += 1
                return
            go = self._waiting.popleft()
        go()
