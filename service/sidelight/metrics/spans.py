"""Runs of words of a text, by which rationales are compared: words [i, j) by number."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import Input, TextInput
from sidelight.core.job import Span
from sidelight.core.predictor import Unit

Run = tuple[int, int]


def text_of(x: Input, field: str) -> TextInput:
    """The input, which is a text. Raises InvalidRequest naming `field` where it is not."""
    if not isinstance(x, TextInput):
        raise InvalidRequest(
            field,
            "characters of a text, which this model does not take: leave this metric out, or ask for mass_in_mask or "
            "pointing_game, which take a mask",
        )
    return x


def given_runs(spans: Sequence[Unit], x: TextInput, field: str) -> list[Run]:
    """The runs of words that given spans of characters touch, in order; of spans without a word between them one.

    Raises InvalidRequest naming `field` where there is none, or one lies outside the text or between its words.
    """
    if not spans:
        raise InvalidRequest(field, "this metric needs the given rationale: spans of characters [begin, end)")
    runs = touched(spans, x.units)
    for n, (span, (i, j)) in enumerate(zip(spans, runs, strict=True)):
        if span.end > len(x.text):
            raise InvalidRequest(f"{field}[{n}].end", f"at most {len(x.text)}, the text's length, not {span.end}")
        if i == j:
            raise InvalidRequest(
                f"{field}[{n}]", f"characters of a word: [{span.begin}, {span.end}) lies between two, or beside all"
            )
    return merged(runs)


def touched(spans: Sequence[Unit | Span], words: Sequence[Unit]) -> list[Run]:
    """The words that each span of characters touches."""
    begins, ends = [w.begin for w in words], [w.end for w in words]
    return [(bisect_right(ends, span.begin), bisect_left(begins, span.end)) for span in spans]


def merged(runs: Sequence[Run]) -> list[Run]:
    """The runs in order. Those that meet are one: a map's own runs have a word between them that is not chosen."""
    out: list[Run] = []
    for i, j in sorted(runs):
        if out and i <= out[-1][1]:
            out[-1] = out[-1][0], max(j, out[-1][1])
        else:
            out.append((i, j))
    return out


def hits(found: Sequence[Run], given: Sequence[Run], least: float) -> int:
    """How many of `found` overlap one of `given` by an intersection over union of at least `least`.

    Runs of either are disjoint and in order.
    """
    count, first = 0, 0
    for i, j in found:
        while first < len(given) and given[first][1] <= i:
            first += 1
        at, best = first, 0.0
        while at < len(given) and given[at][0] < j:
            a, b = given[at]
            best = max(best, (min(j, b) - max(i, a)) / (max(j, b) - min(i, a)))
            at += 1
        count += best >= least
    return count
