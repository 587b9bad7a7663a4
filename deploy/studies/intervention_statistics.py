"""The numbers of the study of interventions: intervals over seeds and lesions, thresholds, correlation.

Seeds and lesions are both drawn anew in every round (Owen, Annals of Applied Statistics 1, 2007): every classifier of a
scenario is asked about the same lesions, so neither repeats are independent.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

ROUNDS = 2000
LOW, HIGH = 0.025, 0.975
FOLDS, REPEATS = 4, 5
FEWEST = 3  # lesions of which there is an interval

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]  # estimate, and both ends of the 95 % interval
Means = Callable[[Floats], Floats]  # a weighted mean [...] of an array [seed, lesion]


def interval(of: Callable[[Means], Floats], seeds: int, lesions: int) -> Interval:
    """of(mean) of the arrays that it closes over, with its bootstrap; `mean` weighs [seed, lesion] for each round.

    A single seed is not drawn anew. Of fewer than 3 lesions there is no interval.
    """
    whole = float(of(lambda a: a.mean()))
    if lesions < FEWEST:
        return whole, np.nan, np.nan
    rng = np.random.default_rng(0)
    w, v = (_drawn(rng, n) for n in (seeds, lesions))  # [ROUNDS, n] each
    rounds = of(lambda a: ((w @ a) * v).sum(1))
    low, high = np.nanquantile(rounds, (LOW, HIGH))
    return whole, float(low), float(high)


def _drawn(rng: np.random.Generator, n: int) -> Floats:
    if n == 1:
        return np.ones((ROUNDS, 1))
    return rng.multinomial(n, np.full(n, 1 / n), ROUNDS) / n


def ratio(over: Floats, under: Floats) -> Interval:
    """Mean of one array [seed, lesion] over the mean of another, seeds and lesions drawn alike for both."""
    return interval(lambda mean: mean(over) / mean(under), *over.shape)


def mean(values: Floats) -> Interval:
    """Of an array [seed, lesion]."""
    return interval(lambda m: m(values), *values.shape)


def difference(one: Floats, other: Floats) -> Interval:
    """Mean of one array [seed, lesion] less that of another, drawn alike."""
    return mean(one - other)


def right(score: Floats, changed: NDArray[np.bool_]) -> Floats:
    """[lesion]: the share of its edits that a threshold on the score tells right, score and changed [lesion, edit].

    "The prediction changes where the score is above t". t is the best on the other folds of lesions, never on its own;
    the mean over several ways to fold.
    """
    lesions = len(score)
    found = np.zeros(lesions)
    for repeat in range(REPEATS):
        folds = np.random.default_rng(repeat).permutation(lesions) % min(FOLDS, lesions)
        for fold in np.unique(folds):
            held = folds == fold
            t = threshold(score[~held].ravel(), changed[~held].ravel())
            found[held] += ((score[held] > t) == changed[held]).mean(1)
    return found / REPEATS


def threshold(score: Floats, changed: NDArray[np.bool_]) -> float:
    """t of which "changed where score > t" is right most often; of several the middle one."""
    order = np.argsort(score)
    s, c = score[order], changed[order]
    # With t between places i - 1 and i: unchanged ones below it are right, and changed ones above.
    good = np.concatenate([[0], np.cumsum(~c)]) + np.concatenate([np.cumsum(c[::-1])[::-1], [0]])
    cuts = np.concatenate([[-np.inf], (s[1:] + s[:-1]) / 2, [np.inf]])
    possible = np.concatenate([[True], s[1:] > s[:-1], [True]])
    best = np.flatnonzero(possible & (good == good[possible].max()))
    return float(cuts[best[(len(best) - 1) // 2]])


def correlations(a: Floats, b: Floats) -> dict[str, Interval]:
    """Spearman's and Pearson's of a and b [lesion, ...], with their bootstrap over lesions."""
    drawn = np.random.default_rng(0).integers(0, len(a), (ROUNDS // 4, len(a)))
    found = {}
    for name, of in (("Spearman", spearmanr), ("Pearson", pearsonr)):
        whole = float(of(a.ravel(), b.ravel()).statistic)
        if len(a) < FEWEST:
            found[name] = (whole, np.nan, np.nan)
            continue
        rounds = [of(a[i].ravel(), b[i].ravel()).statistic for i in drawn]
        low, high = np.nanquantile(rounds, (LOW, HIGH))
        found[name] = (whole, float(low), float(high))
    return found


def cube(rows: Sequence[Mapping[str, str]], value: str, first: str, second: str = "lesion") -> Floats:
    """[first, second] of a column of rows that are all there once. Raises ValueError where one is missing."""
    places = [sorted({int(row[name]) for row in rows}) for name in (first, second)]
    found = np.full([len(p) for p in places], np.nan)
    for row in rows:
        found[places[0].index(int(row[first])), places[1].index(int(row[second]))] = float(row[value])
    if np.isnan(found).any():
        raise ValueError(f"the table lacks rows of {value}")
    return found
