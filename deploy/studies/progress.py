"""How far a study is, and how long it will take, on one line."""

import sys
import time

EVERY = 15.0  # seconds between lines where they cannot be overwritten


class Line:
    """Tells of about `total` rows."""

    def __init__(self, total: int) -> None:
        self._total = max(total, 1)
        self._began = self._told = time.monotonic()
        self._overwrites = sys.stderr.isatty()

    def tell(self, done: int) -> None:
        """So many rows are done."""
        now = time.monotonic()
        if not done or (not self._overwrites and now - self._told < EVERY):
            return
        self._told = now
        share = min(done / self._total, 0.99)
        text = f"{100 * share:2.0f} %, {_words((now - self._began) * (1 / share - 1))} left"
        print(f"\r\033[K{text}" if self._overwrites else text, end="" if self._overwrites else "\n", file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> float:
        """End the line; seconds since it began."""
        if self._overwrites:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        return time.monotonic() - self._began


def _words(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
