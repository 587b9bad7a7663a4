"""Which units each row keeps: Z in {0, 1}^(N x M), drawn by row from counter-based streams.

A sampler says what its rows are worth as evidence. `block` is the number of consecutive rows that form one i.i.d.
block: a standard error is one of block sums, since rows of a design are not independent. `log_density` is what a
calculator that weighs coalitions by their size must know.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch

from sidelight.core.stream import Stream


class Sampler(Protocol):
    """A design of kept units."""

    @property
    def units(self) -> int:
        """M."""

    @property
    def size(self) -> int | None:
        """Rows of the whole design, where it has an end; None: any number."""

    @property
    def block(self) -> int:
        """Rows of one i.i.d. block; 0 where there are none, and so no standard error."""

    @property
    def mean(self) -> float:
        """E[Z_ns]: the same for every unit."""

    def draw(self, rows: range) -> torch.Tensor:
        """Z [k, M] float32 of these rows: the same whatever the chunking."""

    def log_density(self) -> torch.Tensor | None:
        """[M+1] float64: log of the relative probability of *one* coalition that keeps k units, -inf if never drawn.

        None where rows are not coalitions drawn alike within a size. Logarithms, since C(M, k) overflows.
        """


def log_binomial(units: int) -> torch.Tensor:
    """log C(M, k) for k = 0..M, [M+1] float64."""
    k = torch.arange(units + 1, dtype=torch.float64)
    return math.lgamma(units + 1) - torch.lgamma(k + 1) - torch.lgamma(units - k + 1)


def only(units: int, sizes: range) -> torch.Tensor:
    """The log density of a design that draws every coalition of these sizes alike, and no other."""
    density = torch.full((units + 1,), -torch.inf, dtype=torch.float64)
    density[sizes.start : sizes.stop] = 0
    return density


@dataclass(frozen=True)
class Bernoulli:
    """Every unit is kept with probability `keep`, independently: rows are i.i.d., so a block is one row."""

    stream: Stream
    units: int
    keep: float
    size = None
    block = 1

    @property
    def mean(self) -> float:
        return self.keep

    def draw(self, rows: range) -> torch.Tensor:
        return torch.from_numpy(self.stream.uniform(rows, self.units) < self.keep).float()

    def log_density(self) -> torch.Tensor:
        k = torch.arange(self.units + 1, dtype=torch.float64)
        return k * math.log(self.keep) + (self.units - k) * math.log1p(-self.keep)


@dataclass(frozen=True)
class Rate:
    """Row n has a rate of its own, p_n ~ U(0, 1), and keeps every unit with that: all sizes are equally likely."""

    stream: Stream
    units: int
    size = None
    block = 1
    mean = 0.5

    def draw(self, rows: range) -> torch.Tensor:
        u = self.stream.uniform(rows, 1 + self.units)
        return torch.from_numpy(u[:, 1:] < u[:, :1]).float()

    def log_density(self) -> torch.Tensor:
        return -log_binomial(self.units)


@dataclass(frozen=True)
class Antithetic:
    """Pairs of a row drawn with p = 1/2 and its complement: what is odd about the model costs no variance."""

    stream: Stream
    units: int
    size = None
    block = 2
    mean = 0.5

    def draw(self, rows: range) -> torch.Tensor:
        z = torch.from_numpy(self.stream.uniform(pairs(rows), self.units) < 0.5).float()
        return complemented(z, rows)

    def log_density(self) -> torch.Tensor:
        return torch.zeros(self.units + 1, dtype=torch.float64)


@dataclass(frozen=True)
class OneOff:
    """Row n keeps all but unit n: occlusion."""

    units: int
    block = 0

    @property
    def size(self) -> int:
        return self.units

    @property
    def mean(self) -> float:
        return 1 - 1 / self.units

    def draw(self, rows: range) -> torch.Tensor:
        return 1 - torch.eye(self.units)[rows.start : rows.stop]

    def log_density(self) -> torch.Tensor:
        return only(self.units, range(self.units - 1, self.units))


@dataclass(frozen=True)
class OneOn:
    """Row n keeps unit n alone."""

    units: int
    block = 0

    @property
    def size(self) -> int:
        return self.units

    @property
    def mean(self) -> float:
        return 1 / self.units

    def draw(self, rows: range) -> torch.Tensor:
        return torch.eye(self.units)[rows.start : rows.stop]

    def log_density(self) -> torch.Tensor:
        return only(self.units, range(1, 2))


def pairs(rows: range) -> range:
    """The pairs (2i, 2i + 1) that these rows belong to."""
    return range(rows.start // 2, (rows.stop + 1) // 2)


def complemented(z: torch.Tensor, rows: range) -> torch.Tensor:
    """Each pair's row followed by its complement, cut to `rows`: z [pairs, M] -> [k, M]."""
    both = torch.stack([z, 1 - z], 1).flatten(0, 1)
    first = rows.start % 2
    return both[first : first + len(rows)]
