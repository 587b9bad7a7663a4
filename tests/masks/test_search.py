"""Masks without gradients: planted evidence is found, repeatably, and what is told is what was found."""

from dataclasses import replace

import pytest
import torch
from inline import inline
from sidelight.core import registry
from sidelight.core.ask import Model
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.evidence import Evidence
from sidelight.core.inputs import ImageInput, TextInput, TokenInput, words
from sidelight.core.job import Job
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream
from sidelight.core.sweep import Folded, Meter, Placement, Stop, Stopped, metered
from sidelight.core.target import Link, OutputKind, Target
from sidelight.masks.options import Comprehensiveness
from sidelight.methods.mask_search import MaskSearchParams, cost, places
from sidelight.perturbation.fields import Grid, Units
from sidelight.perturbation.options import Segmentation

search = registry.find("mask_search")
TEXT = "It began badly , with a leaden script , but the last hour is a wonderful moving triumph of acting ."
PLANTED = {"wonderful", "moving", "triumph"}
# An edge is ten times as large a share of 24 pixels as of 224.
GRID = MaskSearchParams(segmentation=Segmentation.GRID, segments=36, variation_weight=1.0)


def job(x, classes=(1,), kind=OutputKind.LOGITS, link=Link.LOGIT, seed=3, **more):
    return Job(Model("m", "1"), x, Target(kind, link, classes, **more), Stream(seed))


def text():
    return TextInput("text", TEXT, words(TEXT))


def image():
    return ImageInput("x", torch.full((1, 24, 24), 255.0), torch.zeros(1, 24, 24), PixelSpace("L", 1 / 255))


def reader(_, columns):
    """Logits (0, s) that grow by 4 with each planted word that is there."""
    there = torch.tensor(
        [len(PLANTED & set(t.replace(",", " ").split())) for t in columns["text"]], dtype=torch.float64
    )
    return {"y": torch.stack([torch.zeros_like(there), 4 * there - 6], 1)}


def spot(_, columns):
    """Logits (0, s) by the mean of the pixels that lie in the upper left 8 x 12."""
    lit = columns["x"][:, 0, :8, :12].double().mean((1, 2))
    return {"y": torch.stack([torch.zeros_like(lit), 12 * lit - 6], 1)}


def iou(found, true):
    return ((found & true).sum() / (found | true).sum()).item()


def test_planted_words_are_found_by_a_model_that_gives_no_gradients():
    x = text()
    found = inline(search.plan(job(x), MaskSearchParams()), reader)
    true = torch.tensor([x.word(u) in PLANTED for u in x.units])
    assert iou(found.maps[0] >= 0.5, true) >= 0.9
    assert found.optimised[0].gradient_free
    assert found.optimised[0].kept > 0.99
    assert found.optimised[0].removed < 0.01


def test_planted_segments_are_found():
    found = inline(search.plan(job(image()), GRID), spot)
    true = torch.zeros(24, 24, dtype=torch.bool)
    true[:8, :12] = True
    assert iou(found.maps[0] >= 0.5, true) >= 0.9
    assert found.segments.scores.shape == (1, 36)
    assert torch.allclose(found.segments.scores[0][found.segments.labels], found.maps[0])


def test_what_is_told_of_the_best_belongs_to_its_mask():
    x = text()
    (told,), mask = (found := inline(search.plan(job(x), MaskSearchParams()), reader)).optimised, found.maps[0]
    y = reader(None, x.blend(torch.stack([mask, 1 - mask]), None))["y"].softmax(1)[:, 1]
    assert told.kept == pytest.approx(y[0].item())
    assert told.removed == pytest.approx(y[1].item())
    assert told.mean == pytest.approx(mask.mean().item())
    expected = -y[0].log() - torch.log1p(-y[1]) + mask.mean() ** 2
    assert told.objective == pytest.approx(expected.item())
    assert len(told.terms["kept"]) == 150
    assert "variation" not in told.terms


