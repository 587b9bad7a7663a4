"""What the attributions of a request come to: gradients at fixed nodes in one go, then those that depend on others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.job import Job
from sidelight.core.sweep import Plan, Stop, Stopped, Sweep
from sidelight.path import ends
from sidelight.path.adaptive import FIRST
from sidelight.path.batches import Batch, blurred, drawn, straight
from sidelight.path.checks import adapts
from sidelight.path.ends import End
from sidelight.path.gradients import check_finite, complete, sweep
from sidelight.path.ledger import Finding
from sidelight.path.lines import Lines
from sidelight.path.options import Attribution, Options, Path
from sidelight.path.rounds import Led, adaptive, led
from sidelight.path.scene import Scene

IG = Attribution.INTEGRATED_GRADIENTS


@dataclass(frozen=True, eq=False)
class Findings:
    """Of all attributions and targets, with the outputs [T] at every end that was needed."""

    of: dict[tuple[Attribution, int], Finding]
    scores: dict[End, torch.Tensor]


class Short(InvalidRequest):
    """A budget of which no answer can come."""

    def __init__(self, rows: int) -> None:
        super().__init__(
            "budget.max_evaluations", f"at least {rows} here, since a part of a rule is no integral; or fewer nodes"
        )
        self.rows = rows


def find(job: Job, options: Options, scene: Scene, spent: int) -> Plan[Findings]:
    """Ask for everything, `spent` rows of the budget being gone. Raises Stopped, and Short for a budget too small."""
    lines = Lines(scene.z, scene.b, options.smooth_copies, options.smooth_noise, job.stream)
    wanted = ends.wanted(options, lines)
    made = (planned(job, options, lines, scene, wanted) for planned in (straight, blurred, drawn))
    batches = [batch for batch in made if batch is not None]
    branching, least = _branching(job, options)
    its_own = ends.needed(IG, wanted) if branching else set()  # ends that are nodes of it
    covered = {end for batch in batches for end in batch.scores(job.target.count)}
    missing = [end for end in wanted if end not in covered | its_own]
    try:
        scores = yield from _ask(job, lines, wanted, batches, missing)
        found = dict(pair for batch in batches for pair in batch.findings())
        if branching:
            of_targets, its = yield from branching(job, options, lines)
            found |= {(IG, t): finding for t, finding in enumerate(of_targets)}
            scores = its | scores
    except Stopped as stopped:
        if stopped.stop is not Stop.MAX_EVALUATIONS:
            raise
        least += sum(batch.least for batch in batches)
        raise Short(spent + least + len(missing)) from stopped
    return Findings(found, scores)


def _branching(job: Job, options: Options) -> tuple[Callable[[Job, Options, Lines], Plan[Led]] | None, int]:
    """The rule of Integrated Gradients whose nodes depend on others' answers, if one is asked for; its least rows."""
    paths = job.target.count * (1 + len(job.others))
    if adapts(options, job):
        return adaptive, FIRST * paths
    if options.path is Path.GUIDED:
        return led, (options.nodes + 1) * paths
    return None, 0


def _ask(
    job: Job, lines: Lines, wanted: ends.Wanted, batches: Sequence[Batch], missing: Sequence[End]
) -> Plan[dict[End, torch.Tensor]]:
    """The gradients of all batches, and the outputs at the ends that no gradient is taken at."""
    asking = [batch for batch in batches if batch.fold.nodes]
    sweeps: list[Sweep] = [sweep(job, batch.fold.ways, batch.fold.nodes, batch.fold) for batch in asking]
    least = [batch.least for batch in asking]
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
