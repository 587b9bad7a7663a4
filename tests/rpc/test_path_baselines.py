"""Every baseline and path, and the randomisation check, through the whole service by the twin of a small network."""

import math

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2
from in_process import array, details, encoded, pixels, request, running
from path_nets import Residual
from sidelight.core.target import OutputKind
from sidelight.predictors import networks
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.twin import own_twin
from sidelight.watch import TwinSource
from sidelight_proto.v1 import metrics_pb2, path_pb2, types_pb2
from sidelight_proto.v1.explanation_pb2 import Rise

SIZE = (12, 10)
IMAGE = encoded(pixels(*SIZE))
REFERENCES = [encoded(pixels(*SIZE, seed=s)) for s in (5, 6)]


def network():
    torch.manual_seed(0)
    net = Residual().eval()
    with torch.no_grad():
        net.head.weight *= 20
    return net


@pytest.fixture
async def up():
    net = network()
    card = Card(
        "net", "image", input="x", crop=SIZE, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25),
        output_kind=OutputKind.LOGITS,
    )  # fmt: skip
    made = networks.Network(net, "python", networks.weights_digest(net), net)
    predictor = EmbeddedPredictor(made, card, batch_rows=8, channels_last=False)
    twins = {"net": TwinSource(lambda predictor, spec: own_twin(predictor, spec, batch_rows=8))}
    async with running(predictor, twins=twins) as service:
        yield service


def asked(layers=(), path=None, link=types_pb2.LINK_UNSPECIFIED, **fields):
    if "rise" not in fields:
        fields["integrated_gradients"] = path_pb2.IntegratedGradients(nodes=64, layers=layers, path=path)
        fields["rise"] = None
    models = [types_pb2.ModelRef(name="net")]
    target = types_pb2.Target(classes=[types_pb2.ClassRef(index=1)], link=link)
    return request(models=models, input=types_pb2.Input(image=IMAGE), target=target, **fields)


BASELINES = {
    "reference_mean": {"reference_mean": {"images": REFERENCES}},
    "feature_zero": {"feature_zero": {}},
    "feature_mean": {"feature_mean": {}},
    "feature_mean of references": {"feature_mean": {"images": REFERENCES}},
    "neutral": {"neutral": {}},
    "distribution": {"distribution": {"baselines": [{"noise": {}}, {"noise": {}}, {"image_mean": {}}]}},
}


@pytest.mark.parametrize("layers", [(), ("sum",)])
@pytest.mark.parametrize("name", BASELINES)
async def test_every_baseline_is_answered_with_its_own_target_and_small_error_and_replays(up, name, layers):
    message = asked(layers, link=types_pb2.LINK_PROBABILITY, baseline=types_pb2.Baseline(**BASELINES[name]))
    answer = await up.stub.Explain(message)
    (told,) = answer.results[0].attributions
    assert told.baseline and told.target == pytest.approx(told.output_value - told.baseline_output_value)
    assert abs(told.error) < 0.02 * np.abs(array(answer.results[0].maps[0].tensor)).sum()
    # The input and all baselines on the served model and on its twin come on top, whatever a baseline was found by.
    ends = 1 + max(1, len(BASELINES[name].get("distribution", {}).get("baselines", ())))
    assert told.evaluations + 2 * ends == answer.results[0].evaluations
    if name == "neutral":
        assert abs(math.log(told.baseline_output_value) - math.log(1 / 3)) <= 0.05
    assert answer.resolved.baseline.WhichOneof("kind") == message.baseline.WhichOneof("kind")
    again = answer.resolved
    again.input.CopyFrom(message.input)
    assert (await up.stub.Explain(again)).results[0].maps == answer.results[0].maps


async def test_a_distributions_map_is_the_mean_of_those_of_its_baselines(up):
    kinds = [{"image_mean": {}}, {"constant": {"value": [30]}}]
    alone = [await up.stub.Explain(asked(baseline=types_pb2.Baseline(**kind))) for kind in kinds]
    both = await up.stub.Explain(asked(baseline=types_pb2.Baseline(distribution={"baselines": kinds})))
    maps = [array(a.results[0].maps[0].tensor) for a in alone]
    assert array(both.results[0].maps[0].tensor) == pytest.approx(sum(maps) / 2, abs=1e-5)


@pytest.mark.parametrize("path", ["BLUR", "GUIDED"])
async def test_the_other_paths_account_for_themselves_and_replay(up, path):
    number = path_pb2.Path.Value(f"PATH_{path}")
    message = asked(path=number, baseline=types_pb2.Baseline(blur={"sigma": 3}))
    answer = await up.stub.Explain(message)
    (told,) = answer.results[0].attributions
    assert path.lower() in told.rule
    assert abs(told.error) < 0.05 * np.abs(array(answer.results[0].maps[0].tensor)).sum()
    again = answer.resolved
    again.input.CopyFrom(message.input)
    assert (await up.stub.Explain(again)).results[0].maps == answer.results[0].maps


async def test_the_blur_path_over_another_baseline_is_refused_before_any_work(up):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await up.stub.Explain(asked(path=path_pb2.PATH_BLUR))
    (bad,) = details(error.value, error_details_pb2.BadRequest)
    assert bad.field_violations[0].field == "baseline" and "baseline.blur" in bad.field_violations[0].description


@pytest.mark.parametrize("method", ["rise", "integrated_gradients"])
async def test_the_randomisation_check_runs_on_the_twins_random_copies(up, method):
    metrics = [metrics_pb2.Metric(randomisation={"layers": 3})]
    own = {"rise": Rise(masks=48)} if method == "rise" else {}
    answer = await up.stub.Explain(asked(metrics=metrics, **own))
    (found,) = answer.results[0].metrics
    assert found.name == "randomisation" and not found.reason
    values = {v.name: v.value for v in found.values}
    assert set(values) == {"spearman", "cosine", "spearman_absolute", "cosine_absolute"}
    assert all(len(c.values) == 4 and c.values[0] == pytest.approx(1) for c in found.curves)
    assert abs(values["spearman"]) < 0.99
    assert answer.resolved.metrics[0].randomisation.layers == 3
    assert answer.results[0].evaluations > 3 * answer.results[0].rows_done
