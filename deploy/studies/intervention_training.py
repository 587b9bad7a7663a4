"""Trains the study's classifiers, and keeps the weights of every epoch: what was trained is not trained again."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from intervention_domain import Labelled
from intervention_networks import ARCHITECTURES
from torch import nn

SCALE, MEAN, SD = 1 / 255, 0.5, 0.25  # a network takes (pixel * SCALE - MEAN) / SD
BATCH = 32
RATE = {"resnet": 4e-3, "convnext": 2e-3}  # of AdamW, at its highest
WEIGHT_DECAY = 0.02
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """One classifier, and how it is trained."""

    scenario: str
    architecture: str
    seed: int
    lesions: int  # of its training set
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.scenario}-{self.architecture}-{self.seed}"

    def file(self, folder: Path) -> Path:
        """Where its weights are kept."""
        return folder / f"{self.name}-{self.lesions}x{self.epochs}.pt"


def trained(recipe: Recipe, data: Callable[[], Labelled], folder: Path) -> tuple[Weights, ...]:
    """Weights of every epoch, the untrained ones first, [epochs + 1]; from `folder` where they are there."""
    path = recipe.file(folder)
    if path.exists():
        return tuple(torch.load(path, weights_only=True))
    found = train(recipe, data())
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save(found, partial)
    partial.replace(path)  # whole or not at all
    return tuple(found)


def train(recipe: Recipe, data: Labelled) -> list[Weights]:
    """Cross-entropy by AdamW; the rate rises for a tenth of the steps, then falls along a cosine."""
    torch.manual_seed(recipe.seed)
    network = ARCHITECTURES[recipe.architecture]().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(), RATE[recipe.architecture], (0.9, 0.99), weight_decay=WEIGHT_DECAY
    )
    batches = len(data.labels) // BATCH
    steps = recipe.epochs * batches

    def rate(step: int) -> float:
        return min(10 * (step + 1) / steps, 0.5 * (1 + math.cos(math.pi * step / steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    x = normalised(data.pictures).contiguous(memory_format=torch.channels_last)
    found = [_copied(network)]
    for _ in range(recipe.epochs):
        network.train()
        for part in torch.randperm(len(x))[: batches * BATCH].view(batches, BATCH):
            optimiser.zero_grad()
            F.cross_entropy(network(x[part]), data.labels[part]).backward()
            optimiser.step()
            schedule.step()
        found.append(_copied(network))
    return found


def network_of(architecture: str, weights: Weights) -> nn.Module:
    """The network with these weights, in evaluation mode."""
    network = ARCHITECTURES[architecture]()
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(network: nn.Module, data: Labelled) -> float:
    """Share of the pictures that are given their label."""
    right = [network(normalised(p)).argmax(1) == y for p, y in _parts(data)]
    return float(torch.cat(right).double().mean())


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """Levels 0..255 as a network takes them."""
    return (pictures.float() * SCALE - MEAN) / SD


def _parts(data: Labelled) -> Sequence[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(data.pictures.split(64), data.labels.split(64), strict=True))


def _copied(network: nn.Module) -> Weights:
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
