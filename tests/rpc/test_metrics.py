"""Quality metrics through the real server and client: beside an explanation, and alone on a map that is given."""

import numpy as np
import pytest
from in_process import encoded
from served import Served, served
from sidelight_client import DeadlineExceeded, InvalidRequest
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, Given, Rise
from sidelight_proto.v1.metrics_pb2 import Metric, PointingGame, Srg
from small_models import CroppingPredictor, CurvedPredictor, PacedPredictor, SentimentPredictor, TokensPredictor

PHOTO = encoded(np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8))
LARGE = encoded(np.random.default_rng(1).integers(0, 256, (32, 64, 3), dtype=np.uint8))
TEXT = "A good film but long"
MAP = np.random.default_rng(2).normal(size=(12, 12)).astype(np.float32)
MASK = np.zeros((12, 12), bool)
MASK[3:7, 2:9] = True
EVERY = {
    "srg": {"steps": 4},
    "insertion": {"steps": 4},
    "deletion": {"steps": 4},
    "pointing_game": {"mask": MASK},
    "mass_in_mask": {"mask": MASK},
    "stability": {"repeats": 2},
}


@pytest.fixture(scope="module")
def up():
    paced = PacedPredictor(0.03, name="paced", lane="cpu3", tile_rows=4, batch_rows=4)
    models = (CurvedPredictor(), CroppingPredictor("cropping"), SentimentPredictor(), TokensPredictor(), paced)
    with served(*models, CurvedPredictor("twin", lane="cpu2")) as up:
        yield up


def ask(up: Served, value=PHOTO, text=None, model="curved", method="occlusion", parameters=None, **question):
    if parameters is None and method == "occlusion" and text is None:
        parameters = {"segments": 9}
    value = None if text else value
    return up.client.explain(
        value, text=text, model=model, method=method, parameters=parameters or {}, seed=3, **question
    )


def refused(up: Served, **question) -> list[str]:
    with pytest.raises(InvalidRequest) as error:
        ask(up, **question)
    return [v.field for v in error.value.violations]


def test_every_metric_stands_beside_an_explanation_with_its_numbers_and_curves(up):
    result = ask(up, metrics=EVERY).best
    found = result.metrics
    assert list(found) == list(EVERY)
    assert set(found["srg"].values) == {"srg", "lif", "mif"} and set(found["srg"].curves) == {"lif", "mif"}
    assert len(found["srg"].curves["lif"]) == 5
    assert found["srg"].curves["lif"][0] == pytest.approx(result.value)
    assert found["srg"].replacement == "image_mean" and found["insertion"].replacement == "blur"
    assert found["pointing_game"].values["hit"] in (0, 1) and found["pointing_game"].replacement == ""
    assert found["stability"].values == {"spearman": pytest.approx(1), "cosine": pytest.approx(1)}  # nothing is drawn
    assert all(m.reason == "" for m in found.values()) and not result.warnings


def test_metrics_count_as_evaluations_but_not_as_rows_of_the_method(up):
    plain = ask(up).best
    for name, options in EVERY.items():
        measured = ask(up, metrics={name: options}).best
        own = {"srg": 2 + 2 * 3, "insertion": 2 + 3, "deletion": 2 + 3, "stability": 2 * 9}.get(name, 0)
        assert (plain.rows_done, plain.evaluations, measured.rows_done) == (9, 11, 9)
        assert measured.evaluations == 11 + own, name
    budgeted = ask(up, method="rise", parameters={"masks": 500}, metrics=EVERY, max_evaluations=20).best
    assert budgeted.rows_done == 20 and all(m.values for m in budgeted.metrics.values())
    assert budgeted.evaluations == 2 + 20 + 8 + 5 + 5 + 2 * 20


def test_the_map_is_the_same_with_and_without_metrics(up):
    asked = {"method": "lime", "parameters": {"samples": 60, "segments": 9}, "target": [0, 1]}
    for with_metrics, without in zip(ask(up, metrics=EVERY, **asked).results, ask(up, **asked).results, strict=True):
        assert with_metrics.map.tobytes() == without.map.tobytes()


def test_a_given_map_is_measured_as_the_methods_own(up):
    explained = ask(up, metrics=EVERY, outputs=["map"]).best
    several = {k: v for k, v in EVERY.items() if k != "stability"}
    given = ask(up, method="given", parameters={"map": explained.map}, metrics=several).best
    for name in several:
        assert given.metrics[name].values == pytest.approx(explained.metrics[name].values)  # maps travel in float32
    np.testing.assert_array_equal(given.map, explained.map)
    assert (given.rows_done, given.stop_reason, given.evaluations) == (0, "complete", 2 + 8 + 5 + 5)
    assert given.standard_error is None and given.relative_standard_error is None


