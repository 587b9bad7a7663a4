"""Total-order Sobol indices of the masks of the segments (Fel et al., NeurIPS 2021).

    ST_s = 1/(2 n) sum_j (y(A_j) - y(A_j with column s of B_j))^2 / Var y            (Jansen's estimator)

A and B are quasi-random designs of continuous masks; a design takes M + 2 rows. The index says how much of the
output's variance a segment has part in, alone or with others; it has no sign.
"""

from dataclasses import dataclass

from sidelight.core.params import bounded
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, Sampler, Smoothing


@dataclass(frozen=True, eq=False)
class SobolParams(Segmented):
    samples: int = bounded(1632, low=4, high=1_000_000, what="N; a design takes as many as there are segments, and 2")


@family("sobol", params=SobolParams, paper="Fel et al., NeurIPS 2021")
def sobol(p: SobolParams) -> Combination:
    """Share of the output's variance that a segment has part in."""
    return Combination(
        "sobol", **vars(p), smooth_images=Smoothing.GAUSSIAN, sampler=Sampler.SOBOL_PAIRS, calculator=Calculator.SOBOL
    )
