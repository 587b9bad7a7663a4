"""Dependence between a segment's mask and the output (Novello, Fel & Vigouroux, NeurIPS 2022).

    a_s = HSIC(z_s, y) = tr(K_s H L H) / (n - 1)^2        K_s Dirac kernel on z_s, L Gaussian kernel on y (median width)

One space-filling binary design; every row is compared with every other. Never negative.
"""

from dataclasses import dataclass

from sidelight.core.params import bounded
from sidelight.perturbation.combination import MAX_HSIC, Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, Sampler, Smoothing


@dataclass(frozen=True, eq=False)
class HsicParams(Segmented):
    samples: int = bounded(1500, low=8, high=MAX_HSIC, what="N")


@family("hsic", params=HsicParams, paper="Novello et al., NeurIPS 2022")
def hsic(p: HsicParams) -> Combination:
    """How far the output depends on whether a segment is kept, in whatever form."""
    return Combination(
        "hsic", **vars(p), smooth_images=Smoothing.GAUSSIAN, sampler=Sampler.SPACE_FILLING, calculator=Calculator.HSIC
    )
