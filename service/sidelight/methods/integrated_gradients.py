"""Integrated Gradients (Sundararajan, Taly & Yan, ICML 2017), at any layer.

    A_j = (z_j - b_j) int_0^1 d_j g(b + a (z - b)) da                                  (eq. 1, at features z = h(x))

sum_j A_j = g(z) - g(b) up to the quadrature, which the answer tells (completeness, proposition 1).
"""

from dataclasses import dataclass

from sidelight.path import parameters
from sidelight.path.family import attribution
from sidelight.path.options import Attribution, Options, Path, Quadrature

# ruff: noqa: RUF009 -- `parameters` make dataclass fields


@dataclass(frozen=True)
class IntegratedGradientsParams:
    layers: tuple[str, ...] = parameters.layers()
    path: Path = parameters.path()
    quadrature: Quadrature = parameters.quadrature()
    nodes: int = parameters.nodes()
    allow_partial_cut: bool = parameters.allow_partial_cut()


@attribution("integrated_gradients", params=IntegratedGradientsParams, paper="Sundararajan et al., ICML 2017")
def integrated_gradients(p: IntegratedGradientsParams) -> Options:
    """The mean gradient along a path from the baseline, times the way gone."""
    return Options("integrated_gradients", (Attribution.INTEGRATED_GRADIENTS,), **vars(p))
