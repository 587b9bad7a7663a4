"""Grad-CAM (Selvaraju et al., ICCV 2017), with what it leaves unexplained.

    L = ReLU(sum_k a_k A^k),   a_k = mean_p dg/dA^k_p                                        (eqs. 1 and 2)

A^k the maps of one layer, p positions. Read as an attribution it is over b = 0 with one node at the input, and errs by
that rule's remainder and by the averaging of gradients; the ReLU is a step of its display.
"""

from dataclasses import dataclass

from sidelight.core.params import names
from sidelight.path.family import attribution
from sidelight.path.options import Attribution, Options


@dataclass(frozen=True)
class GradCamParams:
    layers: tuple[str, ...] = names(most=1, what="one layer with positions; none: the last cut that has any")


@attribution("grad_cam", params=GradCamParams, paper="Selvaraju et al., ICCV 2017")
def grad_cam(p: GradCamParams) -> Options:
    """Feature maps weighted by their mean gradients, negative evidence left out."""
    return Options("grad_cam", (Attribution.GRAD_CAM,), p.layers, takes_partial_cuts=False, last=True)
