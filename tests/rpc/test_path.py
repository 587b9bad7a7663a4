"""Path attribution through the whole service, by the twin of a small network in this process."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2
from in_process import array, details, encoded, pixels, request, running
from path_nets import Residual, image_job, run, seeded
from reading import Reader, twin_of
from sidelight.core.ask import Model
from sidelight.core.inputs import TextInput, words
from sidelight.core.job import Job
from sidelight.core.predictor import Layer
from sidelight.core.registry import find
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.methods.compare import CompareParams
from sidelight.path.options import Attribution
from sidelight.predictors import networks
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.twin import own_twin
from sidelight.rpc.accounts import account_bytes, encode_account
from sidelight.watch import TwinSource
from sidelight_proto.v1 import path_pb2, types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainStreamRequest, GetCatalogueRequest
from torch import nn

SIZE = (28, 24)
INTEGRATED = types_pb2.ATTRIBUTION_INTEGRATED_GRADIENTS


@asynccontextmanager
async def serving(net, kind=OutputKind.LOGITS):
    """`net` with its twin."""
    card = Card(
        "net", "image", input="x", crop=SIZE, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25),
        output_kind=kind,
    )  # fmt: skip
    network = networks.Network(net, "python", networks.weights_digest(net), net)
    predictor = EmbeddedPredictor(network, card, batch_rows=8, channels_last=False)
    twins = {"net": TwinSource(lambda predictor, spec: own_twin(predictor, spec, batch_rows=8))}
    async with running(predictor, twins=twins) as service:
        yield service


@pytest.fixture
async def up():
    torch.manual_seed(0)
    async with serving(Residual().eval()) as service:
        yield service


def asked(**fields):
    fields.setdefault("integrated_gradients", path_pb2.IntegratedGradients(nodes=16))
    image = types_pb2.Input(image=encoded(pixels(*SIZE)))
    return request(models=[types_pb2.ModelRef(name="net")], input=image, rise=None, **fields)


async def test_the_answer_accounts_for_itself(up):
    answer = await up.stub.Explain(asked(target=types_pb2.Target(top_k=2), outputs=types_pb2.Outputs(features=True)))
    assert len(answer.results) == 2
    for result in answer.results:
        (told,) = result.attributions
        assert told.attribution == INTEGRATED
        assert result.baseline_output_value == told.baseline_output_value
        assert result.instance_output_value == told.output_value
        assert told.target == pytest.approx(told.output_value - told.baseline_output_value)
        assert told.error == pytest.approx(told.result - told.target) and result.attribution_error == told.error
        assert result.attribution_error_relative == pytest.approx(abs(told.error / told.target))
        assert {part.name: part.value for part in told.parts} == {"quadrature": pytest.approx(told.error)}
        assert told.evaluations == 16 + 2 and told.rule == "Gauss-Legendre, 16 nodes" and told.converged
        (features,) = told.features
        assert features.name == "input" and list(features.shape) == [3, *SIZE]
        assert array(features).sum() == pytest.approx(told.result, rel=1e-4)
        assert array(features).sum(0) == pytest.approx(array(result.maps[0].tensor), abs=1e-6)
        assert not told.map.contents
    assert answer.resolved.integrated_gradients.nodes == 16
    assert answer.resolved.integrated_gradients.quadrature == path_pb2.QUADRATURE_GAUSS_LEGENDRE
    assert list(answer.resolved.integrated_gradients.layers) == ["input"]
    found = up.service.telemetry.registry
    labels = {"method": "integrated_gradients", "model": "net"}
    assert found.get_sample_value("sidelight_attribution_error_ratio_count", labels) == 2


async def test_the_resolved_request_gives_the_same_answer_again(up):
    first = await up.stub.Explain(
        asked(
            integrated_gradients=None,
            path_attribution=path_pb2.PathAttribution(
                attribution=types_pb2.ATTRIBUTION_LAYER_CAM, layers=["sum"], smooth_copies=3
            ),
        )
    )
    again = first.resolved
    again.input.CopyFrom(asked().input)
    second = await up.stub.Explain(again)
    assert second.results[0].maps == first.results[0].maps
    assert second.results[0].attributions == first.results[0].attributions
    assert list(first.resolved.path_attribution.layers) == ["sum"]
    assert first.resolved.path_attribution.attribution == types_pb2.ATTRIBUTION_LAYER_CAM


async def test_a_comparison_has_a_map_of_each_and_the_first_is_the_results(up):
    kinds = [INTEGRATED, types_pb2.ATTRIBUTION_GRADIENT, types_pb2.ATTRIBUTION_GRAD_CAM]
    answer = await up.stub.Explain(
        asked(integrated_gradients=None, compare=path_pb2.Compare(attributions=kinds, layers=["sum"], nodes=8))
    )
    (result,) = answer.results
    assert [told.attribution for told in result.attributions] == kinds
    assert all(list(told.map.shape) == list(SIZE) for told in result.attributions)
    assert np.array_equal(array(result.attributions[0].map), array(result.maps[0].tensor))
    gradient = result.attributions[1]
    assert not gradient.HasField("target") and not gradient.HasField("error") and "z - 1" in gradient.baseline
    assert list(answer.resolved.compare.attributions) == kinds


async def test_every_method_of_the_family_answers_by_default(up):
    for name, message in (
        ("path_attribution", path_pb2.PathAttribution()), ("integrated_gradients", path_pb2.IntegratedGradients()),
        ("grad_cam", path_pb2.GradCam()), ("layer_cam", path_pb2.LayerCam()), ("compare", path_pb2.Compare()),
        ("layer_cam", path_pb2.LayerCam(layers=["sum", "stem"])),
    ):  # fmt: skip
        answer = await up.stub.Explain(asked(**{"integrated_gradients": None, name: message}))
        (result,) = answer.results
        assert result.attributions and list(result.maps[0].tensor.shape) == list(SIZE)
        layers = list(getattr(answer.resolved, name).layers)
        assert layers == (list(message.layers) or (["sum"] if "cam" in name else ["input"]))


async def test_a_tolerance_is_met_and_said_to_be(up):
    answer = await up.stub.Explain(
        asked(integrated_gradients=path_pb2.IntegratedGradients(), budget=types_pb2.Budget(tolerance=0.05))
    )
    (result,) = answer.results
    (told,) = result.attributions
    assert result.converged and told.converged and told.residual <= 0.05 and told.indicator <= 0.05
    assert result.stop_reason == types_pb2.STOP_REASON_TOLERANCE
    assert told.rule.startswith("adaptive")
    assert answer.resolved.integrated_gradients.quadrature == path_pb2.QUADRATURE_ADAPTIVE
    again = answer.resolved
    again.input.CopyFrom(asked().input)
    second = await up.stub.Explain(again)
    assert second.results[0].maps == result.maps and second.results[0].converged


async def test_an_adaptive_rule_cut_short_can_be_asked_for_again(up):
    budget = types_pb2.Budget(tolerance=1e-5, max_evaluations=30)
    answer = await up.stub.Explain(asked(integrated_gradients={}, budget=budget))
    (result,) = answer.results
    assert not result.converged and result.stop_reason == types_pb2.STOP_REASON_MAX_EVALUATIONS
    again = answer.resolved
    again.input.CopyFrom(asked().input)
    assert (await up.stub.Explain(again)).results[0].maps == result.maps


async def test_metrics_measure_path_attributions(up):
    metrics = [
        {"srg": {"steps": 4}}, {"insertion": {"steps": 4}}, {"stability": {"repeats": 1}},
    ]  # fmt: skip
    answer = await up.stub.Explain(asked(metrics=metrics))
    values = {m.name: m for m in answer.results[0].metrics}
    assert all(not m.reason for m in values.values())
    stability = {v.name: v.value for v in values["stability"].values}
    assert stability == {"spearman": pytest.approx(1), "cosine": pytest.approx(1)}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"integrated_gradients": {"nodes": 0}}, "integrated_gradients.nodes"),
        ({"integrated_gradients": {"quadrature": 6}}, "integrated_gradients.quadrature"),
        ({"integrated_gradients": {"quadrature": 3, "nodes": 1}}, "integrated_gradients.nodes"),
        ({"integrated_gradients": {"layers": ["stem", "stem"]}}, "integrated_gradients.layers"),
        ({"integrated_gradients": {"layers": [""]}}, "integrated_gradients.layers"),
        ({"integrated_gradients": {"path": 2, "layers": ["stem"]}}, "integrated_gradients.layers"),
        ({"integrated_gradients": None, "grad_cam": {"layers": ["stem", "sum"]}}, "grad_cam.layers"),
        ({"integrated_gradients": None, "compare": {"attributions": [3, 99]}}, "compare.attributions[1]"),
        ({"integrated_gradients": None, "compare": {"attributions": [0]}}, "compare.attributions[0]"),
        ({"integrated_gradients": None, "path_attribution": {"attribution": 3, "path": 3}}, "path_attribution.path"),
        ({"integrated_gradients": {"layers": ["head"]}}, "integrated_gradients.layers"),
        ({"integrated_gradients": {"quadrature": 2, "path": 3}}, "integrated_gradients.quadrature"),
        ({"budget": {"max_evaluations": 5}}, "budget.max_evaluations"),
    ],
)
async def test_a_wrong_field_is_named(up, fields, wrong):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await up.stub.Explain(asked(**fields))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (bad,) = details(refused.value, error_details_pb2.BadRequest)
    assert wrong in [v.field for v in bad.field_violations]


async def test_a_layer_that_is_no_cut_is_a_failed_precondition(up):
    with pytest.raises(grpc.aio.AioRpcError, match="no cut") as refused:
        await up.stub.Explain(asked(integrated_gradients={"layers": ["branch"]}))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    (info,) = details(refused.value, error_details_pb2.ErrorInfo)
    assert info.reason == "NOT_A_CUT"
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await up.stub.Explain(asked(integrated_gradients={"layers": ["brunch"]}))
    assert unknown.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_features_come_in_chunks_of_a_stream(up):
    outputs = types_pb2.Outputs(features=True, map=False)
    stream = up.stub.ExplainStream(ExplainStreamRequest(explanation=asked(outputs=outputs)))
    events = [event async for event in stream]
    (told,) = events[-1].result.results[0].attributions
    (features,) = told.features
    assert list(features.shape) == [3, *SIZE] and not features.contents
    chunks = [e.chunk for e in events if e.WhichOneof("event") == "chunk" and e.chunk.chunk_id == features.chunk_id]
    numbers = np.frombuffer(b"".join(chunk.data for chunk in chunks), "<f4")
    assert len(numbers) == 3 * SIZE[0] * SIZE[1] and numbers.sum() == pytest.approx(told.result, rel=1e-4)


@pytest.mark.parametrize("layers", [(), ("stem",), ("stem", "branch")])
def test_the_bytes_of_features_and_maps_are_known_beforehand(layers):
    net = seeded(Residual)
    job = image_job(net, cuts=("stem", "sum"))
    found = run(job, net, Attribution.INTEGRATED_GRADIENTS, Attribution.ODAM, layers=layers, nodes=2)
    told = [encode_account(a, features=True, axes=("height", "width")) for a in found.accounts[0]]
    contents = sum(len(t.contents) for a in told for t in (*a.features, a.map))
    params = find("compare").settle(CompareParams((Attribution.INTEGRATED_GRADIENTS, Attribution.ODAM), layers), job)
    assert account_bytes(job, params, features=True, maps=True) == contents
    assert account_bytes(job, params, features=False, maps=False) == 0


def test_the_bytes_of_a_layer_that_varies_with_the_text_are_known_by_its_tokens():
    reader = Reader()
    text = "a truly wonderful film"
    twin = twin_of(reader, (Layer("embed", (-1, 8), True),))
    x = TextInput("text", text, words(text))
    job = Job(Model("m", "1"), x, Target(OutputKind.LOGITS, Link.LOGIT), Stream(1), twin=twin)
    params = CompareParams((Attribution.INTEGRATED_GRADIENTS,), ("embed",))
    assert account_bytes(job, params, features=True, maps=False) == 4 * 8 * len(reader.ids(text))


async def test_neighbours_do_not_change_an_answer(up):
    """A rule that branches on its answers is the same to the last bit; a fixed one, as far as batches are."""
    tolerance = types_pb2.Budget(tolerance=0.02)
    one, other = asked(budget=tolerance, integrated_gradients={}), asked(integrated_gradients={"nodes": 16})
    alone = [(await up.stub.Explain(r)).results[0] for r in (one, other)]
    images = [types_pb2.Input(image=encoded(pixels(*SIZE, seed=n))) for n in range(1, 5)]
    crowd = [asked(integrated_gradients={"nodes": 9 + n}) for n in range(4)]
    for message, image in zip(crowd, images, strict=True):
        message.input.CopyFrom(image)
    first, second, *_ = await asyncio.gather(*(up.stub.Explain(r) for r in (one, other, *crowd)))
    assert first.results[0].maps == alone[0].maps and first.results[0].attributions == alone[0].attributions
    wanted = array(alone[1].maps[0].tensor)
    np.testing.assert_allclose(array(second.results[0].maps[0].tensor), wanted, atol=1e-5 * np.abs(wanted).max())


async def test_the_catalogue_lists_what_lists_may_hold(up):
    catalogue = await up.stub.GetCatalogue(GetCatalogueRequest())
    (compare,) = [m for m in catalogue.methods if m.name == "compare"]
    kinds, layers, *_ = compare.parameters
    assert (kinds.type, layers.type) == ("choices", "names")
    assert "integrated_gradients" in kinds.choices and kinds.default == "" and layers.default == ""


async def test_a_baseline_that_leaves_nothing_to_explain_is_warned_of(up):
    same = types_pb2.Baseline(image={"image": encoded(pixels(*SIZE))})
    answer = await up.stub.Explain(asked(baseline=same))
    assert any("little to explain" in warning for warning in answer.results[0].warnings)


async def test_of_several_baselines_the_output_on_each_is_told_and_a_guided_path_is_echoed_without_a_rule(up):
    several = types_pb2.Baseline(distribution={"baselines": [{"model_mean": {}}, {"blur": {}}]})
    answer = await up.stub.Explain(asked(baseline=several, integrated_gradients={"path": 3, "nodes": 4}))
    (told,) = answer.results[0].attributions
    assert len(told.baseline_output_values) == 2
    assert sum(told.baseline_output_values) / 2 == pytest.approx(told.baseline_output_value)
    assert told.evaluations == 2 * 5
    assert not answer.resolved.integrated_gradients.HasField("quadrature")
    again = answer.resolved
    again.input.CopyFrom(asked().input)
    assert (await up.stub.Explain(again)).results[0].maps == answer.results[0].maps


class Sure(nn.Module):
    """Probabilities of which float32 leaves exactly 0 and 1, of bright images and of dark ones the other way round."""

    def forward(self, x):
        s = 500 * x.mean((1, 2, 3)).unsqueeze(1)
        return torch.cat([s, -s], 1).softmax(1)


class Root(nn.Module):
    """The root of a channel's range, which has no finite gradient where that is 0: on one colour."""

    def __init__(self):
        super().__init__()
        self.net = Residual()

    def forward(self, x):
        red = x[:, 0].flatten(1)
        return self.net(x) + (red.amax(1, keepdim=True) - red.amin(1, keepdim=True)).sqrt()


@pytest.mark.parametrize(
    ("net", "kind", "fields", "reason"),
    [
        (Sure, OutputKind.PROBABILITIES, {"link": types_pb2.LINK_LOG_PROBABILITY}, "NON_FINITE_SCORE"),
        (Root, OutputKind.LOGITS, {}, "NON_FINITE_GRADIENT"),
    ],
)
async def test_what_is_made_of_finite_outputs_is_no_fault_of_the_model(net, kind, fields, reason):
    torch.manual_seed(0)
    dark = types_pb2.Baseline(constant={"value": [0.0]})
    async with serving(net().eval(), kind) as service:
        for method in ({"nodes": 4, "quadrature": 5}, {"path": 3, "nodes": 4}, {"quadrature": 6}):
            budget = types_pb2.Budget(tolerance=0.1) if method == {"quadrature": 6} else None
            request = asked(
                target=types_pb2.Target(**fields), baseline=dark, integrated_gradients=method, budget=budget
            )
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await service.stub.Explain(request)
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            (info,) = details(refused.value, error_details_pb2.ErrorInfo)
            assert info.reason == reason
