"""LayerCAM (Jiang et al., TIP 2021), with what it leaves unexplained.

    M = ReLU(sum_k ReLU(dg/dA^k) A^k)                                                        (eqs. 5 and 6)

at each position, A^k the maps of a layer. Read as an attribution it is over b = 0 with one node at the input, and errs
by that rule's remainder and by the negative gradients that it drops. Of several layers the maps are fused, see
`path/fusion.py`.
"""

from dataclasses import dataclass

from sidelight.core.params import names
from sidelight.path.family import attribution
from sidelight.path.options import MAX_LAYERS, Attribution, Options


@dataclass(frozen=True)
class LayerCamParams:
    layers: tuple[str, ...] = names(
        most=MAX_LAYERS, what="layers with positions, whose maps are fused; none: the last cut that has any"
    )


@attribution("layer_cam", params=LayerCamParams, paper="Jiang et al., TIP 2021")
def layer_cam(p: LayerCamParams) -> Options:
    """Feature maps weighted by their positive gradients at each position, fused over layers."""
    return Options("layer_cam", (Attribution.LAYER_CAM,), p.layers, takes_partial_cuts=False, fuses=True, last=True)
