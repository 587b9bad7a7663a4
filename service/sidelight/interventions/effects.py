"""What the outputs of a series come to: one `Response` of a property, with its `Effect` on each explained number."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sidelight.core.effect import Dependence, Effect, Response, Significance
from sidelight.core.job import Job
from sidelight.interventions.chosen import chosen
from sidelight.interventions.correction import corrected
from sidelight.interventions.flips import first_flip, flips
from sidelight.interventions.options import Correction
from sidelight.interventions.permutation import Tested
from sidelight.interventions.score import on_grid, score, signed_mean, slope, total_variation
from sidelight.interventions.series import Series, ranked

Tests = Mapping[str, Sequence[Tested]]  # by statistic, of each of T numbers


def original_scores(job: Job) -> NDArray[np.float64]:
    """[T], on the unedited input."""
    assert job.ends is not None  # known since before the method ran
    return job.target.score(job.ends[:1])[0].numpy()


def significances(tests: Sequence[Tests], count: int, how: Correction, level: float) -> list[list[Significance | None]]:
    """[properties][T], corrected for each of `count` numbers over those properties that were tested."""
    found: list[list[Significance | None]] = [[None] * count for _ in tests]
    had = [i for i, one in enumerate(tests) if "score" in one]
    for t in range(count):
        scores = [tests[i]["score"][t] for i in had]
        for i, s, adjusted in zip(had, scores, corrected([s.p_value for s in scores], how), strict=True):
            found[i][t] = Significance(
                s.permutations,
                s.p_value,
                s.p_value_raw,
                adjusted,
                adjusted < level,
                s.null_mean,
                s.null_low,
                s.null_high,
            )
    return found


def effects(
    series: Series, original: NDArray[np.float64], tests: Tests, significance: Sequence[Significance | None]
) -> tuple[Effect, ...]:
    """On each of T numbers, whose scores on the unedited input are `original` [T]."""
    at, x = series.places, series.strengths.numpy()
    found = []
    for t, y in enumerate(series.scores()):
        grid = on_grid(y, at, series.count)
        effect = Effect(
            outputs=torch.from_numpy(y.copy()),
            score=float(score(grid)),
            score_with_original=float(score(np.append(original[t], grid))),
            estimated=not series.complete,
            total_variation=float(total_variation(y)),
            signed_mean=float(signed_mean(grid)),
            gradient=slope(y, x, at, series.count),
            reconstruction_shift=float(y[0] - original[t]),
            significance=significance[t],
            dependence={n: Dependence(of[t].value, of[t].p_value) for n, of in tests.items() if n != "score"},
        )
        found.append(effect)
    return tuple(found)


def response(series: Series, job: Job, found: tuple[Effect, ...], frames: int, saved: int) -> Response:
    """The property, with at most so many frames to show; `saved` strengths were left out as not needed."""
    assert job.ends is not None  # known since before the method ran
    sequence, top, strengths = series.sequence, series.top(), series.strengths
    first = first_flip(top, int(ranked(job.ends[:1], job.target).argmax()))
    classes, curves = series.curves(job.ends[:1])
    places = series.places.tolist()
    shown = chosen(places, frames, first)
    apart = torch.tensor([sequence.distances[i] for i in places], dtype=torch.float64)
    return Response(
        name=sequence.name,
        editor=sequence.editor,
        unit=sequence.unit,
        count=series.count,
        strengths=strengths,
        effects=found,
        classes=classes,
        curves=curves,
        top=top,
        flips=flips(top),
        flips_at=None if first is None else float(strengths[first]),
        distance=apart[:, 0],
        similarity=apart[:, 1],
        chosen=shown,
        frames=tuple(series.frames[places[i]] for i in shown),
        edits=sequence.edits,
        saved=saved,
        repeated=len(places) - len(series.distinct),
    )
