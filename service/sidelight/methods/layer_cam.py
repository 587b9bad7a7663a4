"""LayerCAM (Jiang et al., TIP 2021), with what it leaves unexplained.

    M = ReLU(sum_k ReLU(dg/dA^k) A^k)                                                        (eqs. 5 and 6)

at each position, A^k the maps of a layer. Read as an attribution it is over b = 0 with one node at the input, and errs
by that rule's remainder and by the negative gradients that it drops. Of several layers the maps are fused, see
`path/fusion.py`.
"""

from dataclasses import dataclass

from sidelight.core.job import Job, Saliency
from sidelight.core.params import names
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.path.checks import check, settled
from sidelight.path.cost import cost
from sidelight.path.fusion import fused
from sidelight.path.options import MAX_LAYERS, Attribution, Options


@dataclass(frozen=True)
class LayerCamParams:
    layers: tuple[str, ...] = names(
        most=MAX_LAYERS, what="layers with positions, whose maps are fused; none: the last cut that has any"
    )


def options(p: LayerCamParams) -> Options:
    """Of the parameters."""
    return Options("layer_cam", (Attribution.LAYER_CAM,), p.layers, takes_partial_cuts=False, last=True)


@method(
    "layer_cam",
    params=LayerCamParams,
    paper="Jiang et al., TIP 2021",
    needs=("forward", "activation", "gradient"),
    cost=lambda p, x: cost(options(p), x) * max(1, len(p.layers)),
    check=lambda p, job: check(options(p), job),
    settle=lambda p, job: settled(p, options(p), job),
)
def layer_cam(job: Job, p: LayerCamParams) -> Plan[Saliency]:
    """Feature maps weighted by their positive gradients at each position, fused over layers."""
    return fused(job, options(p))
