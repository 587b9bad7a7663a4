"""What the attributions of a request come to: gradients at fixed nodes in one go, then those that depend on others."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sidelight.core.job import Job
from sidelight.core.sweep import Plan, Sweep
from sidelight.path import ends
from sidelight.path.batches import Batch, blurred, drawn, straight
from sidelight.path.checks import adapts
from sidelight.path.ends import End
from sidelight.path.gradients import check_finite, complete, sweep
from sidelight.path.ledger import Finding
from sidelight.path.lines import Lines
from sidelight.path.options import Attribution, Options, Path
from sidelight.path.rounds import adaptive, led
from sidelight.path.scene import Scene

IG = Attribution.INTEGRATED_GRADIENTS


@dataclass(frozen=True, eq=False)
class Findings:
    """Of all attributions and targets, with the outputs [T] at every end that was needed."""

    of: dict[tuple[Attribution, int], Finding]
    scores: dict[End, torch.Tensor]


def find(job: Job, options: Options, scene: Scene) -> Plan[Findings]:
    """Ask for everything. Raises Stopped, or InvalidRequest for a budget that is too small for a fixed rule."""
    lines = Lines(scene.z, scene.b, options.smooth_copies, options.smooth_noise, job.stream)
    wanted = ends.wanted(options, lines)
    made = (planned(job, options, lines, scene, wanted) for planned in (straight, blurred, drawn))
    batches = [batch for batch in made if batch is not None]
    adapting, at_ends = adapts(options, job), ends.needed(IG, wanted)
    scores = yield from _ask(job, lines, wanted, batches, at_ends if adapting else set())
    found = dict(pair for batch in batches for pair in batch.findings())
    if adapting:
        of_targets, its = yield from adaptive(job, lines)
        found |= {(IG, t): finding for t, finding in enumerate(of_targets)}
        scores = its | scores
    elif options.path is Path.GUIDED:
        of_targets = yield from led(job, options, lines, len(at_ends))
        found |= {(IG, t): finding for t, finding in enumerate(of_targets)}
    return Findings(found, scores)


def _ask(
    job: Job, lines: Lines, wanted: ends.Wanted, batches: Sequence[Batch], later: set[End]
) -> Plan[dict[End, torch.Tensor]]:
    """The gradients of all batches, and the outputs at the ends: those that no gradient is taken at, now or later."""
    asking = [batch for batch in batches if batch.fold.nodes]
    sweeps: list[Sweep] = [sweep(job, batch.fold.ways, batch.fold.nodes, batch.fold) for batch in asking]
    least = [batch.least for batch in asking]
    covered = {end for batch in asking for end in batch.scores(job.target.count)}
    missing = [end for end in wanted if end not in covered | later]
    if missing:
        sweeps.insert(0, ends.sweep(job, [wanted[end] for end in missing], lines.z))
        least.insert(0, len(missing))
    if not sweeps:
        return {}
    answers = yield from complete(tuple(sweeps), least)
    for batch in asking:
        check_finite(batch.fold.finite)
    scores = {end: s for batch in asking for end, s in batch.scores(job.target.count).items()}
    if missing:
        scores |= dict(zip(missing, job.target.score(answers[0].value), strict=True))
    return scores
