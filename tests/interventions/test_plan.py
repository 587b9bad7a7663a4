"""The plan of gradual interventions with an editor by arithmetic and models that are functions of brightness."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from inline import inline
from intervention_studio import (
    BLACK,
    LOGIT,
    RAMP,
    SIZE,
    Brighten,
    Nowhere,
    Shelf,
    answering,
    brightened,
    captured,
    explained,
    job_of,
    of_brightness,
    params,
    run,
    score_loop,
    until,
)
from sidelight.core.ask import TWIN, Model
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.explanation import explain
from sidelight.core.inputs import TextInput, words
from sidelight.core.predictor import PixelSpace, Twin
from sidelight.core.registry import find
from sidelight.core.sweep import Folded, Placement, Stop, Stopped, together
from sidelight.core.target import Link, OutputKind, Target
from sidelight.interventions.intervene import intervene
from sidelight.interventions.options import Correction, Dependence
from sidelight.methods.interventional import Property

WAVE = of_brightness(lambda m: math.sin(m / 9), lambda m: 0.2)


def effect_of(*args, **given):
    (response,) = explained(*args, **given).result.responses
    return response, response.effects[0]


# -- what is answered --------------------------------------------------------------------------------------------------


def test_the_answer_is_that_of_a_loop_over_the_strengths():
    strengths = np.linspace(3, 120, 40).round()
    response, effect = effect_of(brightened(strengths), net=WAVE)
    y = [math.sin(x / 9) for x in strengths]
    assert effect.outputs.tolist() == pytest.approx(y)
    assert response.strengths.tolist() == strengths.tolist() and response.count == 40
    assert effect.score == pytest.approx(score_loop(y))
    assert effect.score_with_original == pytest.approx(score_loop([0.0, *y]))
    assert effect.total_variation == pytest.approx(sum(abs(b - a) for a, b in pairwise(y)))
    assert effect.reconstruction_shift == pytest.approx(y[0])
    assert effect.gradient == pytest.approx(np.abs(np.gradient(y, strengths)).mean())
    assert not effect.estimated and response.saved == 0 and response.edits == 40
    assert response.distance.tolist() == pytest.approx(strengths.tolist())
    assert (response.name, response.editor, response.unit) == ("brightness", "brighten", "level")


def test_a_series_that_begins_with_the_unedited_image_has_no_shift_at_all():
    for space in (PixelSpace(), PixelSpace(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), layout="NHWC")):
        original = torch.randint(0, 200, (3, *SIZE), dtype=torch.uint8)
        job = job_of(brightened(range(12), original=original), space=space, pixels=original.float())
        net = of_brightness(lambda m: m)
        done = run(explain(job, lambda y: LOGIT, find("interventional"), params()), net)
        assert done.result.responses[0].effects[0].reconstruction_shift == 0


def test_every_explained_class_has_its_own_effect():
    target = Target(OutputKind.LOGITS, Link.PROBABILITY, (1, 0))
    response, _ = effect_of(brightened(range(20)), target=target)
    first, second = response.effects
    assert torch.allclose(first.outputs + second.outputs, torch.ones(20, dtype=torch.float64))
    assert first.signed_mean == pytest.approx(-second.signed_mean)


def test_top_classes_are_followed_along_the_series():
    net = of_brightness(lambda m: 2.0, lambda m: 1 + m / 10, lambda m: -9.0, lambda m: -8.0, lambda m: -7, lambda m: -6)
    response, _ = effect_of(brightened(range(0, 40, 2)), net=net)
    assert response.top.tolist() == [0] * 6 + [1] * 14
    assert (response.flips, response.flips_at) == (1, 12)
    assert response.classes.tolist()[:2] == [1, 0] and len(response.classes) == 5
    logits = torch.stack([net(torch.full((1, 3, 2, 2), x))[0] for x in range(0, 40, 2)])
    torch.testing.assert_close(response.curves, logits.softmax(1)[:, response.classes])


def test_classes_on_top_anywhere_are_told_before_larger_ones_that_never_are():
    def net(x):  # eight classes: 6 is on top once, where all are small; 0 elsewhere, with 1..5 close behind
        rows = torch.full((len(x), 8), 5.0, dtype=torch.float64)
        rows[:, 0], rows[:, 6] = 9.0, 0.0
        rows[x.flatten(1).mean(1) == 3] = torch.tensor([0.0] * 6 + [0.1, 0.0], dtype=torch.float64)
        return rows

    target = Target(OutputKind.AS_SERVED, Link.AS_SERVED, (0,))
    response, _ = effect_of(brightened(range(8)), net=net, target=target)
    assert response.classes.tolist()[:2] == [0, 6] and len(response.classes) == 5
    assert response.flips == 2 and response.flips_at == 3


def test_of_a_cosine_target_the_most_similar_class_is_followed():
    references = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    target = Target(OutputKind.AS_SERVED, Link.COSINE, references=references, groups=(0, 1, 1))
    net = of_brightness(lambda m: math.cos(m / 30), lambda m: math.sin(m / 30))
    response, _ = effect_of(brightened(range(40)), net=net, target=target)
    assert len(response.effects) == 2 and response.flips == 1
    assert response.top.tolist() == (response.effects[1].outputs > response.effects[0].outputs).long().tolist()
    assert response.classes.numel() == response.curves.numel() == 0


def test_shown_frames_are_the_series_own_at_the_places_that_are_named():
    response, _ = effect_of(brightened(range(30)), frames=4)
    assert response.chosen[0] == 0 and response.chosen[-1] == 29 and len(response.chosen) == 4
    for place, frame in zip(response.chosen, response.frames, strict=True):
        assert frame.float().mean() == response.strengths[place]
    assert effect_of(brightened(range(30)), frames=0)[0].frames == ()


# -- order and spacing of strengths ------------------------------------------------------------------------------------


def test_unordered_strengths_are_scored_in_the_order_given_and_have_no_slope():
    strengths = [5, 1, 9, 3, 7, 2, 8, 0]
    _, effect = effect_of(brightened(strengths))
    assert effect.score == pytest.approx(score_loop([x / 50 for x in strengths]))
    assert math.isnan(effect.gradient) and effect.significance is not None


def test_uneven_strengths_change_the_slope_and_not_the_score():
    strengths = [0, 1, 2, 4, 8, 16, 32, 64]
    _, effect = effect_of(brightened(strengths))
    assert effect.score == pytest.approx(score_loop([x / 50 for x in strengths]))
    assert effect.gradient == pytest.approx(1 / 50)


def test_equal_strengths_are_edited_once_and_stand_where_they_were_given():
    editor = Brighten()
    response, effect = effect_of(brightened([1, 1, 2, 1], editor), editor=editor, dependence=tuple(Dependence))
    assert sorted(editor.edited) == [1, 2] and response.edits == 2
    assert effect.outputs.tolist() == pytest.approx([0.02, 0.02, 0.04, 0.02])
    assert effect.dependence["pearson"].value == pytest.approx(1)


def test_a_callers_frames_are_each_their_own_also_at_equal_strengths():
    frames = [torch.full((3, *SIZE), v, dtype=torch.uint8) for v in (10, 30, 20, 90)]
    job = job_of(captured(frames, [0, 0, 1, 1]), pixels=frames[0].float())
    done = run(explain(job, lambda y: LOGIT, find("interventional"), params()), RAMP)
    (response,) = done.result.responses
    assert response.effects[0].outputs.tolist() == pytest.approx([0.2, 0.6, 0.4, 1.8])
    assert done.edits == response.edits == 0


# -- significance ------------------------------------------------------------------------------------------------------


def test_the_test_is_that_of_the_series_and_its_draws_are_the_jobs():
    noise = np.random.default_rng(3).standard_normal(30)
    net = of_brightness(lambda m: noise[round(float(m))])

    def p(seed, **given):
        job = job_of(brightened(range(30)), seed=seed)
        return run(explain(job, lambda y: LOGIT, find("interventional"), params(**given)), net).result.responses[0]

    one, same, other = p(1), p(1), p(2)
    assert one.effects[0].significance == same.effects[0].significance != other.effects[0].significance
    assert one.effects[0].significance.permutations == 500
    k = 137  # no whole number of chunks
    assert p(1, permutations=k).effects[0].significance.permutations == k


def test_with_the_unedited_input_in_front_the_test_is_of_that_series():
    noise = np.random.default_rng(4).standard_normal(12)
    net = of_brightness(lambda m: 9.0 if m == 0 else noise[round(float(m)) - 1])
    _, without = effect_of(brightened(range(1, 13)), net=net)
    _, with_it = effect_of(brightened(range(1, 13)), net=net, with_original=True)
    g = np.abs(np.subtract.outer(y := np.array([9.0, *noise]), y)).sum() / (13 * 12)
    assert with_it.significance.null_mean == pytest.approx(g * 15 / 26, rel=0.05)
    assert without.significance.null_mean < 0.8 * with_it.significance.null_mean
    assert (with_it.score, with_it.score_with_original) == (without.score, without.score_with_original)


def staircase(net, frames=12, each=8, **given):
    """The effect of a series in which every frame comes `each` times, as an editor in coarse steps makes it."""
    levels = [torch.full_like(BLACK, 20 * i) for i in range(frames) for _ in range(each)]
    return effect_of(captured(levels), net=net, **given)


def test_frames_that_are_given_several_times_are_no_evidence_of_order():
    of_level = np.random.default_rng(7).random((20, 12))
    nets = [of_brightness(lambda m, row=row: row[round(m / 20)], lambda m: 0.0) for row in of_level]
    once, often = ([staircase(net, each=each)[1] for net in nets] for each in (1, 8))
    assert [e.significance for e in often] == [e.significance for e in once]
    assert sum(e.significance.p_value < 0.05 for e in often) <= 3


@pytest.mark.parametrize("statistic", Dependence)
def test_dependence_is_of_the_frames_that_differ(statistic):
    once, often = (staircase(WAVE, each=each, dependence=(statistic,)) for each in (1, 8))
    assert once[1].dependence[statistic.value].p_value == often[1].dependence[statistic.value].p_value
    assert (once[0].repeated, often[0].repeated) == (0, 84)


def test_of_one_frame_all_along_p_is_1():
    response, effect = staircase(WAVE, frames=1)
    assert (response.repeated, effect.significance.p_value, effect.score) == (7, 1, 0)


def test_a_model_that_does_not_react_is_not_significant_and_says_so_exactly():
    _, effect = effect_of(brightened(range(20)), net=of_brightness(lambda m: 0.4), dependence=tuple(Dependence))
    assert effect.significance.p_value == effect.significance.adjusted == 1 and not effect.significance.significant
    assert effect.dependence["mutual_information"].value == 0 and math.isnan(effect.dependence["pearson"].value)
    assert {d.p_value for d in effect.dependence.values()} == {1}


def test_what_batches_of_another_size_round_otherwise_is_no_order():
    net = of_brightness(lambda m: 0.3 + (1e-8 if m >= 96 else 0.0))
    _, effect = effect_of(brightened(range(100)), net=net, dependence=tuple(Dependence))
    assert effect.significance.p_value == 1 and {d.p_value for d in effect.dependence.values()} == {1}


def test_p_values_are_corrected_over_the_properties_for_each_class_alone():
    noise = np.random.default_rng(5).standard_normal((2, 30))
    net = of_brightness(*(lambda m, row=row: row[round(float(m)) % 30] for row in noise))
    target = Target(OutputKind.LOGITS, Link.LOGIT, (0, 1))
    grids = [range(30), range(60, 90), range(90, 120, 3)]

    def found(how):
        several = [brightened(g, name=str(i)) for i, g in enumerate(grids)]
        return explained(*several, net=net, target=target, correction=how).result.responses

    for t in range(2):
        p = [r.effects[t].significance.p_value for r in found(Correction.NONE)]
        assert [r.effects[t].significance.adjusted for r in found(Correction.NONE)] == p
        first = np.argsort(p)[0]
        holm = [r.effects[t].significance.adjusted for r in found(Correction.HOLM)]
        assert holm[first] == pytest.approx(min(3 * p[first], 1))
        assert [r.effects[t].significance.p_value for r in found(Correction.HOLM)] == p


def test_significant_is_below_the_level_asked_for_once_corrected():
    several = [brightened(range(20), name=str(i)) for i in range(3)]
    for level, expected in ((0.01, True), (0.005, False)):  # 3 / 501 = .006
        for r in explained(*several, level=level).result.responses:
            assert r.effects[0].significance.significant == expected


def test_a_propertys_test_does_not_depend_on_what_else_is_asked():
    alone = effect_of(brightened(range(30)), net=WAVE)[1].significance
    _, second = explained(brightened(range(9), name="x"), brightened(range(30)), net=WAVE).result.responses
    assert second.effects[0].significance.p_value == alone.p_value
    assert second.effects[0].significance.null_mean == alone.null_mean


# -- several models and neighbours -------------------------------------------------------------------------------------


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("store", [Shelf, Nowhere])
def test_several_models_share_the_edits(store, adaptive):
    editor, asked = Brighten(), Counter()
    sequence = brightened(range(100), editor, store=store())
    nets = {"a": WAVE, "b": of_brightness(lambda m: float(m > 70)), "c": of_brightness(lambda m: m)}
    jobs = [job_of(sequence, model=name) for name in nets]
    method, p = find("interventional"), params(adaptive=adaptive)
    plans = [explain(job, lambda y: LOGIT, method, p) for job in jobs]
    done = inline(together(*plans), answering(nets, editor, asked))
    assert sorted(set(editor.edited)) == sorted(editor.edited)  # none twice
    assert sequence.edits == asked["edit"] == len(editor.edited)
    seen = set().union(*(d.result.responses[0].strengths.tolist() for d in done))
    assert len(editor.edited) == len(seen) and (adaptive or len(seen) == 100)
    for name, one in zip(nets, done, strict=True):
        job = job_of(brightened(range(100)), model=name)
        alone = run(explain(job, lambda y: LOGIT, method, p), nets)
        (a,), (b,) = one.result.responses, alone.result.responses
        assert torch.equal(a.effects[0].outputs, b.effects[0].outputs) and torch.equal(a.strengths, b.strengths)
        assert a.effects[0].significance == b.effects[0].significance
        assert torch.equal(a.distance, b.distance) and torch.equal(a.similarity, b.similarity)


def test_distances_are_measured_once_for_all_models():
    sequence = brightened(range(9))
    sequence.distances[4] = (123.0, 0.5)  # as another model's plan left it
    (response,) = explained(sequence).result.responses
    assert response.distance.tolist() == [0, 1, 2, 3, 123, 5, 6, 7, 8] and response.similarity[4] == 0.5


def test_frames_that_were_kept_are_not_edited_again():
    store, editor = Shelf(), Brighten()
    explained(brightened(range(30), editor, store=store), editor=editor)
    again = explained(brightened(range(0, 60, 2), editor, store=store), editor=editor)
    assert again.result.responses[0].edits == again.edits == 15
    assert len(editor.edited) == 45


@pytest.mark.parametrize("tile", [1, 5, 64])
def test_a_series_is_the_same_in_any_tiles(tile):
    given = {"net": WAVE, "dependence": tuple(Dependence)}
    a, b = effect_of(brightened(range(50)), **given)[1], effect_of(brightened(range(50)), tile=tile, **given)[1]
    assert torch.equal(a.outputs, b.outputs) and a.significance == b.significance and a.dependence == b.dependence


def test_rows_are_made_as_the_model_takes_frames():
    seen = []

    def fit(frame):
        return torch.full((3, *SIZE), frame.float().mean().item() / 2)

    def net(x):
        seen.append(x)
        return RAMP(x.float())

    space = PixelSpace(layout="NHWC", integer=True)
    job = job_of(brightened(range(0, 24, 2)), space=space, fit=fit)
    done = run(explain(job, lambda y: LOGIT, find("interventional"), params()), net)
    assert all(x.dtype is torch.uint8 and x.shape[1:] == (*SIZE, 3) for x in seen)
    assert done.result.responses[0].effects[0].outputs.tolist() == pytest.approx([x / 100 for x in range(0, 24, 2)])


@pytest.mark.parametrize(("off", "near"), [(0.0, True), (0.01, False)])
def test_a_twin_that_takes_the_rows_is_first_compared_on_the_input(off, near):
    twin = Twin((), "digest", tolerance=1e-3)
    job = replace(job_of(brightened(range(12))), model=Model("m", "1", TWIN), twin=twin)
    seen = Counter()

    def answer(ask, columns):
        out = answering({"m": RAMP}, Brighten())(ask, columns)
        if ask.kind == "forward":
            seen[ask.model.variant] += len(out["y"])
            out["y"] = out["y"] * (1 + off * (ask.model.variant == TWIN))
        return out

    plan = explain(job, lambda y: LOGIT, find("interventional"), params())
    if near:
        done = inline(plan, answer)
        assert done.twin_gap == 0 and seen == {"": 1, TWIN: 13} and done.evaluations == 14
    else:
        with pytest.raises(Unsupported, match="on the input by") as refused:
            inline(plan, answer)
        assert refused.value.reason == "TWIN_DISAGREES"


# -- what is spent, and what cuts it short -----------------------------------------------------------------------------


def test_evaluations_and_edits_are_counted():
    asked = Counter()
    done = explained(brightened(range(20)), brightened(range(30), name="b"), asked=asked)
    assert done.rows_done == 50 and done.evaluations == asked["forward"] == 51 and done.edits == asked["edit"] == 50
    assert done.stop is Stop.COMPLETE and done.converged
    assert done.outputs.shape == (1, 2) and done.instance.shape == done.baseline.shape == (1,)
    assert torch.isfinite(done.baseline).all() and done.instance == done.job.target.score(done.outputs)[0]


@pytest.mark.parametrize("most", [6, 20, 33, 50, 99])
def test_a_budget_cuts_a_series_to_fewer_strengths_over_all_of_it_and_takes_its_test(most):
    editor = Brighten()
    several = [brightened(range(50), editor), brightened(range(100, 150), editor, name="b")]
    done = explained(*several, net=WAVE, editor=editor, most=most, dependence=tuple(Dependence))
    assert done.stop is Stop.MAX_EVALUATIONS and not done.converged and done.rows_done == most
    assert len(editor.edited) == most  # what the model may not see is not edited
    for response, sequence in zip(done.result.responses, several, strict=True):
        effect, x = response.effects[0], response.strengths
        assert len(x) in (most // 2, -(-most // 2)) and response.count == 50
        assert (x[0], x[-1]) == (sequence.strengths[0], sequence.strengths[-1]) and (x.diff() > 0).all()
        assert effect.outputs.tolist() == pytest.approx([math.sin(v / 9) for v in x])
        if len(x) < 50:
            assert effect.estimated and effect.significance is None and not effect.dependence
        assert response.saved == 0
        grid = np.interp(sequence.strengths, x, effect.outputs)
        assert effect.score == pytest.approx(score_loop(grid))


def test_a_budget_that_is_just_enough_cuts_nothing():
    done = explained(brightened(range(50)), most=50)
    assert done.stop is Stop.COMPLETE and done.result.responses[0].effects[0].significance is not None


def test_the_rows_done_replay_a_cut_answer():
    first = explained(brightened(range(60)), net=WAVE, most=41)
    again = explained(brightened(range(60)), net=WAVE, most=first.rows_done)
    (a,), (b,) = first.result.responses, again.result.responses
    assert torch.equal(a.effects[0].outputs, b.effects[0].outputs) and torch.equal(a.strengths, b.strengths)


def test_fewer_than_three_outputs_are_no_answer():
    with pytest.raises(Stopped) as stopped:
        explained(brightened(range(50)), brightened(range(50), name="b"), most=5)
    assert stopped.value.stop is Stop.MAX_EVALUATIONS


@pytest.mark.parametrize("rows", [40, 57, 90, 150, 187])
def test_a_deadline_leaves_what_was_evaluated(rows):
    """At any row of the edits or of the model: 200 of them make the whole series."""
    editor = Brighten()
    job = job_of(brightened(range(100), editor))
    plan = explain(job, lambda y: LOGIT, find("interventional"), params())
    done = until(plan, answering({"m": WAVE}, editor), rows)
    (response,) = done.result.responses
    effect = response.effects[0]
    assert done.stop is Stop.DEADLINE and not done.converged and done.rows_done == len(effect.outputs) < 100
    assert effect.estimated and effect.significance is None and response.saved == 0
    assert effect.outputs.tolist() == pytest.approx([math.sin(v / 9) for v in response.strengths])
    again = explained(brightened(range(100)), net=WAVE, most=done.rows_done).result.responses[0]
    assert torch.equal(again.strengths, response.strengths)


@pytest.mark.parametrize("rows", [9, 12])  # among the first edits; after the input and two of their frames
def test_a_deadline_before_three_outputs_is_no_answer(rows):
    editor = Brighten()
    plan = explain(job_of(brightened(range(100), editor)), lambda y: LOGIT, find("interventional"), params())
    with pytest.raises(Stopped) as stopped:
        until(plan, answering({"m": WAVE}, editor), rows, tile=1)
    assert stopped.value.stop is Stop.DEADLINE


def test_a_deadline_among_the_permutations_leaves_a_test_of_fewer():
    job = job_of(brightened(range(30)))
    plan = explain(job, lambda y: LOGIT, find("interventional"), params())
    answer = answering({"m": WAVE}, Brighten())
    effect = until(plan, answer, 4, kinds=("local",)).result.responses[0].effects[0]
    assert effect.significance.permutations == 200 and not effect.estimated  # 4 rows of 50
    both = params(dependence=(Dependence.PEARSON,))
    plan = explain(job_of(brightened(range(30))), lambda y: LOGIT, find("interventional"), both)
    effect = until(plan, answer, 10, kinds=("local",)).result.responses[0].effects[0]
    assert effect.significance.permutations == 500 and not effect.dependence  # the first is done, the second never is
    plan = explain(job_of(brightened(range(30))), lambda y: LOGIT, find("interventional"), params())
    effect = until(plan, answer, 61).result.responses[0].effects[0]  # 30 edits, 30 frames and the input
    assert effect.significance is None and not effect.estimated


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_too_few_strengths_are_refused_by_their_field():
    with pytest.raises(InvalidRequest, match="at least 3") as refused:
        explained(brightened(range(2), field="interventional.properties[4]"))
    assert refused.value.field == "interventional.properties[4]"


def test_a_score_that_is_not_finite_is_refused():
    target = Target(OutputKind.PROBABILITIES, Link.LOG_PROBABILITY, (0,))
    net = of_brightness(lambda m: max(1 - m / 10, 0.0), lambda m: min(m / 10, 1.0))
    with pytest.raises(Unsupported) as refused:
        explained(brightened(range(20)), net=net, target=target)
    assert refused.value.reason == "NON_FINITE_SCORE"


def test_frames_that_the_model_sees_at_another_size_are_refused_by_their_field():
    frames = [BLACK, BLACK[:, :5], BLACK]
    with pytest.raises(InvalidRequest, match="16 x 12, not 16 x 5") as refused:
        explained(captured(frames))
    assert refused.value.field == "input.series"


def test_only_images_are_edited():
    method = find("interventional")
    job = replace(job_of(brightened(range(5))), input=TextInput("x", "a text", words("a text")))
    with pytest.raises(InvalidRequest, match="images"):
        method.check(method.params(), job)
    method.check(method.params(), job_of(brightened(range(5))))


def test_the_cost_is_the_models_rows():
    method, job = find("interventional"), job_of()
    p = params(properties=(Property(count=7), Property(strengths=(1.0, 2.0, 3.0)), Property()))
    assert method.cost(p, job.input) == 110
    assert method.cost(params(), job.input) == 100


def test_render_is_pure_and_in_the_placement_asked_for():
    plan = intervene(replace(job_of(brightened(range(12))), ends=torch.zeros(1, 2)), params())
    editor = Brighten()
    (edits,) = next(plan)
    columns, memo = edits.render(range(edits.size), Placement())
    edits.fold.add(range(edits.size), memo, {"x": editor.edit(edits.ask, [columns], lambda: True)})
    sweep = plan.send((Folded(edits.fold.value(), edits.size, Stop.COMPLETE),))
    on = Placement(dtype=torch.float16, channels_last=True)
    a, b = sweep.render(range(2, 6), on)[0]["x"], sweep.render(range(9), on)[0]["x"][2:6]
    assert torch.equal(a, b) and a.dtype is torch.float16 and a.is_contiguous(memory_format=torch.channels_last)
    plan.close()
