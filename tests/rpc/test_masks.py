"""Mask optimisation through the whole service: every option there and back, defaults named, answers replayed."""

import math
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2
from in_process import array, details, encoded, pixels, request, running
from path_nets import Residual
from reading import PAD, Reader
from sidelight.core.job import Optimised
from sidelight.core.target import OutputKind
from sidelight.masks.options import IMAGE_CNN
from sidelight.predictors import networks
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.twin import own_twin
from sidelight.rpc.optimised import encode_optimised, optimised_bytes
from sidelight.watch import TwinSource
from sidelight_proto.v1 import mask_pb2, types_pb2
from sidelight_proto.v1.explanation_pb2 import EstimateCostRequest, ExplainStreamRequest, GetCatalogueRequest

SIZE = (28, 24)
TEXT = "The plot is thin, but the music is wonderful and a joy."
SETTINGS = {  # every field but the preset, each another than the preset's
    "image": {
        "evidence": mask_pb2.MASK_EVIDENCE_SIGMOID, "comprehensiveness": mask_pb2.COMPREHENSIVENESS_LOG_RATIO,
        "kernel": mask_pb2.MASK_KERNEL_SIGMA, "size_weight": 0.5, "sigma_weight": 1.0, "variation_weight": 8.0,
        "w": 0.4, "sigma": 1.5, "sigma_low": 0.7, "sigma_high": 50.0, "optimiser": mask_pb2.MASK_OPTIMISER_ADAMW,
        "rate": 0.05, "steps": 7, "rule": mask_pb2.MASK_RULE_NEVER, "least_steps": 3, "every": 2, "settled": 1e-3,
        "snap": 0.0, "noise": 0.0, "cell": 2,
    },
    "text": {
        "evidence": mask_pb2.MASK_EVIDENCE_MIXED, "comprehensiveness": mask_pb2.COMPREHENSIVENESS_LOG_RATIO,
        "kernel": mask_pb2.MASK_KERNEL_SIGMA, "size_weight": 0.5, "sigma_weight": 1.0, "variation_weight": 0.0,
        "w": 0.4, "sigma": 1.5, "sigma_low": 0.7, "sigma_high": 9.0, "optimiser": mask_pb2.MASK_OPTIMISER_ADAM,
        "rate": 0.05, "steps": 7, "rule": mask_pb2.MASK_RULE_NEVER, "least_steps": 3, "every": 2, "settled": 1e-3,
        "snap": 0.1, "noise": 0.01, "cell": 1, "span_count": 2,
    },
}  # fmt: skip


class Padded(Reader):
    """With a token that is not there, as texts of different lengths need it."""

    pad = PAD


def image_model():
    torch.manual_seed(0)
    net = Residual().eval()
    with torch.no_grad():
        net.head.weight *= 20
    card = Card(
        "net", "image", input="x", crop=SIZE, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25),
        output_kind=OutputKind.LOGITS,
    )  # fmt: skip
    return EmbeddedPredictor(networked(net), card, batch_rows=8, channels_last=False)


def text_model():
    return EmbeddedPredictor(
        networked(Padded().float()), Card("reader", "text", input="x", output_kind=OutputKind.LOGITS)
    )


def networked(net):
    return networks.Network(net, "python", networks.weights_digest(net), net)


@pytest.fixture
async def up():
    models = (image_model(), text_model())
    twins = {m.name: TwinSource(lambda predictor, spec: own_twin(predictor, spec, batch_rows=8)) for m in models}
    async with running(*models, twins=twins) as service:
        yield service


def asked(kind="image", method="mask_optimisation", settings=None, **fields):
    fields.setdefault("target", types_pb2.Target(classes=[types_pb2.ClassRef(index=1)]))
    source = {"image": encoded(pixels(*SIZE))} if kind == "image" else {"text": TEXT}
    model = types_pb2.ModelRef(name="net" if kind == "image" else "reader")
    own = {method: {"steps": 5} if settings is None else settings}
    return request(models=[model], input=types_pb2.Input(**source), rise=None, **own, **fields)