def test_a_given_map_of_the_images_own_size_is_measured_where_the_model_looks(up):
    # The model sees 12 x 12 of 16 x 32: rows 4..28 and columns 20..44 of the image, two pixels for one.
    at_image = (np.arange(32)[:, None] + 100 * np.arange(64)).astype(np.float32)
    at_model = (4.5 + 2 * np.arange(12)[:, None] + 100 * (20.5 + 2 * np.arange(12))).astype(np.float32)
    asked = {"value": LARGE, "model": "cropping", "method": "given", "metrics": {"srg": {}, "deletion": {}}}
    small = ask(up, parameters={"map": at_model}, **asked).best
    large = ask(up, parameters={"map": at_image}, **asked).best
    np.testing.assert_allclose(large.map, small.map, rtol=1e-6)
    for name, found in large.metrics.items():
        assert found.values == pytest.approx(small.metrics[name].values)
    mask = np.zeros((32, 64), np.uint8)
    mask[26:28, 42:44] = 1  # one pixel of the model, at its lower right
    pointing = {**asked, "metrics": {"pointing_game": {"mask": mask}}}
    corner = np.zeros((12, 12), np.float32)
    for at, hit in (((11, 11), 1), ((11, 10), 0), ((0, 0), 0)):
        corner[:] = 0
        corner[at] = 1
        assert ask(up, **{**pointing, "parameters": {"map": corner}}).best.metrics["pointing_game"].values["hit"] == hit


def test_text_and_tokens_are_measured_over_their_own_replacement(up):
    metrics = {"srg": {"steps": 4, "replacement": "blur"}, "deletion": {}, "stability": {}}
    for given in ({"text": TEXT, "model": "sentiment"}, {"value": np.array([5, 2, 9, 4, 700, 1]), "model": "tokens"}):
        found = ask(up, method="lime", parameters={"samples": 100}, metrics=metrics, target=1, **given).best
        assert found.metrics["srg"].replacement == "request" and not found.warnings
        assert found.metrics["srg"].values["srg"] > 0
    mask = [0, 1, 0, 0, 0]
    found = ask(up, text=TEXT, model="sentiment", target="good", metrics={"pointing_game": {"mask": mask}}).best
    assert found.metrics["pointing_game"].values["hit"] == 1
    scores = np.array([0, 1, 0, 0, 0], np.float32)
    given = {"text": TEXT, "model": "sentiment", "method": "given", "target": "good", "metrics": {"srg": {}}}
    good = ask(up, parameters={"map": scores}, **given).best
    bad = ask(up, parameters={"map": -scores}, **given).best
    assert good.metrics["srg"].values["srg"] > 0 > bad.metrics["srg"].values["srg"]
    assert [u.name for u in good.units] == TEXT.split()


def test_several_models_and_classes_are_measured_each(up):
    found = ask(up, model=["curved", "twin"], target=[0, 1], metrics={"srg": {"steps": 3}, "deletion": {}}).results
    assert len(found) == 4 and all(set(r.metrics) == {"srg", "deletion"} for r in found)
    by_class = {r.target.index: r.metrics["srg"].values for r in found[:2]}
    assert by_class[0] != by_class[1]
    assert [r.metrics["srg"].values for r in found[:2]] == [r.metrics["srg"].values for r in found[2:]]


# -- what cannot be measured -------------------------------------------------------------------------------------------


def test_what_cannot_be_measured_is_told_with_its_reason_and_the_map_is_kept(up):
    flat = encoded(np.full((12, 12, 3), 90, np.uint8))  # the mean colour is the image: nothing can be hidden
    metrics = {"srg": {"normalised": True}, "mass_in_mask": {"mask": MASK}, "stability": {}, "deletion": {}}
    found = ask(up, flat, baseline=[90.0], metrics=metrics).best
    assert found.map.shape == (12, 12)
    assert {name for name, m in found.metrics.items() if m.reason} == {"srg", "mass_in_mask", "stability"}
    assert found.metrics["srg"].values == {} and found.metrics["deletion"].values
    for name in ("srg", "mass_in_mask", "stability"):
        assert any(w.startswith(f"metric {name} was not measured: ") for w in found.warnings)
    given = ask(up, method="given", parameters={"map": MAP}, metrics={"stability": {}}).best
    assert "run again" in given.metrics["stability"].reason


def test_a_deadline_during_the_metrics_keeps_the_map(up):
    answer = ask(
        up, model="paced", parameters={"segments": 4}, metrics={"srg": {"steps": 140}}, allow_partial=True, deadline=1.5
    )
    result = answer.best
    assert (result.rows_done, result.stop_reason) == (4, "complete")
    assert "deadline" in result.metrics["srg"].reason and result.warnings
    with pytest.raises(DeadlineExceeded):
        ask(up, model="paced", parameters={"segments": 4}, metrics={"srg": {"steps": 140}}, deadline=0.5)


def test_a_deadline_during_the_method_leaves_nothing_to_measure_with(up):
    answer = ask(
        up, model="paced", method="rise", parameters={"masks": 100_000}, metrics={"srg": {}, "stability": {}},
        allow_partial=True, deadline=1.5,
    )  # fmt: skip
    assert answer.best.stop_reason == "deadline" and np.isfinite(answer.best.map).all()
    assert all("deadline" in m.reason for m in answer.best.metrics.values())


