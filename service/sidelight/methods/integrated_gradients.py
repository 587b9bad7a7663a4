"""Integrated Gradients (Sundararajan, Taly & Yan, ICML 2017), at any layer.

    A_j = (z_j - b_j) int_0^1 d_j g(b + a (z - b)) da                                  (eq. 1, at features z = h(x))

sum_j A_j = g(z) - g(b) up to the quadrature, which the answer tells (completeness, proposition 1).
"""

from dataclasses import dataclass

from sidelight.core.job import Job, Saliency
from sidelight.core.params import bounded, choice, names
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.path.checks import check, settled
from sidelight.path.cost import cost
from sidelight.path.options import MAX_LAYERS, MAX_NODES, Attribution, Options, Path, Quadrature
from sidelight.path.plan import attribute


@dataclass(frozen=True)
class IntegratedGradientsParams:
    layers: tuple[str, ...] = names(
        most=MAX_LAYERS, what="dotted names, together a cut; none: the input of an image, the embeddings of a text"
    )
    path: Path = choice(Path.STRAIGHT, what="the way from the baseline to the input")
    quadrature: Quadrature = choice(
        Quadrature.AUTO, what="the rule; auto: gauss_legendre, or adaptive where budget.tolerance is set"
    )
    nodes: int = bounded(50, low=1, high=MAX_NODES, what="n, of the rules that have so many")
    allow_partial_cut: bool = bounded(
        False, low=False, high=True, what="take layers that some path passes by, and be told what passes"
    )


def options(p: IntegratedGradientsParams) -> Options:
    """Of the parameters."""
    return Options("integrated_gradients", (Attribution.INTEGRATED_GRADIENTS,), **vars(p))


@method(
    "integrated_gradients",
    params=IntegratedGradientsParams,
    paper="Sundararajan et al., ICML 2017",
    needs=("forward", "activation", "gradient"),
    cost=lambda p, x: cost(options(p), x),
    check=lambda p, job: check(options(p), job),
    settle=lambda p, job: settled(p, options(p), job),
)
def integrated_gradients(job: Job, p: IntegratedGradientsParams) -> Plan[Saliency]:
    """The mean gradient along a path from the baseline, times the way gone."""
    return attribute(job, options(p))
