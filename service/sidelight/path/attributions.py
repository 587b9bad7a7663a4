"""Every attribution as a quadrature of T = int_0^1 grad g(b + a D).D da, D = z - b, or as what departs from one.

G is the sum of gradients with the weights of `points`, features z and baseline b [*A_l] by layer:

    gradient                 G                    G = grad g(z)                        b = z - 1: no finite baseline
    gradient x activation    z G                  G = grad g(z)                        b = 0
    Taylor                   D G                  G = grad g(b)
    Taylor, second order     D G                  G = grad g(b) + 1/2 H(b) D, HD by a central difference of gradients
    midpoint                 D G                  G = grad g(b + D/2)
    Integrated Gradients     D G                  G = sum_i w_i grad g(b + a_i D)
    expected gradients       E D G                G = grad g(b + a D), b ~ distribution, a ~ U(0, 1)
    Grad-CAM                 mean_p(G) z          G = grad g(z)                        b = 0; shown after a ReLU
    LayerCAM                 ReLU(G) z            G = grad g(z)                        b = 0; shown after a ReLU
    ODAM                     z G                  G = grad g(z)                        b = 0; shown after ReLU, min-max
    difference map           D                    no gradient

The unified view is that of Cui & Fan (arXiv 2605.22417).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import torch

from sidelight.path.line import Features
from sidelight.path.options import Attribution

EPSILON = 1e-2  # of the way, for the central difference: its square is the error, 1e-7 / EPSILON that of float32


class Source(Enum):
    """Which baseline an attribution is over."""

    REQUEST = "request"  # the request's, each of several
    ZERO = "zero"  # b = 0, implied; it reads the gradient at z alone
    NONE = "none"  # no finite one; likewise


@dataclass(frozen=True)
class Reading:
    """How one attribution is read off gradients, and where its error comes from."""

    points: Mapping[float, float] | None  # weight by node; None: those of the rule, or random ones
    features: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]  # A of G, z, b, channel axis
    error: str  # what its quadrature leaves: remainder, quadrature, ...
    source: Source = Source.REQUEST
    departs: str = ""  # the part of the error that is no quadrature's: average, clip
    rule: str = ""  # in words, where it has its own
    shown: tuple[str, ...] = ()  # display steps


def _path(g: torch.Tensor, z: torch.Tensor, b: torch.Tensor, channels: int) -> torch.Tensor:
    return (z - b) * g


def _at_z(g: torch.Tensor, z: torch.Tensor, b: torch.Tensor, channels: int) -> torch.Tensor:
    return z * g


def _grad_cam(g: torch.Tensor, z: torch.Tensor, b: torch.Tensor, channels: int) -> torch.Tensor:
    positions = [axis for axis in range(g.ndim) if axis != channels]
    return g.mean(positions, keepdim=True) * z


AT_Z, AT_B, HALFWAY = {1.0: 1.0}, {0.0: 1.0}, {0.5: 1.0}
SECOND_ORDER = {0.0: 1.0, EPSILON: 0.25 / EPSILON, -EPSILON: -0.25 / EPSILON}
INPUT_NODE = "one node at the input"

READINGS: dict[Attribution, Reading] = {
    Attribution.GRADIENT: Reading(
        AT_Z, lambda g, z, b, channels: g.clone(), "no_baseline", Source.NONE, rule=INPUT_NODE
    ),
    Attribution.GRADIENT_X_ACTIVATION: Reading(AT_Z, _at_z, "remainder", Source.ZERO, rule=INPUT_NODE),
    Attribution.TAYLOR: Reading(AT_B, _path, "remainder", rule="one node at the baseline"),
    Attribution.TAYLOR_SECOND_ORDER: Reading(
        SECOND_ORDER, _path, "remainder", rule="one node at the baseline and a central difference about it"
    ),
    Attribution.MIDPOINT: Reading(HALFWAY, _path, "remainder", rule="one node halfway"),
    Attribution.INTEGRATED_GRADIENTS: Reading(None, _path, "quadrature"),
    Attribution.EXPECTED_GRADIENTS: Reading(None, _path, "monte_carlo"),
    Attribution.GRAD_CAM: Reading(
        AT_Z, _grad_cam, "remainder", Source.ZERO, "average", INPUT_NODE, ("relu",)
    ),
    Attribution.LAYER_CAM: Reading(
        AT_Z, lambda g, z, b, channels: g.relu() * z, "remainder", Source.ZERO, "clip", INPUT_NODE, ("relu",)
    ),
    Attribution.ODAM: Reading(
        AT_Z, _at_z, "remainder", Source.ZERO, rule=INPUT_NODE, shown=("relu", "min_max")
    ),
    Attribution.DIFFERENCE_MAP: Reading(
        {}, lambda g, z, b, channels: z - b, "not_of_output", rule="no gradient"
    ),
}  # fmt: skip


def quadrature_of(reading: Reading, gradient: Features, z: Features, b: Features) -> float:
    """What the quadrature behind a reading adds up to: R, but for what departs from one."""
    over = z if reading.source is Source.ZERO else {layer: z[layer] - b[layer] for layer in z}
    return sum(float((over[layer] * gradient[layer]).sum()) for layer in z)


def parts(reading: Reading, result: float, quadrature: float, target: float, smoothed: float) -> dict[str, float]:
    """Where E = R - T comes from; the parts add up to it.

    `smoothed` is the target with the mean output of noisy copies in place of g(z); without copies, T itself.
    """
    found = {reading.error: (quadrature if reading.departs else result) - smoothed}
    if reading.departs:
        found[reading.departs] = result - quadrature
    if smoothed != target and not math.isnan(target):  # without a baseline there is no target
        found["noise"] = smoothed - target
    return found
