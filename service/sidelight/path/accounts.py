"""From what an attribution added up to, to its account and its map: display steps come after the result."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.job import Account, Job
from sidelight.path.attributions import READINGS, Reading, parts
from sidelight.path.gradients import check_gradient
from sidelight.path.layers import twin_of
from sidelight.path.ledger import Finding
from sidelight.path.line import Features
from sidelight.path.options import Attribution, Options
from sidelight.path.positions import Cells, Shown, positional, positions
from sidelight.path.rules import ROUNDING
from sidelight.path.scene import Scene


@dataclass(frozen=True)
class Between:
    """The outputs of one target, on what its attribution stands between."""

    output: float  # g(z)
    baseline: float  # g(b), of several the mean; NaN where there is none
    baselines: tuple[float, ...]  # of several, each
    smoothed: float  # mean g(z') of noisy copies z'; g(z) without
    past: float | None  # f(x') of a layer that is no cut, of several the mean


def account(
    job: Job, options: Options, kind: Attribution, found: Finding, between: Between, baseline: str, scene: Scene
) -> tuple[Account, float]:
    """One attribution of one target with its map, and what of it no position stands for."""
    reading = READINGS[kind]
    result = sum(float(a.sum()) for a in found.features.values())
    check_gradient(math.isfinite(result))
    if options.fuses:
        _check_reached(job, options, found.features, scene)
    target = between.output - between.baseline
    where = parts(reading, result, found.quadrature, target, between.smoothed - between.baseline)
    if between.past is not None:
        where["cut"] = between.baseline - between.past
    shown, rest, steps = display(job, reading, found.features, scene)
    told = Account(
        attribution=kind.value,
        baseline=baseline,
        rule=found.rule,
        output=between.output,
        baseline_output=between.baseline,
        baseline_outputs=between.baselines,
        result=result,
        parts=where,
        steps=steps,
        residual=found.residual,
        indicator=found.indicator,
        converged=found.converged and (job.tolerance is None or _met(job.tolerance, result - target, between)),
        evaluations=scene.evaluations(reading.source) + found.rows,
        raw=found.features,
        map=shown,
    )
    return told, rest


def _met(tolerance: float, error: float, between: Between) -> bool:
    """Whether |E| is within the tolerance of |T|, or no more than what rounding makes of g."""
    target, largest = between.output - between.baseline, max(abs(between.output), abs(between.baseline))
    return abs(error) <= max(tolerance * abs(target), ROUNDING * largest)


def _check_reached(job: Job, options: Options, found: Features, scene: Scene) -> None:
    """Raises InvalidRequest, with layers before it, for one of which the class token alone reaches the output."""
    for layer, a in found.items():
        before = scene.grids[layer].before
        if before and a.any() and not a[before:].any():
            names = [known.name for known in twin_of(job).layers]
            earlier = [
                known.name
                for known in twin_of(job).layers[: names.index(layer)]
                if known.cut and positional(job.input, known.name, known.shape)
            ]
            mend = f"name an earlier one ({', '.join(earlier[-3:])})" if earlier else "take another method"
            raise InvalidRequest(
                options.field("layers"), f"{mend}: after {layer} the class token alone is read, and the map would be 0"
            )


def display(job: Job, reading: Reading, found: Features, scene: Scene) -> Shown:
    """The map [*input.shape], what no position stands for, and the steps to it with what is left after each."""
    return positions(job.input, found, scene.grids, job.twin, {name: STEPS[name] for name in reading.shown})


def relu(cells: Cells) -> Cells:
    """Negative cells at 0."""
    return {layer: c.relu() for layer, c in cells.items()}


def min_max(cells: Cells) -> Cells:
    """Each layer's cells into [0, 1]; a layer that is equal everywhere at 0."""
    return {layer: (c - c.min()) / _or_one(c.max() - c.min()) for layer, c in cells.items()}


def _or_one(width: torch.Tensor) -> torch.Tensor:
    return torch.where(width > 0, width, 1.0)


STEPS: dict[str, Callable[[Cells], Cells]] = {"relu": relu, "min_max": min_max}
