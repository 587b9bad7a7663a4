"""The folds: where scores and their errors come to lie on the input."""

import pytest
import torch
from perturbation_games import Game, fold, play, target
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.perturbation.calculators import Rise
from sidelight.perturbation.coalitions import Coalitions
from sidelight.perturbation.designs import Orthogonal
from sidelight.perturbation.fields import Grid, Segments, ShiftedGrid
from sidelight.perturbation.mask_mean import MaskMean
from sidelight.perturbation.regression import Lime
from sidelight.perturbation.samplers import Antithetic, Bernoulli

GAME = Game(9, outputs=2, seed=4)
LABELS = torch.arange(9).view(3, 3).repeat_interleave(2, 0).repeat_interleave(3, 1)


@pytest.mark.parametrize(
    "field", [Grid((6, 9), 3, "bilinear"), Grid((6, 9), 3), Segments(LABELS, 2.0), Segments(LABELS)]
)
@pytest.mark.parametrize("per_pixel", [True, False])
def test_a_map_and_its_error_are_the_scores_and_their_spread_placed(field, per_pixel):
    sampler = Bernoulli(Stream(0), 9, 0.5)
    a = fold(Lime(), sampler, GAME, field=field, per_pixel=per_pixel, labels=LABELS)
    play(a, sampler, GAME, 500, tile=50)
    s = a.value()
    place = field.spread if per_pixel else field.paint
    torch.testing.assert_close(s.maps, place(s.segments.scores))
    weights = place(torch.eye(9, dtype=torch.float64)).flatten(1)  # [M, H * W]
    spread = a.blocks.deviations(GAME.ends) @ weights
    torch.testing.assert_close(s.standard_error.flatten(1), spread.square().sum(0).sqrt())
    if not per_pixel:
        torch.testing.assert_close(s.standard_error, place(s.segments.standard_error))
    spans = [m.max() - m.min() for m in s.maps]
    e95 = [e.flatten().sort().values[51] for e in s.standard_error]  # the 52nd of 54 pixels
    assert s.relative_error == pytest.approx([(e / span).item() for e, span in zip(e95, spans, strict=True)])


def shifted(sampler, rows, tile=16, seed=0):
    """Fold `rows` masks with a random shift, of a model that adds up what is kept."""
    field, a = ShiftedGrid((6, 9), 3, Stream(seed).child("shift")), MaskMean(target(2), sampler, None)
    for start in range(0, rows, tile):
        part = range(start, min(start + tile, rows))
        m = field.masks(sampler.draw(part), part, Placement())
        a.add(part, m, {"y": seen(m)})
    return a


def seen(m):
    """y [k, 2] of masks [k, H, W]: not additive."""
    left, right = m[..., :4].double().mean((1, 2)), m[..., 4:].double().mean((1, 2))
    return torch.stack([(3 * left * right).tanh(), (left - right).sigmoid()], 1)


@pytest.mark.parametrize("sampler", [Bernoulli, Antithetic, Orthogonal])
def test_mask_means_equal_their_sums_over_blocks(sampler):
    sampler = sampler(Stream(0), 9, 0.5) if sampler is Bernoulli else sampler(Stream(0), 9)
    rows = 10 * sampler.block + sampler.block // 2
    field = ShiftedGrid((6, 9), 3, Stream(0).child("shift"))
    m = field.masks(sampler.draw(range(rows)), range(rows), Placement())
    terms = (seen(m)[:, :, None] * m.double().flatten(1)[:, None]) / sampler.mean  # [N, T, U]
    whole = terms[: 10 * sampler.block].unflatten(0, (10, -1)).mean(1)  # of blocks
    error = whole.std(0) / 10**0.5
    s = shifted(sampler, rows).value()
    torch.testing.assert_close(s.maps.flatten(1), terms.mean(0), rtol=1e-5, atol=1e-7)
    widened = s.standard_error.flatten(1) / error
    torch.testing.assert_close(widened, torch.full_like(widened, 2.262 / 1.96), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", [Antithetic(Stream(0), 9), Orthogonal(Stream(0), 9), Coalitions(Stream(0), 9)])
@pytest.mark.parametrize("tile", [1, 7, 200])
def test_mask_means_do_not_depend_on_how_rows_are_cut_into_tiles(sampler, tile):
    s, other = shifted(sampler, 200, tile).value(), shifted(sampler, 200).value()
    torch.testing.assert_close(s.maps, other.maps, rtol=1e-5, atol=1e-7)
    assert (s.standard_error is None) == (sampler.block == 0)
    if sampler.block:
        torch.testing.assert_close(s.standard_error, other.standard_error, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("sampler", [Antithetic, Orthogonal])
def test_the_standard_error_of_mask_means_covers_the_truth_as_often_as_it_says(sampler):
    truth = shifted(sampler(Stream(999), 9), 60_000, 2000, seed=999).value().maps
    inside = []
    for seed in range(200):
        design = sampler(Stream(seed), 9)
        s = shifted(design, 10 * max(design.block, 16), 240, seed).value()
        inside.append(((s.maps - truth).abs() <= 1.96 * s.standard_error).double().mean())
    assert 0.90 <= torch.stack(inside).mean() <= 0.98


def test_hundreds_of_targets_have_a_relative_error_at_full_size():
    game = Game(9, outputs=400)
    sampler = Bernoulli(Stream(0), 9, 0.5)
    a = fold(Rise(), sampler, game, field=Grid((224, 224), 3, "bilinear"))
    play(a, sampler, game, 64)
    assert len(a.value().relative_error) == 400
