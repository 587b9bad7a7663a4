"""Slow float64 replicas of the calculators, each written from its paper, unit by unit and row by row. Numpy alone."""

import itertools
import math

import numpy as np


def rise(z, y):
    """Mean output over the rows that keep the unit."""
    scores = []
    for s in range(z.shape[1]):
        kept = [y[n] for n in range(len(y)) if z[n, s] == 1]
        scores.append(sum(kept) / len(kept))
    return np.array(scores)


def lime(z, y, width=None, ridge=0.0):
    """Ridge regression on [Z, 1] by numpy's lstsq: rows scaled by sqrt(w), the penalty as M further rows."""
    m = z.shape[1]
    w = np.ones(len(z))
    if width is not None:
        for n, row in enumerate(z):
            cosine = row @ np.ones(m) / (np.linalg.norm(row) * np.sqrt(m)) if row.any() else 0.0
            w[n] = math.exp(-((1 - cosine) ** 2) / width**2)
    x = np.column_stack([z, np.ones(len(z))]) * np.sqrt(w)[:, None]
    x = np.vstack([x, np.column_stack([np.sqrt(ridge) * np.eye(m), np.zeros(m)])])
    return np.linalg.lstsq(x, np.concatenate([y * np.sqrt(w), np.zeros(m)]), rcond=None)[0][:-1]


def shap(z, y, full, empty, density):
    """Weighted least squares with the last unit eliminated by the constraint; weights pi(k) / q(k)."""
    m = z.shape[1]
    rows, targets, weights = [], [], []
    for row, output in zip(z, y, strict=True):
        k = int(row.sum())
        if k in (0, m):
            continue
        weights.append((m - 1) / (math.comb(m, k) * k * (m - k)) / density[k])
        rows.append(row[:-1] - row[-1])
        targets.append(output - empty - row[-1] * (full - empty))
    w = np.sqrt(weights)
    a = np.linalg.lstsq(np.array(rows) * w[:, None], np.array(targets) * w, rcond=None)[0]
    return np.append(a, full - empty - a.sum())


def shapley(game, m):
    """Exact Shapley values: phi_s = sum_S |S|! (M-|S|-1)! / M! (v(S + s) - v(S))."""
    phi = np.zeros(m)
    for s in range(m):
        others = [i for i in range(m) if i != s]
        for k in range(m):
            weight = math.factorial(k) * math.factorial(m - k - 1) / math.factorial(m)
            for coalition in itertools.combinations(others, k):
                z = np.zeros(m)
                z[list(coalition)] = 1
                with_s = z.copy()
                with_s[s] = 1
                phi[s] += weight * (game(with_s[None])[0] - game(z[None])[0])
    return phi


def pda(z, y, full, form, outputs=2, examples=1_000_000):
    """Prediction difference against the mean prediction without the unit."""

    def laplace(p):
        return (p * examples + 1) / (examples + outputs)

    scores = []
    for s in range(z.shape[1]):
        without = np.mean([y[n] for n in range(len(y)) if z[n, s] == 0])
        if form == "difference":
            scores.append(full - without)
        elif form == "information":
            scores.append(math.log2(laplace(full)) - math.log2(laplace(without)))
        else:
            odds = [laplace(p) / (1 - laplace(p)) for p in (full, without)]
            scores.append(math.log2(odds[0]) - math.log2(odds[1]))
    return np.array(scores)


def ciu(without, full):
    """Contextual influence CI (CU - 1/2), from the outputs without each unit."""
    everything = [full, *without]
    scores = []
    for y in without:
        low, high = min(full, y), max(full, y)
        importance = (high - low) / (max(everything) - min(everything))
        utility = (full - low) / (high - low)
        scores.append(importance * (utility - 0.5))
    return np.array(scores)


def sobol(y, m):
    """Jansen's total-order indices of outputs in the order A, B, A^(1) .. A^(M), design by design."""
    designs = y.reshape(-1, m + 2)
    variance = np.var(designs[:, :2])
    return np.array([np.mean((designs[:, 0] - designs[:, 2 + s]) ** 2) / 2 / variance for s in range(m)])


def hsic(z, y):
    """tr(K H L H) / (N - 1)^2 from the kernel matrices themselves."""
    n, m = z.shape
    distances = [abs(a - b) for a, b in itertools.combinations(y, 2)]
    width = np.sort(distances)[(len(distances) - 1) // 2]
    h = np.eye(n) - 1 / n
    out = np.exp(-((y[:, None] - y) ** 2) / (2 * width**2))
    kernels = [(z[:, s, None] == z[:, s]).astype(float) for s in range(m)]
    return np.array([np.trace(k @ h @ out @ h) for k in kernels]) / (n - 1) ** 2
