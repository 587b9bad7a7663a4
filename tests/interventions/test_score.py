"""The score of a series against a loop in the paper's words, and its closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from intervention_studio import gradient_loop, score_loop
from sidelight.interventions.score import on_grid, score, signed_mean, slope, total_variation

SERIES = arrays.arrays(np.float64, st.integers(3, 60), elements=st.floats(-100, 100, width=32))


@given(SERIES)
def test_score_signed_mean_and_variation_equal_loops_in_the_papers_words(y):
    assert score(y) == pytest.approx(score_loop(y), rel=1e-12, abs=1e-12)
    assert signed_mean(y) == pytest.approx(np.mean(gradient_loop(y)), rel=1e-9, abs=1e-10)
    assert total_variation(y) == pytest.approx(sum(abs(b - a) for a, b in pairwise(y)), abs=1e-10)


def test_series_are_scored_by_their_last_axis():
    y = np.random.default_rng(0).random((4, 5, 9))
    for k in np.ndindex(4, 5):
        assert score(y)[k] == pytest.approx(score_loop(y[k]))


@given(SERIES)
def test_reversing_a_series_leaves_its_score(y):
    assert score(y[::-1]) == pytest.approx(score(y), rel=1e-12, abs=1e-12)


@given(SERIES, st.floats(-50, 50), st.floats(-50, 50))
def test_the_score_scales_with_the_outputs_and_ignores_their_offset(y, a, b):
    assert score(a * y + b) == pytest.approx(abs(a) * score(y), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n", [3, 8, 100])
def test_closed_forms(n):
    ramp = 0.25 * np.arange(n)
    assert score(ramp) == signed_mean(ramp) == 0.25
    step = (np.arange(n) >= n // 2).astype(float)
    assert total_variation(step) == 1
    if n > 4:
        assert score(step) == pytest.approx(1 / n)  # two central differences of a half
    assert score(np.full(n, 0.3)) == total_variation(np.full(n, 0.3)) == 0


def test_what_alternates_cancels_in_the_score_and_counts_in_the_variation():
    y = np.arange(100) % 2.0
    assert score(y) == pytest.approx(0.02)
    assert total_variation(y) == 99


def test_the_slope_is_in_the_propertys_own_unit():
    x = np.array([0.0, 1.0, 3.0, 7.0, 8.0])
    at = np.arange(5)
    assert slope(3 * x, x, at, 5) == pytest.approx(3)
    assert slope(-3 * x[::-1], x[::-1].copy(), at, 5) == pytest.approx(3)
    y = x**2  # the second-order rule is exact for parabolas inside, one-sided at the ends
    assert slope(y, x, at, 5) == pytest.approx(np.mean([1, 2, 6, 14, 15]))


@pytest.mark.parametrize("x", [[0, 1, 1, 2], [0, 2, 1, 3], [1, 1, 1, 1]])
def test_there_is_no_slope_unless_strengths_rise_or_fall_all_along(x):
    assert math.isnan(slope(np.arange(4.0), np.array(x, float), np.arange(4), 4))


def test_the_slope_of_an_adaptive_series_is_a_mean_over_the_grid_not_over_where_it_was_looked_at():
    x = np.linspace(0, 1, 101)
    y = np.clip((x - 0.9) * 10, 0, 1)  # flat, then steep
    at = np.array([0, 50, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100])
    whole = slope(y, x, np.arange(101), 101)
    assert slope(y[at], x[at], at, 101) == pytest.approx(whole, rel=0.05)
    assert np.abs(np.gradient(y[at], x[at])).mean() > 5 * whole


@given(SERIES)
def test_a_series_that_is_known_everywhere_is_its_own_interpolation(y):
    assert (on_grid(y, np.arange(len(y)), len(y)) == y).all()
