"""Grad-CAM (Selvaraju et al., ICCV 2017), with what it leaves unexplained.

    L = ReLU(sum_k a_k A^k),   a_k = mean_p dg/dA^k_p                                        (eqs. 1 and 2)

A^k the maps of one layer, p positions. Read as an attribution it is over b = 0 with one node at the input, and errs by
that rule's remainder and by the averaging of gradients; the ReLU is a step of its display.
"""

from dataclasses import dataclass

from sidelight.core.job import Job, Saliency
from sidelight.core.params import names
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.path.checks import check, settled
from sidelight.path.cost import cost
from sidelight.path.options import Attribution, Options
from sidelight.path.plan import attribute


@dataclass(frozen=True)
class GradCamParams:
    layers: tuple[str, ...] = names(most=1, what="one layer with positions; none: the last cut that has any")


def options(p: GradCamParams) -> Options:
    """Of the parameters."""
    return Options("grad_cam", (Attribution.GRAD_CAM,), p.layers, takes_partial_cuts=False, last=True)


@method(
    "grad_cam",
    params=GradCamParams,
    paper="Selvaraju et al., ICCV 2017",
    needs=("forward", "activation", "gradient"),
    cost=lambda p, x: cost(options(p), x),
    check=lambda p, job: check(options(p), job),
    settle=lambda p, job: settled(p, options(p), job),
)
def grad_cam(job: Job, p: GradCamParams) -> Plan[Saliency]:
    """Feature maps weighted by their mean gradients, negative evidence left out."""
    return attribute(job, options(p))
