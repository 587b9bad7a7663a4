"""Which frames of a series an answer shows."""

from collections.abc import Sequence

import numpy as np


def chosen(at: Sequence[int], count: int, flip: int | None) -> tuple[int, ...]:
    """Places in the series of at most `count` frames, that lie at the places `at` of the grid, in order.

    Both ends and evenly between; where the top class flips first, at place `flip` of the series, stands for its nearest
    neighbour. Of one frame the last.
    """
    if count == 0:
        return ()
    if count == 1:
        return (len(at) - 1,)
    wanted = np.linspace(at[0], at[-1], count)
    found = sorted({int(np.abs(np.asarray(at) - w).argmin()) for w in wanted})
    inner = found[1:-1]
    if flip is not None and flip not in found and inner:
        found.remove(min(inner, key=lambda i: abs(i - flip)))
        found = sorted([*found, flip])
    return tuple(found)
