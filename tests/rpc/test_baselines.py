"""Baseline messages: what each kind becomes, who may take it, and what the answer echoes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles import LinearPredictor
from in_process import encoded, pixels, request
from sidelight import methods
from sidelight.core import registry
from sidelight.core.ask import Model
from sidelight.core.baseline import FeatureMean, FeatureZero, Neutral, gaussian
from sidelight.core.errors import InvalidRequest
from sidelight.core.predictor import Layer, ModelSpec, PixelSpace, Probe, TensorSpec, Twin
from sidelight.core.target import OutputKind
from sidelight.rpc.baselines import resolved_baseline
from sidelight.rpc.decode import Part, decode
from sidelight.rpc.roster import Offer, Roster
from sidelight.rpc.sources import Limits
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest
from sidelight_proto.v1.path_pb2 import IntegratedGradients

LIMITS = Limits(max_image_pixels=10_000, max_text_characters=100, max_units=20, max_targets=4)
RAW = pixels()
IMAGE = types_pb2.Input(tensor={"datatype": "UINT8", "shape": RAW.shape, "contents": RAW.tobytes()})
IDS = types_pb2.Input(tensor={"datatype": "INT64", "shape": [6], "contents": np.arange(6).tobytes()})
ONE, TWO = encoded(pixels(seed=1)), encoded(pixels(seed=2))
LARGE = encoded(pixels(32, 16, seed=3))
GRADIENTS = {"integrated_gradients": IntegratedGradients()}


@pytest.fixture(scope="module")
def roster() -> Roster:
    registry.load(methods)
    roster = Roster()
    image = LinearPredictor().spec()
    twin = Twin((Layer("fc", (2,), True), Layer("embed", (6, 4), True)), "digest", 1e-3, embedding="embed")
    specs = (
        image,
        replace(image, name="bgr", pixels=PixelSpace(order="BGR")),
        replace(image, name="words", modality="text", input=TensorSpec("text", "BYTES", (1,))),
        replace(image, name="ids", modality="tokens", input=TensorSpec("ids", "INT64", (6,)), labels=()),
    )
    assert isinstance(specs[0], ModelSpec) and specs[0].kind is OutputKind.LOGITS
    for s in specs:
        offer = Offer(LinearPredictor(s.name), s, Probe(0, 0, classes=2), twin)
        roster.note(s.name, ready=True, offer=offer)
    return roster


def decoded(roster: Roster, method=GRADIENTS, model="linear", **fields) -> Part:
    baseline = types_pb2.Baseline(**fields)
    given = {"linear": IMAGE, "bgr": IMAGE, "words": types_pb2.Input(text="a good film"), "ids": IDS}[model]
    asked = ExplainRequest(models=[types_pb2.ModelRef(name=model)], input=given, seed=4, baseline=baseline, **method)
    return decode(asked, roster, LIMITS).parts[0]


def refused(roster: Roster, *, match: str, **fields) -> str:
    with pytest.raises(InvalidRequest, match=match) as error:
        decoded(roster, **fields)
    return error.value.field


def colours(image: bytes | None = None, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(pixels(seed=seed)).double().mean((0, 1))


# -- the mean of references --------------------------------------------------------------------------------------------


def test_the_mean_of_reference_images_is_their_mean_colour_each_image_weighing_the_same(roster):
    found = decoded(roster, reference_mean={"images": [ONE, TWO]}).job.input.baseline
    expected = (colours(seed=1) + colours(seed=2)) / 2
    torch.testing.assert_close(found, expected.float().view(3, 1, 1).expand(3, 8, 8))
    bgr = decoded(roster, model="bgr", reference_mean={"images": [ONE, TWO]}).job.input.baseline
    torch.testing.assert_close(bgr, found.flip(0))


def test_every_method_takes_the_mean_of_references(roster):
    plain = {"rise": {"masks": 8}}
    assert decoded(roster, plain, reference_mean={"images": [ONE]}).job.at_layer is None


# -- at a layer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["linear", "words", "ids"])
def test_a_baseline_of_the_layer_goes_with_the_job_and_the_input_keeps_its_default(roster, model):
    for kind, expected in (("feature_zero", FeatureZero), ("feature_mean", FeatureMean), ("neutral", Neutral)):
        job = decoded(roster, model=model, **{kind: {}}).job
        assert isinstance(job.at_layer, expected) and job.others == ()
    plain = decoded(roster, model=model).job
    assert plain.at_layer is None
    if model == "linear":
        assert torch.equal(job.input.baseline, plain.input.baseline)


def test_reference_images_of_the_mean_feature_are_fitted_to_the_model(roster):
    at_layer = decoded(roster, feature_mean={"images": [ONE, LARGE]}).job.at_layer
    assert [tuple(r.shape) for r in at_layer.references] == [(3, 8, 8)] * 2
    assert (at_layer.references[0].numpy() == pixels(seed=1).transpose(2, 0, 1)).all()
    field = refused(roster, model="words", feature_mean={"images": [ONE]}, match="takes text")
    assert field == "baseline.feature_mean.images"


# -- several -----------------------------------------------------------------------------------------------------------


def test_a_distribution_is_the_input_over_each_of_its_baselines(roster):
    several = [
        {"constant": {"value": [9]}}, {"image": {"image": ONE}}, {"blur": {"sigma": 2}},
        {"reference_mean": {"images": [TWO]}}, {"model_mean": {}},
    ]  # fmt: skip
    job = decoded(roster, distribution={"baselines": several}).job
    inputs = (job.input, *job.others)
    assert len(inputs) == 5 and all(torch.equal(x.pixels, job.input.pixels) for x in inputs)
    assert (inputs[0].baseline == 9).all() and (inputs[4].baseline == 0).all()
    assert (inputs[1].baseline.numpy() == pixels(seed=1).transpose(2, 0, 1)).all()
    torch.testing.assert_close(inputs[2].baseline, gaussian(job.input.pixels, 2.0))
    assert [x.sigma for x in inputs] == [0, 0, 2, 0, 0]
    assert job.at_layer is None


def test_several_random_baselines_are_drawn_each_for_itself_and_the_same_again(roster):
    kinds = {"baselines": [{"noise": {}}, {"noise": {}}, {"random_colour": {}}, {"random_colour": {}}]}
    first, again = (decoded(roster, distribution=kinds).job for _ in range(2))
    inputs = (first.input, *first.others)
    for x, y in zip(inputs, (again.input, *again.others), strict=True):
        assert torch.equal(x.baseline, y.baseline)
    assert not torch.equal(inputs[0].baseline, inputs[1].baseline)
    assert not torch.equal(inputs[2].baseline, inputs[3].baseline)


def test_texts_and_tokens_have_several_replacements(roster):
    several = {"baselines": [{"text": {"replacement": "[MASK]"}}, {"text": {}}]}
    job = decoded(roster, model="words", distribution=several).job
    assert (job.input.replacement, job.others[0].replacement) == ("[MASK]", "")
    several = {"baselines": [{"text": {"replacement": "7"}}, {"text": {}}]}
    job = decoded(roster, model="ids", distribution=several).job
    assert (job.input.replacement, job.others[0].replacement) == (7, 0)


# -- what will not do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["feature_zero", "feature_mean", "neutral", "distribution"])
def test_methods_without_gradients_name_those_that_can_take_it(roster, kind):
    field = refused(roster, method={"rise": {}}, match="integrated_gradients", **{kind: {}})
    assert field == f"baseline.{kind}"


MEMBER = "baseline.distribution.baselines"
WRONG = {
    "one alone": ({"distribution": {"baselines": [{"noise": {}}]}}, MEMBER, "2 to 64"),
    "too many": ({"distribution": {"baselines": [{"noise": {}}] * 65}}, MEMBER, "not 65"),
    "none of a kind": ({"distribution": {"baselines": [{"noise": {}}, {}]}}, f"{MEMBER}[1]", "kind"),
    "nested": (
        {"distribution": {"baselines": [{"noise": {}}, {"distribution": {}}]}}, f"{MEMBER}[1].distribution", "one each",
    ),
    "at a layer": ({"distribution": {"baselines": [{"neutral": {}}, {"noise": {}}]}}, f"{MEMBER}[0].neutral", "input"),
    "of segments": (
        {"distribution": {"baselines": [{"noise": {}}, {"inpainting": {}}]}}, f"{MEMBER}[1].inpainting", "one each",
    ),
    "a wrong member": (
        {"distribution": {"baselines": [{"noise": {}}, {"constant": {"value": [300]}}]}},
        f"{MEMBER}[1].constant.value",
        "0..255",
    ),
    "no image": ({"reference_mean": {}}, "baseline.reference_mean.images", "at least one"),
    "a broken image": ({"reference_mean": {"images": [ONE, b"x"]}}, "baseline.reference_mean.images[1]", "JPEG"),
    "too many images": ({"feature_mean": {"images": [ONE] * 65}}, "baseline.feature_mean.images", "at most 64"),
    "too large": ({"reference_mean": {"images": [bytes(2 << 20), ONE]}}, "baseline.reference_mean", "at most 2097152"),
    "too large together": (
        {"distribution": {"baselines": [{"image": {"image": bytes(3 << 19)}}] * 2}}, "baseline.distribution", "bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_baseline_is_refused_by_its_field_with_what_would_do(roster, name):
    fields, field, match = WRONG[name]
    assert refused(roster, match=match, **fields) == field


def test_a_text_takes_no_baseline_of_images(roster):
    assert refused(roster, model="words", noise={}, match="feature_zero") == "baseline.noise"
    several = {"baselines": [{"text": {}}, {"noise": {}}]}
    assert refused(roster, model="words", distribution=several, match="takes text") == f"{MEMBER}[1].noise"


# -- the echo ----------------------------------------------------------------------------------------------------------


def test_the_answer_echoes_each_kind_with_its_defaults_so_that_it_can_be_asked_again(roster):
    kinds = [
        {"reference_mean": {"images": [ONE]}}, {"feature_mean": {"images": [TWO]}}, {"feature_zero": {}},
        {"neutral": {}},
        {"distribution": {"baselines": [{"noise": {"sd": 3}}, {"blur": {}}, {"model_mean": {}}]}},
    ]  # fmt: skip
    for fields in kinds:
        message = types_pb2.Baseline(**fields)
        part = decoded(roster, **fields)
        echo = resolved_baseline(message, [part.job.input])
        assert echo.WhichOneof("kind") == message.WhichOneof("kind")
        if fields.keys() != {"distribution"}:
            assert echo == message
        assert resolved_baseline(echo, [part.job.input]) == echo
    noise, blur, mean = echo.distribution.baselines
    assert (noise.noise.mean, noise.noise.sd, mean.WhichOneof("kind")) == (127.5, 3, "model_mean")
    assert blur.blur.sigma == pytest.approx(8 * 10 / 224)


def test_the_echo_of_a_text_keeps_what_only_a_layer_has(roster):
    part = decoded(roster, model="words", neutral={})
    assert resolved_baseline(types_pb2.Baseline(neutral={}), [part.job.input]).HasField("neutral")
    several = types_pb2.Baseline(distribution={"baselines": [{"text": {"replacement": "x"}}, {"text": {}}]})
    assert resolved_baseline(several, [part.job.input]) == several
    assert part.job.model == Model("words", "1") and request().HasField("rise")
