"""Mask optimisation as a plan: masks of all targets are asked in one sweep a step, each with an optimiser of its own.

A mask that has settled asks no more, and its last is the answer, as the authors have it. One that has not, when steps,
budget or deadline end, is the best so far: the least of the objective without the term of sigma. Under draws it is the
last all the same, since the least would be the luckiest draw.

What the answer says of a mask holds without draws. Images have none; masks of texts are asked once more at the end,
beyond the budget. Where the deadline came before that, p, q and the objective are NaN: nobody knows them.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.fold import Fold, Out
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job, Optimised, Saliency
from sidelight.core.sweep import Plan, Stop, Stopped, Sweep
from sidelight.masks.adam import Adam
from sidelight.masks.field import Cells, Field
from sidelight.masks.images import ImageScene
from sidelight.masks.objective import comparable, regularisers
from sidelight.masks.options import Optimiser, Options
from sidelight.masks.rationale import rationale
from sidelight.masks.scene import Evidences, Scene
from sidelight.masks.stopping import stopping
from sidelight.masks.texts import enter_text

DECAY = {Optimiser.ADAM: 0.0, Optimiser.ADAMW: 0.01}  # of weights; torch's default


def optimise(job: Job, options: Options) -> Plan[Saliency]:
    """The masks, [T, *shape]. Raises InvalidRequest where the budget is too small for one step, and Stopped."""
    if isinstance(job.input, ImageInput):
        return (yield from minimise(job, ImageScene(job, options), options))
    scene = yield from enter_text(job, options)
    return (yield from minimise(job, scene, options))


def minimise(job: Job, scene: Scene, options: Options) -> Plan[Saliency]:
    """The masks of a scene."""
    field = scene.field(options)
    descents = [Descent(field, options) for _ in range(scene.targets)]
    for step in range(options.steps):
        going = [t for t, descent in enumerate(descents) if not descent.settled]
        if not going:
            break
        shown = torch.stack([descent.mask.detach() for descent in descents])
        sweep = scene.rows(shown[going] if len(going) < len(shown) else shown, going, step, draws=True)
        try:
            found = yield from _asked(replace(sweep, fold=_Shown(sweep.fold, shown)))
        except Stopped as stopped:
            if not step:
                raise _refused(stopped.stop, sweep.size) from stopped
            break
        for i, t in enumerate(going):
            descents[t].take(found, i)
    chosen = [descent.chosen for descent in descents if descent.chosen is not None]  # all: there was a step
    if drawn(options):
        chosen = yield from _undisturbed(scene, chosen)
    return Saliency(
        torch.stack([found.mask.double() for found in chosen]),
        optimised=tuple(_told(job, *both, options) for both in zip(descents, chosen, strict=True)),
    )


def drawn(options: Options) -> bool:
    """Whether masks are asked under draws."""
    return bool(options.snap or options.noise)


@dataclass(frozen=True, eq=False)
class Found:
    """A mask that was asked, and what it was worth."""

    step: int
    mask: torch.Tensor  # [*shape]
    cells: Cells
    own: float  # the terms of the mask itself, of those that masks are compared by
    objective: float  # what masks are compared by
    p: float
    q: float


class Descent:
    """The mask of one target on its way down."""

    def __init__(self, field: Field, options: Options) -> None:
        self._field, self._options = field, options
        self._cells = field.start()
        leaves = [leaf.requires_grad_() for leaf in (self._cells.w, self._cells.sigma)]
        self._optimiser = Adam(leaves, options.rate, DECAY[options.optimiser])
        self._rule = stopping(options)
        self._drawn = drawn(options)
        self.mask = self._masked()
        self.terms: dict[str, list[float]] = defaultdict(list)
        self.chosen: Found | None = None
        self.settled = False

    def take(self, found: Evidences, i: int) -> None:
        """Entry `i` of what the masks of this step were worth. Go on, unless it has settled."""
        with torch.enable_grad():
            own = regularisers(self.mask, self._cells, self._options)
            total = torch.stack(list(own.values())).sum()
        values = {name: term.item() for name, term in own.items()}
        terms = {"kept": -found.log_p[i].item(), "removed": -found.log_not_q[i].item(), **values}
        for name, value in terms.items():
            self.terms[name].append(value)
        step, objective = len(self.terms["kept"]) - 1, comparable(terms)
        self.settled = self._rule.settled(step, self.mask.detach().mean().item())
        if self.settled or self._drawn or self.chosen is None or objective <= self.chosen.objective:
            cells = Cells(self._cells.w.detach().clone(), self._cells.sigma.detach().clone())
            p, q = found.p[i].item(), found.q[i].item()
            self.chosen = Found(step, self.mask.detach(), cells, comparable(values), objective, p, q)
        if not self.settled:
            torch.autograd.backward([self.mask, total], [found.gradient[i].to(self.mask.dtype), None])
            self._optimiser.step()
            self._field.clamp(self._cells)
            self.mask = self._masked()

    def _masked(self) -> torch.Tensor:
        with torch.enable_grad():
            return self._field.mask(self._cells)


class _Shown(Fold[Evidences]):
    """A scene's fold, with the masks [T, *shape] of the step as preview."""

    def __init__(self, fold: Fold[Evidences], masks: torch.Tensor) -> None:
        self._fold, self._masks = fold, masks

    def add(self, rows: range, memo: Any, out: Out) -> None:
        self._fold.add(rows, memo, out)

    def value(self) -> Evidences:
        return self._fold.value()

    def preview(self) -> torch.Tensor:
        return self._masks


def _asked(sweep: Sweep[Evidences]) -> Plan[Evidences]:
    """Raises Stopped where a row is missing, Unsupported where the model has no finite answer to a mask."""
    folded = yield sweep
    if folded.rows < sweep.size:
        raise Stopped(folded.stop)
    found = folded.value
    if not all(t.isfinite().all() for t in (found.log_p, found.log_not_q, found.gradient)):
        raise Unsupported(
            "NON_FINITE_GRADIENT",
            "baseline",
            "the evidence under a mask, or its gradient, is not finite: take another baseline or evidence",
        )
    return found


def _undisturbed(scene: Scene, chosen: Sequence[Found]) -> Plan[list[Found]]:
    """The masks with what they are worth without draws; NaN where there is no time left to ask."""
    sweep = scene.rows(torch.stack([c.mask for c in chosen]), range(len(chosen)), 0, draws=False)
    try:
        found = yield from _asked(replace(sweep, counts=False))
    except Stopped:
        return [replace(c, objective=math.nan, p=math.nan, q=math.nan) for c in chosen]
    model = (-found.log_p - found.log_not_q).tolist()
    worth = zip(chosen, model, found.p.tolist(), found.q.tolist(), strict=True)
    return [replace(c, objective=c.own + terms, p=p, q=q) for c, terms, p, q in worth]


def _refused(stop: Stop, rows: int) -> Exception:
    """Why there is no mask at all."""
    if stop is Stop.MAX_EVALUATIONS:
        return InvalidRequest("budget.max_evaluations", f"at least {rows}, the rows of one step")
    return Stopped(stop)


def _told(job: Job, descent: Descent, found: Found, options: Options) -> Optimised:
    return Optimised(
        {name: tuple(values) for name, values in descent.terms.items()},
        found.objective,
        found.p,
        found.q,
        found.mask.double().mean().item(),
        found.step,
        descent.settled,
        found.cells.w.double(),
        found.cells.sigma.double(),
        spans=rationale(job.input, found.mask, options),
    )
