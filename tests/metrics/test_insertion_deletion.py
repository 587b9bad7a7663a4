import pytest
import torch
from measured import Linear, bent, picture, run, sentence, sentiment, subject
from sidelight.core.baseline import Blur, ImageMean, ModelMean
from sidelight.core.errors import InvalidRequest
from sidelight.core.stream import Stream
from sidelight.metrics.deletion import DeletionParams, deletion
from sidelight.metrics.insertion import InsertionParams, insertion
from sidelight.metrics.replacement import Replacement

BOTH = [(deletion, DeletionParams), (insertion, InsertionParams)]


def contributions(x, model, baseline):
    return model.contributions(x, baseline.image(x.pixels, x.space, Stream(0)))[:1]


def test_deletion_on_a_linear_model_is_the_trapezoids_under_sorted_contributions_over_the_image_mean():
    x = picture((10, 10))
    model = Linear(x)
    part = contributions(x, model, ImageMean())
    m = run(deletion(subject(x, part), DeletionParams(steps=10)), model)
    fallen = torch.cat([torch.zeros(1), part.flatten().sort(descending=True).values.view(10, 10).sum(1).cumsum(0)])
    curve = m.curves["deletion"][0]
    torch.testing.assert_close(curve, curve[0] - fallen, rtol=1e-5, atol=1e-4)
    assert m.values["auc"].item() == pytest.approx(((curve[1:] + curve[:-1]) / 2).mean().item(), rel=1e-9)
    assert m.replacement == "image_mean"


def test_insertion_on_a_linear_model_is_the_trapezoids_under_sorted_contributions_over_the_blur():
    x = picture((10, 10))
    model = Linear(x)
    part = contributions(x, model, Blur())
    m = run(insertion(subject(x, part), InsertionParams(steps=10)), model)
    risen = torch.cat([torch.zeros(1), part.flatten().sort(descending=True).values.view(10, 10).sum(1).cumsum(0)])
    curve = m.curves["insertion"][0]
    torch.testing.assert_close(curve, curve[0] + risen, rtol=1e-5, atol=1e-4)
    assert m.values["auc"].item() == pytest.approx(((curve[1:] + curve[:-1]) / 2).mean().item(), rel=1e-9)
    assert m.replacement == "blur"


def test_insertion_ends_where_deletion_begins_and_the_same_colour_makes_them_ends_of_each_other():
    x, maps = picture((6, 7)), torch.randn(1, 6, 7)
    fall = run(deletion(subject(x, maps), DeletionParams(replacement=Replacement.MODEL_MEAN)), bent(x))
    rise = run(insertion(subject(x, maps), InsertionParams(replacement=Replacement.MODEL_MEAN)), bent(x))
    fall, rise = fall.curves["deletion"][0], rise.curves["insertion"][0]
    assert (fall[0], fall[-1]) == (rise[-1], rise[0])


@pytest.mark.parametrize(("plan", "params"), BOTH)
def test_the_true_map_beats_random_ones_which_beat_its_inverse(plan, params):
    x = picture((10, 10))
    model = Linear(x)
    p = params(steps=10)
    part = contributions(x, model, Blur() if plan is insertion else ImageMean())
    sign = 1 if plan is insertion else -1  # a low deletion is a good one
    best, worst = (sign * run(plan(subject(x, m), p), model).values["auc"].item() for m in (part, -part))
    for seed in range(5):
        other = torch.randn(1, 10, 10, generator=torch.Generator().manual_seed(seed))
        assert worst < sign * run(plan(subject(x, other), p), model).values["auc"].item() < best


@pytest.mark.parametrize(("plan", "params"), BOTH)
def test_normalised_it_is_the_area_under_the_curve_between_0_and_1(plan, params):
    x, maps = picture((6, 7)), torch.randn(2, 6, 7)
    m = run(plan(subject(x, maps, (0, 2)), params(normalised=True)), bent(x))
    ((name, curve),) = m.curves.items()
    full, empty = (curve[:, :1], curve[:, -1:]) if name == "deletion" else (curve[:, -1:], curve[:, :1])
    unit = (curve - empty) / (full - empty)
    expected = ((unit[:, 1:] + unit[:, :-1]) / 2).mean(1)
    torch.testing.assert_close(m.values["auc_normalised"], expected)


@pytest.mark.parametrize(("plan", "params"), BOTH)
def test_on_a_linear_model_a_random_map_is_worth_half_when_normalised(plan, params):
    x = picture((20, 20))
    uniform = Linear(x)
    area = []
    for seed in range(30):
        maps = torch.randn(1, 20, 20, generator=torch.Generator().manual_seed(seed))
        area.append(run(plan(subject(x, maps), params(normalised=True)), uniform, 50).values["auc_normalised"].item())
    mean, error = torch.tensor(area).mean().item(), torch.tensor(area).std().item() / 30**0.5
    assert abs(mean - 0.5) < 4 * error


@pytest.mark.parametrize(("plan", "params"), BOTH)
def test_normalising_a_score_that_does_not_change_is_refused_with_the_mend(plan, params):
    def constant(_, columns):
        return {"y": torch.full((len(columns["x"]), 2), 1.5)}

    s = subject(picture((4, 4)), torch.randn(1, 4, 4))
    assert run(plan(s, params()), constant).values["auc"].item() == 1.5
    with pytest.raises(InvalidRequest, match=r"target 0 .* another replacement") as refused:
        run(plan(s, params(normalised=True)), constant)
    assert refused.value.field == f"metrics.{plan.__name__}.normalised"


@pytest.mark.parametrize(
    ("replacement", "baseline"),
    [
        (Replacement.IMAGE_MEAN, ImageMean()),
        (Replacement.BLUR, Blur()),
        (Replacement.MODEL_MEAN, ModelMean()),
        (Replacement.REQUEST, None),
    ],
)
def test_the_hidden_image_is_the_replacement_that_was_asked_for(replacement, baseline):
    x = picture((6, 7), baseline=40.0)
    model = Linear(x)
    m = run(deletion(subject(x, torch.randn(1, 6, 7)), DeletionParams(replacement=replacement)), model)
    hidden = x.baseline if baseline is None else baseline.image(x.pixels, x.space, Stream(5))
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (x.space.mean, x.space.std))
    y = model.of(((hidden * x.space.scale - mean) / std).double().unsqueeze(0))[0, 0]
    assert m.curves["deletion"][0, -1].item() == pytest.approx(y.item(), abs=1e-4)
    assert m.replacement == replacement.value


def test_words_appear_and_disappear_one_by_one():
    x = sentence()
    maps = [[0, 0, 2, 0, 0, -1]]
    fall = run(deletion(subject(x, maps), DeletionParams()), sentiment)
    rise = run(insertion(subject(x, maps), InsertionParams()), sentiment)
    assert fall.curves["deletion"][0].tolist() == [1, -1, -1, -1, -1, -1, 0]
    assert rise.curves["insertion"][0].tolist() == [0, 2, 2, 2, 2, 2, 1]
    assert fall.replacement == rise.replacement == "request"
    assert rise.values["auc"].item() == pytest.approx(10.5 / 6)


def test_a_single_word_has_the_area_between_its_two_ends():
    x = sentence("wonderful")
    assert run(deletion(subject(x, [[1.0]]), DeletionParams()), sentiment).values["auc"].item() == 1.0
    assert run(insertion(subject(x, [[1.0]]), InsertionParams()), sentiment).values["auc"].item() == 1.0
