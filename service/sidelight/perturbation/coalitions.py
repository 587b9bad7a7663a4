"""Samplers of Shapley values: coalitions by size, all of them or by the Shapley kernel's own probabilities."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from sidelight.core.stream import Stream
from sidelight.perturbation.samplers import complemented, log_binomial, only, pairs

ROUNDS = 8  # of the Feistel network; 4 are enough to be pseudo-random, small domains need more
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Coalitions:
    """Every coalition once, by size: 1, M-1, 2, M-2, ... as the Shapley kernel weighs them, heaviest first.

    Within a size the order is a random permutation, so that a budget that ends there has seen a random part of it and
    not the lexicographically first. A whole run has no sampling error, a part of it no i.i.d. rows: no standard error.
    A single unit has no proper coalition: the empty and the full one are then drawn.
    """

    stream: Stream
    units: int
    block = 0
    mean = 0.5

    @property
    def size(self) -> int:
        return max(2**self.units - 2, 2)

    def draw(self, rows: range) -> torch.Tensor:
        z = np.concatenate([self._of_size(k, of) for k, of in _by_size(self.units, rows)])
        return torch.from_numpy(z).float()

    def _of_size(self, k: int, of: range) -> NDArray[np.bool_]:
        ranks = permuted(self.stream.child(f"size.{k}"), of, math.comb(self.units, k))
        return unranked(ranks, self.units, k) if 2 * k <= self.units else ~unranked(ranks, self.units, self.units - k)

    def log_density(self) -> torch.Tensor:
        return only(self.units, range(1, self.units) if self.units > 1 else range(2))


def _by_size(units: int, rows: range) -> Iterator[tuple[int, range]]:
    """The sizes that these rows come from, each with the indices among the coalitions of that size."""
    smaller = range(1, units // 2 + 1) if units > 1 else range(1)
    at = 0
    for k in smaller:
        for size in dict.fromkeys((k, units - k)):
            count = math.comb(units, size)
            inside = range(max(rows.start - at, 0), min(rows.stop - at, count))
            if inside:
                yield size, inside
            at += count
        if at >= rows.stop:
            return


@dataclass(frozen=True)
class KernelPairs:
    """Sizes by the Shapley kernel, p(k) ~ (M-1) / (k (M-k)), a coalition of that size, and its complement.

    Covert & Lee, AISTATS 2021 (paired sampling): rows weigh alike, and the variance is far below that of
    single rows. For a single unit the empty and the full coalition are drawn.
    """

    stream: Stream
    units: int
    size = None
    block = 2
    mean = 0.5

    def draw(self, rows: range) -> torch.Tensor:
        u = self.stream.uniform(pairs(rows), 1 + self.units)
        at = np.searchsorted(_cumulative(self.units), u[:, :1], side="right")
        kept = np.sort(u[:, 1:], axis=1)
        kept = np.concatenate([np.full_like(kept[:, :1], -1), kept], axis=1)  # at k = 0 no unit is below
        z = torch.from_numpy(u[:, 1:] <= np.take_along_axis(kept, at, axis=1)).float()
        return complemented(z, rows)

    def log_density(self) -> torch.Tensor:
        if self.units == 1:
            return only(1, range(2))
        k = torch.arange(self.units + 1, dtype=torch.float64)
        density = -(k * (self.units - k)).log() - log_binomial(self.units)
        density[0] = density[-1] = -torch.inf
        return density


@lru_cache(maxsize=16)
def _cumulative(units: int) -> NDArray[np.float64]:
    """P(size <= k) for k = 0..M-1."""
    k = np.arange(1, units)
    p = np.concatenate([[units == 1], 1 / (k * (units - k))])
    return np.cumsum(p) / np.sum(p) * (1 + 2**-53)  # a uniform number is below the last one whatever rounding does


def permuted(stream: Stream, at: range, domain: int) -> NDArray[np.int64]:
    """The images of `at` under a random permutation of range(domain): a Feistel network that walks back inside."""
    if domain > LARGEST:
        raise ValueError(f"at most {LARGEST} ranks can be permuted")
    half = max((domain - 1).bit_length() + 1, 4) // 2
    keys = stream.words(range(ROUNDS), 1)[:, 0]
    x = _feistel(np.arange(at.start, at.stop, dtype=np.uint64), half, keys)
    while (outside := x >= domain).any():
        x[outside] = _feistel(x[outside], half, keys)
    return x.astype(np.int64)


def _feistel(x: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half), np.uint64(2**half - 1)
    left, right = x >> shift, x & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & mask)
    return left << shift | right


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the answer depends on every bit of x (the finaliser of SplitMix64)."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def unranked(ranks: NDArray[np.int64], units: int, k: int) -> NDArray[np.bool_]:
    """The coalition of k of M units with each rank, in the combinatorial number system: r = sum_i C(c_i, i)."""
    z = np.zeros((len(ranks), units), dtype=bool)
    rest, each = ranks.copy(), np.arange(len(ranks))
    for i in range(k, 0, -1):
        below = _binomials(units, i)
        c = np.searchsorted(below, rest, side="right") - 1
        z[each, c] = True
        rest -= below[c]
    return z


@lru_cache(maxsize=256)
def _binomials(units: int, i: int) -> NDArray[np.int64]:
    """C(c, i) for c = 0..M-1."""
    return np.array([min(math.comb(c, i), LARGEST) for c in range(units)], dtype=np.int64)