def test_the_best_never_gets_worse_from_one_generation_to_the_next():
    (told,) = inline(search.plan(job(text()), MaskSearchParams()), reader).optimised
    losses = [sum(values) for values in zip(*told.terms.values(), strict=True)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_a_seed_gives_one_answer_whatever_the_tiles_and_another_seed_another():
    one = inline(search.plan(job(text()), MaskSearchParams(generations=5)), reader, tile=3)
    two = inline(search.plan(job(text()), MaskSearchParams(generations=5)), reader, tile=64)
    other = inline(search.plan(job(text(), seed=4), MaskSearchParams(generations=5)), reader)
    assert torch.equal(one.maps, two.maps)
    assert not torch.equal(one.maps, other.maps)


def test_targets_are_searched_for_side_by_side_as_if_alone():
    both = inline(search.plan(job(text(), (0, 1)), MaskSearchParams(generations=8)), reader)
    alone = [inline(search.plan(job(text(), (c,)), MaskSearchParams(generations=8)), reader) for c in (0, 1)]
    assert torch.equal(both.maps, torch.cat([a.maps for a in alone]))


def test_log_ratio_is_minus_log_p_plus_log_q():
    p = MaskSearchParams(generations=3, comprehensiveness=Comprehensiveness.LOG_RATIO, size_weight=0.0)
    (told,) = inline(search.plan(job(text()), p), reader).optimised
    p_kept, q = torch.tensor(told.kept), torch.tensor(told.removed)
    assert told.objective == pytest.approx((-p_kept.log() + q.log()).item(), rel=1e-4)


def test_the_budget_ends_it_with_the_best_of_the_generations_before():
    p = MaskSearchParams(generations=6)
    size = cost(p, text()) // 6
    three = inline(metered(search.plan(job(text()), p), Meter(3 * size + 1)), reader)
    assert len(three.optimised[0].terms["kept"]) == 3
    assert not three.optimised[0].settled
    assert torch.equal(three.maps, inline(search.plan(job(text()), replace(p, generations=3)), reader).maps)


def test_a_deadline_in_the_first_generation_leaves_nothing_to_answer_with():
    plan = search.plan(job(text()), MaskSearchParams())
    sweep = next(plan)
    with pytest.raises(Stopped):
        plan.send(Folded(torch.zeros(1, 2), 1, Stop.DEADLINE))
    assert sweep.size == cost(MaskSearchParams(generations=1), text())


def test_its_preview_is_the_best_mask_so_far():
    plan = search.plan(job(text()), MaskSearchParams())
    first = next(plan)
    assert first.fold.preview() is None
    columns, memo = first.render(range(first.size), Placement())
    first.fold.add(range(first.size), memo, reader(None, columns))
    second = plan.send(Folded(first.fold.value(), first.size, Stop.COMPLETE))
    assert second.fold.preview().shape == (1, len(text().units))


def test_probabilities_of_exactly_one_and_zero_have_finite_logarithms():
    def sure(_, columns):
        y = reader(None, columns)["y"][:, 1] > 0
        return {"y": torch.stack([~y, y], 1).double()}

    x = job(text(), kind=OutputKind.PROBABILITIES, link=Link.PROBABILITY)
    assert torch.isfinite(
        torch.tensor(inline(search.plan(x, MaskSearchParams(generations=5)), sure).optimised[0].objective)
    )


@pytest.mark.parametrize(
    ("x", "params", "target", "field"),
    [
        (text(), MaskSearchParams(segmentation=Segmentation.SENTENCE), {}, "mask_search.segmentation"),
        (image(), MaskSearchParams(segmentation=Segmentation.GRID, segments=529), {}, "mask_search.segments"),
        (text(), MaskSearchParams(evidence=Evidence.SIGMOID),
         {"kind": OutputKind.PROBABILITIES, "link": Link.PROBABILITY}, "mask_search.evidence"),
        (text(), MaskSearchParams(), {"contrast": (0,)}, "target"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_by_field(x, params, target, field):
    with pytest.raises(InvalidRequest) as refused:
        search.check(params, job(x, **target))
    assert refused.value.field == field


def test_outputs_that_nothing_is_known_of_have_no_evidence():
    with pytest.raises(Unsupported, match=r"output\.kind"):
        search.check(MaskSearchParams(), job(text(), kind=OutputKind.AS_SERVED, link=Link.AS_SERVED))


def test_token_ids_are_units_too():
    ids = TokenInput("ids", torch.tensor([7, 3, 4, 1, 8, 9, 9, 9, 5, 6, 2, 4, 7, 1]))

    def nine(_, columns):
        s = (columns["ids"] == 9).double().mean(1)
        return {"y": torch.stack([0 * s, 60 * s - 6], 1)}

    found = inline(search.plan(job(ids), MaskSearchParams()), nine)
    assert torch.equal(found.maps[0] >= 0.5, ids.ids == 9)


def test_segments_lie_at_their_centres_in_spacings_and_words_one_apart():
    at = places(Grid((8, 8), 4))
    assert (at[1] - at[0]).tolist() == [0, 1]
    assert (at[4] - at[0]).tolist() == [1, 0]
    assert places(Units(3)).flatten().tolist() == [0, 1, 2]


def of_words(replacement):
    return TextInput("text", TEXT, words(TEXT), replacement)


def greyish(value):
    return replace(image(), baseline=torch.full((1, 24, 24), float(value)))


@pytest.mark.parametrize(
    ("x", "other", "params", "answer"),
    [
        (of_words(""), of_words("triumph"), MaskSearchParams(generations=4), reader),
        (greyish(0), greyish(200), replace(GRID, generations=4), spot),
    ],
)
def test_over_several_baselines_every_term_is_the_mean_of_theirs_and_so_are_p_and_q(x, other, params, answer):
    asked = replace(job(x), others=(other,))
    found = inline(search.plan(asked, params), answer, tile=7)
    (told,), mask = found.optimised, found.maps[0]
    p, q, terms = [], [], []
    for one in (x, other):
        kept, rest = answer(None, one.blend(torch.stack([mask, 1 - mask]).float(), Placement()))["y"].softmax(1)[:, 1]
        p.append(kept.item())
        q.append(rest.item())
        terms.append((-kept.log() - torch.log1p(-rest)).item())
    assert abs(p[0] - p[1]) + abs(q[0] - q[1]) > 1e-3
    assert (told.kept, told.removed) == pytest.approx((sum(p) / 2, sum(q) / 2), rel=1e-4)
    assert told.terms["kept"][-1] + told.terms["removed"][-1] == pytest.approx(sum(terms) / 2, rel=1e-4)
    alone = inline(search.plan(job(x), params), answer)
    assert not torch.equal(alone.maps, found.maps)


def test_its_budget_counts_every_baseline():
    p = MaskSearchParams(generations=3)
    size = 2 * cost(p, text()) // 3
    asked = replace(job(text()), others=(of_words("so"),))
    found = inline(metered(search.plan(asked, p), Meter(2 * size + 1)), reader)
    assert len(found.optimised[0].terms["kept"]) == 2


@pytest.mark.parametrize(
    ("ways", "expected"),
    [({}, ["wonderful moving triumph"]), ({"span_count": 1}, ["wonderful moving triumph"]),
     ({"span_share": 0.01}, 1), ({"span_threshold": 1.0}, [])],
)  # fmt: skip
def test_what_it_keeps_of_a_text_is_told_as_rationales(ways, expected):
    found = inline(search.plan(job(text()), MaskSearchParams(**ways)), reader)
    spans = [TEXT[s.begin : s.end] for s in found.optimised[0].spans]
    assert len(spans) == expected if isinstance(expected, int) else spans == expected
    for span in found.optimised[0].spans:
        inside = [m for m, u in zip(found.maps[0], text().units, strict=True) if span.begin <= u.begin < span.end]
        assert span.score == pytest.approx(torch.stack(inside).mean().item())


def test_rationales_of_images_and_in_two_ways_are_refused_by_field():
    with pytest.raises(InvalidRequest, match=r"mask_search\.span_count: leave it out"):
        search.check(MaskSearchParams(span_share=0.2, span_count=2), job(text()))
    with pytest.raises(InvalidRequest, match=r"mask_search\.span_share: of texts"):
        search.check(replace(GRID, span_share=0.2), job(image()))
    assert inline(search.plan(job(image()), replace(GRID, generations=2)), spot).optimised[0].spans == ()
