"""Several attributions of one prediction on shared evaluations: what each leaves unexplained, side by side.

|E| / |T| of each over its own baseline is the comparison that Cui & Fan (arXiv 2605.22417) argue for: methods are not
better or worse explanations of the same thing before it is said what each explains. Gradients that several of them
need are taken once.
"""

from dataclasses import dataclass

from sidelight.core.params import choices
from sidelight.path import parameters
from sidelight.path.family import attribution
from sidelight.path.options import Attribution, Options, Path, Quadrature

# ruff: noqa: RUF009 -- `parameters` make dataclass fields

DEFAULT = (
    Attribution.INTEGRATED_GRADIENTS,
    *(a for a in Attribution if a not in (Attribution.INTEGRATED_GRADIENTS, Attribution.EXPECTED_GRADIENTS)),
)


@dataclass(frozen=True)
class CompareParams:
    attributions: tuple[Attribution, ...] = choices(
        of=Attribution, what="in the answer's order, the map is the first's; none: all but expected_gradients"
    )
    layers: tuple[str, ...] = parameters.layers()
    path: Path = parameters.path()
    quadrature: Quadrature = parameters.quadrature()
    nodes: int = parameters.nodes()
    draws: int = parameters.draws()
    allow_partial_cut: bool = parameters.allow_partial_cut()


@attribution("compare", params=CompareParams, paper="Cui & Fan, arXiv 2605.22417")
def compare(p: CompareParams) -> Options:
    """Several attributions side by side, each with its baseline and what it leaves unexplained."""
    return Options("compare", **{**vars(p), "attributions": p.attributions or DEFAULT})
