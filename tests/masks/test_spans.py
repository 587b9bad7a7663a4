"""Rationales of a mask: contiguous words at their characters, each with the mean of the mask on its words."""

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sidelight.core.inputs import words
from sidelight.core.job import Span
from sidelight.masks.spans import by_count, by_share, by_threshold

TEXT = "Das ist, naïv gesagt, très 😀 schön!"
UNITS = words(TEXT)
MASK = torch.tensor([0.1, 0.9, 0.7, 0.5, 0.2, 0.1, 0.8, 0.6, 0.4, 0.1], dtype=torch.float64)
TENTHS = st.lists(st.integers(0, 10).map(lambda n: n / 10), min_size=1, max_size=9)


def shown(spans):
    return [(TEXT[s.begin : s.end], round(s.score, 12)) for s in spans]


def line(values):
    """A mask, and as many words of one character."""
    return torch.tensor(values, dtype=torch.float64), words(" ".join("a" for _ in values))


def test_spans_at_a_threshold_hold_the_words_that_reach_it_and_all_between_their_ends():
    assert shown(by_threshold(MASK, UNITS, 0.5)) == [("ist, naïv", 0.7), ("très 😀", 0.7)]
    assert shown(by_threshold(MASK, UNITS, 0.85)) == [("ist", 0.9)]
    assert by_threshold(MASK, UNITS, 0.95) == ()
    assert shown(by_threshold(MASK, UNITS, 0.0)) == [(TEXT, 0.44)]


def test_a_share_of_the_words_is_that_many_words_of_the_largest_mask():
    assert shown(by_share(MASK, UNITS, 0.3)) == [("ist,", 0.8), ("très", 0.8)]
    assert shown(by_share(MASK, UNITS, 0.01)) == [("ist", 0.9)]  # at least one
    assert shown(by_share(MASK, UNITS, 1.0)) == [(TEXT, 0.44)]


def test_of_words_with_equal_masks_the_first_are_taken():
    assert by_share(*line([0.5] * 6), 0.5) == (Span(0, 5, 0.5),)


def test_a_count_of_one_bridges_words_that_cost_less_than_giving_up_a_run():
    assert shown(by_count(MASK, UNITS, 3)) == shown(by_count(MASK, UNITS, 2)) == [("ist,", 0.8), ("très 😀", 0.7)]
    # Over the level .5 the runs have .6 and .4, the words between them -.7; of .9 .45 .8 the middle costs .05.
    assert shown(by_count(MASK, UNITS, 1)) == [("ist,", 0.8)]
    mask, units = line([0.1, 0.9, 0.45, 0.8, 0.1])
    assert by_count(mask, units, 1) == (Span(2, 7, pytest.approx((0.9 + 0.45 + 0.8) / 3)),)
    assert len(by_count(mask, units, 2)) == 2


def test_no_word_stands_out_of_a_constant_mask():
    assert by_count(*line([0.9, 0.9, 0.9]), 2) == ()


def brute(values, count):
    """The most that at most `count` disjoint runs can have over the level, by trying all."""
    level = (min(values) + max(values)) / 2
    best, cuts = 0.0, range(len(values) + 1)
    for n in range(1, count + 1):
        for ends in combinations(cuts, 2 * n):
            best = max(
                best, sum(sum(v - level for v in values[i:j]) for i, j in zip(ends[::2], ends[1::2], strict=True))
            )
    return best


@given(TENTHS, st.integers(1, 3))
@settings(deadline=None)
def test_no_choice_of_as_many_runs_stands_out_more(values, count):
    mask, units = line(values)
    level = (min(values) + max(values)) / 2
    spans = by_count(mask, units, count)
    held = sum((s.end - s.begin + 1) // 2 * (s.score - level) for s in spans)
    assert len(spans) <= count
    assert held == pytest.approx(brute(values, count), abs=1e-9)


@given(TENTHS, st.integers(0, 10).map(lambda n: n / 10), st.integers(1, 4))
def test_spans_are_in_order_apart_and_scored_by_their_words(values, level, count):
    mask, units = line(values)
    for spans in (by_threshold(mask, units, level), by_share(mask, units, level), by_count(mask, units, count)):
        assert all(a.end + 1 < b.begin for a, b in pairwise(spans))  # a word at least between
        for span in spans:
            inside = [v for v, u in zip(values, units, strict=True) if span.begin <= u.begin and u.end <= span.end]
            assert span.score == pytest.approx(sum(inside) / len(inside))


@given(TENTHS, st.integers(0, 10).map(lambda n: n / 10))
def test_a_threshold_takes_every_word_that_reaches_it_and_no_other(values, level):
    mask, units = line(values)
    spans = by_threshold(mask, units, level)
    for value, unit in zip(values, units, strict=True):
        assert any(s.begin <= unit.begin < s.end for s in spans) == (value >= level)


@given(TENTHS, st.integers(0, 10).map(lambda n: n / 10))
def test_a_share_takes_no_word_below_one_that_it_leaves(values, share):
    mask, units = line(values)
    spans = by_share(mask, units, share)
    taken = [any(s.begin <= u.begin < s.end for s in spans) for u in units]
    assert sum(taken) == max(1, round(share * len(values)))
    left = [v for v, t in zip(values, taken, strict=True) if not t]
    assert not left or min(v for v, t in zip(values, taken, strict=True) if t) >= max(left)
