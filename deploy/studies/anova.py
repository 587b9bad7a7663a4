"""Shares of variance: how much of a table's variance each factor explains that no other main effect does (type II).

    share(A) = (RSS(all main effects but A) - RSS(all main effects)) / TSS

RSS is the residual sum of squares of a least squares fit with a dummy for every level. In a balanced table it is the
usual variance between the means of A's levels. An interaction "A:B" is what a dummy for every pair of levels adds to
all main effects.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray]


def shares(columns: Columns, response: NDArray[np.float64], terms: Sequence[str]) -> dict[str, float]:
    """Share of the variance of `response` [n] that belongs to each of `terms`, factors or pairs "A:B" of them.

    `columns` has the level of every row [n] for each factor; a factor of one level has share 0. "residual" is what all
    terms together leave. A response that does not vary gives nan.
    """
    mains = [term for term in terms if ":" not in term]
    pairs = [term for term in terms if ":" in term]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.square(response - response.mean()).sum()
        least = _residual(columns, response, mains)
        found = {a: (_residual(columns, response, [m for m in mains if m != a]) - least) / total for a in mains}
        found |= {p: (least - _residual(columns, response, [*mains, p])) / total for p in pairs}
        found["residual"] = _residual(columns, response, terms) / total
    return {term: float(share) for term, share in found.items()}


def _residual(columns: Columns, response: NDArray[np.float64], terms: Sequence[str]) -> float:
    x = np.concatenate([np.ones((len(response), 1)), *(_dummies(columns, term) for term in terms)], axis=1)
    fitted = x @ np.linalg.lstsq(x, response, rcond=None)[0]
    return float(np.square(response - fitted).sum())


def _dummies(columns: Columns, term: str) -> NDArray[np.float64]:
    levels = np.stack([_codes(columns[name]) for name in term.split(":")])
    at = np.unique(levels, axis=1, return_inverse=True)[1].ravel()
    return np.eye(at.max() + 1)[at]


def _codes(levels: NDArray) -> NDArray[np.int64]:
    return np.unique(levels, return_inverse=True)[1]