WRONG = {
    "metrics[0].pointing_game.mask": [{"pointing_game": {}}, {"pointing_game": {"mask": np.zeros((12, 12), bool)}}],
    "metrics[1].mass_in_mask.mask": [{"srg": {}, "mass_in_mask": {}}],
    "metrics[0].mass_in_mask.mask.shape": [{"mass_in_mask": {"mask": np.ones((5, 5))}}],
    "metrics[0].mass_in_mask.mask.contents": [{"mass_in_mask": {"mask": np.full((12, 12), np.nan)}}],
    "metrics[0].srg.steps": [{"srg": {"steps": 0}}, {"srg": {"steps": 100_000}}],
    "metrics[1].stability.repeats": [{"srg": {}, "stability": {"repeats": 33}}],
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_metric_is_refused_by_its_place_and_field_before_any_work(up, field):
    calls = len(up.running.service.engine.predictors["curved"].calls)
    for metrics in WRONG[field]:
        assert refused(up, metrics=metrics) == [field]
    assert len(up.running.service.engine.predictors["curved"].calls) == calls


def test_a_given_map_that_will_not_do_is_refused(up):
    metrics = {"srg": {}}
    assert refused(up, method="given", metrics=metrics) == ["given.map"]
    for wrong, field in [
        (MAP[:5], "given.map.shape"),
        (np.full((12, 12), np.nan, np.float32), "given.map.contents"),
        (np.full((12, 12), np.inf, np.float32), "given.map.contents"),
    ]:
        assert refused(up, method="given", parameters={"map": wrong}, metrics=metrics) == [field]
    words = {"text": TEXT, "model": "sentiment", "method": "given", "metrics": metrics}
    assert refused(up, parameters={"map": MAP}, **words) == ["given.map.shape"]


def test_too_many_metrics_an_empty_one_and_unknown_numbers_are_refused(up):
    def field(*metrics: Metric) -> str:
        message = ExplainRequest(models=[{"name": "curved"}], input={"image": PHOTO}, rise=Rise(masks=8))
        message.metrics.extend(metrics)
        with pytest.raises(Exception, match="metrics") as error:
            up.stub.Explain(message)
        return error.value.details()

    assert "at most 16" in field(*[Metric(srg=Srg())] * 17)
    assert "set one of" in field(Metric())
    assert "metrics[0].srg.replacement" in field(Metric(srg=Srg(replacement=99)))
    lonely = types_pb2.Tensor(datatype="FP32", shape=[2])
    assert "metrics[1].pointing_game.mask.contents" in field(
        Metric(srg=Srg()), Metric(pointing_game=PointingGame(mask=lonely))
    )


# -- the same again, and what it costs ---------------------------------------------------------------------------------


def test_metrics_replay_to_the_bit_with_every_default_told(up):
    asked = {"srg": {}, "stability": {}, "insertion": {}, "pointing_game": {"mask": MASK}}
    answer = ask(up, method="pda", parameters={"samples": 40, "segments": 9}, metrics=asked)
    resolved = answer.resolved.metrics
    assert (resolved[0].srg.steps, resolved[0].srg.normalised, resolved[1].stability.repeats) == (10, False, 2)
    assert resolved[0].srg.replacement == types_pb2.REPLACEMENT_IMAGE_MEAN
    assert resolved[2].insertion.replacement == types_pb2.REPLACEMENT_BLUR
    again = up.client.replay(answer)
    assert again.best.message.metrics == answer.best.message.metrics
    assert again.resolved == answer.resolved


def test_a_given_map_replays(up):
    answer = ask(up, method="given", parameters={"map": MAP}, metrics={"srg": {}})
    assert up.client.replay(answer).best.message.metrics == answer.best.message.metrics
    assert answer.resolved.given.map.shape == [12, 12]


@pytest.mark.parametrize("method", ["given", "occlusion", "rise"])
def test_an_estimate_with_metrics_is_what_is_then_used(up, method):
    parameters = {"given": {"map": MAP}, "occlusion": {"segments": 9}, "rise": {"masks": 30}}[method]
    for metrics in ({"srg": {}}, {"srg": {"steps": 1000}}, EVERY):
        question = {"model": "curved", "method": method, "parameters": parameters, "metrics": metrics, "target": [0, 1]}
        answer = up.client.explain(PHOTO, seed=1, **question)
        expected = up.client.estimate(PHOTO, **question).evaluations
        assert answer.best.evaluations == expected


def test_the_same_metric_may_be_asked_with_other_parameters(up):
    message = ExplainRequest(
        models=[{"name": "curved"}], input={"image": PHOTO}, given=Given(), metrics=[{"srg": {"steps": 2}}, {"srg": {}}]
    )
    message.given.map.CopyFrom(types_pb2.Tensor(datatype="FP32", shape=[12, 12], contents=MAP.tobytes()))
    first, second = up.stub.Explain(message).results[0].metrics
    assert (len(first.curves[0].values), len(second.curves[0].values)) == (3, 11)
