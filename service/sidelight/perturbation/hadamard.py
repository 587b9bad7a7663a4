"""Hadamard matrices: square, of +-1, with orthogonal columns; by Sylvester's and by Paley's two constructions."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=16)
def order_for(units: int) -> int:
    """The smallest order >= `units` that can be constructed here; at most the next power of two."""
    return next(n for n in range(units, 2 * units + 1) if _constructible(n))


@lru_cache(maxsize=16)
def hadamard(order: int) -> NDArray[np.int8]:
    """H [n, n] with H^T H = n I, for an order that `order_for` gave."""
    if order <= 2:
        h = np.ones((order, order), dtype=np.int8)
        h[order - 1, 1:] = -1
        return h
    if _paley1(order):
        return _skew(order - 1)
    if _paley2(order):
        return _symmetric(order // 2 - 1)
    return np.kron(hadamard(2), hadamard(order // 2))


def _constructible(n: int) -> bool:
    return n in (1, 2) or (n % 4 == 0 and (_paley1(n) or _paley2(n) or _constructible(n // 2)))


def _paley1(n: int) -> bool:
    return n % 4 == 0 and _prime(n - 1)


def _paley2(n: int) -> bool:
    return n % 4 == 0 and (n // 2 - 1) % 4 == 1 and _prime(n // 2 - 1)


def _prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def _jacobsthal(q: int) -> NDArray[np.int8]:
    """Q_ij = chi(i - j): 1 for a quadratic residue modulo the prime q, -1 for none, 0 for 0."""
    chi = np.full(q, -1, dtype=np.int8)
    chi[np.arange(q) ** 2 % q] = 1
    chi[0] = 0
    return chi[np.subtract.outer(np.arange(q), np.arange(q)) % q]


def _skew(q: int) -> NDArray[np.int8]:
    """Paley's first construction, q = 3 (mod 4): I + S with S skew-symmetric."""
    s = np.zeros((q + 1, q + 1), dtype=np.int8)
    s[0, 1:], s[1:, 0], s[1:, 1:] = 1, -1, _jacobsthal(q)
    return s + np.eye(q + 1, dtype=np.int8)


def _symmetric(q: int) -> NDArray[np.int8]:
    """Paley's second construction, q = 1 (mod 4), from a symmetric conference matrix C."""
    c = np.zeros((q + 1, q + 1), dtype=np.int8)
    c[0, 1:], c[1:, 0], c[1:, 1:] = 1, 1, _jacobsthal(q)
    one = np.eye(q + 1, dtype=np.int8)
    return np.block([[c + one, c - one], [c - one, -c - one]])
