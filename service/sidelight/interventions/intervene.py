"""Gradual interventions as a plan: edit, ask the model, go on where more is needed, and test.

Rounds go from a coarse part of every grid to all of it, or as far as the response asks for; the rows of all properties
are one sweep, in turns, so that what cuts it short cuts all alike. What is then evaluated spans the whole of each grid.
"""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from sidelight.core.ask import Forward
from sidelight.core.effect import Interventions
from sidelight.core.errors import InvalidRequest
from sidelight.core.fold import Collect
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Plan, Rows, Stop, Stopped, Sweep, ask, together
from sidelight.interventions.adaptive import bends, coarse, middles
from sidelight.interventions.distance import Distance
from sidelight.interventions.effects import Tests, effects, original_scores, response, significances
from sidelight.interventions.options import Settings
from sidelight.interventions.series import Series
from sidelight.interventions.significance import Question, permutation_tests

FEWEST = 3  # outputs: central differences need a middle


def intervene(job: Job, p: Settings) -> Plan[Interventions]:
    """The effect of each of the job's sequences on each explained number.

    Raises InvalidRequest for a series of fewer than 3 strengths; Stopped where fewer outputs were had of any.
    """
    several = [Series(sequence, job.target) for sequence in job.sequences]
    for series in several:
        if series.count < FEWEST:
            raise InvalidRequest(series.sequence.field, f"at least {FEWEST} strengths, not {series.count}")
    cut = yield from _evaluate(job, several, p.adaptive)
    original = original_scores(job)
    tests = yield from _tests(job, several, original, p)
    significance = significances(tests, job.target.count, p.correction, p.level)
    found = []
    for series, own, significant in zip(several, tests, significance, strict=True):
        saved = 0 if cut else series.count - len(series.outputs)
        found.append(response(series, job, effects(series, original, own, significant), p.frames, saved))
    return Interventions(tuple(found))


def _evaluate(job: Job, several: Sequence[Series], adaptive: bool) -> Plan[bool]:
    """Ask for what is needed of every series; whether the budget or the deadline came before."""
    wanted = [coarse(series.count) for series in several]
    try:
        while any(wanted):
            stop = yield from _round(job, several, wanted, adaptive)
            if stop is not Stop.COMPLETE:
                raise Stopped(stop)
            wanted = [_next(series, adaptive) for series in several]
    except Stopped:
        if any(len(series.outputs) < FEWEST for series in several):
            raise
        return True
    return False


def _next(series: Series, adaptive: bool) -> list[int]:
    """The places to ask next; none where it is done."""
    at = series.places
    return middles(at.tolist(), bends(at, series.scores(), series.top().numpy()).tolist() if adaptive else None)


def _round(job: Job, several: Sequence[Series], wanted: Sequence[Sequence[int]], adaptive: bool) -> Plan[Stop]:
    """Edit and evaluate the wanted places of each series; how it ended. Raises Stopped where no row was evaluated."""
    turns = zip_longest(*wanted)
    rows = [(series, i) for turn in turns for series, i in zip(several, turn, strict=True) if i is not None]
    done = sum(len(series.outputs) for series in several)
    # What the budget will not let the model see is not edited either, but asked for: the cut has to be booked.
    edited = rows if job.most is None else rows[: max(job.most - done, 0)]
    yield from together(*(series.edited([i for of, i in edited if of is series]) for series in several))
    ready = [(series, i) for series, i in edited if i in series.frames]

    def render(span: range, on: Placement) -> tuple[Rows, None]:
        pixels = torch.stack([_pixels(job, *ready[row]) for row in span])
        assert isinstance(job.input, ImageInput)  # as the method checks
        return job.input.encoded(pixels, on), None

    size = len(ready) + len(rows) - len(edited)
    asked = Forward(job.model, exact=adaptive)  # it branches on the answers
    folded = yield from ask(Sweep(asked, size, render, Collect("y"), job.input.like))
    for (series, i), y in zip(ready, folded.value, strict=False):
        series.outputs[i] = y
    _measure(several)
    return folded.stop


def _pixels(job: Job, series: Series, place: int) -> torch.Tensor:
    """The frame as this model's pixels [C, H, W]. Raises InvalidRequest for one of another size than the input's."""
    frame = series.frames[place]
    pixels = frame.float() if job.fit is None else job.fit(frame)
    assert isinstance(job.input, ImageInput)  # as the method checks
    if pixels.shape != job.input.pixels.shape:
        (_, h, w), (_, height, width) = pixels.shape, job.input.pixels.shape
        raise InvalidRequest(series.sequence.field, f"images that the model sees at {width} x {height}, not {w} x {h}")
    return pixels


def _measure(several: Sequence[Series]) -> None:
    """How far frames that were evaluated are from the unedited image, once for all models."""
    for series in several:
        known, distance = series.sequence.distances, Distance(series.sequence.original)
        for i in series.outputs:
            if i not in known:
                known[i] = distance(series.frames[i])


def _tests(job: Job, several: Sequence[Series], original: NDArray, p: Settings) -> Plan[list[Tests]]:
    """By statistic, of each series that was evaluated everywhere: interpolated points would be found ordered.

    So would frames that come several times in a row, as an editor in coarse steps makes them: each counts once, but
    where there is only one all along, and p is 1.
    """
    asked: dict[tuple[int, str], Question] = {}
    for k, series in enumerate(several):
        if series.complete:
            at = series.distinct if len(series.distinct) > 1 else slice(None)
            y, x = series.scores()[:, at], series.strengths.numpy()[at]
            whole = np.concatenate([original[:, None], y], axis=1) if p.with_original else y
            asked[k, "score"] = Question("score", whole, np.arange(whole.shape[1], dtype=np.float64))
            asked |= {(k, name.value): Question(name.value, y, x) for name in p.dependence}
    found = yield from permutation_tests(asked, p.permutations, job.stream.child("interventional.permutations"))
    return [{name: of for (at, name), of in found.items() if at == k} for k in range(len(several))]
