"""Sufficiency, comprehensiveness and agreement with a given rationale through the real server and client."""

import re

import numpy as np
import pytest
from in_process import encoded
from served import Served, served
from sidelight_client import InvalidRequest
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest
from sidelight_proto.v1.metrics_pb2 import Metric, RationaleAgreement, TextSpan
from small_models import CurvedPredictor, SentimentPredictor, TokensPredictor

PHOTO = encoded(np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8))
TEXT = "A «gööd» film 🎬 but not a dull or a very long one"
#       good here is a word of its own: the model knows "good", "fine", "great", "bad", "dull" and "not"
PRAISE = "A truly good film 🎬 with a great cast in it"
GOOD, GREAT = PRAISE.index("good"), PRAISE.index("great")
SPANS = [(GOOD - 6, GOOD + 4), (GREAT, GREAT + 5)]  # "truly good", "great"
EVERY = {
    "sufficiency": {},
    "comprehensiveness": {"steps": 10, "least": 0.1, "most": 0.5},
    "rationale": {"spans": SPANS},
}


@pytest.fixture(scope="module")
def up():
    with served(SentimentPredictor(), CurvedPredictor(), TokensPredictor()) as up:
        yield up


def ask(up: Served, text=PRAISE, value=None, model="sentiment", method="occlusion", metrics=EVERY, **question):
    text = None if value is not None else text
    question.setdefault("target", 1)
    return up.client.explain(value, text=text, model=model, method=method, metrics=metrics, seed=3, **question)


def given(up: Served, scores, metrics=EVERY, **question):
    scores = np.asarray(scores, np.float32)
    return ask(up, method="given", parameters={"map": scores}, metrics=metrics, **question).best


def refused(up: Served, **question) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as error:
        ask(up, **question)
    (violation,) = error.value.violations
    return violation.field, violation.description


def test_they_stand_beside_an_explanation_with_their_values_and_curves(up):
    result = ask(up).best
    found = result.metrics
    assert list(found) == list(EVERY)
    sufficiency, comprehensiveness, rationale = found.values()
    assert len(sufficiency.curves["sufficiency"]) == 21
    assert sufficiency.values["sufficiency"] == pytest.approx(np.mean(sufficiency.curves["sufficiency"][1:-1]))
    curve = comprehensiveness.curves["comprehensiveness"]
    assert len(curve) == 11
    assert comprehensiveness.values["comprehensiveness"] == pytest.approx(np.mean(curve[1:6]))
    assert sufficiency.replacement == comprehensiveness.replacement == "request" and rationale.replacement == ""
    assert result.scale == "probability"  # of which both are differences
    good = 1 / (1 + np.exp(-1)) - 0.5
    assert curve[-1] == pytest.approx(result.value - 0.5) and result.value - 0.5 > good
    assert rationale.values["token_precision"] == rationale.values["token_recall"] == 2 / 3  # "truly" says nothing
    assert rationale.values["auc_pr"] == pytest.approx((1 + 1 + 3 / 11) / 3)  # and comes with the rest
    assert not result.warnings


def test_a_given_map_is_measured_alone(up):
    scores = [0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0]
    found = given(up, scores).metrics
    assert [w.name for w in ask(up).best.units][2] == "good"
    perfect = {name: v for name, v in found["rationale"].values.items() if name not in ("chosen", "given")}
    assert set(perfect.values()) == {1.0}
    worst = given(up, np.negative(scores)).metrics
    assert worst["sufficiency"].values["sufficiency"] > found["sufficiency"].values["sufficiency"]
    for name in ("comprehensiveness", "rationale"):
        key = "auc_pr" if name == "rationale" else name
        assert worst[name].values[key] < found[name].values[key]


def test_characters_are_code_points_of_the_text_as_it_was_sent(up):
    assert [u.name for u in ask(up, TEXT, metrics={}).best.units][:6] == ["A", "«", "gööd", "»", "film", "🎬"]
    for word in ("gööd", "🎬", "long"):
        begin = TEXT.index(word)
        metrics = {"rationale": {"spans": [(begin, begin + len(word))]}}
        scores = [float(m == word) for m in re.findall(r"\w+|[^\w\s]", TEXT)]
        assert given(up, scores, metrics, text=TEXT).metrics["rationale"].values["auc_pr"] == 1


def test_spans_come_as_an_array_too_and_the_choice_is_the_requests(up):
    scores = np.array([0, 0.7, 0.4, 0, 0, 0, 0, 0.6, 0, 0, 0.2])
    for chosen, words in [({"threshold": 0.5}, 2), ({"share": 0.4}, 4), ({"count": 1}, 2), ({}, 3)]:
        metrics = {"rationale": {"spans": np.array(SPANS), **chosen}}
        assert given(up, scores, metrics).metrics["rationale"].values["chosen"] == pytest.approx(words / 11)


