"""The objective of mask optimisation without gradients: an evolution strategy over words or segments.

Each generation is one sweep: the kept part and the complement of every candidate, over every baseline. A mask has one
lambda for each unit, by equation 6 over the distance of units (words apart; of segments, between their centres, in
spacings of a grid of as many). Images are blended softly; a text that is served as a string can only keep a word or
not, so the model sees the words of lambda >= 1/2, and the terms of the objective that are about the mask have lambda
itself.

The strategy is separable CMA-ES (Ros & Hansen, PPSN 2008), by the package cmaes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from cmaes import SepCMA

from sidelight.core.ask import Forward
from sidelight.core.evidence import Evidence, evidence
from sidelight.core.fold import Fold, Out
from sidelight.core.inputs import Input
from sidelight.core.job import Job, Optimised, Saliency, Segments
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep, ask
from sidelight.core.target import OutputKind, outputs
from sidelight.masks.field import Cells, UnitField
from sidelight.masks.objective import comparable, regularisers
from sidelight.masks.options import Comprehensiveness, Options
from sidelight.masks.rationale import rationale
from sidelight.masks.scene import by_baseline, joined
from sidelight.perturbation.fields import Field, Grid
from sidelight.perturbation.fields import Segments as Partition

SPREAD = 1.0  # of the first generation, in w and in log sigma
CPU = Placement()


class Logs(Fold[torch.Tensor]):
    """log p and log(1 - p) of the class that each row is about, [rows, 2]; as preview, the best masks so far."""

    def __init__(self, kind: OutputKind, of: Evidence, best: "Sequence[Candidates]") -> None:
        self.kind, self.of, self.best = kind, of, best
        self.parts: list[torch.Tensor] = []

    def add(self, rows: range, memo: torch.Tensor, out: Out) -> None:
        y = outputs(out["y"], self.kind)  # [k, K]
        pairs = evidence(y, self.kind, self.of).unflatten(1, (2, -1))  # [k, 2, K]
        self.parts.append(pairs.gather(2, memo.to(y.device).view(-1, 1, 1).expand(-1, 2, 1)).squeeze(2).cpu())

    def value(self) -> torch.Tensor:
        return torch.cat(self.parts)

    def preview(self) -> torch.Tensor | None:
        found = [c.best for c in self.best]
        return torch.stack([b.mask for b in found if b is not None]) if all(found) else None


@dataclass(frozen=True, eq=False)
class Best:
    """The best candidate so far."""

    loss: float  # all terms
    terms: Mapping[str, float]
    p: float
    q: float
    cells: Cells
    scores: torch.Tensor  # [M]
    mask: torch.Tensor  # [*shape]
    generation: int


@dataclass(eq=False)
class Candidates:
    """The strategy of one target."""

    units: UnitField
    options: Options
    strategy: SepCMA
    asked: list[np.ndarray] = field(default_factory=list)
    best: Best | None = None
    curves: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def start(cls, units: UnitField, options: Options, stream: Stream, population: int | None) -> "Candidates":
        """At w = 0, lambda = 1/2: from the paper's start a strategy would see nothing but the whole input for long."""
        m = units.shape[0]
        mean = np.concatenate([np.zeros(m), np.full(m, np.log(options.sigma))])
        low, high = np.log(options.sigma_low), np.log(options.sigma_high)
        bounds = np.array([[-np.inf, np.inf]] * m + [[low, high]] * m)
        seed = int(stream.words(range(1), 1)[0, 0] >> np.uint64(32))
        return cls(units, options, SepCMA(mean, SPREAD, bounds, seed=seed, population_size=population))

    def next(self) -> torch.Tensor:
        """lambda of the units of a new generation, [P, M] float64."""
        self.asked = [self.strategy.ask() for _ in range(self.strategy.population_size)]
        return torch.stack([self.units.mask(self.cells(x)) for x in self.asked])

    def cells(self, x: np.ndarray) -> Cells:
        """The parameters that a candidate stands for."""
        w, log_sigma = torch.from_numpy(x).chunk(2)
        return Cells(w, log_sigma.exp())

    def tell(self, scores: torch.Tensor, masks: torch.Tensor, found: torch.Tensor, generation: int) -> None:
        """What the generation was answered with: lambda [P, M], masks [P, *shape], [B, P, kept | complement, 2]."""
        ratio = self.options.comprehensiveness is Comprehensiveness.LOG_RATIO
        losses = []
        logs, parts = found.mean(0).tolist(), found[..., 0].exp().mean(0).tolist()  # means over the B baselines
        for x, score, mask, ((log_p, _), (log_q, log_not_q)), (p, q) in zip(
            self.asked, scores, masks, logs, parts, strict=True
        ):
            cells = self.cells(x)
            told = {"kept": -log_p, "removed": log_q if ratio else -log_not_q}
            told |= {name: value.item() for name, value in regularisers(mask, cells, self.options).items()}
            losses.append(sum(told.values()))
            if self.best is None or losses[-1] < self.best.loss:
                self.best = Best(losses[-1], told, p, q, cells, score, mask, generation)
        assert self.best is not None
        for name, value in self.best.terms.items():
            self.curves.setdefault(name, []).append(value)
        self.strategy.tell(list(zip(self.asked, losses, strict=True)))

    def optimised(self, x: Input, settled: bool) -> Optimised:
        """The best candidate of the input `x`, told."""
        best = self.best
        assert best is not None
        return Optimised(
            {name: tuple(curve) for name, curve in self.curves.items()},
            comparable(best.terms),
            best.p,
            best.q,
            best.mask.mean().item(),
            best.generation,
            settled,
            best.cells.w,
            best.cells.sigma,
            gradient_free=True,
            spans=rationale(x, best.mask, self.options),
        )


