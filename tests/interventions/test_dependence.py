"""Correlation and mutual information, against loops, closed forms and other packages."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intervention_studio import found_of
from scipy.special import digamma
from scipy.stats import pearsonr
from sidelight.interventions.dependence import information, pearson
from sidelight.interventions.permutation import against_null

NUMBERS = st.one_of(st.integers(0, 4).map(float), st.floats(-5, 5, width=16))


def scaled(a):
    a = np.asarray(a, float)
    values = np.sort(a)
    return (a - values.mean()) / values.std()


def information_loop(y, x, k=3):
    """The estimator in its paper's words, point by point."""
    n = len(x)
    y, x, k = scaled(y), scaled(x), min(k, n - 1)
    total = 0.0
    for i in range(n):
        dx = [abs(x[i] - x[j]) for j in range(n) if j != i]
        dy = [abs(y[i] - y[j]) for j in range(n) if j != i]
        d = sorted(map(max, dx, dy))[k - 1]
        if d == 0:
            same = 1 + sum(a == b == 0 for a, b in zip(dx, dy, strict=True))
            total += digamma(same) - digamma(1 + dx.count(0)) - digamma(1 + dy.count(0))
        else:
            total += digamma(k) - digamma(1 + sum(a < d for a in dx)) - digamma(1 + sum(b < d for b in dy))
    return digamma(n) + total / n


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=25))
@settings(max_examples=300)
def test_mutual_information_equals_a_loop_in_its_papers_words_ties_or_not(points):
    x, y = np.array(points).T
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        assert float(information(y, x)) == pytest.approx(information_loop(y, x), abs=1e-11)


def test_several_orders_of_several_series_are_each_as_alone():
    rng = np.random.default_rng(0)
    x, base = np.sort(rng.random(17)), rng.random((3, 17))
    y = np.stack([np.stack([rng.permutation(row) for _ in range(4)]) for row in base])
    found = information(y, x)
    assert found.shape == (3, 4)
    assert all(found[k] == information(y[k], x) for k in np.ndindex(3, 4))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_mutual_information_of_gaussians_is_its_closed_form(rho):
    rng = np.random.default_rng(4)
    found = []
    for _ in range(40):
        x, z = rng.standard_normal((2, 300))
        found.append(float(information(rho * x + math.sqrt(1 - rho**2) * z, x)))
    assert np.mean(found) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.03)


def test_mutual_information_equals_scikit_learns_where_nothing_ties():
    selection = pytest.importorskip("sklearn.feature_selection", reason="comes with the packages of `make bench`")
    rng = np.random.default_rng(8)
    for n in (10, 100, 400):
        x = rng.random(n)
        y = np.sin(6 * x) + 0.2 * rng.standard_normal(n)
        (other,) = selection.mutual_info_regression(x[:, None], y, n_neighbors=3, random_state=0)
        assert float(information(y, x)) == pytest.approx(other, abs=1e-6)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=40))
@settings(max_examples=200)
def test_correlation_equals_scipys(points):
    x, y = np.array(points).T
    if np.ptp(x) > 1e-3 and np.ptp(y) > 1e-3:
        assert float(pearson(y, x)) == pytest.approx(pearsonr(x, y).statistic, abs=1e-9)


def test_of_a_constant_nothing_depends():
    x = np.arange(20.0)
    flat = found_of(np.full(20, 0.4), statistic="mutual_information")
    assert flat.value == 0 and flat.p_value == 1
    flat = found_of(np.full(20, 0.4), statistic="pearson")
    assert math.isnan(flat.value) and flat.p_value == 1
    same = found_of(x, statistic="pearson", x=np.full(20, 2.0))
    assert math.isnan(same.value) and same.p_value == 1
    same = found_of(x, statistic="mutual_information", x=np.full(20, 2.0))
    assert same.value == 0 and same.p_value == 1


def test_correlation_is_tested_on_both_sides_and_information_on_one():
    x = np.linspace(-1, 1, 60)
    for sign in (1, -1):
        assert found_of(sign * x, statistic="pearson", x=x).p_value == 1 / 1001
    bowl = found_of(x**2, statistic="mutual_information", x=x)
    assert bowl.value > 1 and bowl.p_value == 1 / 1001
    assert found_of(x**2, statistic="pearson", x=x).p_value > 0.5  # blind to what is not monotone
    noise = np.random.default_rng(1).standard_normal(60)
    assert found_of(noise, statistic="mutual_information", x=x).p_value > 0.01


def test_information_below_that_of_most_orders_is_not_extreme():
    rng = np.random.default_rng(0)
    x = np.arange(30.0)
    y = next(y for y in rng.standard_normal((100, 30)) if information(y[None], x)[0] < -0.05)
    value = float(information(y[None], x)[0])
    found = against_null("mutual_information", y, x, np.array([value - 1, value - 0.1, -value, 1.0]))
    assert (found.value, found.count) == (value, 2)


@pytest.mark.parametrize("statistic", ["pearson", "mutual_information"])
def test_p_is_uniform_under_noise(statistic):
    from scipy.stats import kstest
    from sidelight.core.stream import Stream

    rng = np.random.default_rng(2)
    x = np.arange(25.0)
    series = rng.standard_normal((200, 25))
    p = [found_of(y, 99, statistic, Stream(i, "t"), x).p_value for i, y in enumerate(series)]
    assert kstest(p, "uniform").pvalue > 0.01
