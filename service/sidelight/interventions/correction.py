"""p-values corrected over several properties, [m] to [m]: adjusted below a level means rejected at that level."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import false_discovery_control

from sidelight.interventions.options import Correction


def holm(p: Sequence[float]) -> list[float]:
    """Holm (1979): p_(i) (m - i + 1), no smaller than those of smaller p, at most 1. Bounds any false rejection."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Benjamini & Hochberg (1995): p_(i) m / i, no larger than those of larger p. Bounds the expected false share."""
    return false_discovery_control(p, method="bh").tolist()


CORRECTIONS: Mapping[Correction, Callable[[Sequence[float]], list[float]]] = {
    Correction.HOLM: holm,
    Correction.BENJAMINI_HOCHBERG: benjamini_hochberg,
    Correction.NONE: list,
}


def corrected(p: Sequence[float], how: Correction) -> list[float]:
    """The p-values of all properties tested together, adjusted; none of none."""
    return CORRECTIONS[how](p) if p else []