def search(
    job: Job, options: Options, cut: Field, at: torch.Tensor, generations: int, population: int | None
) -> Plan[Saliency]:
    """Masks over the units of `cut`, whose centres `at` [M, axes] are, for every target.

    Where the budget or the deadline ends within a generation, the best of those before; raises Stopped in the first.
    """
    units = UnitField(at, options)
    stream = job.stream.child("strategy")
    targets = [Candidates.start(units, options, stream.child(str(c)), population) for c in job.target.classes]
    whole = False
    for generation in range(generations):
        scores = [candidates.next() for candidates in targets]
        try:
            found = yield from _asked(job, options, cut, targets, scores)
        except Stopped:
            if not generation:
                raise
            break
        for candidates, own, answers in zip(targets, scores, found, strict=True):
            candidates.tell(own, cut.masks(own.float(), range(len(own)), CPU).double(), answers, generation)
        whole = generation == generations - 1
    return _saliency(job, cut, targets, whole)


def _asked(
    job: Job, options: Options, cut: Field, targets: Sequence[Candidates], scores: Sequence[torch.Tensor]
) -> Plan[list[torch.Tensor]]:
    """What a generation is answered with: of each target [B, P, kept | complement, log p | log(1 - p)]."""
    shown = torch.cat([torch.stack([own, 1 - own], 1).flatten(0, 1) for own in scores])  # [rows, M]
    about = torch.cat([torch.full((2 * len(own),), c) for own, c in zip(scores, job.target.classes, strict=True)])

    inputs = (job.input, *job.others)

    def render(rows: range, on: Placement) -> tuple[Rows, torch.Tensor]:
        parts = by_baseline(rows, len(shown))
        masks = cut.masks(torch.cat([shown[part] for _, part in parts]).float(), rows, on).split(
            [part.stop - part.start for _, part in parts]
        )
        blended = [inputs[b].blend(own, on) for (b, _), own in zip(parts, masks, strict=True)]
        columns = {name: joined([one[name] for one in blended]) for name in blended[0]}
        return columns, torch.cat([about[part] for _, part in parts])

    fold = Logs(job.target.kind, options.evidence, targets)
    sweep = Sweep(Forward(job.model, exact=True), len(inputs) * len(shown), render, fold, job.input.like)
    folded = yield from ask(sweep)
    if folded.rows < sweep.size:
        raise Stopped(folded.stop)
    every = folded.value.unflatten(0, (len(inputs), -1))  # [B, rows, 2]
    return [part.unflatten(1, (-1, 2)) for part in every.split([2 * len(own) for own in scores], 1)]


def _saliency(job: Job, cut: Field, targets: Sequence[Candidates], whole: bool) -> Saliency:
    best = [c.best for c in targets if c.best is not None]
    segments = None
    if isinstance(cut, Grid | Partition):
        segments = Segments(cut.labels, torch.stack([b.scores for b in best]))
    return Saliency(
        torch.stack([b.mask for b in best]),
        segments=segments,
        optimised=tuple(c.optimised(job.input, whole) for c in targets),
    )
