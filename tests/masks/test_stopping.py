"""When masks have settled: the rules over mean lambda, step by step."""

from dataclasses import replace
from itertools import pairwise

import pytest
from sidelight.masks.options import IMAGE_CNN, TEXT, Rule
from sidelight.masks.stopping import stopping


def first_settled(options, means):
    """The step at which the rule stops a run with these means; None where it does not."""
    rule = stopping(options)
    return next((step for step, mean in enumerate(means) if rule.settled(step, mean)), None)


def test_decrease_waits_for_the_least_steps_then_stops_a_mask_that_stands_still():
    assert first_settled(IMAGE_CNN, [0.3] * 400) == 250
    assert first_settled(replace(IMAGE_CNN, least_steps=300), [0.3] * 400) == 300


def test_decrease_smooths_over_steps_as_the_authors_do():
    options = replace(IMAGE_CNN, least_steps=0)
    means = [0.8, *(0.4 for _ in range(300))]
    smoothed, steps = 1 - 0.8, []
    for before, now in pairwise(means):
        smoothed = 0.95 * smoothed + 0.05 * (before - now)
        steps.append(smoothed < 2e-4)
    assert first_settled(options, means) == 1 + steps.index(True)
    assert steps.index(True) > 50


def test_decrease_never_stops_a_mask_that_keeps_half_or_more():
    assert first_settled(IMAGE_CNN, [0.5] * 1000) is None
    assert first_settled(IMAGE_CNN, [0.4999] * 1000) == 250


def test_decrease_goes_on_while_the_mask_shrinks_by_more_than_the_bound_a_step():
    shrinking = [0.45 - 0.0003 * step for step in range(1000)]
    assert first_settled(IMAGE_CNN, shrinking) is None
    assert first_settled(replace(IMAGE_CNN, settled=4e-4), shrinking) == 250


def test_periodic_looks_at_its_steps_only_and_compares_with_the_look_before():
    options = replace(TEXT, every=50, least_steps=50, settled=0.01)
    assert first_settled(options, [0.3] * 200) == 50
    drifting = [0.9 - 0.001 * min(step, 300) for step in range(600)]  # .05 from look to look, then still
    assert first_settled(options, drifting) == 350
    dip = [0.9 if step % 50 else 0.9 - 0.001 * step for step in range(600)]  # still, but at the looks
    assert first_settled(options, dip) is None


def test_periodic_waits_for_the_least_steps():
    assert first_settled(replace(TEXT, every=20, least_steps=50), [0.3] * 200) == 60


@pytest.mark.parametrize("means", [[0.3] * 1000, [0.0] * 1000])
def test_never_is_never(means):
    assert first_settled(replace(IMAGE_CNN, rule=Rule.NEVER, least_steps=0), means) is None
