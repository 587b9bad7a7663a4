"""Attributions whose nodes are known beforehand, as batches of gradients that are asked for together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.path import ends
from sidelight.path.attributions import READINGS, Source
from sidelight.path.blur import blur
from sidelight.path.checks import adapts
from sidelight.path.ends import End
from sidelight.path.fixed import draws, legs, rule_of, slots, table_of
from sidelight.path.gradients import Sums
from sidelight.path.ledger import Finding, Ledger
from sidelight.path.lines import Lines
from sidelight.path.options import Attribution, Options, Path
from sidelight.path.scene import Scene

IG, EG = Attribution.INTEGRATED_GRADIENTS, Attribution.EXPECTED_GRADIENTS
GROUPS = 20  # of random draws, whose spread gives the standard error


@dataclass(frozen=True, eq=False)
class Batch:
    """Gradients of one sweep, with what becomes of them."""

    fold: Sums
    least: int  # rows without which there is no answer
    ledger: Ledger
    words: Mapping[Attribution, str]  # the rule of each; {paths} stands for how many paths there were
    ends: Mapping[Attribution, int]  # outputs at ends that each needs beside its own gradients
    lines: Lines | None = None  # whose ends some nodes may be at

    def findings(self) -> Iterator[tuple[tuple[Attribution, int], Finding]]:
        """Of every attribution and target."""
        for (kind, target), total in self.ledger.totals.items():
            words = self.words[kind].format(paths=total.paths)
            groups = tuple(group for group in self.ledger.groups[kind, target] if group.paths)
            yield (kind, target), Finding(*total.mean(), words, total.nodes + self.ends[kind], groups=groups)

    def scores(self, targets: int) -> dict[End, torch.Tensor]:
        """[T] at every end that gradients were taken at, or are to be (then NaN)."""
        found: dict[End, torch.Tensor] = {}
        if self.lines is None:
            return found
        for node in self.fold.nodes:
            if (end := ends.given(node.way, node.alpha, self.lines)) is not None:
                at = found.setdefault(end, torch.full((targets,), torch.nan, dtype=torch.float64))
                at[node.target] = self.fold.scores.get(node, torch.nan)
        return found


def straight(job: Job, options: Options, lines: Lines, scene: Scene, wanted: ends.Wanted) -> Batch | None:
    """Fixed nodes on straight lines, way by way and target by target."""
    apart = {EG} if options.path is Path.STRAIGHT and not adapts(options, job) else {EG, IG}
    kinds = [kind for kind in options.attributions if kind not in apart]
    if not kinds:
        return None
    rule, ledger = rule_of(options), Ledger(scene.grids)
    uses, tables = slots(kinds, rule)
    fold = Sums(lines, legs(len(lines), len(lines.b), job.target.count, uses, tables), ledger.taker(lines, uses))
    asked = {}
    for kind in kinds:
        ways = range(0, len(lines), 1 if READINGS[kind].source is Source.REQUEST else len(lines.b))
        table = table_of(kind, rule)
        asked[kind] = len(ends.needed(kind, wanted) - ends.at_nodes(table, ways, lines))
        for i in range(0 if table else len(lines)):  # without a gradient: the difference map
            for t in range(job.target.count):
                ledger.add(kind, t, 0, lines[i], lines[i].delta, 0)
    words = {kind: READINGS[kind].rule or rule.words for kind in kinds}
    return Batch(fold, len(fold.nodes), ledger, words, asked, lines)


def blurred(job: Job, options: Options, lines: Lines, scene: Scene, wanted: ends.Wanted) -> Batch | None:
    """Integrated Gradients along the blur path."""
    if options.path is not Path.BLUR:
        return None
    assert isinstance(job.input, ImageInput)  # the options were checked
    rule, ledger, ways = rule_of(options), Ledger(scene.grids), [blur(job.input)]
    uses, tables = slots([IG], rule)
    fold = Sums(ways, legs(1, 1, job.target.count, uses, tables), ledger.taker(ways, uses, curved=True))
    words = {IG: f"{rule.words} along the blur path"}
    return Batch(fold, len(fold.nodes), ledger, words, {IG: len(ends.needed(IG, wanted))})


def drawn(job: Job, options: Options, lines: Lines, scene: Scene, wanted: ends.Wanted) -> Batch | None:
    """Random draws of baseline and point, in groups whose spread tells the error. Some of them are an answer too."""
    if EG not in options.attributions:
        return None
    ledger = Ledger(scene.grids, min(GROUPS, options.draws))
    chosen = draws(job, options.draws, options.smooth_copies, len(lines.b))
    fold = Sums(lines, chosen, ledger.taker(lines, {EG: 0}))
    words = {EG: "{paths} random draws of baseline and point"}
    return Batch(fold, 2 * job.target.count, ledger, words, {EG: len(ends.needed(EG, wanted))})
