"""LIME: local interpretable model-agnostic explanations (Ribeiro, Singh & Guestrin, KDD 2016).

    a = argmin sum_n pi(z_n) (y_n - a.z_n - a_0)^2 + lambda |a|^2         pi(z) = exp(-D(z)^2 / width^2)     (eq. 2)

z_n which segments are kept, D the cosine distance between z and all ones. (The package `lime` weighs by the square root
of this kernel: its width is ours over sqrt 2.)
"""

from dataclasses import dataclass

from sidelight.core.params import bounded
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, MapType, Segmentation


@dataclass(frozen=True, eq=False)
class LimeParams(Segmented):
    samples: int = bounded(1000, low=2, high=1_000_000, what="N")
    kernel_width: float = bounded(0.25, low=0.01, high=100.0, what="width of the kernel on the cosine distance")
    ridge: float = bounded(1.0, low=0.0, high=1e6, what="lambda, the weight of the ridge")


@family("lime", params=LimeParams, paper="Ribeiro et al., KDD 2016")
def lime(p: LimeParams) -> Combination:
    """Slopes of a weighted linear regression of the output on which segments are kept."""
    return Combination(
        "lime", **vars(p), on_images=Segmentation.SLIC, calculator=Calculator.LIME, map_type=MapType.PER_SEGMENT
    )
