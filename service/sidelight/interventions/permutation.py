"""The permutation test of a series: is what is seen more than the same outputs show in any order?

    p = (1 + #{ T(y_perm) at least as extreme as T(y) }) / (1 + K)             over K permutations of y

The score is extreme on both sides of the mean m of its permuted values: |S_perm - m| >= |S - m|. A smooth effect lies
below it. p is free of the scale of y: it says ordered, not large. m estimates G (N + 2) / (2 N), G the mean |y_i - y_j|
over i != j.

numpy only: asked in processes that do without torch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidelight.core.local import local
from sidelight.core.stream import Stream
from sidelight.interventions.dependence import information, pearson
from sidelight.interventions.score import score

WORK = "permuted_series"  # what `Local` asks name
CHUNK = 50  # permutations that are one row of a sweep
RESOLUTION = 1e-6  # of the largest output: outputs nearer to each other differ by a model's rounding in 32 bits
ROUNDING = 1e-12  # of the largest output: what sums in another order may differ by
TAIL = 0.005  # on each side of the null distribution's interval

Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]  # y [..., N], x [N] -> [...]
STATISTICS: Mapping[str, Statistic] = {
    "score": lambda y, x: score(y),
    "pearson": pearson,
    "mutual_information": information,
}


@dataclass(frozen=True)
class Tested:
    """A statistic and its permutation test."""

    value: float
    permutations: int  # K
    count: int  # of them at least as extreme
    null_mean: float
    null_low: float  # quantiles of the permuted values
    null_high: float

    @property
    def p_value(self) -> float:
        """(1 + count) / (1 + K)."""
        return (1 + self.count) / (1 + self.permutations)

    @property
    def p_value_raw(self) -> float:
        """count / K."""
        return self.count / self.permutations


def permutations(stream: Stream, rows: range, n: int) -> NDArray[np.int64]:
    """[rows, n]: permutation i of n places, the same in whatever rows it is asked for."""
    return np.argsort(stream.words(rows, n), axis=1)


def resolved(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Series [..., N], those constant that vary by no more than a model's rounding.

    Batches of other sizes round otherwise, and in the order of the rows: an edit that changes nothing would be found
    ordered.
    """
    flat = np.ptp(y, axis=-1, keepdims=True) <= RESOLUTION * np.abs(y).max(-1, keepdims=True)
    return np.where(flat, y[..., :1], y)


def permuted(
    statistic: str, y: NDArray[np.float64], x: NDArray[np.float64], stream: Stream, rows: range
) -> NDArray[np.float64]:
    """The statistic of y [T, N] against the strengths x [N], under the permutations `rows`: [T, rows]."""
    return STATISTICS[statistic](y[:, permutations(stream, rows, y.shape[-1])], x)


@local(WORK)
def permuted_chunks(columns: Mapping[str, Any]) -> Mapping[str, NDArray[np.float64]]:
    """Rows of CHUNK permutations each, from `first` on: "null" [rows, T, CHUNK]."""
    y, x = columns["y"], columns["x"]
    stream = Stream(columns["seed"], columns["stream"])
    starts = range(columns["first"] * CHUNK, (columns["first"] + columns["rows"]) * CHUNK, CHUNK)
    null = [permuted(columns["statistic"], y, x, stream, range(start, start + CHUNK)) for start in starts]
    return {"null": np.stack(null)}


def against_null(statistic: str, y: NDArray[np.float64], x: NDArray[np.float64], null: NDArray[np.float64]) -> Tested:
    """The statistic of one series y [N], compared with its values `null` [K] under permutations.

    Correlation is extreme on both sides of 0, mutual information where it is large. Values within rounding of each
    other count as equal. Of a constant series, and of one against constant strengths, all do: p is 1.
    """
    value = float(STATISTICS[statistic](y, x))
    mean = float(null.mean())
    if np.ptp(y) == 0 or math.isnan(value):
        return Tested(value, len(null), len(null), mean, mean, mean)
    tie = ROUNDING * (float(np.abs(y).max()) if statistic == "score" else 1.0)
    if statistic == "score":
        extreme = np.abs(null - mean) >= abs(value - mean) - tie
    elif statistic == "pearson":
        extreme = np.abs(null) >= abs(value) - tie
    else:
        extreme = null >= value - tie
    low, high = np.quantile(null, (TAIL, 1 - TAIL))
    return Tested(value, len(null), int(extreme.sum()), mean, float(low), float(high))
