"""Kernel SHAP (Lundberg & Lee, NeurIPS 2017), with paired sampling (Covert & Lee, AISTATS 2021).

    a = argmin sum_z pi(z) (y(z) - y(0) - a.z)^2   subject to   sum_s a_s = y(1) - y(0)
    pi(z) = (M - 1) / (C(M, k) k (M - k))                              (theorem 2), k segments kept

The two coalitions of infinite weight are the constraint. Coalitions are drawn with pi's own distribution of sizes, each
with its complement, so that all rows weigh alike and the standard error is known.
"""

from dataclasses import dataclass

from sidelight.core.params import bounded
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, MapType, Sampler, Segmentation


@dataclass(frozen=True, eq=False)
class KernelShapParams(Segmented):
    samples: int = bounded(2000, low=2, high=1_000_000, what="N")


@family("kernel_shap", params=KernelShapParams, paper="Lundberg & Lee, NeurIPS 2017")
def kernel_shap(p: KernelShapParams) -> Combination:
    """Shapley values of the segments, by weighted least squares."""
    return Combination(
        "kernel_shap", **vars(p), on_images=Segmentation.SLIC, sampler=Sampler.KERNEL_PAIRS,
        calculator=Calculator.SHAP, map_type=MapType.PER_SEGMENT,
    )  # fmt: skip
