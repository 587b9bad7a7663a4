"""Attributions along a path with an explicit baseline, at any layer (after Cui & Fan, arXiv 2605.22417).

    T = g(z) - g(b) = int_0^1 grad g(b + a (z - b)).(z - b) da     what is to be attributed
    R = sum_j A_j                                                  what is
    E = R - T                                                      the attribution error

f = g o h the model, z = h(x) the features of the input at the layers, b a baseline in the same space. Every attribution
is a quadrature of the integral, or departs from one, with a baseline that it implies where it does not take one. The
formulae are a consistent reading of the paper's argument, checked numerically; they are not copied from it.
"""

from dataclasses import dataclass

from sidelight.core.params import bounded, choice
from sidelight.path import parameters
from sidelight.path.family import attribution
from sidelight.path.options import Attribution, Options, Path, Quadrature

# ruff: noqa: RUF009 -- `parameters` make dataclass fields


@dataclass(frozen=True)
class PathAttributionParams:
    attribution: Attribution = choice(Attribution.INTEGRATED_GRADIENTS, what="which attribution")
    layers: tuple[str, ...] = parameters.layers()
    path: Path = parameters.path()
    quadrature: Quadrature = parameters.quadrature()
    nodes: int = parameters.nodes()
    draws: int = parameters.draws()
    smooth_copies: int = bounded(0, low=0, high=1000, what="SmoothGrad's noisy copies of the input; 0: none")
    smooth_noise: float = bounded(
        0.15, low=0.0, high=1.0, what="standard deviation of that noise over the range of the input's values"
    )
    allow_partial_cut: bool = parameters.allow_partial_cut()


@attribution("path_attribution", params=PathAttributionParams, paper="Cui & Fan, arXiv 2605.22417")
def path_attribution(p: PathAttributionParams) -> Options:
    """Any attribution along a path from a baseline to the input, with its error."""
    chosen = dict(vars(p))
    kind = chosen.pop("attribution")
    return Options("path_attribution", (kind,), **chosen, fuses=kind is Attribution.LAYER_CAM)
