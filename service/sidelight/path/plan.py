"""Attributions along a path as plans: find the features, ask gradients at the nodes, add up, say what is left over."""

import math

import torch

from sidelight.core.job import Account, Job, Saliency, relative_error
from sidelight.core.sweep import Meter, Plan, metered
from sidelight.path.accounts import Between, account, display
from sidelight.path.attributions import READINGS, Source
from sidelight.path.findings import Findings, find
from sidelight.path.fixed import spread
from sidelight.path.layers import twin_of
from sidelight.path.ledger import Finding
from sidelight.path.options import Attribution, Options
from sidelight.path.scene import NO_INPUT, Scene, enter
from sidelight.path.tokens import on_twin

IMPLIED = {Source.ZERO: "b = 0", Source.NONE: "none that is finite: b = z - 1"}


def attribute(job: Job, options: Options) -> Plan[Saliency]:
    """The attributions asked for, of every target, on shared evaluations; the maps are the first's."""
    job = on_twin(job, twin_of(job))
    scene = yield from metered(enter(job, options), spent := Meter())
    found = yield from find(job, options, scene, spent.rows_done)
    accounts, rests = [], []
    for t in range(job.target.count):
        told = [_account(job, options, scene, found, kind, t) for kind in options.attributions]
        accounts.append(tuple(a for a, _ in told))
        rests.append(told[0][1])
    first = options.attributions[0]
    error = _standard_error(job, scene, [found.of[first, t] for t in range(job.target.count)], first)
    maps = torch.stack([told[0].map for told in accounts if told[0].map is not None])
    return Saliency(
        maps,
        standard_error=error,
        relative_error=None if error is None else relative_error(maps, error),
        accounts=tuple(accounts),
        rest=torch.tensor(rests, dtype=torch.float64),
    )


def _account(
    job: Job, options: Options, scene: Scene, found: Findings, kind: Attribution, t: int
) -> tuple[Account, float]:
    source = READINGS[kind].source
    implied = NO_INPUT if source is Source.ZERO and not scene.whole else ""
    words = scene.baseline if source is Source.REQUEST else f"{IMPLIED[source]} {scene.place}".rstrip() + implied
    words += scene.besides
    return account(job, options, kind, found.of[kind, t], _between(scene, found, source, t), words, scene)


def _between(scene: Scene, found: Findings, source: Source, t: int) -> Between:
    def at(which: str) -> tuple[float, ...]:
        return tuple(float(found.scores[end][t]) for end in sorted(found.scores) if end[0] == which)

    def mean(values: tuple[float, ...]) -> float:
        return sum(values) / len(values) if values else math.nan

    output, induced = mean(at("z")), source is Source.REQUEST
    copies = at("copy")
    past = scene.past[:, t].mean().item() if induced and not scene.whole and scene.past is not None else None
    below = at({Source.REQUEST: "b", Source.ZERO: "zero", Source.NONE: "none"}[source])
    return Between(
        output,
        baseline=mean(below),
        baselines=below if len(below) > 1 else (),
        smoothed=mean(copies) if copies else output,
        past=past,
    )


def _standard_error(job: Job, scene: Scene, found: list[Finding], kind: Attribution) -> torch.Tensor | None:
    """[T, *input.shape], of attributions over random draws."""
    if not all(len(f.groups) > 1 for f in found):
        return None
    errors = []
    for f in found:
        maps = [display(job, READINGS[kind], group.mean()[0], scene)[0] for group in f.groups]
        errors.append(spread(torch.stack(maps), torch.tensor([group.paths for group in f.groups])))
    return torch.stack(errors)
