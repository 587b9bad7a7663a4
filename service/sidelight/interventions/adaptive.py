"""Which strengths of a grid to ask next: all of it from coarse to fine, or where the response bends or flips.

A grid of N strengths is halved: its ends, the middle, the middles of both halves. A series that is cut short therefore
spans all of it. Adaptively an interval is only halved on where, of any explained number y of range R along the series,

    |y_b - y_a| > R / 5     or     (b - a)^2 / 8 max(|y''_a|, |y''_b|) > R / 100

(the jump, and the error of a straight line, y'' being second divided differences), or the top class differs at its
ends. What lies between two neighbours of the coarsest grid and is seen at neither is missed.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sidelight.interventions.permutation import resolved

COARSE = 9  # strengths that are asked in any case
JUMP = 0.2  # of the range
BEND = 0.01  # of the range


def halved(count: int) -> list[int]:
    """The places 0..count-1 by halving, its ends first."""
    found = [0, count - 1][:count]
    intervals = deque([(0, count - 1)])
    while intervals:
        a, b = intervals.popleft()
        if b - a > 1:
            middle = (a + b) // 2
            found.append(middle)
            intervals += [(a, middle), (middle, b)]
    return found


def coarse(count: int) -> list[int]:
    """The places that come first."""
    return halved(count)[:COARSE]


def middles(at: Sequence[int], which: Sequence[bool] | None = None) -> list[int]:
    """The middles of the intervals between the places `at`, which rise, of those that are marked; none of neighbours.

    In the order of halving, so that any first part of them is spread over all.
    """
    found = [(a + b) // 2 for i, (a, b) in enumerate(pairwise(at)) if b - a > 1 and (which is None or which[i])]
    return [found[i] for i in halved(len(found))]


def bends(at: NDArray[np.int64], y: NDArray[np.float64], top: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[n-1]: which of the intervals between the places at [n] to halve on, of numbers y [T, n] and top classes [n]."""
    y = resolved(y)
    width, rise = np.diff(at), np.diff(y)
    largest = np.ptp(y, axis=1, keepdims=True)  # R [T, 1]
    second = np.zeros_like(y)
    second[:, 1:-1] = 2 * np.diff(rise / width) / (width[1:] + width[:-1])
    curved = width**2 / 8 * np.maximum(np.abs(second[:, 1:]), np.abs(second[:, :-1]))
    bent = (np.abs(rise) > JUMP * largest) | (curved > BEND * largest)
    return bent.any(0) | (top[1:] != top[:-1])
