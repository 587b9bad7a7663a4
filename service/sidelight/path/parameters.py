"""Parameters that several methods have, each in an order of its own."""

from typing import Any

from sidelight.core.params import bounded, choice, names
from sidelight.path.options import MAX_LAYERS, MAX_NODES, Path, Quadrature


def layers() -> Any:
    """The layers, interpolated jointly."""
    return names(
        most=MAX_LAYERS, what="dotted names, together a cut; none: the input of an image, the embeddings of a text"
    )


def path() -> Any:
    """The path."""
    return choice(Path.STRAIGHT, what="the way of integrated_gradients from the baseline to the input")


def quadrature() -> Any:
    """The rule."""
    return choice(Quadrature.AUTO, what="the rule; auto: gauss_legendre, or adaptive where budget.tolerance is set")


def nodes() -> Any:
    """Its nodes."""
    return bounded(50, low=1, high=MAX_NODES, what="n, of the rules that have so many")


def draws() -> Any:
    """Random draws."""
    return bounded(200, low=2, high=100_000, what="of expected gradients: random baselines, with a point each")


def allow_partial_cut() -> Any:
    """Whether layers that are no cut are taken."""
    return bounded(False, low=False, high=True, what="take layers that some path passes by, and be told what passes")
