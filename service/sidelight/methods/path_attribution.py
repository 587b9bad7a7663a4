"""Attributions along a path with an explicit baseline, at any layer (after Cui & Fan, arXiv 2605.22417).

    T = g(z) - g(b) = int_0^1 grad g(b + a (z - b)).(z - b) da     what is to be attributed
    R = sum_j A_j                                                  what is
    E = R - T                                                      the attribution error

f = g o h the model, z = h(x) the features of the input at the layers, b a baseline in the same space. Every attribution
is a quadrature of the integral, or departs from one, with a baseline that it implies where it does not take one. The
formulae are a consistent reading of the paper's argument, checked numerically; they are not copied from it.
"""

from dataclasses import dataclass

from sidelight.core.job import Job, Saliency
from sidelight.core.params import bounded, choice, names
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.path.checks import check, settled
from sidelight.path.cost import cost
from sidelight.path.fusion import fused
from sidelight.path.options import MAX_LAYERS, MAX_NODES, Attribution, Options, Path, Quadrature
from sidelight.path.plan import attribute


@dataclass(frozen=True)
class PathAttributionParams:
    attribution: Attribution = choice(Attribution.INTEGRATED_GRADIENTS, what="which attribution")
    layers: tuple[str, ...] = names(
        most=MAX_LAYERS, what="dotted names, together a cut; none: the input of an image, the embeddings of a text"
    )
    path: Path = choice(Path.STRAIGHT, what="the way from the baseline to the input")
    quadrature: Quadrature = choice(
        Quadrature.AUTO, what="the rule; auto: gauss_legendre, or adaptive where budget.tolerance is set"
    )
    nodes: int = bounded(50, low=1, high=MAX_NODES, what="n, of the rules that have so many")
    draws: int = bounded(200, low=2, high=100_000, what="of expected gradients: random baselines, with a point each")
    smooth_copies: int = bounded(0, low=0, high=1000, what="SmoothGrad's noisy copies of the input; 0: none")
    smooth_noise: float = bounded(
        0.15, low=0.0, high=1.0, what="standard deviation of that noise over the range of the input's values"
    )
    allow_partial_cut: bool = bounded(
        False, low=False, high=True, what="take layers that some path passes by, and be told what passes"
    )


def options(p: PathAttributionParams) -> Options:
    """Of the parameters."""
    return Options(
        "path_attribution", (p.attribution,), p.layers, p.path, p.quadrature, p.nodes, p.draws, p.smooth_copies,
        p.smooth_noise, p.allow_partial_cut,
    )  # fmt: skip


@method(
    "path_attribution",
    params=PathAttributionParams,
    paper="Cui & Fan, arXiv 2605.22417",
    needs=("forward", "activation", "gradient"),
    cost=lambda p, x: cost(options(p), x),
    check=lambda p, job: check(options(p), job),
    settle=lambda p, job: settled(p, options(p), job),
)
def path_attribution(job: Job, p: PathAttributionParams) -> Plan[Saliency]:
    """Any attribution along a path from a baseline to the input, with its error."""
    several = p.attribution is Attribution.LAYER_CAM  # whose layers are taken one by one
    return (fused if several else attribute)(job, options(p))