def again(answer, message):
    said = answer.resolved
    said.input.CopyFrom(message.input)
    return said


async def wrong(up, message) -> str:
    """The field that the refusal names."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await up.stub.Explain(message)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, refused.value.details()
    (bad,) = details(refused.value, error_details_pb2.BadRequest)
    assert bad.field_violations[0].description
    return bad.field_violations[0].field


# -- the answer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["image", "text"])
async def test_the_answer_tells_how_the_mask_was_come_by_and_what_it_is_worth(up, kind):
    answer = await up.stub.Explain(asked(kind))
    (result,) = answer.results
    told, mask = result.optimised, array(result.maps[0].tensor)
    terms = {t.name: array(t) for t in told.terms}
    assert set(terms) == {"kept", "removed", "size", "sigma"} | ({"variation"} if kind == "image" else set())
    assert all(len(curve) == 5 for curve in terms.values())
    assert mask.min() >= 0 and mask.max() <= 1 and told.mean == pytest.approx(mask.mean(), abs=1e-5)
    assert 0 < told.kept < 1 and 0 < told.removed < 1 and told.step < 5
    if kind == "image":  # of a text the terms are those under the draws of their step
        at = sum(curve[told.step] for name, curve in terms.items() if name != "sigma")
        assert told.objective == pytest.approx(at, rel=1e-4)
    assert not told.gradient_free and not told.HasField("w") and not told.HasField("sigma")


async def test_a_mask_that_did_not_settle_is_said_to_be_unfinished_but_not_where_no_rule_was_to_stop_it(up):
    (result,) = (await up.stub.Explain(asked())).results
    assert not result.converged and not result.optimised.settled
    assert any("had not settled after 5 steps" in w for w in result.warnings)
    never = {"steps": 5, "rule": mask_pb2.MASK_RULE_NEVER}
    (result,) = (await up.stub.Explain(asked(settings=never))).results
    assert result.converged and not any("settled" in w for w in result.warnings)


async def test_a_text_so_short_that_sigma_spans_it_is_told_what_tells_its_words_apart(up):
    never = {"steps": 40, "rule": mask_pb2.MASK_RULE_NEVER, "size_weight": 0.0}
    short = asked("text", settings=never)
    short.input.text = "A joy."
    (result,) = (await up.stub.Explain(short)).results
    assert result.optimised.mean > 0.5
    (warning,) = [w for w in result.warnings if "keeps more than half" in w]
    assert "all 3 go together" in warning and "sigma_weight 0 and sigma 1" in warning
    (result,) = (await up.stub.Explain(asked("text", settings=never | {"sigma_weight": 0.0, "sigma": 1.0}))).results
    assert result.optimised.mean > 0.5 and not any("keeps more than half" in w for w in result.warnings)


async def test_rationales_are_runs_of_words_with_their_characters_and_their_mean(up):
    (result,) = (await up.stub.Explain(asked("text", settings={"steps": 40, "span_share": 0.3}))).results
    spans = result.optimised.rationales
    assert spans and [s.begin for s in spans] == sorted(s.begin for s in spans)
    words = 0
    for span in spans:
        inside = [u for u in result.units if span.begin <= u.begin and u.end <= span.end]
        words += len(inside)
        assert (inside[0].begin, inside[-1].end) == (span.begin, span.end)
        assert span.score == pytest.approx(np.mean([u.score for u in inside]), abs=1e-6)
    assert words == round(0.3 * len(result.units))


async def test_w_and_sigma_come_with_the_features_and_in_chunks_of_a_stream(up):
    outputs = types_pb2.Outputs(features=True)
    (result,) = (await up.stub.Explain(asked(settings={"steps": 3, "cell": 2}, outputs=outputs))).results
    cells = [math.ceil(n / 2) for n in SIZE]
    assert list(result.optimised.w.shape) == list(result.optimised.sigma.shape) == cells
    assert (array(result.optimised.sigma) >= 0.6 - 1e-6).all()
    message = asked(settings={"steps": 1200, "cell": 7, "rule": mask_pb2.MASK_RULE_NEVER}, outputs=outputs)
    events = [e async for e in up.stub.ExplainStream(ExplainStreamRequest(explanation=message))]
    told = events[-1].result.results[0].optimised
    curve = next(t for t in told.terms if t.name == "kept")
    data = b"".join(e.chunk.data for e in events if e.HasField("chunk") and e.chunk.chunk_id == curve.chunk_id)
    assert list(curve.shape) == [1200] and not curve.contents and len(data) == 4 * 1200
    assert list(told.w.shape) == [4, 4]


async def test_previews_show_the_mask_on_its_way(up):
    message = asked(settings={"steps": 300, "cell": 2})
    stream = ExplainStreamRequest(explanation=message)
    stream.preview_interval.FromMilliseconds(50)
    previews, last = [], None
    async for event in up.stub.ExplainStream(stream):
        if event.HasField("progress"):
            previews += [array(t) for t in event.progress.previews]
            assert event.progress.evaluations_done <= event.progress.evaluations_expected
        elif event.HasField("result"):
            last = array(event.result.results[0].maps[0].tensor)
    assert len(previews) >= 2 and all(p.shape == (1, *SIZE) for p in previews)
    assert all(p.min() >= 0 and p.max() <= 1 for p in previews)
    far = [np.abs(p[0] - last).mean() for p in previews]
    assert far[-1] < far[0]


# -- the request -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["image", "text"])
async def test_every_option_arrives_is_echoed_and_replays_bit_for_bit(up, kind):
    message = asked(kind, settings=SETTINGS[kind], outputs=types_pb2.Outputs(features=True))
    first = await up.stub.Explain(message)
    said = first.resolved.mask_optimisation
    for name, value in SETTINGS[kind].items():
        assert getattr(said, name) == value, name
    unset = {f.name for f in said.DESCRIPTOR.fields} - {f.name for f, _ in said.ListFields()}
    spans = {"span_threshold", "span_share", "span_count"}
    assert unset == spans - set(SETTINGS[kind])
    second = await up.stub.Explain(again(first, message))
    assert second.results[0].maps == first.results[0].maps
    assert second.results[0].optimised == first.results[0].optimised
    assert second.resolved.mask_optimisation == said and second.resolved.baseline == first.resolved.baseline


@pytest.mark.parametrize(("kind", "preset"), [("image", "IMAGE_CNN"), ("text", "TEXT")])
async def test_what_was_left_unset_is_echoed_as_the_preset_has_it(up, kind, preset):
    said = (await up.stub.Explain(asked(kind))).resolved.mask_optimisation
    assert said.preset == mask_pb2.MaskPreset.Value(f"MASK_PRESET_{preset}") and said.steps == 5
    left_out = {"span_threshold", "span_share", "span_count"}
    assert {f.name for f, _ in said.ListFields()} == {f.name for f in said.DESCRIPTOR.fields} - left_out
    assert (said.rate, said.sigma_weight) == (0.03, 1.2)


async def test_a_preset_brings_all_its_settings(up):
    message = asked(settings={"steps": 2, "preset": mask_pb2.MASK_PRESET_IMAGE_VIT}, baseline={"blur": {"sigma": 3}})
    said = (await up.stub.Explain(message)).resolved.mask_optimisation
    assert (said.size_weight, said.evidence) == (0.25, mask_pb2.MASK_EVIDENCE_SOFTMAX)


async def test_the_baselines_of_a_request_that_names_none_are_said_and_replay(up):
    message = asked()
    first = await up.stub.Explain(message)
    black, white, mean = first.resolved.baseline.distribution.baselines
    assert (list(black.constant.value), list(white.constant.value)) == ([0], [255])
    assert mean.WhichOneof("kind") == "model_mean"
    assert (await up.stub.Explain(again(first, message))).results[0].optimised == first.results[0].optimised
    named = await up.stub.Explain(asked(baseline={"constant": {"value": [9]}}))
    assert list(named.resolved.baseline.constant.value) == [9]
    texts = await up.stub.Explain(asked("text"))
    assert texts.resolved.baseline.WhichOneof("kind") == "text"


async def test_the_catalogue_and_the_estimate_tell_the_methods_own_baselines(up):
    catalogue = await up.stub.GetCatalogue(GetCatalogueRequest())
    (own,) = next(m for m in catalogue.methods if m.name == "mask_optimisation").baselines
    assert own.modality == "image" and len(own.baseline.distribution.baselines) == 3
    assert not next(m for m in catalogue.methods if m.name == "rise").baselines
    cost = await up.stub.EstimateCost(EstimateCostRequest(explanation=asked()))
    assert cost.baseline == own.baseline
    named = await up.stub.EstimateCost(EstimateCostRequest(explanation=asked(baseline={"image_mean": {}})))
    assert not named.HasField("baseline")


@pytest.mark.parametrize("kind", ["image", "text"])
async def test_the_estimate_counts_both_sides_of_every_baseline_and_class(up, kind):
    never = {"steps": 6, "rule": mask_pb2.MASK_RULE_NEVER, "snap": 0.0, "noise": 0.0}
    two = types_pb2.Target(classes=[types_pb2.ClassRef(index=0), types_pb2.ClassRef(index=2)])
    message = asked(kind, settings=never, target=two)
    expected = (await up.stub.EstimateCost(EstimateCostRequest(explanation=message))).evaluations
    (one, other) = (await up.stub.Explain(message)).results
    # Of a text, that its twin reads its tokens, its embeddings, and whether its twin leaves padding out, come on top.
    assert 6 * 2 * 2 * (3 if kind == "image" else 1) <= one.rows_done <= expected
    assert expected <= one.evaluations <= expected + (0 if kind == "image" else 6)
    assert one.optimised.kept != other.optimised.kept


@pytest.mark.parametrize("kind", ["image", "text"])
async def test_a_budget_ends_it_with_the_mask_so_far_which_replays(up, kind):
    message = asked(kind, settings={"steps": 50}, budget={"max_evaluations": 31})
    first = await up.stub.Explain(message)
    (result,) = first.results
    assert result.stop_reason == types_pb2.STOP_REASON_MAX_EVALUATIONS and not result.converged
    assert result.rows_done <= 31
    assert (await up.stub.Explain(again(first, message))).results[0].optimised == result.optimised


async def test_a_mask_is_found_for_a_model_without_gradients_and_said_to_be(up):
    answer = await up.stub.Explain(asked("text", "mask_search", {"generations": 5, "population": 6}))
    (result,) = answer.results
    assert result.optimised.gradient_free and 0 < result.optimised.kept < 1
    said = answer.resolved.mask_search
    assert (said.generations, said.population) == (5, 6)
    assert (await up.stub.Explain(again(answer, asked("text")))).results[0].optimised == result.optimised


async def test_a_search_takes_several_baselines_too_and_tells_rationales(up):
    several = {"distribution": {"baselines": [{"text": {}}, {"text": {"replacement": "so"}}]}}
    message = asked("text", "mask_search", {"generations": 3, "population": 6, "span_count": 1}, baseline=several)
    answer = await up.stub.Explain(message)
    (result,) = answer.results
    assert result.rows_done == 2 * 2 * 3 * 6
    cost = await up.stub.EstimateCost(EstimateCostRequest(explanation=message))
    assert cost.evaluations == result.evaluations
    assert len(answer.resolved.baseline.distribution.baselines) == 2
    (span,) = result.optimised.rationales
    assert TEXT[span.begin : span.end].strip() and 0 < span.score < 1
    assert (await up.stub.Explain(again(answer, message))).results[0].optimised == result.optimised


# -- what will not do --------------------------------------------------------------------------------------------------

NUMBERS = [
    "size_weight", "sigma_weight", "variation_weight", "w", "sigma", "sigma_low", "sigma_high", "rate", "settled",
    "snap", "noise",
]  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e9])
@pytest.mark.parametrize("name", NUMBERS)
async def test_a_number_that_is_none_or_out_of_bounds_is_named(up, name, value):
    assert await wrong(up, asked(settings={name: value})) == f"mask_optimisation.{name}"


@pytest.mark.parametrize("name", ["steps", "every", "cell", "span_count"])
async def test_nothing_at_all_is_named(up, name):
    assert await wrong(up, asked("text", settings={name: 0})) == f"mask_optimisation.{name}"


@pytest.mark.parametrize("name", ["preset", "evidence", "comprehensiveness", "kernel", "optimiser", "rule"])
async def test_a_choice_of_a_later_protocol_is_named(up, name):
    assert await wrong(up, asked(settings={name: 99})) == f"mask_optimisation.{name}"


@pytest.mark.parametrize(
    ("kind", "settings", "fields", "field"),
    [
        ("text", {"span_share": 0.2, "span_count": 3}, {}, "mask_optimisation.span_count"),
        ("text", {"span_threshold": float("nan")}, {}, "mask_optimisation.span_threshold"),
        ("text", {"cell": 2}, {}, "mask_optimisation.cell"),
        ("text", {"preset": mask_pb2.MASK_PRESET_IMAGE_VIT}, {}, "mask_optimisation.preset"),
        ("text", {}, {"baseline": {"blur": {}}}, "baseline.blur"),
        ("text", {}, {"baseline": {"neutral": {}}}, "baseline"),
        ("image", {"span_share": 0.2}, {}, "mask_optimisation.span_share"),
        ("image", {"sigma_low": 3.0, "sigma_high": 2.0}, {}, "mask_optimisation.sigma_high"),
        ("image", {"noise": 0.1}, {}, "mask_optimisation.noise"),
        ("image", {}, {"baseline": {"feature_mean": {}}}, "baseline"),
        ("image", {}, {"baseline": {"segment_mean": {}}}, "baseline.segment_mean"),
        ("image", {}, {"budget": {"max_evaluations": 5}}, "budget.max_evaluations"),
    ],
)
async def test_what_does_not_go_together_is_named(up, kind, settings, fields, field):
    assert await wrong(up, asked(kind, settings=settings, **fields)) == field


async def test_without_a_twin_the_error_points_to_the_search():
    async with running(image_model()) as alone:
        with pytest.raises(grpc.aio.AioRpcError, match="mask_search") as refused:
            await alone.stub.Explain(asked())
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_an_answer_of_too_many_steps_for_one_message_is_refused_before_any_work(up):
    message = asked(settings={"steps": 100_000, "cell": 7}, target=types_pb2.Target(top_k=3))
    with pytest.raises(grpc.aio.AioRpcError, match="ExplainStream") as refused:
        await up.stub.Explain(message)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_bytes_of_a_mask_are_known_beforehand():
    terms = dict.fromkeys(("kept", "removed", "size", "sigma", "variation"), (0.1,) * 9)
    cells = torch.ones(4, 3)
    told = encode_optimised(Optimised(terms, 1.0, 0.5, 0.5, 0.5, 8, False, cells, cells), features=True)
    contents = sum(len(t.contents) for t in (*told.terms, told.w, told.sigma))
    params = SimpleNamespace(**{**vars(IMAGE_CNN), "steps": 9, "cell": 7})
    job = SimpleNamespace(input=SimpleNamespace(shape=(28, 21)))
    assert optimised_bytes(job, params, features=True) == contents
    assert optimised_bytes(job, SimpleNamespace(), features=True) == 0
