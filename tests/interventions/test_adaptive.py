"""Where to look next on a grid, and what looking only there saves and costs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from inline import inline
from intervention_studio import Brighten, answering, brightened, explained, job_of, of_brightness, params
from sidelight.core.sweep import Stop
from sidelight.interventions.adaptive import COARSE, bends, coarse, halved, middles
from sidelight.interventions.intervene import intervene

N = 100
SMOOTH = {
    "ramp": lambda m: m / 99,
    "arch": lambda m: math.sin(math.pi * m / 99),
    "sigmoid": lambda m: 1 / (1 + math.exp(-(m - 40) / 8)),
    "decay": lambda m: math.exp(-m / 25),
}


@given(st.integers(0, 300))
def test_halving_has_every_place_once_its_ends_first(n):
    found = halved(n)
    assert sorted(found) == list(range(n))
    assert found[:2] == ([0, n - 1] if n > 1 else [0][:n])


@given(st.integers(3, 300), st.integers(3, 300))
def test_any_first_part_of_the_rounds_spans_the_grid(n, share):
    """No gap is more than twice as wide as another one was to be left."""
    rows, known = [], []
    wanted = coarse(n)
    while wanted:
        rows += wanted
        known = sorted(rows)
        wanted = middles(known)
    assert sorted(rows) == list(range(n))
    cut = sorted(rows[: min(share, n)])
    assert cut[0] == 0 and cut[-1] == n - 1
    gaps = np.diff(cut)
    assert gaps.max() <= 4 * gaps.min() + 4


def test_an_interval_is_halved_on_for_a_jump_a_bend_or_a_flip():
    at, flat = np.array([0, 10, 20, 30, 40]), np.zeros(5, int)
    line = np.array([[0, 1, 2, 3, 4.0]]) / 4 * 0.6
    assert bends(at, np.vstack([line, 2 - line]), flat).tolist() == [True] * 4  # of few points each step is a jump
    at = np.arange(0, 81, 10)
    line = np.arange(9.0)[None]
    none = np.zeros(9, int)
    assert not bends(at, line, none).any()
    assert not bends(at, np.full((1, 9), 0.3), none).any()
    assert bends(at, line, np.array([0, 0, 0, 1, 1, 1, 1, 1, 0])).nonzero()[0].tolist() == [2, 7]
    kink = np.maximum(line - 4, 0)
    assert bends(at, kink, none).nonzero()[0].tolist() == [3, 4, 5, 6, 7]  # the bend, and jumps of a quarter
    step = (line >= 3).astype(float)
    found = bends(at, step, none)
    assert found[2] and not found[[0, 5, 6, 7]].any()
    assert (bends(at, np.vstack([line, step]), none) == found).all()  # any of the numbers asks for it


@pytest.mark.parametrize(("width", "bent"), [(2, False), (4, True)])
def test_a_bend_is_where_a_straight_line_errs_by_a_hundredth_of_the_range(width, bent):
    at = np.arange(0, 33, width)
    parabola = (at - 16.0)[None] ** 2  # of which lines err by width^2 / 4, and the range is 256
    found = bends(at, parabola, np.zeros(len(at), int))
    assert (found[abs(at[:-1] + width / 2 - 16) < 12] == bent).all()  # farther out each step is a jump


def test_what_differs_by_a_models_rounding_does_not_bend():
    y = 5 + 1e-7 * np.random.default_rng(0).random((2, 9))
    assert not bends(np.arange(0, 81, 10), y, np.zeros(9, int)).any()


@given(st.lists(st.floats(-5, 5), min_size=9, max_size=9), st.floats(0.1, 100), st.floats(-100, 100))
def test_what_bends_does_not_depend_on_the_scale(values, a, b):
    y = np.round(np.array([values]), 2)
    at, top = np.arange(0, 81, 10), np.zeros(9, int)
    near = np.abs(np.diff(y)).max() / max(np.ptp(y), 1e-9)
    if abs(near - 0.2) > 1e-6:
        differ = bends(at, a * y + b, top) != bends(at, y, top)
        assert differ.sum() == 0 or np.ptp(y) < 0.02


def whole_and_part(*curves, n=N):
    net, editor = of_brightness(*curves), Brighten()
    (whole,) = explained(brightened(range(n)), net=net).result.responses
    (part,) = explained(brightened(range(n), editor), net=net, editor=editor, adaptive=True).result.responses
    assert len(editor.edited) == len(part.strengths) == n - part.saved
    return whole, part


@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_curve_is_known_from_a_few_strengths(name):
    whole, part = whole_and_part(SMOOTH[name], lambda m: -1.0)
    (full,), (estimate,) = whole.effects, part.effects
    assert part.saved >= 0.6 * N
    assert estimate.estimated and estimate.significance is None and not full.estimated
    assert estimate.score == pytest.approx(full.score, rel=0.02)
    assert estimate.total_variation == pytest.approx(full.total_variation, rel=0.02)
    assert estimate.signed_mean == pytest.approx(full.signed_mean, abs=1e-3)
    assert estimate.gradient == pytest.approx(full.gradient, rel=0.02)
    assert part.count == whole.count == N and whole.saved == 0


def test_a_step_is_found_where_it_is_and_the_rest_is_saved():
    whole, part = whole_and_part(lambda m: float(m >= 62), lambda m: 0.5)
    assert part.saved >= 0.8 * N
    assert part.flips == whole.flips == 1 and part.flips_at == whole.flips_at == 62
    (full,), (estimate,) = whole.effects, part.effects
    assert estimate.score == full.score and estimate.total_variation == full.total_variation == 1
    assert {61.0, 62.0} <= set(part.strengths.tolist())


def test_a_flip_between_classes_that_nobody_asked_for_is_followed():
    _, part = whole_and_part(lambda m: 0.0, lambda m: 5.0 - (m > 33), lambda m: 4.5)
    assert part.flips_at == 34


def test_noise_needs_the_whole_grid_and_has_its_p_value():
    noise = np.random.default_rng(0).standard_normal(N)
    whole, part = whole_and_part(lambda m: noise[round(float(m))])
    assert part.saved == 0
    (full,), (same,) = whole.effects, part.effects
    assert same.significance == full.significance is not None
    assert torch.equal(same.outputs, full.outputs)


def test_what_the_budget_cut_was_not_left_out_as_needless():
    done = explained(brightened(range(N)), net=of_brightness(lambda m: 0.25), adaptive=True, most=5)
    (response,) = done.result.responses
    assert response.saved == 0 and len(response.strengths) == 5 and done.stop is Stop.MAX_EVALUATIONS


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_plan_that_branches_on_answers_asks_for_exact_ones(adaptive):
    exact = set()

    def answer(ask, columns):
        if ask.kind == "forward":
            exact.add(ask.exact)
        return answering({"m": of_brightness(SMOOTH["arch"])}, Brighten())(ask, columns)

    job = replace(job_of(brightened(range(N))), ends=torch.zeros(1, 1))
    inline(intervene(job, params(adaptive=adaptive)), answer)
    assert exact == {adaptive}


def test_of_a_short_grid_nothing_is_saved():
    _, part = whole_and_part(SMOOTH["ramp"], n=COARSE)
    assert part.saved == 0 and part.effects[0].significance is not None


def test_a_constant_response_is_seen_at_once():
    _, part = whole_and_part(lambda m: 0.25)
    assert part.saved == N - COARSE and part.effects[0].score == 0
