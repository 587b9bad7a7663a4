"""From what an attribution added up to, to its account and its map: display steps come after the result."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sidelight.core.errors import Unsupported
from sidelight.core.job import TINY, Account, Job, Step
from sidelight.path.attributions import READINGS, Reading, parts
from sidelight.path.ledger import Finding
from sidelight.path.line import Features
from sidelight.path.options import Attribution, Options
from sidelight.path.positions import positions
from sidelight.path.scene import Scene

Cells = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Ends:
    """The outputs of one target, on what its attribution stands between."""

    output: float  # g(z)
    baseline: float  # g(b), of several the mean; NaN where there is none
    smoothed: float  # mean g(z') of noisy copies z'; g(z) without
    past: float | None  # f(x') of a layer that is no cut, of several the mean


def account(
    job: Job, options: Options, kind: Attribution, found: Finding, ends: Ends, baseline: str, scene: Scene
) -> tuple[Account, float]:
    """One attribution of one target with its map, and what of it no position stands for."""
    reading = READINGS[kind]
    result = sum(float(a.sum()) for a in found.features.values())
    if not math.isfinite(result):
        raise Unsupported(
            "NON_FINITE_GRADIENT",
            "target.link",
            f"the gradient is not finite somewhere on the path of {kind.value}: take another link or baseline",
        )
    target = ends.output - ends.baseline
    where = parts(reading, result, found.quadrature, target, ends.smoothed - ends.baseline)
    if ends.past is not None:
        where["cut"] = ends.baseline - ends.past
    shown, rest, steps = display(job, reading, found.features, scene.channels, options.field("layers"))
    met = job.tolerance is None or abs(result - target) <= job.tolerance * max(abs(target), TINY)
    told = Account(
        attribution=kind.value,
        baseline=baseline,
        rule=found.rule,
        output=ends.output,
        baseline_output=ends.baseline,
        result=result,
        parts=where,
        steps=steps,
        residual=found.residual,
        indicator=found.indicator,
        converged=met if found.converged is None else found.converged,
        evaluations=scene.rows + found.rows,
        raw=found.features,
        map=shown,
    )
    return told, rest


def display(
    job: Job, reading: Reading, found: Features, channels: dict[str, int], field: str
) -> tuple[torch.Tensor, float, tuple[Step, ...]]:
    """The map [*input.shape], what no position stands for, and the steps to it with what is left after each."""
    cells = {layer: a.sum(channels[layer], keepdim=True) for layer, a in found.items()}
    steps = []
    for name in reading.shown:
        cells = STEPS[name](cells)
        steps.append(Step(name, sum(float(c.sum()) for c in cells.values())))
    shown, rest, more = positions(job.input, cells, job.twin, field)
    return shown, rest, (*steps, *more)


def relu(cells: Cells) -> Cells:
    """Negative cells at 0."""
    return {layer: c.relu() for layer, c in cells.items()}


def min_max(cells: Cells) -> Cells:
    """Each layer's cells into [0, 1]; a layer that is equal everywhere at 0."""
    return {layer: (c - c.min()) / _or_one(c.max() - c.min()) for layer, c in cells.items()}


def _or_one(width: torch.Tensor) -> torch.Tensor:
    return torch.where(width > 0, width, 1.0)


STEPS: dict[str, Callable[[Cells], Cells]] = {"relu": relu, "min_max": min_max}
