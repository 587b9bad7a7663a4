"""How outputs y depend on strengths x: Pearson's correlation, and mutual information by nearest neighbours.

Kraskov, Stoegbauer & Grassberger (Phys. Rev. E 69, 066138, 2004), estimator 1, in nats:

    I = psi(k) + psi(N) - mean_i( psi(n_x(i) + 1) + psi(n_y(i) + 1) ),   k = 3

with d_i the distance of point i to its k-th neighbour, the larger of |x_i - x_j| and |y_i - y_j|, both in units of
their standard deviation, and n_x(i), n_y(i) how many other points are nearer than d_i in x, in y. It is an estimate and
may fall a little below 0.

Equal distances, as an even grid has them, are not nearer: nothing is drawn to break ties. Where the k-th neighbour is
the same point (strengths given several times) k, n_x + 1 and n_y + 1 are the numbers of points at distance 0, itself
included (Gao, Kannan, Oh & Viswanath, NeurIPS 2017). Of a constant I is 0 and the correlation is not defined.

numpy and scipy only: asked in processes that do without torch.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

NEIGHBOURS = 3  # k, in the middle of the 2..4 that the paper advises
LEAST = np.nextafter(0.0, 1.0)  # nothing but 0 is nearer
Array = NDArray[np.float64]


def pearson(y: Array, x: Array) -> Array:
    """r of y [..., N] with x [N]: [...]. NaN where either is constant."""
    return _unit(y) @ _unit(x) / x.size


def information(y: Array, x: Array) -> Array:
    """I of y [..., P, N] with x [N]: [..., P]; 0 where either is constant. The P series are one in several orders."""
    if np.ptp(x) == 0:
        return np.zeros(y.shape[:-1])
    order = np.argsort(x, kind="stable")
    groups = y[..., order].reshape(-1, *(1, *y.shape)[-2:])  # [..., P, N]
    return np.stack([_information(orders, _unit(x[order])) for orders in groups]).reshape(y.shape[:-1])


def _unit(a: Array) -> Array:
    """Series [..., N] with mean 0 and standard deviation 1, whatever their order; NaN where they are constant."""
    values = np.sort(a, axis=-1)  # so that sums are of the same bits in every order
    sd = np.where(np.ptp(values, axis=-1, keepdims=True) > 0, values.std(-1, keepdims=True), math.nan)
    return (a - values.mean(-1, keepdims=True)) / sd


def _information(y: Array, x: Array) -> Array:
    """I [P] of series y [P, N] with x [N], which rises."""
    if np.ptp(y[0]) == 0:
        return np.zeros(len(y))
    y = _unit(y)
    d = _distances(y, x)
    near = np.full(d.shape, min(NEIGHBOURS, x.size - 1))
    if (d == 0).any():
        near = np.where(d == 0, _alike(y, x), near)
    terms = digamma(near) - digamma(_nearer(np.broadcast_to(x, y.shape), d)) - digamma(_nearer(y, d))
    return digamma(x.size) + terms.mean(-1)


def _distances(y: Array, x: Array) -> Array:
    """d [P, N]. Neighbours are tried by their distance in the order of x, until the others are too far in x alone."""
    n = x.size
    nearest = np.full((min(NEIGHBOURS, n - 1), *y.shape), math.inf)
    for step in range(1, n):
        d = np.maximum(x[step:] - x[:-step], np.abs(y[:, step:] - y[:, :-step]))  # of i and of i + step
        _insert(nearest[..., :-step], d)
        _insert(nearest[..., step:], d)
        beyond = np.full(n, math.inf)
        beyond[: -step - 1] = x[step + 1 :] - x[: -step - 1]
        beyond[step + 1 :] = np.minimum(beyond[step + 1 :], x[step + 1 :] - x[: -step - 1])
        if (nearest[-1] <= beyond).all():
            break
    return nearest[-1]


def _insert(nearest: Array, d: Array) -> None:
    """Keep the smallest of `nearest` [k, ...], which rise, and d."""
    for slot in nearest:
        larger = np.maximum(slot, d)
        np.minimum(slot, d, out=slot)
        d = larger


def _nearer(a: Array, d: Array) -> NDArray[np.int64]:
    """[P, N]: how many of a row of a [P, N] are nearer than d to each, itself included. All rows have the same values.

    Counted along the sorted values, by doubling: differences of sorted floats rise, so no comparison is rounded.
    """
    values = np.sort(a[0])
    at, d, n = np.searchsorted(values, a), np.maximum(d, LEAST), values.size
    beyond = np.full(2 ** n.bit_length(), math.inf)
    padded = np.concatenate([-beyond, values, beyond])
    at += beyond.size
    found = np.ones_like(at)
    for way in (1, -1):
        reach = np.zeros_like(at)
        for jump in (2**b for b in reversed(range(n.bit_length()))):
            reach += jump * (np.abs(padded[at + way * (reach + jump)] - a) < d)
        found += reach
    return found


def _alike(y: Array, x: Array) -> NDArray[np.int64]:
    """[P, N]: how many points are the same as each, itself included."""
    n = x.size
    codes = (np.arange(len(y))[:, None] * n + np.searchsorted(x, x)) * n + np.searchsorted(np.sort(y[0]), y)
    _, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return counts[which].reshape(y.shape)
