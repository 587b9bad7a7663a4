"""The score of a series of outputs, and what belongs beside it (Penzel & Denzler, arXiv 2503.05424).

    S(y) = mean_i |g_i|
    g_0 = y_1 - y_0;   g_i = (y_{i+1} - y_{i-1}) / 2;   g_{N-1} = y_{N-1} - y_{N-2}

S depends on N: of a monotone series it is about |y_{N-1} - y_0| / N. Central differences cancel what alternates from
step to step: y = 0, 1, 0, 1, ... of N = 100 has S = .02 and a total variation of 99.

numpy only: also asked in processes that do without torch.
"""

import math

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]  # [..., N], N >= 2


def score(y: Series) -> NDArray[np.float64]:
    """S [...], with unit spacing."""
    return np.abs(np.gradient(y, axis=-1)).mean(-1)


def signed_mean(y: Series) -> NDArray[np.float64]:
    """mean_i g_i [...]."""
    return np.gradient(y, axis=-1).mean(-1)


def total_variation(y: Series) -> NDArray[np.float64]:
    """sum_i |y_{i+1} - y_i| [...]."""
    return np.abs(np.diff(y, axis=-1)).sum(-1)


def slope(y: Series, x: Series, at: NDArray[np.int64], count: int) -> float:
    """mean |dy/dx| over a grid of `count` strengths, of outputs y [n] at the strengths x [n], places `at` of the grid.

    By numpy.gradient's rule for uneven spacing, |dy/dx| linear between the places: those of an adaptive series lie
    closer where it is steep. NaN where strengths neither rise nor fall all along.
    """
    steps = np.diff(x)
    if not ((steps > 0).all() or (steps < 0).all()):
        return math.nan
    return float(np.interp(np.arange(count), at, np.abs(np.gradient(y, x))).mean())


def on_grid(y: Series, at: NDArray[np.int64], count: int) -> Series:
    """[count]: y [n] at the places `at` of the grid, linear between them; y itself where they are all places."""
    return np.interp(np.arange(count), at, y)
