"""Any combination of the perturbation family (Grund Pihlgren & Framling, arXiv 2409.04116).

segmentation x smoothing x sampler x calculator x map, over the request's baseline as the replacement. The paper finds
that segmentation and per-pixel maps decide the quality of a map, and the calculator hardly.
"""

from dataclasses import dataclass

from sidelight.core.params import bounded, choice
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, MapType, Sampler, Smoothing


@dataclass(frozen=True, eq=False)
class PerturbationParams(Segmented):
    smoothing: Smoothing = choice(Smoothing.AUTO, what="of the segments' edges; auto: gaussian for images")
    sigma: float | None = bounded(
        None, low=0.5, high=100.0, what="of the Gaussian, pixels; left out: 10/224 of the shorter side"
    )
    sampler: Sampler = choice(Sampler.ORTHOGONAL, what="which segments each row keeps")
    samples: int = bounded(2000, low=2, high=1_000_000, what="N; one-off and one-on take one for each segment")
    keep: float = bounded(0.5, low=0.0, high=1.0, open=True, what="p of sampler bernoulli")
    calculator: Calculator = choice(Calculator.RISE, what="how rows become a score for each segment")
    kernel_width: float | None = bounded(
        None, low=0.01, high=100.0, what="of LIME's kernel on the cosine distance; left out: no kernel"
    )
    ridge: float = bounded(0.0, low=0.0, high=1e6, what="the weight of LIME's ridge")
    map_type: MapType = choice(MapType.PER_PIXEL, what="how scores become a map")


@family("perturbation", params=PerturbationParams, paper="Grund Pihlgren & Främling, arXiv 2409.04116")
def perturbation(p: PerturbationParams) -> Combination:
    """Any combination of segmentation, smoothing, sampler, calculator and map."""
    return Combination("perturbation", **vars(p), smooth_images=Smoothing.GAUSSIAN)
