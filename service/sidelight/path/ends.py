"""The outputs that attribution targets are made of: g(z), g(b) and g(0), with the layers substituted as gradients have
them. A rule with a node at an end of the path has asked for them already."""

from collections.abc import Callable, Mapping, Sequence

import torch

from sidelight.core.ask import Forward
from sidelight.core.fold import Collect
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Rows, Sweep
from sidelight.path.attributions import READINGS, Source
from sidelight.path.gradients import like, substituted
from sidelight.path.line import Features, zero
from sidelight.path.lines import Lines
from sidelight.path.options import Attribution, Options

End = tuple[str, int]  # "z" and 0, "copy" and its number, "b" and the baseline's, "zero" and 0
Z, ZERO = ("z", 0), ("zero", 0)
Wanted = dict[End, Callable[[], Features]]


def wanted(options: Options, lines: Lines) -> Wanted:
    """The ends that the targets of all attributions need, each made when its turn comes."""
    sources = {READINGS[kind].source for kind in options.attributions}
    found: Wanted = {Z: lambda: lines.z}
    for c in range(lines.copies):
        found["copy", c] = lambda c=c: lines.copy(c)  # type: ignore[misc]
    if Source.REQUEST in sources:
        for m, b in enumerate(lines.b):
            found["b", m] = lambda b=b: b  # type: ignore[misc]
    if Source.ZERO in sources:
        found[ZERO] = lambda: zero(lines.z)
    return found


def needed(kind: Attribution, all_wanted: Wanted) -> set[End]:
    """Those that one attribution needs."""
    kinds = {"z", "copy", {Source.REQUEST: "b", Source.ZERO: "zero", Source.NONE: "z"}[READINGS[kind].source]}
    return {end for end in all_wanted if end[0] in kinds}


def given(way: int, alpha: float, lines: Lines) -> End | None:
    """The end that a node of a line is at."""
    copy, m = divmod(way, len(lines.b))
    if alpha == 1.0:
        return ("copy", copy) if lines.copies else Z
    return ("b", m) if alpha == 0.0 else None


def at_nodes(table: Mapping[float, float], ways: Sequence[int], lines: Lines) -> set[End]:
    """The ends that nodes with these weights are at."""
    return {end for way in ways for alpha in table if (end := given(way, alpha, lines)) is not None}


def sweep(job: Job, features: Sequence[Callable[[], Features]], z: Features) -> Sweep[torch.Tensor]:
    """Outputs [k, K] with these features at the layers of z."""
    layers = tuple(z)

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        part = [features[row]() for row in rows]
        values = {layer: torch.stack([f[layer].to(on.device, on.dtype) for f in part]) for layer in layers}
        return substituted(job.input, values, on), None

    return Sweep(Forward(job.differentiable, layers), len(features), render, Collect("y"), like(job.input, z))
