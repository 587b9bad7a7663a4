"""Wrong requests are refused by field, saying what would do; right ones become the domain's words."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles import LinearPredictor
from in_process import encoded, pixels, request
from sidelight import methods
from sidelight.core import registry
from sidelight.core.baseline import gaussian
from sidelight.core.errors import InvalidRequest, Unavailable, Unknown
from sidelight.core.predictor import ModelSpec, PixelSpace, Probe, TensorSpec
from sidelight.core.target import Link, OutputKind
from sidelight.rpc.decode import decode
from sidelight.rpc.roster import Offer, Roster
from sidelight.rpc.sources import Limits
from sidelight.rpc.targets import encode_target
from sidelight.rpc.violations import InvalidFields
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, Rise

LIMITS = Limits(max_image_pixels=10_000, max_text_characters=100, max_units=20, max_targets=4)
IMAGE = encoded(pixels())


def spec(**changes) -> ModelSpec:
    return replace(LinearPredictor().spec(), **changes)


TEXT = spec(name="words", modality="text", input=TensorSpec("text", "BYTES", (1,)), kind=OutputKind.PROBABILITIES)
TOKENS = spec(name="ids", modality="tokens", input=TensorSpec("ids", "INT64", (6,)), labels=())
CARDLESS = spec(name="cardless", kind=OutputKind.AS_SERVED, labels=(), classes=0)
GREY = spec(name="grey", pixels=PixelSpace(order="L"), input=TensorSpec("x", "FP32", (1, 8, 8)))
BGR = spec(name="bgr", pixels=PixelSpace(order="BGR"))


@pytest.fixture(scope="module")
def roster() -> Roster:
    registry.load(methods)
    roster = Roster()
    for s in (spec(), TEXT, TOKENS, GREY, BGR):
        offer(roster, s)
    offer(roster, CARDLESS, probed=7)
    roster.note("away", reason="connection refused")
    return roster


def offer(roster: Roster, s: ModelSpec, probed: int = 0) -> None:
    """Put a model on offer whose probe counted `probed` classes."""
    roster.note(s.name, ready=True, offer=Offer(LinearPredictor(s.name), s, Probe(0, 0, classes=probed)))


def model(name: str, version: str | None = None) -> list[types_pb2.ModelRef]:
    return [types_pb2.ModelRef(name=name, version=version)]


def tensor(array: np.ndarray, datatype: str, **fields) -> types_pb2.Input:
    message = types_pb2.Tensor(datatype=datatype, shape=array.shape, contents=array.tobytes(), **fields)
    return types_pb2.Input(tensor=message)


def text(words: str) -> dict:
    return {"models": model("words"), "input": types_pb2.Input(text=words)}


def classes(*refs) -> list[types_pb2.ClassRef]:
    return [types_pb2.ClassRef(label=r) if isinstance(r, str) else types_pb2.ClassRef(index=r) for r in refs]


def target(**fields) -> dict:
    return {"target": types_pb2.Target(**fields)}


def baseline(**fields) -> dict:
    return {"baseline": types_pb2.Baseline(**fields)}


def embedding(*values: float, name: str = "e") -> types_pb2.Embedding:
    return types_pb2.Embedding(name=name, values=values)


RAW = pixels()
COSINE = types_pb2.LINK_COSINE
WRONG = {
    # name: what is asked, the field that is named, a piece of what would do
    "no method": ({"rise": None}, "method", "rise"),
    "no mask": ({"rise": Rise(masks=0)}, "rise.masks", r"\[2, 1000000\]"),
    "too many masks": ({"rise": Rise(masks=2_000_000)}, "rise.masks", r"\[2, 1000000\]"),
    "keep of 0": ({"rise": Rise(keep=0.0)}, "rise.keep", r"\(0.0, 1.0\)"),
    "negative keep": ({"rise": Rise(keep=-0.5)}, "rise.keep", r"\(0.0, 1.0\)"),
    "keep NaN": ({"rise": Rise(keep=float("nan"))}, "rise.keep", "a number"),
    "no cells": ({"rise": Rise(cells=0)}, "rise.cells", r"\[1, 64\]"),
    "no model": ({"models": []}, "models", "there is linear"),
    "nameless model": ({"models": model("")}, "models[0].name", "linear"),
    "empty version": ({"models": model("linear", "")}, "models[0].version", "leave it out"),
    "model twice": ({"models": model("linear") * 2}, "models[1]", "once"),
    "too many models": ({"models": model("linear") * 17}, "models", "at most 16"),
    "no input": ({"input": types_pb2.Input()}, "input", "image, tensor, text"),
    "a series": ({"input": types_pb2.Input(series={"images": [IMAGE]})}, "input.series", "one image"),
    "bad image": ({"input": types_pb2.Input(image=b"x")}, "input.image", "JPEG"),
    "large image": ({"input": types_pb2.Input(image=encoded(pixels(101, 100)))}, "input.image", "at most 10000"),
    "text to an image model": ({"input": types_pb2.Input(text="a cat")}, "input.text", "input.image"),
    "image to a text model": ({"models": model("words")}, "input.image", "input.text"),
    "long text": (text("word " * 21), "input.text", "at most 100 characters"),
    "many words": (text("a " * 21), "input.text", "at most 20 words"),
    "no words": (text("  \n "), "input.text", "at least one word"),
    "empty text": (text(""), "input.text", "at least one word"),
    "long id": ({"id": "x" * 129}, "id", "128"),
    "id with a line break": ({"id": "a\nb"}, "id", "printable"),
    "budget of 0": ({"budget": types_pb2.Budget(max_evaluations=0)}, "budget.max_evaluations", "at least 1"),
    "tolerance of 0": ({"budget": types_pb2.Budget(tolerance=0)}, "budget.tolerance", r"\(0, 1\)"),
    "tolerance NaN": ({"budget": types_pb2.Budget(tolerance=float("nan"))}, "budget.tolerance", r"\(0, 1\)"),
    "tensor datatype": ({"input": tensor(RAW, "FP64")}, "input.tensor.datatype", "UINT8, FP32, INT64"),
    "tensor axes": ({"input": tensor(RAW[:, :, 0], "UINT8")}, "input.tensor.shape", "height, width, channel"),
    "tensor length": (
        {"input": types_pb2.Input(tensor={"datatype": "UINT8", "shape": [8, 8, 3], "contents": b"123"})},
        "input.tensor.contents",
        "192 bytes",
    ),
    "tensor shape": (
        {"input": types_pb2.Input(tensor={"datatype": "UINT8", "shape": [8, -8, 3], "contents": b""})},
        "input.tensor.shape",
        "positive",
    ),
    "tensor size": ({"input": tensor(pixels(9, 8), "UINT8")}, "input.tensor.shape", "8x8"),
    "tensor channels": ({"input": tensor(RAW[:, :, :1], "UINT8")}, "input.tensor.shape", "3 channels"),
    "axis names": ({"input": tensor(RAW, "UINT8", axes=["a", "b", "c"])}, "input.tensor.axes", "channel"),
    "too few axis names": ({"input": tensor(RAW, "UINT8", axes=["height"])}, "input.tensor.axes", "3 axes"),
    "unclear axes": ({"input": tensor(pixels(3, 8), "UINT8")}, "input.tensor.axes", "channel"),
    "tensor NaN": (
        {"input": tensor(np.full((8, 8, 3), np.nan, np.float32), "FP32")},
        "input.tensor.contents",
        "finite",
    ),
    "normalised tensor": (
        {"input": tensor(np.full((8, 8, 3), -1.5, np.float32), "FP32")},
        "input.tensor.contents",
        "0..255",
    ),
    "tokens to an image model": ({"input": tensor(np.arange(6), "INT64")}, "input.tensor.datatype", "UINT8"),
    "pixels to a token model": (
        {"models": model("ids"), "input": tensor(RAW, "UINT8")},
        "input.tensor.datatype",
        "INT64",
    ),
    "number of tokens": ({"models": model("ids"), "input": tensor(np.arange(5), "INT64")}, "input.tensor.shape", "6"),
    "unknown label": (target(classes=classes("catt")), "target.classes[0].label", "cat"),
    "index beyond": (target(classes=classes(2)), "target.classes", "below 2"),
    "index beyond what was probed": (
        {"models": model("cardless"), **target(classes=classes(7))},
        "target.classes",
        "below 7",
    ),
    "empty class": (target(classes=[types_pb2.ClassRef()]), "target.classes[0]", "label"),
    "class twice": (target(classes=classes("cat", 0)), "target.classes[1]", "once"),
    "label without labels": (
        {"models": model("cardless"), **target(classes=classes("cat"))},
        "target.classes[0].label",
        "output.labels",
    ),
    "top 0": (target(top_k=0), "target.top_k", "1..4"),
    "top 5": (target(top_k=5), "target.top_k", "1..4"),
    "top 3 of 2": (target(top_k=3), "target.top_k", "at most 2"),
    "top k and classes": (target(top_k=1, classes=classes(0)), "target.top_k", "not both"),
    "too many classes": (target(classes=classes(0, 1, 2, 3, 4)), "target.classes", "at most 4"),
    "unknown contrast": (target(contrast=classes("bird")), "target.contrast[0].label", "cat"),
    "unknown link": (target(link=77), "target.link", "LINK_LOGIT"),
    "link without a card": (
        {"models": model("cardless"), **target(link=types_pb2.LINK_PROBABILITY)},
        "target.link",
        "output.kind",
    ),
    "link that probabilities have not": (
        {**text("good day"), **target(link=types_pb2.LINK_LOGIT)},
        "target.link",
        "probability",
    ),
    "cosine of nothing": (target(link=COSINE), "target.references", "at least one"),
    "cosine of a class": (target(link=COSINE, classes=classes(0), references=[embedding(1, 2)]), "target", "leave"),
    "references without cosine": (target(references=[embedding(1, 2)]), "target.references", "LINK_COSINE"),
    "reference length": (target(link=COSINE, references=[embedding(1, 2, 3)]), "target.references", "2 numbers"),
    "unequal references": (
        target(link=COSINE, references=[embedding(1, 2), embedding(1)]),
        "target.references[1].values",
        "alike",
    ),
    "zero reference": (target(link=COSINE, references=[embedding(0, 0)]), "target.references[0].values", "zero"),
    "many described classes": (
        target(link=COSINE, references=[embedding(1, 2, name=n) for n in "abcde"]),
        "target.references",
        "at most 4 classes",
    ),
    "reference NaN": (
        target(link=COSINE, references=[embedding(float("nan"), 1)]),
        "target.references[0].values",
        "finite",
    ),
    "text baseline for an image": (baseline(text={}), "baseline.text", "model_mean"),
    "colour beyond 255": (baseline(constant={"value": [256]}), "baseline.constant.value", "0..255"),
    "two channels": (baseline(constant={"value": [1, 2]}), "baseline.constant.value", "1 or 3"),
    "no colour": (baseline(constant={}), "baseline.constant.value", "1 or 3"),
    "blur of 0": (baseline(blur={"sigma": 0}), "baseline.blur.sigma", r"\[0.1, 4.0\]"),
    "blur NaN": (baseline(blur={"sigma": float("nan")}), "baseline.blur.sigma", "finite"),
    "noise sd": (baseline(noise={"sd": -1}), "baseline.noise", "sd"),
    "bad baseline image": (baseline(image={"image": b"x"}), "baseline.image.image", "JPEG"),
    "large baseline image": (baseline(image={"image": bytes(3 << 20)}), "baseline.image.image", "at most"),
    "blur for text": ({**text("good day"), **baseline(blur={})}, "baseline.blur", "baseline.text"),
    "token replacement": (
        {"models": model("ids"), "input": tensor(np.arange(6), "INT64"), **baseline(text={"replacement": "x"})},
        "baseline.text.replacement",
        "token id",
    ),
    "overlay of a text": (
        {**text("good day"), "outputs": types_pb2.Outputs(overlay=True)},
        "outputs.overlay",
        "images",
    ),
    "map at the input of a text": (
        {**text("good day"), "outputs": types_pb2.Outputs(map_at_input=True)},
        "outputs.map_at_input",
        "images",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_names_its_field_and_what_would_do(name, roster):
    fields, field, mend = WRONG[name]
    with pytest.raises(InvalidRequest, match=mend) as refused:
        decode(request(**fields), roster, LIMITS)
    assert refused.value.field == field
    assert " " not in field


def test_several_wrong_fields_are_told_at_once(roster):
    wrong = request(id="\n", models=[], rise=Rise(masks=0), budget=types_pb2.Budget(tolerance=2))
    with pytest.raises(InvalidFields) as refused:
        decode(wrong, roster, LIMITS)
    assert {f.field for f in refused.value.found} == {"id", "models", "rise.masks", "budget.tolerance"}


def test_an_unknown_model_or_version_is_not_found_with_close_matches(roster):
    with pytest.raises(Unknown, match="linear"):
        decode(request(models=model("linaer")), roster, LIMITS)
    with pytest.raises(Unknown, match="version"):
        decode(request(models=model("linear", "7")), roster, LIMITS)


def test_a_model_that_is_away_is_unavailable_with_its_reason(roster):
    with pytest.raises(Unavailable, match="connection refused"):
        decode(request(models=model("away")), roster, LIMITS)


def test_what_is_wrong_with_the_request_is_told_before_what_is_away(roster):
    with pytest.raises(InvalidRequest):
        decode(request(models=model("away"), id="\n"), roster, LIMITS)


def test_defaults_are_the_methods_the_models_and_drawn(roster):
    asked = request(rise=Rise())
    asked.ClearField("seed")
    asked.models[0].ClearField("version")
    first, second = (decode(asked, roster, LIMITS, name) for name in ("r-1", "r-2"))
    assert (first.id, second.id) == ("r-1", "r-2")
    assert ((p := first.parts[0].params).masks, p.cells, p.keep) == (4000, 7, 0.5)
    assert first.seed != second.seed
    assert (first.parts[0].spec.version, first.parts[0].target.link) == ("1", Link.LOGIT)
    assert (first.outputs.map, first.outputs.standard_error, first.outputs.overlay) == (True, True, False)
    assert first.rows == 4002


def test_class_zero_and_seed_zero_are_not_unset(roster):
    question = decode(request(seed=0, **target(classes=classes(0))), roster, LIMITS)
    assert (question.seed, question.parts[0].target.classes) == (0, (0,))


def test_references_of_one_name_describe_one_class(roster):
    asked = [embedding(1, 0, name="cat"), embedding(0, 1, name="dog"), embedding(1, 1, name="cat"), embedding(2, 1)]
    question = decode(request(**target(link=COSINE, references=asked)), roster, LIMITS).parts[0].target
    y = torch.tensor([[3.0, 4.0]])
    assert question.most == question.resolve(y).count == 3
    found = question.resolve(y).score(y)[0]
    assert found.tolist() == pytest.approx([(0.6 + 1.4 / 2**0.5) / 2, 0.8, 2 / 5**0.5])
    told = [encode_target(question.resolve(y), t, question.names, spec(), y).references for t in range(3)]
    assert [list(names) for names in told] == [["cat"], ["dog"], ["e"]]


def test_references_without_names_describe_one_class(roster):
    asked = [embedding(1, 0, name=""), embedding(0, 1, name="")]
    question = decode(request(**target(link=COSINE, references=asked)), roster, LIMITS).parts[0].target
    assert question.most == 1


def test_the_budget_bounds_the_expected_rows(roster):
    assert decode(request(budget=types_pb2.Budget(max_evaluations=10)), roster, LIMITS).rows == 12


@pytest.mark.parametrize("channel_first", [False, True])
@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
def test_raw_pixels_are_the_models_pixels(channel_first, datatype, roster):
    raw = RAW if datatype == "UINT8" else RAW.astype(np.float32)
    sent = np.ascontiguousarray(raw.transpose(2, 0, 1)) if channel_first else raw
    found = decode(request(input=tensor(sent, datatype)), roster, LIMITS).parts[0].job.input.pixels
    assert (found.numpy() == RAW.transpose(2, 0, 1)).all()


def test_raw_pixels_follow_the_models_channel_order(roster):
    found = decode(request(models=model("bgr"), input=tensor(RAW, "UINT8")), roster, LIMITS).parts[0].job.input.pixels
    assert (found.numpy() == RAW.transpose(2, 0, 1)[::-1]).all()
    grey = RAW[:, :, :1].copy()
    found = decode(request(models=model("grey"), input=tensor(grey, "UINT8")), roster, LIMITS).parts[0].job.input.pixels
    assert (found.numpy() == grey.transpose(2, 0, 1)).all()


def test_named_axes_settle_what_a_shape_does_not_tell(roster):
    offer(roster, spec(name="tiny", fit=replace(spec().fit, size=(3, 8))))
    sent = tensor(pixels(3, 8), "UINT8", axes=["height", "width", "channel"])
    found = decode(request(models=model("tiny"), input=sent), roster, LIMITS).parts[0]
    assert found.job.input.shape == (3, 8)


def test_an_image_of_one_pixel_is_fitted_and_explained(roster):
    one = types_pb2.Input(image=encoded(pixels(1, 1)))
    assert decode(request(input=one), roster, LIMITS).parts[0].job.input.shape == (8, 8)


def image_baseline(roster, **fields) -> torch.Tensor:
    return decode(request(input=tensor(RAW, "UINT8"), **baseline(**fields)), roster, LIMITS).parts[0].job.input.baseline


def test_each_baseline_is_what_it_says(roster):
    x = torch.from_numpy(RAW.transpose(2, 0, 1).astype(np.float32))
    assert (image_baseline(roster, model_mean={}) == 0).all()  # the double's mean is 0
    assert (image_baseline(roster, constant={"value": [1, 2, 3]})[:, 0, 0] == torch.tensor([1.0, 2, 3])).all()
    torch.testing.assert_close(image_baseline(roster, image_mean={})[:, 3, 3], x.mean((1, 2)))
    torch.testing.assert_close(image_baseline(roster, blur={"sigma": 2}), gaussian(x, 2.0))
    other = pixels(seed=9)
    found = image_baseline(roster, image={"image": encoded(other)})
    assert (found.numpy() == other.transpose(2, 0, 1)).all()


def test_a_noise_baseline_follows_the_seed(roster):
    def drawn(seed: int) -> torch.Tensor:
        return decode(request(seed=seed, **baseline(noise={})), roster, LIMITS).parts[0].job.input.baseline

    assert (drawn(1) == drawn(1)).all()
    assert (drawn(1) != drawn(2)).any()


def test_texts_and_tokens_become_units(roster):
    found = decode(request(**text("don't panic!")), roster, LIMITS).parts[0].job.input
    assert [found.word(u) for u in found.units] == ["don't", "panic", "!"]
    ids = request(models=model("ids"), input=tensor(np.arange(6), "INT64"), **baseline(text={"replacement": "5"}))
    found = decode(ids, roster, LIMITS).parts[0].job.input
    assert (found.ids.tolist(), found.replacement) == ([0, 1, 2, 3, 4, 5], 5)


def test_labels_are_found_whatever_their_case_and_indices_as_they_are(roster):
    assert decode(request(**target(classes=classes("DOG"))), roster, LIMITS).parts[0].target.classes == (1,)


def test_a_label_that_two_classes_share_is_asked_back(roster):
    offer(roster, spec(name="twins", labels=("crane",) * 2))
    with pytest.raises(InvalidRequest, match="use index"):
        decode(request(models=model("twins"), **target(classes=classes("crane"))), roster, LIMITS)


def resolve(roster, y, **fields):
    return decode(request(**target(**fields)), roster, LIMITS).parts[0].target.resolve(torch.tensor([y]))


def test_the_default_target_is_the_class_ranked_highest(roster):
    assert resolve(roster, [1.0, 2.0]).classes == (1,)
    assert resolve(roster, [1.0, 2.0], top_k=2).classes == (1, 0)
    assert resolve(roster, [1.0, 2.0], contrast=classes(0)).contrast == (0,)


def test_a_class_is_not_contrasted_with_itself(roster):
    with pytest.raises(InvalidRequest, match="class dog is itself explained") as refused:
        resolve(roster, [1.0, 2.0], contrast=classes("dog"))
    assert refused.value.field == "target.contrast"


def test_what_the_first_answer_shows_wrong_is_refused_then(roster):
    offer(roster, spec(name="new", classes=0, labels=()))
    question = decode(request(models=model("new"), **target(classes=classes(5))), roster, LIMITS)
    with pytest.raises(InvalidRequest, match="below 3"):
        question.parts[0].target.resolve(torch.zeros(1, 3))


def test_results_of_all_models_together_are_bounded(roster):
    both = [*model("linear"), *model("cardless"), *model("bgr")]
    with pytest.raises(InvalidRequest, match="at most 4 results"):
        decode(request(models=both, **target(top_k=2)), roster, LIMITS)


def test_unset_parameters_are_not_sent_as_zero():
    assert ExplainRequest(rise=Rise()).rise.ListFields() == []
