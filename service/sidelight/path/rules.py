"""Fixed quadrature rules on [0, 1]: nodes and weights in float64, the weights adding up to 1.

    int_0^1 f(a) da  ~  sum_i w_i f(a_i)

Gauss-Legendre with n nodes is exact for polynomials of degree 2n - 1, midpoint and trapezoid for degree 1, right and
left for constants. The trapezoid has nodes at both ends, each with half the weight of the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sidelight.path.options import Quadrature

ROUNDING = 1e-6  # over the largest output: what float32 may make of one, and of a sum of its gradients


@dataclass(frozen=True)
class Rule:
    """Where the gradient is taken, and with which weights."""

    name: str
    nodes: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def table(self) -> dict[float, float]:
        """Weight by node."""
        return dict(zip(self.nodes, self.weights, strict=True))

    @property
    def words(self) -> str:
        """Of an answer."""
        n = len(self.nodes)
        return f"{self.name}, {n} node{'s' if n > 1 else ''}"


@lru_cache(64)  # it takes the eigenvalues of an n x n matrix
def gauss_legendre(n: int) -> Rule:
    """On n nodes, none of them an end."""
    x, w = np.polynomial.legendre.leggauss(n)
    return Rule("Gauss-Legendre", _floats((x + 1) / 2), _floats(w / w.sum()))


def midpoint(n: int) -> Rule:
    """The middles of n equal parts."""
    return Rule("midpoint", _floats((np.arange(n) + 0.5) / n), _floats(np.full(n, 1 / n)))


def trapezoid(n: int) -> Rule:
    """n >= 2 equally spaced nodes with both ends."""
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return Rule("trapezoid", _floats(np.arange(n) / (n - 1)), _floats(weights))


def right(n: int) -> Rule:
    """The right end of each of n equal parts."""
    return Rule("right", _floats(np.arange(1, n + 1) / n), _floats(np.full(n, 1 / n)))


def left(n: int) -> Rule:
    """The left end of each of n equal parts."""
    return Rule("left", _floats(np.arange(n) / n), _floats(np.full(n, 1 / n)))


FIXED: dict[Quadrature, Callable[[int], Rule]] = {
    Quadrature.GAUSS_LEGENDRE: gauss_legendre,
    Quadrature.MIDPOINT: midpoint,
    Quadrature.TRAPEZOID: trapezoid,
    Quadrature.RIGHT: right,
    Quadrature.LEFT: left,
}


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(values.tolist())
