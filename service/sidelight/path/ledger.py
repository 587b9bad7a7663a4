"""What each attribution of each target comes to, added up over baselines and copies as their gradients arrive."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from sidelight.path.attributions import READINGS, Reading, quadrature_of
from sidelight.path.gradients import Leg, Slot
from sidelight.path.line import Features, Way, Ways
from sidelight.path.options import Attribution
from sidelight.path.positions import Grids

Key = tuple[Attribution, int]  # of a target


@dataclass
class Total:
    """A sum over paths: of A by layer, and of what their quadratures added up to."""

    features: dict[str, torch.Tensor] = field(default_factory=dict)
    quadrature: float = 0.0
    paths: int = 0
    nodes: int = 0

    def add(self, features: Features, quadrature: float, nodes: int) -> None:
        """One more path."""
        for layer, a in features.items():
            self.features[layer] = self.features[layer] + a if layer in self.features else a
        self.quadrature += quadrature
        self.paths += 1
        self.nodes += nodes

    def mean(self) -> tuple[Features, float]:
        """Over paths."""
        return {layer: a / self.paths for layer, a in self.features.items()}, self.quadrature / self.paths


@dataclass(frozen=True)
class Finding:
    """What one attribution of one target came to, as a mean over paths."""

    features: Features  # A by layer
    quadrature: float  # what its quadrature adds up to, where the attribution departs from one
    rule: str  # in words
    rows: int  # evaluations that it stands on, beside those of the scene
    residual: float | None = None
    indicator: float | None = None
    converged: bool = True  # as far as the rule itself can tell
    groups: tuple[Total, ...] = ()  # of random draws, with one channel


class Ledger:
    """Totals by attribution and target, and of groups of paths where their spread is wanted."""

    def __init__(self, grids: Grids, groups: int = 0) -> None:
        self.grids = grids
        self.totals: dict[Key, Total] = {}
        self.groups: defaultdict[Key, list[Total]] = defaultdict(lambda: [Total() for _ in range(groups)])

    def taker(
        self, ways: Ways, uses: Mapping[Attribution, Slot], curved: bool = False
    ) -> Callable[[Leg, Mapping[Slot, Features]], None]:
        """What a fold hands its legs to. Of curved paths the sums hold the slope already: they are A."""

        def take(leg: Leg, sums: Mapping[Slot, Features]) -> None:
            for attribution, slot in uses.items():
                if slot in sums:
                    nodes = sum(slot in weights for weights in leg.nodes.values())
                    self.add(attribution, leg.target, leg.number, ways[leg.way], sums[slot], nodes, curved)

        return take

    def add(
        self, kind: Attribution, target: int, index: int, way: Way, gradient: Features, nodes: int, curved: bool = False
    ) -> None:
        """One path's attribution, of its summed gradients."""
        reading, z, b = READINGS[kind], way.z, way.b
        if curved:
            found: Features = gradient
            quadrature = sum(float(a.sum()) for a in gradient.values())
        else:
            found = read(reading, gradient, z, b, self.grids)
            quadrature = quadrature_of(reading, gradient, z, b) if reading.departs else 0.0
        self.totals.setdefault((kind, target), Total()).add(found, quadrature, nodes)
        if groups := self.groups[kind, target]:  # of the map's cells only, which its spread is told of
            cells = {layer: a.sum(self.grids[layer].channels, keepdim=True) for layer, a in found.items()}
            groups[index % len(groups)].add(cells, quadrature, nodes)


def read(reading: Reading, gradient: Features, z: Features, b: Features, grids: Grids) -> Features:
    """A by layer."""
    return {layer: reading.features(gradient[layer], z[layer], b[layer], grids[layer].channels) for layer in z}
