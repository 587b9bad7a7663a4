"""Occlusion (Zeiler & Fergus, ECCV 2014): the output on the input minus that without one segment.

a_s = y(1) - y(s off)
"""

from dataclasses import dataclass

from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, MapType, Sampler


@dataclass(frozen=True, eq=False)
class OcclusionParams(Segmented):
    pass


@family("occlusion", params=OcclusionParams, paper="Zeiler & Fergus, ECCV 2014")
def occlusion(p: OcclusionParams) -> Combination:
    """How far the output falls when one segment is taken away."""
    return Combination(
        "occlusion", **vars(p), sampler=Sampler.ONE_OFF, calculator=Calculator.PDA, map_type=MapType.PER_SEGMENT
    )
