"""What a step draws: snapped words and noise, the same for a step of a request whatever else is asked."""

import pytest
import torch
from sidelight.core.stream import Stream
from sidelight.masks.robust import noise, snapped

STREAM = Stream(7)
N = 4000


def test_a_twentieth_is_set_to_0_and_another_to_1_and_the_rest_stays():
    masks = torch.full((2, N), 0.3, dtype=torch.float64)
    found = snapped(masks, 0.05, STREAM, 0)
    share = [(found.masks[0] == v).double().mean().item() for v in (0.0, 1.0)]
    assert share == pytest.approx([0.05, 0.05], abs=3 * (0.05 * 0.95 / N) ** 0.5)
    assert torch.equal(found.masks[:, found.free], masks[:, found.free])
    assert torch.equal(~found.free, (found.masks[0] == 0) | (found.masks[0] == 1))


def test_every_target_has_the_same_words_snapped():
    found = snapped(torch.rand(3, 50, dtype=torch.float64), 0.2, STREAM, 4)
    one = snapped(torch.rand(1, 50, dtype=torch.float64), 0.2, STREAM, 4)
    for value in (0.0, 1.0):
        at = found.masks == value
        assert torch.equal(at[0], at[1]) and torch.equal(at[0], at[2])
        assert torch.equal(at[0], (one.masks == value)[0]) and at.any()


def test_a_step_draws_the_same_again_and_another_step_draws_anew():
    masks = torch.full((1, N), 0.5, dtype=torch.float64)
    assert torch.equal(snapped(masks, 0.05, STREAM, 3).masks, snapped(masks, 0.05, STREAM, 3).masks)
    assert not torch.equal(snapped(masks, 0.05, STREAM, 3).masks, snapped(masks, 0.05, STREAM, 4).masks)
    assert not torch.equal(snapped(masks, 0.05, STREAM, 3).masks, snapped(masks, 0.05, Stream(8), 3).masks)
    assert torch.equal(noise(5, 6, 0.03, STREAM, 3, 0), noise(5, 6, 0.03, STREAM, 3, 0))
    assert not torch.equal(noise(5, 6, 0.03, STREAM, 3, 0), noise(5, 6, 0.03, STREAM, 4, 0))


def test_a_share_of_nothing_changes_nothing():
    masks = torch.rand(1, 30, dtype=torch.float64)
    found = snapped(masks, 0.0, STREAM, 0)
    assert torch.equal(found.masks, masks) and found.free.all()


def test_noise_has_the_deviation_asked_for_and_both_sides_and_all_windows_have_their_own():
    drawn = noise(100, 40, 0.03, STREAM, 0, 0)
    assert drawn.shape == (2, 100, 40)
    assert drawn.std().item() == pytest.approx(0.03, rel=0.05) and abs(drawn.mean().item()) < 0.002
    other = noise(100, 40, 0.03, STREAM, 0, 1)
    for a, b in ((drawn[0], drawn[1]), (drawn[0], other[0])):
        assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 0.06
