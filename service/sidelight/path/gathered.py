"""The fold of sweeps of a few rows that a plan branches on: all that they were answered with."""

from dataclasses import dataclass

import torch

from sidelight.core.fold import Fold, Out
from sidelight.core.sweep import Folded, Stopped, Sweep


@dataclass(frozen=True, eq=False)
class Answers:
    """Outputs y [k, ...]; of gradients also s [k] and, of all layers one after another, g [k, d]. In float64."""

    y: torch.Tensor
    s: torch.Tensor
    g: torch.Tensor


class Gathered(Fold[Answers]):
    """Collects them on the CPU. `layers`: where there are gradients."""

    def __init__(self, layers: tuple[str, ...] = ()) -> None:
        self.layers = layers
        self.y: list[torch.Tensor] = []
        self.s: list[torch.Tensor] = []
        self.g: list[torch.Tensor] = []

    def add(self, rows: range, memo: object, out: Out) -> None:
        self.y.append(out["y"].double().cpu())
        if self.layers:
            self.s.append(out["s"].double().cpu())
            self.g.append(torch.cat([out[f"g.{layer}"].flatten(1).double().cpu() for layer in self.layers], 1))

    def value(self) -> Answers:
        none = torch.empty(0, dtype=torch.float64)
        return Answers(torch.cat(self.y), torch.cat(self.s) if self.s else none, torch.cat(self.g) if self.g else none)


def whole(sweep: Sweep[Answers], folded: Folded[Answers]) -> Answers:
    """What `sweep` was answered with. Raises Stopped where a row is missing: the next step would not be the same."""
    if folded.rows < sweep.size:
        raise Stopped(folded.stop)
    return folded.value
