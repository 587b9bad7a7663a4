"""What the test models compute, in numpy. Imported by the models inside Triton and by the tests, so the two agree.

Each takes rows, the number of outputs and the model's version, and gives [n, outputs] float64. Rows are computed one
by one, so that neighbours change no bit.
"""

import numpy as np


def weights(inputs: int, outputs: int, version: int = 1) -> np.ndarray:
    """[inputs, outputs], different for each version."""
    i, k = np.ogrid[1 : inputs + 1, 1 : outputs + 1]
    return np.cos(0.37 * version * i * k) / np.sqrt(inputs)


def linear(x: np.ndarray, outputs: int, version: int = 1) -> np.ndarray:
    """Of numbers [n, ...]."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    w = weights(flat.shape[1], outputs, version)
    return np.stack([row @ w for row in flat])


def pooled(x: np.ndarray, outputs: int, version: int = 1) -> np.ndarray:
    """Of images [n, C, H, W] of any size."""
    return linear(x.astype(np.float64).mean((2, 3)), outputs, version)


def sigmoid(x: np.ndarray, outputs: int, version: int = 1) -> np.ndarray:
    """Probabilities of numbers [n, ...]."""
    return 1 / (1 + np.exp(-linear(x, outputs, version)))


def texts(x: np.ndarray, outputs: int, version: int = 1) -> np.ndarray:
    """Of UTF-8 texts [n, 1]: the length in bytes, and the share of vowels."""
    rows = [bytes(text) for text in x.ravel()]
    return np.array([[len(t), sum(t.count(v) for v in b"aeiou") / max(len(t), 1)] for t in rows])


def tokens(x: np.ndarray, outputs: int, version: int = 1) -> np.ndarray:
    """Of ids [n, L]: how many are even, the mean, and the mean weighted by position."""
    position = np.arange(1, x.shape[1] + 1)
    return np.stack([(x % 2 == 0).sum(1), x.mean(1), (x * position).mean(1)], 1).astype(np.float64)
