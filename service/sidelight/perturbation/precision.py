"""When a map is precise enough: its standard error beside its range, tested now and then."""

import math

from scipy.special import stdtrit

MIN_ROWS = 256  # before a tolerance is believed: a standard error of few rows is itself a guess
MIN_BLOCKS = 8  # before there is a standard error
GROWTH = 1.1  # and how many times as many rows until it is tested again: a test is a pass over the whole map


def students(groups: int) -> float:
    """What widens a standard error over so few i.i.d. groups until 1.96 of it are what they are read as, 95 %."""
    return stdtrit(groups - 1, 0.975) / 1.959963984540054


class Timetable:
    """The numbers of rows at which a tolerance is tested."""

    def __init__(self) -> None:
        self._next = MIN_ROWS

    def due(self, rows: int) -> bool:
        """Whether to test now, with so many rows in whole blocks; if so, the next time is set."""
        if rows < self._next:
            return False
        self._next = math.ceil(rows * GROWTH)
        return True
