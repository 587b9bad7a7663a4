"""The straight line from a baseline to the input, at a set of layers that are interpolated jointly.

gamma(a) = b + a (z - b),   gamma'(a) = z - b
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch

from sidelight.core.sweep import Placement

Features = Mapping[str, torch.Tensor]  # by layer, [*A_l] float64, on the CPU


class Way(Protocol):
    """A path in the space of some layers, from b at 0 to z at 1."""

    @property
    def z(self) -> Features:
        """Where it ends: the features of the input."""

    @property
    def b(self) -> Features:
        """Where it begins: those of the baseline."""

    def points(self, alphas: Sequence[float], on: Placement) -> Features:
        """gamma(a) by layer, [k, *A_l], as the model takes them."""

    def slope(self, alpha: float) -> Features | None:
        """gamma'(a) by layer, [*A_l]; None where it is z - b everywhere."""


class Ways(Protocol):
    """Several at the same layers, by number."""

    def __getitem__(self, index: int, /) -> Way:
        """One of them."""


@dataclass(frozen=True, eq=False)
class Line:
    """A straight one. Its ends are exact: `points` gives b at 0 and z at 1 to the last bit.

    `z_on` has z on devices; lines to the same z share it.
    """

    z: Features
    b: Features
    z_on: dict[Placement, Features] = field(default_factory=dict, repr=False)
    _b_on: dict[Placement, Features] = field(default_factory=dict, repr=False)

    @cached_property
    def delta(self) -> Features:
        """z - b."""
        return {layer: self.z[layer] - self.b[layer] for layer in self.z}

    def points(self, alphas: Sequence[float], on: Placement) -> Features:
        b, z = _on(self.b, on, self._b_on), _on(self.z, on, self.z_on)
        a = torch.tensor(alphas, dtype=on.dtype, device=on.device)
        return {layer: torch.lerp(b[layer], z[layer], a.view(-1, *[1] * z[layer].ndim)) for layer in z}

    def slope(self, alpha: float) -> Features | None:
        return None


def _on(features: Features, on: Placement, known: dict[Placement, Features]) -> Features:
    """On the device, once a request."""
    if on not in known:
        known[on] = {layer: a.to(on.device, on.dtype) for layer, a in features.items()}
    return known[on]


def zero(z: Features) -> Features:
    """b = 0."""
    return {layer: torch.zeros_like(a) for layer, a in z.items()}


def flat(features: Features) -> torch.Tensor:
    """All layers one after another, [d] float64."""
    return torch.cat([a.double().flatten() for a in features.values()])


def shaped(v: torch.Tensor, like: Features) -> dict[str, torch.Tensor]:
    """The other way round: vectors [..., d] by layer, [..., *A_l]."""
    parts = v.split([a.numel() for a in like.values()], dim=-1)
    return {layer: part.view(*v.shape[:-1], *a.shape) for (layer, a), part in zip(like.items(), parts, strict=True)}
