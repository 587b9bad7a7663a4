"""The permutation test: against explicit permutations, its closed forms, its calibration and what it is blind to."""

from itertools import permutations as orders

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from intervention_studio import STREAM, found_of, score_loop
from scipy.stats import kstest
from sidelight.core.stream import Stream
from sidelight.interventions.permutation import CHUNK, against_null, permutations, permuted, permuted_chunks

SHORT = arrays.arrays(np.float64, st.integers(3, 30), elements=st.floats(-10, 10, width=16))


@given(SHORT)
@settings(max_examples=300)
def test_the_test_equals_a_loop_over_the_same_permutations(y):
    k = 40
    scores = [score_loop([y[j] for j in p]) for p in permutations(STREAM, range(k), len(y)).tolist()]
    mean, observed = np.mean(scores), score_loop(y)
    tie = 1e-12 * max(abs(y).max(), 1e-300)
    count = k if np.ptp(y) <= 1e-6 * abs(y).max() else sum(abs(s - mean) >= abs(observed - mean) - tie for s in scores)
    found = found_of(y, k)
    assert (found.count, found.permutations) == (count, k)
    assert found.p_value == (1 + count) / (1 + k) and found.p_value_raw == count / k
    assert found.value == pytest.approx(observed, abs=1e-12) and found.null_mean == pytest.approx(mean, abs=1e-5)


@given(st.lists(st.floats(-10, 10, width=16), min_size=3, max_size=6))
@settings(max_examples=100)
def test_of_short_series_the_null_is_that_of_all_orders(values):
    y = np.array(values)
    exact = np.array([score_loop(o) for o in orders(values)])
    drawn = permuted("score", y[None], y, STREAM, range(4000))[0]
    # Every drawn value is one of an order, and as often as chance has it: 5 sd of the mean, and of each tail's share.
    assert np.abs(drawn[:, None] - exact).min(1).max() < 1e-9
    assert abs(drawn.mean() - exact.mean()) <= 5 * exact.std() / 4000**0.5 + 1e-9
    observed = abs(score_loop(y) - exact.mean())
    share = (np.abs(exact - exact.mean()) >= observed - 1e-9).mean()
    got = (np.abs(drawn - exact.mean()) >= observed - 1e-9).mean()
    assert abs(got - share) <= 5 * 0.5 / 4000**0.5


@pytest.mark.parametrize("n", [2, 3, 7, 100])
def test_rows_are_permutations_and_the_same_in_whatever_part_they_are_drawn(n):
    whole = permutations(STREAM, range(60), n)
    assert (np.sort(whole, 1) == np.arange(n)).all()
    assert (permutations(STREAM, range(17, 60), n) == whole[17:]).all()
    assert len(np.unique(whole, axis=0)) > 1


def test_every_order_is_drawn_equally_often():
    drawn = permutations(STREAM, range(24_000), 4)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 60  # chi square of 23 degrees: .00005


def test_a_chunk_of_local_work_is_the_same_permutations():
    y, x = np.random.default_rng(1).random((3, 20)), np.arange(20.0)
    columns = {"statistic": "score", "y": y, "x": x, "seed": 3, "stream": "test", "first": 2, "rows": 3}
    found = np.concatenate(list(permuted_chunks(columns)["null"]), axis=1)
    assert (found == permuted("score", y, x, STREAM, range(2 * CHUNK, 5 * CHUNK))).all()


@pytest.mark.parametrize("n", [3, 12, 100])
@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e9])
def test_of_a_constant_series_p_is_exactly_1(n, value):
    found = found_of(np.full(n, value))
    assert found.p_value == found.p_value_raw == 1 and found.value == 0


def test_what_differs_by_a_models_rounding_is_constant():
    y = np.full(100, 0.3)
    y[96:] = np.float32(0.3)  # the last batch was a smaller one
    assert found_of(y).p_value == 1
    y[96:] = 0.3001  # four orders larger
    assert found_of(y).p_value < 0.1


@given(
    st.lists(st.integers(-99, 99), min_size=3, max_size=30), st.floats(0.1, 1e3), st.floats(-1e3, 1e3), st.booleans()
)
@settings(max_examples=200)
def test_rescaling_the_outputs_leaves_p(values, a, b, falling):
    y = np.array(values) / 16
    assert found_of((-a if falling else a) * y + b, 200).count == found_of(y, 200).count


@given(SHORT)
@settings(max_examples=100)
def test_reversing_an_order_is_a_tie_with_it(y):
    null = np.concatenate([permuted("score", y[None], y, STREAM, range(50))[0], [score_loop(y[::-1])]])
    assert against_null("score", y, y, null).count >= 1


@pytest.mark.parametrize(("n", "significant"), [(5, False), (7, False), (8, True), (9, True), (100, True)])
def test_a_ramp_needs_eight_strengths_to_be_significant(n, significant):
    assert (found_of(0.5 * np.arange(n), 10_000).p_value < 0.01) == significant


def test_a_smooth_effect_lies_below_the_null_interval():
    found = found_of(np.sin(np.linspace(0, 3, 100)))
    assert found.value < found.null_low < found.null_mean < found.null_high
    assert found.p_value == 1 / 1001


def test_the_null_interval_leaves_half_a_per_cent_on_each_side():
    y = np.random.default_rng(2).random(20)
    null = permuted("score", y[None], y, STREAM, range(4000))[0]
    found = against_null("score", y, y, null)
    assert (null < found.null_low).sum() == (null > found.null_high).sum() == 20
    assert found.null_mean == pytest.approx(null.mean())


def test_a_step_of_a_hundred_is_ordered():
    assert found_of(np.arange(100) >= 50).p_value < 0.01


@given(SHORT)
@settings(max_examples=50)
def test_the_null_mean_is_its_closed_form(y):
    n = len(y)
    g = np.abs(y[:, None] - y).sum() / (n * (n - 1))
    null = permuted("score", y[None], y, STREAM, range(3000))[0]
    assert abs(null.mean() - g * (n + 2) / (2 * n)) <= 5 * null.std() / 3000**0.5 + 1e-9


def test_p_is_uniform_under_noise():
    rng = np.random.default_rng(11)
    p = [found_of(rng.standard_normal(30), 199, stream=Stream(i, "t")).p_value for i in range(400)]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_interpolating_noise_makes_it_significant_so_it_is_not_tested():
    rng = np.random.default_rng(5)
    grid = np.linspace(0, 11, 100)
    noise = rng.standard_normal((50, 12))
    assert sum(found_of(y, 300).p_value < 0.01 for y in noise) <= 3
    assert all(found_of(np.interp(grid, np.arange(12), y), 300).p_value < 0.01 for y in noise)


def test_ten_thousand_permutations_of_a_hundred_take_well_under_a_second():
    import time

    y = np.random.default_rng(0).random((1, 100))
    began = time.process_time()
    permuted("score", y, y[0], STREAM, range(10_000))
    assert time.process_time() - began < 0.6  # .03 on an idle core
