import pytest
import torch
from measured import picture, run, sentence, subject
from sidelight.core.errors import InvalidRequest
from sidelight.core.metric import find
from sidelight.metrics.mass_in_mask import MassInMaskParams, mass_in_mask
from sidelight.metrics.pointing_game import PointingGameParams, pointing_game, widened

X = picture((6, 9))
MASK = torch.zeros(6, 9, dtype=torch.bool)
MASK[1:3, 2:5] = True
EACH = [(pointing_game, PointingGameParams), (mass_in_mask, MassInMaskParams)]


def nothing(ask, columns):
    raise AssertionError("these metrics ask no model")


def peak(*at):
    maps = torch.zeros(len(at), 6, 9)
    for t, (row, column) in enumerate(at):
        maps[t, row, column] = 1
    return maps


def test_a_maximum_in_the_region_hits_and_one_outside_misses():
    m = run(pointing_game(subject(X, peak((2, 4), (5, 8)), (0, 1)), PointingGameParams(MASK)), nothing)
    assert m.values["hit"].tolist() == [1, 0] and not m.curves


def test_several_maxima_hit_as_often_as_a_draw_among_them_would():
    maps = peak((2, 4)) + peak((5, 8)) + peak((1, 2)) + peak((0, 0))
    assert run(pointing_game(subject(X, maps), PointingGameParams(MASK)), nothing).values["hit"].item() == 0.5
    flat = run(pointing_game(subject(X, torch.ones(1, 6, 9)), PointingGameParams(MASK)), nothing)
    assert flat.values["hit"].item() == pytest.approx(MASK.double().mean().item())


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5, 50])
def test_the_region_grows_by_the_tolerance_in_all_directions(radius):
    mask = torch.rand(7, 11, generator=torch.Generator().manual_seed(radius)) > 0.93
    at = mask.nonzero().double()
    grid = torch.cartesian_prod(torch.arange(7.0), torch.arange(11.0)).double()
    expected = (torch.cdist(grid, at).amin(1) <= radius + 1e-9).view(7, 11)
    assert torch.equal(widened(mask, radius), expected)


def test_a_near_miss_hits_within_the_tolerance():
    s = subject(X, peak((4, 6)))  # 2 down and 2 right of the corner (2, 4): 2.83 away
    assert run(pointing_game(s, PointingGameParams(MASK, 2)), nothing).values["hit"].item() == 0
    assert run(pointing_game(s, PointingGameParams(MASK, 3)), nothing).values["hit"].item() == 1


def test_mass_is_the_share_of_positive_relevance_in_the_region():
    maps = torch.randn(2, 6, 9)
    m = run(mass_in_mask(subject(X, maps, (0, 1)), MassInMaskParams(MASK)), nothing)
    for t in range(2):
        positive = [(v, inside) for v, inside in zip(maps[t].flatten(), MASK.flatten(), strict=True) if v > 0]
        expected = sum(v for v, inside in positive if inside) / sum(v for v, _ in positive)
        assert m.values["mass"][t].item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_flat_map_has_the_mass_of_the_regions_area():
    m = run(mass_in_mask(subject(X, torch.ones(1, 6, 9)), MassInMaskParams(MASK)), nothing)
    assert m.values["mass"].item() == pytest.approx(6 / 54) == m.values["area"].item()


def test_a_map_within_the_region_has_all_its_mass_there_and_its_inverse_none():
    inside = MASK.double().unsqueeze(0)
    for maps, mass in [(inside, 1.0), (1 - inside, 0.0)]:
        assert run(mass_in_mask(subject(X, maps), MassInMaskParams(MASK)), nothing).values["mass"].item() == mass


def test_a_map_without_positive_relevance_has_no_share_and_the_refusal_says_what_does():
    s = subject(X, torch.stack([torch.ones(6, 9), -torch.ones(6, 9)]), (0, 1))
    with pytest.raises(InvalidRequest, match=r"target 1 .*pointing_game") as refused:
        run(mass_in_mask(s, MassInMaskParams(MASK)), nothing)
    assert refused.value.field == "metrics.mass_in_mask"


@pytest.mark.parametrize(("plan", "params"), EACH)
@pytest.mark.parametrize(
    ("mask", "mend"),
    [
        (None, r"shape \[6, 9\]"),
        (torch.ones(9, 6, dtype=torch.bool), r"shape \[6, 9\], not \[9, 6\]"),
        (torch.zeros(6, 9, dtype=torch.bool), "marks nothing"),
    ],
)
def test_without_a_true_region_of_the_maps_shape_the_field_is_named(plan, params, mask, mend):
    with pytest.raises(InvalidRequest, match=mend) as refused:
        run(plan(subject(X, torch.ones(1, 6, 9)), params(mask)), nothing)
    assert refused.value.field == f"metrics.{plan.__name__}.mask"
    with pytest.raises(InvalidRequest, match=mend):  # and before any method has run
        find(plan.__name__).check(params(mask), X)


def test_words_can_be_pointed_at_too():
    s = subject(sentence(), [[0, 1, 5, 0, 0, -1]])
    truth = torch.tensor([0, 0, 1, 0, 0, 0], dtype=torch.bool)
    assert run(pointing_game(s, PointingGameParams(truth)), nothing).values["hit"].item() == 1
    assert run(mass_in_mask(s, MassInMaskParams(truth)), nothing).values["mass"].item() == pytest.approx(5 / 6)
