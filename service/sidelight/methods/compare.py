"""Several attributions of one prediction on shared evaluations: what each leaves unexplained, side by side.

|E| / |T| of each over its own baseline is the comparison that Cui & Fan (arXiv 2605.22417) argue for: methods are not
better or worse explanations of the same thing before it is said what each explains. Gradients that several of them
need are taken once.
"""

from dataclasses import dataclass

from sidelight.core.job import Job, Saliency
from sidelight.core.params import bounded, choice, choices, names
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.path.checks import check, settled
from sidelight.path.cost import cost
from sidelight.path.options import MAX_LAYERS, MAX_NODES, Attribution, Options, Path, Quadrature
from sidelight.path.plan import attribute

DEFAULT = (
    Attribution.INTEGRATED_GRADIENTS,
    *(a for a in Attribution if a not in (Attribution.INTEGRATED_GRADIENTS, Attribution.EXPECTED_GRADIENTS)),
)


@dataclass(frozen=True)
class CompareParams:
    attributions: tuple[Attribution, ...] = choices(
        of=Attribution, what="in the answer's order, the map is the first's; none: all but expected_gradients"
    )
    layers: tuple[str, ...] = names(
        most=MAX_LAYERS, what="dotted names, together a cut; none: the input of an image, the embeddings of a text"
    )
    path: Path = choice(Path.STRAIGHT, what="the way of integrated_gradients from the baseline to the input")
    quadrature: Quadrature = choice(
        Quadrature.AUTO, what="their rule; auto: gauss_legendre, or adaptive where budget.tolerance is set"
    )
    nodes: int = bounded(50, low=1, high=MAX_NODES, what="n, of the rules that have so many")
    draws: int = bounded(200, low=2, high=100_000, what="of expected gradients: random baselines, with a point each")
    allow_partial_cut: bool = bounded(
        False, low=False, high=True, what="take layers that some path passes by, and be told what passes"
    )


def options(p: CompareParams) -> Options:
    """Of the parameters."""
    return Options(
        "compare", p.attributions or DEFAULT, p.layers, p.path, p.quadrature, p.nodes, p.draws,
        allow_partial_cut=p.allow_partial_cut,
    )  # fmt: skip


@method(
    "compare",
    params=CompareParams,
    paper="Cui & Fan, arXiv 2605.22417",
    needs=("forward", "activation", "gradient"),
    cost=lambda p, x: cost(options(p), x),
    check=lambda p, job: check(options(p), job),
    settle=lambda p, job: settled(p, options(p), job),
)
def compare(job: Job, p: CompareParams) -> Plan[Saliency]:
    """Several attributions side by side, each with its baseline and what it leaves unexplained."""
    return attribute(job, options(p))
