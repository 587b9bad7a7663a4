"""The model-parameter randomisation check (Adebayo et al., NeurIPS 2018): does the map depend on what was learnt?

The method explains the same class of the same input again, on copies of the model's differentiable twin whose weights
are random from a layer to the output, layer after layer from the top: at step k of K the last k/K of the layers, at K
all of them. Similarity of each map with the original one, as a curve over k (1 at k = 0) and, at K, as a value:

    spearman, cosine                        of the maps
    spearman_absolute, cosine_absolute      of their absolute values: what lights up, whichever its sign

Read it so: the similarities of a faithful method fall towards 0. One that stays near 1 survives randomisation: its map
shows the input (edges, say) or the method's own baseline, not what the model learnt, and is no explanation of the model
however well it looks. (Maps whose values all have one sign, as RISE's may, have a cosine near 1 or -1 with each other:
read the ranks.) Draws are those of the explanation itself, so that the weights are all that differs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.job import Job
from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import bounded
from sidelight.core.predictor import Layer
from sidelight.core.sweep import Plan
from sidelight.metrics.stability import centred_ranks, spared

SEEDS = 2**31
Feature = Callable[[torch.Tensor], torch.Tensor]  # maps [T, U] -> vectors [T, U]
SIMILARITIES: dict[str, Feature] = {
    "spearman": lambda v: centred_ranks(v),
    "cosine": lambda v: v,
    "spearman_absolute": lambda v: centred_ranks(v.abs()),
    "cosine_absolute": lambda v: v.abs(),
}


@dataclass(frozen=True)
class RandomisationParams:
    layers: int = bounded(4, low=1, high=32, what="K, layers from which on to the output the weights are random")


@metric(
    "randomisation",
    params=RandomisationParams,
    paper="Adebayo et al., NeurIPS 2018",
    needs=("rerun", "twin"),
    cost=lambda p, shape, targets: 2 * p.layers,
    reruns=lambda p: p.layers,
)
def randomisation(subject: Subject, p: RandomisationParams) -> Plan[Measure]:
    """Similarity of the map with those of copies of the model whose weights are random, from the top down."""
    job, maps = subject.job, subject.maps.flatten(1).double()
    if subject.rerun is None:
        raise InvalidRequest("metrics.randomisation", "needs the method to run again: ask for it with an explanation")
    for t, own in enumerate(maps):
        if own.min() == own.max():
            raise InvalidRequest(
                "metrics.randomisation",
                f"the map of target {t} has the same value everywhere and is like no other: explain another target",
            )
    seed = int(job.stream.child("randomisation").integers(range(1), 1, SEEDS)[0, 0])
    again = []
    for layer in cascade(_layers(job), p.layers):
        variant = f"randomised:{layer}:{seed}"
        found = yield from spared(subject.rerun(job.stream, variant))  # one by one: a copy is as large as the model
        again.append(found.maps.flatten(1).double())
    curves = {name: _curve(maps, again, feature) for name, feature in SIMILARITIES.items()}
    return Measure({name: curve[:, -1] for name, curve in curves.items()}, curves)


def cascade(layers: tuple[Layer, ...], steps: int) -> list[str]:
    """Layers at equal distances from the top down to the first; fewer where there are not so many."""
    names = [layer.name for layer in layers]
    inner = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
    steps = min(steps, len(inner))
    return [inner[len(inner) * (steps - k) // steps] for k in range(1, steps + 1)]


def _layers(job: Job) -> tuple[Layer, ...]:
    if job.twin is None or not job.twin.layers:
        name = job.model.name
        raise Unsupported(
            "NO_TWIN",
            name,
            f"model {name} has no verified differentiable twin with layers, whose weights could be random",
        )
    return job.twin.layers


def _curve(maps: torch.Tensor, again: list[torch.Tensor], feature: Feature) -> torch.Tensor:
    """Cosines of features, [T, K+1], the first of the map with itself; 0 with a map that is the same everywhere."""
    own = _unit(feature(maps))
    return torch.stack([(own * _unit(feature(other))).sum(1) for other in (maps, *again)], 1).clamp(-1, 1)


def _unit(v: torch.Tensor) -> torch.Tensor:
    """Vectors [T, U] over their norms, however small those are; 0 stays 0."""
    v = v / v.abs().amax(1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)  # so that no square underflows
    return v / v.norm(dim=1, keepdim=True).clamp(min=1)
