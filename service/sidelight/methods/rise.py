"""RISE: Randomized Input Sampling for Explanation of black-box models (Petsiuk, Das & Saenko, BMVC 2018).

Measures how much the output holds up, on average, when a part of the input is kept:

    S(u) = 1/(N E[M]) * sum_n f(I . M_n) M_n(u)                  (eq. 6)

I input, M_n random mask in [0, 1], N masks, f the explained output, E[M] = p the probability that a cell is kept.
Published settings (N, s, p): (4000 or 8000, 7, .5) for ResNet-50 and VGG16, (6000, 8, .1) for captioning. Of text every
word is a cell, and the sum is divided by how often a word was kept rather than by N p.
"""

from dataclasses import dataclass

from sidelight.core.params import bounded
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import family
from sidelight.perturbation.options import Smoothing


@dataclass(frozen=True)
class RiseParams:
    masks: int = bounded(4000, low=2, high=1_000_000, what="N, the number of masks")
    cells: int = bounded(7, low=1, high=64, what="s, cells along each side of the mask grid (images)")
    keep: float = bounded(0.5, low=0.0, high=1.0, open=True, what="p, the probability that a cell is kept")


@family("rise", params=RiseParams, paper="Petsiuk et al., BMVC 2018")
def rise(p: RiseParams) -> Combination:
    """Mean of random masks, weighted by the model's output under each."""
    return Combination(
        "rise", segments=p.cells**2, smooth_images=Smoothing.RANDOM_SHIFT, samples=p.masks, keep=p.keep,
        names={"segments": "cells", "samples": "masks"},
    )  # fmt: skip
