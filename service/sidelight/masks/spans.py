"""Rationales: contiguous words that a mask keeps, with the characters they stand at, and the mean of the mask on them.

by_threshold   runs of words whose mask is at least a threshold
by_share       runs among the given share of all words, those of the largest mask
by_count       the spans, of a given number at most, that stand out most: max of sum over their words of
               (lambda - level), level half way between the smallest and the largest lambda
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

import torch

from sidelight.core.job import Span
from sidelight.core.predictor import Unit


def by_threshold(mask: torch.Tensor, units: Sequence[Unit], threshold: float) -> tuple[Span, ...]:
    """Spans of a mask [n] over n words, in the order of the text."""
    return _spans(mask, units, _runs((mask >= threshold).tolist()))


def by_share(mask: torch.Tensor, units: Sequence[Unit], share: float) -> tuple[Span, ...]:
    """The same over round(share n) words, at least one; of equal ones the first."""
    most = max(1, round(share * len(units)))
    chosen = torch.zeros(len(units), dtype=torch.bool)
    chosen[mask.sort(descending=True, stable=True).indices[:most]] = True
    return _spans(mask, units, _runs(chosen.tolist()))


def by_count(mask: torch.Tensor, units: Sequence[Unit], count: int) -> tuple[Span, ...]:
    """At most `count` spans, in the order of the text; none of a constant mask, where no word stands out.

    Words between two runs go with them where bridging them costs less than giving one of the runs up.
    """
    excess = mask - (mask.min() + mask.max()) / 2
    runs = [(sum(x for _, x in run), *_ends(run)) for run in _signed(excess.tolist())]
    # Runs above and below take turns. The one of the smallest sum joins its neighbours, until few enough are above:
    # of one above that gives it up, of one between two that bridges it, and neither could be done for less.
    while sum(total > 0 for total, _, _ in runs) > count:
        able = [i for i, (total, _, _) in enumerate(runs) if total > 0 or 0 < i < len(runs) - 1]
        least = min(able, key=lambda i: abs(runs[i][0]))
        joined = runs[max(least - 1, 0) : least + 2]
        runs[max(least - 1, 0) : least + 2] = [(sum(t for t, _, _ in joined), joined[0][1], joined[-1][2])]
    return _spans(mask, units, [range(begin, end) for total, begin, end in runs if total > 0])


def _signed(excess: list[float]) -> Iterable[list[tuple[int, float]]]:
    """Runs of words above the level, and of those that are not, by turns."""
    return [list(run) for _, run in groupby(enumerate(excess), key=lambda item: item[1] > 0)]


def _ends(run: list[tuple[int, float]]) -> tuple[int, int]:
    return run[0][0], run[-1][0] + 1


def _runs(chosen: list[bool]) -> list[range]:
    """Where they are chosen."""
    groups = [[i for i, _ in group] for kept, group in groupby(enumerate(chosen), key=lambda item: item[1]) if kept]
    return [range(group[0], group[-1] + 1) for group in groups]


def _spans(mask: torch.Tensor, units: Sequence[Unit], runs: Iterable[range]) -> tuple[Span, ...]:
    return tuple(
        Span(units[run.start].begin, units[run.stop - 1].end, mask[run.start : run.stop].double().mean().item())
        for run in runs
    )