def test_images_are_measured_by_what_is_kept_and_removed(up):
    metrics = {"sufficiency": {"replacement": "blur"}, "comprehensiveness": {}}
    result = ask(up, value=PHOTO, model="curved", parameters={"segments": 9}, metrics=metrics).best
    assert result.metrics["sufficiency"].replacement == "blur"
    assert result.metrics["comprehensiveness"].replacement == "image_mean"
    assert all(len(m.curves[name]) == 21 for name, m in result.metrics.items())
    assert all(m.curves[name][(0 if name == "comprehensiveness" else -1)] == 0 for name, m in result.metrics.items())


def test_classes_are_measured_each(up):
    good, bad = sorted(ask(up, target=[0, 1]).results, key=lambda r: -r.target.index)
    assert good.metrics["comprehensiveness"].values["comprehensiveness"] > 0
    assert bad.metrics["comprehensiveness"].values["comprehensiveness"] == 0  # no word speaks for it


@pytest.mark.parametrize("scores", [None, np.arange(11)])
def test_an_estimate_is_what_is_then_used(up, scores):
    method = {"method": "occlusion"} if scores is None else {"method": "given", "parameters": {"map": scores * 1.0}}
    question = {"model": "sentiment", "metrics": EVERY, "target": [0, 1], **method}
    expected = up.client.estimate(text=PRAISE, **question).evaluations
    assert up.client.explain(text=PRAISE, **question).best.evaluations == expected


def test_they_replay_to_the_bit_with_every_default_told(up):
    answer = ask(up)
    sufficiency, _, rationale = answer.resolved.metrics
    assert (sufficiency.sufficiency.steps, sufficiency.sufficiency.least, sufficiency.sufficiency.most) == (
        20,
        0.05,
        0.95,
    )
    assert sufficiency.sufficiency.replacement == types_pb2.REPLACEMENT_IMAGE_MEAN
    assert [(s.begin, s.end) for s in rationale.rationale.spans] == SPANS
    assert not rationale.rationale.HasField("threshold")
    again = up.client.replay(answer)
    assert again.best.message.metrics == answer.best.message.metrics
    assert again.resolved == answer.resolved


def test_the_catalogue_tells_them_with_their_parameters(up):
    entries = {m.name: m for m in up.client.catalogue().metrics}
    parameters = {p.name: p for p in entries["rationale"].parameters}
    assert {name: p.type for name, p in parameters.items()} == {
        "spans": "spans", "threshold": "number", "share": "number", "count": "integer",
    }  # fmt: skip
    assert all(p.default == "" for p in parameters.values())
    for name in ("sufficiency", "comprehensiveness"):
        defaults = {p.name: p.default for p in entries[name].parameters}
        assert defaults == {"steps": "20", "least": "0.05", "most": "0.95", "replacement": "image_mean"}


WRONG = {
    "metrics[0].rationale.spans": [{}, {"spans": [(0, 1)] * 10_001}],
    "metrics[0].rationale.spans[1].end": [{"spans": [(0, 1), (2, 999)]}, {"spans": [(0, 1), (2, 2)]}],
    "metrics[0].rationale.spans[0]": [{"spans": [(1, 2)]}],
    "metrics[0].rationale.count": [{"spans": SPANS, "threshold": 0.5, "count": 3}, {"spans": SPANS, "count": 0}],
    "metrics[0].rationale.share": [{"spans": SPANS, "share": 2.0}],
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_rationale_is_refused_by_its_place_and_field_before_any_work(up, field):
    calls = len(up.running.service.engine.predictors["sentiment"].calls)
    for options in WRONG[field]:
        assert refused(up, metrics={"rationale": options})[0] == field
    assert len(up.running.service.engine.predictors["sentiment"].calls) == calls


def test_shares_among_which_there_is_none_are_refused(up):
    field, _ = refused(up, metrics={"rationale": {"spans": SPANS}, "sufficiency": {"least": 0.9, "most": 0.1}})
    assert field == "metrics[1].sufficiency.most"


def test_images_and_tokens_have_no_characters(up):
    metrics = {"rationale": {"spans": [(0, 1)]}}
    ids = np.array([5, 2, 9, 4, 700, 1])
    for question in ({"value": PHOTO, "model": "curved"}, {"value": ids, "model": "tokens"}):
        field, mend = refused(up, metrics=metrics, **question)
        assert field == "metrics[0].rationale.spans" and "pointing_game" in mend


def test_pairs_that_are_none_are_named_without_a_round_trip(up):
    for wrong in ([3], [(1, 2, 3)], [(0.5, 2)], [(-1, 2)], 7, [("a", "b")]):
        with pytest.raises(InvalidRequest, match=r"metrics.rationale.spans: takes pairs \(begin, end\)"):
            ask(up, metrics={"rationale": {"spans": wrong}})


def test_a_span_without_an_end_is_refused(up):
    metric = Metric(rationale=RationaleAgreement(spans=[TextSpan(begin=3)]))
    message = ExplainRequest(models=[{"name": "sentiment"}], input={"text": PRAISE}, occlusion={}, metrics=[metric])
    with pytest.raises(Exception, match=r"metrics\[0\].rationale.spans\[0\].end"):
        up.stub.Explain(message)
