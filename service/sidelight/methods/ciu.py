"""Contextual importance and utility (Framling, 1996; CIU for images: Framling et al., 2021).

    CI_s = (hi - lo) / (max y - min y)        CU_s = (y(1) - lo) / (hi - lo)        a_s = CI_s (CU_s - 1/2)

lo and hi are the smaller and larger of the outputs with and without segment s. The inverse keeps every segment alone
and explains 1 - y.
"""

from dataclasses import dataclass

from sidelight.core.params import bounded
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, MapType, Sampler, Segmentation


@dataclass(frozen=True, eq=False)
class CiuParams(Segmented):
    inverse: bool = bounded(False, low=False, high=True, what="keep each segment alone; for probabilities")


@family("ciu", params=CiuParams, paper="Främling et al., 2021")
def ciu(p: CiuParams) -> Combination:
    """Contextual influence of every segment: its importance, signed by its utility."""
    sampler, calculator = (Sampler.ONE_ON, Calculator.INVERSE_CIU) if p.inverse else (Sampler.ONE_OFF, Calculator.CIU)
    return Combination(
        "ciu", p.segmentation, Segmentation.SLIC, p.segments, p.labels,
        sampler=sampler, calculator=calculator, map_type=MapType.PER_SEGMENT,
        names={"calculator": "inverse"},
    )  # fmt: skip
