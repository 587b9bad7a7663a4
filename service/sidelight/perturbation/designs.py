"""Designs: rows that cover the cube better than independent ones do, randomised anew in every replicate."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from sidelight.core.errors import InvalidRequest
from sidelight.core.stream import Stream
from sidelight.perturbation.hadamard import hadamard, order_for

POINTS = 4  # of the Sobol sequence in a replicate: at the 32 points that are usual, 8 replicates tell the error
BITS = 30  # of a coordinate of the Sobol sequence


@dataclass(frozen=True)
class Orthogonal:
    """Fold-over Hadamard designs: in 2h rows (h the order, >= M) every pair of units is balanced exactly.

    The rows of H and of -H (1: kept), of M random columns with random signs, in random order with each row followed by
    its complement. Main effects are estimated without error from pairs or from each other (resolution IV), so what is
    additive in the model costs no variance at all; by itself every row is uniform over all coalitions.
    Plackett & Burman, Biometrika 1946; Box & Wilson, JRSS B 1951 (fold-over).
    """

    stream: Stream
    units: int
    size = None
    mean = 0.5

    @property
    def block(self) -> int:
        return 2 * order_for(self.units)

    def draw(self, rows: range) -> torch.Tensor:
        replicates = range(rows.start // self.block, -(-rows.stop // self.block))
        return torch.cat([self._replicate(r, _within(rows, r, self.block)) for r in replicates])

    def _replicate(self, replicate: int, rows: range) -> torch.Tensor:
        """Rows of one replicate, [k, M]."""
        one, order = range(replicate, replicate + 1), self.block // 2
        columns = np.argsort(self.stream.child("columns").uniform(one, order)[0])[: self.units]
        signs = np.where(self.stream.child("signs").uniform(one, self.units)[0] < 0.5, -1, 1)
        turn = np.argsort(self.stream.child("rows").uniform(one, order)[0])
        at = np.arange(rows.start, rows.stop)
        fold = 1 - 2 * (at % 2)
        z = hadamard(order)[turn[at // 2]][:, columns] * signs * fold[:, None]
        return torch.from_numpy(z > 0).float()

    def log_density(self) -> torch.Tensor:
        return torch.zeros(self.units + 1, dtype=torch.float64)


def _within(rows: range, replicate: int, block: int) -> range:
    """The rows that lie in one replicate, counted from its first."""
    begin = replicate * block
    return range(max(rows.start - begin, 0), min(rows.stop - begin, block))


@dataclass(frozen=True)
class SobolPairs:
    """Designs of total-order indices: rows A, B, and A with column i from B, for i = 1..M; continuous in [0, 1].

    (A, B) are points of the 2M-dimensional Sobol sequence, the first four in every replicate, under a random digital
    shift of each replicate: every row is uniform over the cube, replicates are i.i.d.
    Saltelli et al., Comput. Phys. Commun. 2010; Fel et al., NeurIPS 2021.
    """

    stream: Stream
    units: int
    size = None
    mean = 0.5

    @property
    def design(self) -> int:
        """Rows of one pair (A, B)."""
        return self.units + 2

    @property
    def block(self) -> int:
        return POINTS * self.design

    def draw(self, rows: range) -> torch.Tensor:
        at = np.arange(rows.start, rows.stop)
        point, row = np.divmod(at, self.design)
        a, b = np.split(self._points(point), 2, axis=1)
        z = np.where((row == 1)[:, None], b, a)
        swapped = np.flatnonzero(row > 1)
        z[swapped, row[swapped] - 2] = b[swapped, row[swapped] - 2]
        return torch.from_numpy(z).float()

    def _points(self, point: NDArray[np.int64]) -> NDArray[np.float64]:
        """Points of the sequence [k, 2M], shifted as their replicates are."""
        replicate, n = np.divmod(point, POINTS)
        first = int(replicate[0])
        shifts = self.stream.words(range(first, int(replicate[-1]) + 1), 2 * self.units) >> np.uint64(64 - BITS)
        return (_sobol(2 * self.units)[n] ^ shifts[replicate - first]).astype(np.float64) * 2.0**-BITS

    def log_density(self) -> None:
        return None


@lru_cache(maxsize=16)
def _sobol(dimensions: int) -> NDArray[np.uint64]:
    """The first points of the Sobol sequence as integers of BITS bits."""
    points = torch.quasirandom.SobolEngine(dimensions).draw(POINTS, dtype=torch.float64)
    return (points.numpy() * 2.0**BITS).astype(np.uint64)


@dataclass(frozen=True)
class SpaceFilling:
    """One binary design of `rows` rows: the Sobol sequence cut at 1/2, axes dealt and sides chosen at random.

    In 2^k rows any two units are balanced exactly. Raises InvalidRequest where in so few rows two of so many units
    would be kept together always, or never.
    """

    stream: Stream
    units: int
    rows: int
    block = 0
    mean = 0.5
    _deal: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    _flips: NDArray[np.bool_] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digits = self.rows.bit_length() - 1  # of the number of a row, in the largest 2^k rows
        if len(np.unique(_first_digits(self.units)[:, :digits], axis=0)) < self.units:
            raise InvalidRequest("samples", f"{self.units} units need more than {self.rows} rows of a binary design")
        object.__setattr__(self, "_deal", np.argsort(self.stream.child("axes").uniform(range(1), self.units)[0]))
        object.__setattr__(self, "_flips", self.stream.child("flips").uniform(range(1), self.units)[0] < 0.5)

    @property
    def size(self) -> int:
        return self.rows

    def draw(self, rows: range) -> torch.Tensor:
        at = np.arange(rows.start, rows.stop)
        gray = (at ^ at >> 1)[:, None] >> np.arange(BITS) & 1  # the sequence goes through its points in this order
        odd = gray @ _first_digits(self.units)[self._deal].T & 1
        return torch.from_numpy(odd != self._flips).float()

    def log_density(self) -> torch.Tensor:
        return torch.zeros(self.units + 1, dtype=torch.float64)


@lru_cache(maxsize=16)
def _first_digits(dimensions: int) -> NDArray[np.int64]:
    """First binary digits of the direction numbers of the Sobol sequence, [dimension, bit of the row's number]."""
    return torch.quasirandom.SobolEngine(dimensions).sobolstate.numpy() >> (BITS - 1) & 1
