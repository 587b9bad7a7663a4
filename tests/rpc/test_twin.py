"""The twin in the service: listed, verified at start and on every request, and taking rows where it is told to."""

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2
from in_process import details, encoded, pixels, running
from sidelight import config, watch, wiring
from sidelight.config import ConfigError
from sidelight.core.errors import Exhausted, Unsupported
from sidelight.core.target import OutputKind
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.twin import TwinPredictor, own_twin
from sidelight.watch import TwinSource
from sidelight_proto.v1 import path_pb2, types_pb2
from sidelight_proto.v1.explanation_pb2 import EstimateCostRequest, ExplainRequest, GetCatalogueRequest
from twin_nets import Encoder, Residual, network, seeded

CARD = Card("net", "image", crop=(8, 8), scale=1 / 255, output_kind=OutputKind.LOGITS)
TWIN, EMBEDDED = types_pb2.EXECUTOR_TWIN, types_pb2.EXECUTOR_EMBEDDED


class Corner(Residual):
    """Like the served network, but where the first pixel is wholly red."""

    def forward(self, x):
        return super().forward(x) + 50 * (x[:, 0, 0, 0, None] - 0.995).clamp(min=0)


def served(module=None):
    return EmbeddedPredictor(network(module or seeded(Residual)), CARD, batch_rows=4, channels_last=False)


def from_weights(module, **options):
    """A twin of another module than the served one."""
    return {"net": TwinSource(lambda predictor, spec: TwinPredictor(network(module), spec, batch_rows=4, **options))}


def own(rows=False):
    return {"net": TwinSource(lambda predictor, spec: own_twin(predictor, spec, batch_rows=4), rows)}


def asked(**fields) -> ExplainRequest:
    if "rise" not in fields:
        fields.setdefault("integrated_gradients", path_pb2.IntegratedGradients(nodes=8))
    base = {"models": [types_pb2.ModelRef(name="net")], "seed": 1, "input": types_pb2.Input(image=encoded(pixels()))}
    return ExplainRequest(**{**base, **fields})


async def entry(up):
    return (await up.stub.GetCatalogue(GetCatalogueRequest())).models[0]


async def refused(up, question):
    """The reason and the message."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await up.stub.Explain(question)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    (info,) = details(caught.value, error_details_pb2.ErrorInfo)
    return info.reason, caught.value.details()


async def test_a_verified_twin_is_listed_with_its_layers_and_answers():
    async with running(served(), twins=own()) as up:
        found = await entry(up)
        assert found.twin.verified and not found.twin.reason and found.twin.gap < 1e-5
        layers = {layer.name: (tuple(layer.shape), layer.cut) for layer in found.twin.layers}
        assert layers["blocks.0"] == ((6, 8, 8), True) and layers["blocks.0.conv"] == ((6, 8, 8), False)
        result = (await up.stub.Explain(asked())).results[0]
        assert result.model.executor == TWIN and result.model.digest == found.twin.digest
        assert result.model.HasField("twin_gap") and 0 <= result.model.twin_gap < 1e-5
        assert up.metric("sidelight_twin_gap", model="net") == result.model.twin_gap
        answer = (await up.stub.Explain(asked(rise={"masks": 16}))).results[0]
        assert answer.model.executor == EMBEDDED and not answer.model.HasField("twin_gap")


async def test_a_twin_with_other_weights_is_refused_at_start_with_the_numbers():
    async with running(served(), twins=from_weights(seeded(Residual, 1))) as up:
        found = await entry(up)
        assert not found.twin.verified and not found.twin.layers
        assert "of the largest output, 0.001 is allowed" in found.twin.reason and "8 probes" in found.twin.reason
        reason, message = await refused(up, asked())
        assert reason == "NO_TWIN" and found.twin.reason in message
        assert (await up.stub.Explain(asked(rise={"masks": 16}))).results  # the rest works


async def test_a_twin_that_agrees_on_probes_alone_is_refused_on_the_requests_input():
    async with running(served(), twins=from_weights(seeded(Corner))) as up:
        assert (await entry(up)).twin.verified
        assert (await up.stub.Explain(asked())).results[0].model.executor == TWIN
        red = pixels()
        red[0, 0] = 255, 0, 0
        reason, message = await refused(up, asked(input=types_pb2.Input(image=encoded(red))))
        assert reason == "TWIN_DISAGREES"
        assert "the input and its baseline" in message and "0.001 is allowed" in message


async def test_another_tolerance_lets_it_pass():
    async with running(served(), twins=from_weights(seeded(Corner), tolerance=0.9)) as up:
        red = pixels()
        red[0, 0] = 255, 0, 0
        result = (await up.stub.Explain(asked(input=types_pb2.Input(image=encoded(red))))).results[0]
        assert 1e-3 < result.model.twin_gap < 0.9


def evaluated(up, method, executor):
    return up.metric("sidelight_model_evaluations_total", method=method, model="net", executor=executor)


async def test_rows_are_counted_where_they_ran_those_that_check_the_twin_too():
    async with running(served(), twins=own()) as up:
        assert evaluated(up, "probe", "twin") == 8  # and as many of the served model, beside those of its own probe
        (result,) = (await up.stub.Explain(asked())).results
        method = "integrated_gradients"
        assert evaluated(up, method, "embedded") == 2  # input and baseline
        assert evaluated(up, method, "twin") == result.evaluations - 2


async def test_rows_go_to_a_twin_that_is_told_to_take_them():
    async with running(served(), twins=own(rows=True)) as up:
        assert (await entry(up)).executor == TWIN
        result = (await up.stub.Explain(asked(rise={"masks": 16}))).results[0]
        assert result.model.executor == TWIN and result.model.HasField("twin_gap")
        assert result.evaluations == 16 + 4  # and input and baseline of both
        assert evaluated(up, "rise", "twin") == 16 + 2
        assert evaluated(up, "rise", "embedded") == 2
    async with running(served()) as up:
        plain = (await up.stub.Explain(asked(rise={"masks": 16}))).results[0]
    assert plain.maps[0].tensor.shape == result.maps[0].tensor.shape
    a, b = (torch.frombuffer(bytearray(r.maps[0].tensor.contents), dtype=torch.float32) for r in (plain, result))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


async def test_rows_stay_with_the_served_model_where_the_twin_is_refused():
    source = TwinSource(from_weights(seeded(Residual, 1))["net"].make, rows=True)
    async with running(served(), twins={"net": source}) as up:
        assert (await entry(up)).executor == EMBEDDED
        assert (await up.stub.Explain(asked(rise={"masks": 16}))).results[0].model.executor == EMBEDDED


async def test_without_a_twin_the_mend_is_told():
    async with running(served()) as up:
        assert "[models.twin]" in (await entry(up)).twin.reason
        reason, message = await refused(up, asked())
        assert reason == "NO_TWIN" and "integrated_gradients needs gradients" in message and "[models.twin]" in message


async def test_a_twin_that_cannot_be_made_is_told_and_the_model_is_served():
    def fails(predictor, spec):
        raise Unsupported("TWIN_SOURCE", "net", "no such weights")

    async with running(served(), twins={"net": TwinSource(fails)}) as up:
        assert (await entry(up)).twin.reason == "no such weights"
        assert (await up.stub.Explain(asked(rise={"masks": 16}))).results


async def test_a_twin_that_there_was_no_room_for_is_made_once_there_is(monkeypatch):
    monkeypatch.setattr(watch, "TWIN_AGAIN", 0.05)
    tries = []

    def make(predictor, spec):
        tries.append(spec)
        if len(tries) < 3:
            raise Exhausted("device memory", "the device is full")
        return own_twin(predictor, spec, batch_rows=4)

    async with running(served(), twins={"net": TwinSource(make)}) as up:
        assert (await entry(up)).twin.reason == "the device is full"
        assert (await up.stub.Explain(asked(rise={"masks": 16}))).results  # the model is served meanwhile
        await until(lambda: up.service.roster.find("net").offer.twin)
        assert len(tries) == 3
        assert (await up.stub.Explain(asked())).results[0].model.executor == TWIN


async def test_a_twin_that_there_was_no_room_to_verify_leaves_the_model_served_and_is_tried_again(monkeypatch):
    monkeypatch.setattr(watch, "TWIN_AGAIN", 0.05)
    full = [True]

    class Full(TwinPredictor):
        def start(self, ask, tiles, wake):
            if full[0]:
                raise MemoryError
            return super().start(ask, tiles, wake)

    def make(predictor, spec):
        return Full(predictor.network, spec, batch_rows=4)

    async with running(served(), twins={"net": TwinSource(make)}) as up:
        assert "no room" in (await entry(up)).twin.reason
        assert (await up.stub.Explain(asked(rise={"masks": 16}))).results
        full[0] = False
        await until(lambda: up.service.roster.find("net").offer.twin)


async def test_another_twin_takes_the_formers_place_before_that_is_closed(monkeypatch):
    seen = []

    class Told(TwinPredictor):
        def close(self):
            seen.append((self, up.service.engine._twins["net"]))
            super().close()

    def make(predictor, spec):
        return Told(predictor.network, spec, batch_rows=4)

    predictor = served()
    async with running(predictor, twins={"net": TwinSource(make)}) as up:
        first = up.service.roster.find("net").offer.twin_predictor
        predictor._spec = replace(predictor._spec, version="2", output=replace(predictor._spec.output, name="logits"))
        await until(lambda: seen)
        ((closed, instead),) = seen
        assert closed is first and instead is not first
        await until(lambda: up.service.roster.find("net").offer.twin_predictor is instead)


async def until(true, seconds=10.0):
    for _ in range(round(seconds / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never was")


async def test_token_ids_that_the_network_does_not_know_are_refused_by_name():
    card = Card("net", "tokens", output_kind=OutputKind.LOGITS)
    predictor = EmbeddedPredictor(network(seeded(Encoder)), card, batch_rows=4)

    def ids(*given, **fields):
        tensor = {"datatype": "INT64", "shape": [len(given)], "contents": np.array(given).tobytes()}
        return asked(input=types_pb2.Input(tensor=tensor), rise={"masks": 16}, **fields)

    async with running(predictor, twins=own()) as up:
        assert (await up.stub.Explain(ids(1, 0, 99))).results
        for question, field in (
            (ids(1, 100), "input.tensor.contents"),
            (ids(-1, 1), "input.tensor.contents"),
            (ids(1, 2, baseline={"text": {"replacement": "100"}}), "baseline.text.replacement"),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=r"0\.\.99") as caught:
                await up.stub.Explain(question)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            (bad,) = details(caught.value, error_details_pb2.BadRequest)
            assert [v.field for v in bad.field_violations] == [field]


async def test_the_estimate_counts_the_twins_rows_too():
    async with running(served(), twins=own()) as up:
        result = (await up.stub.Explain(asked())).results[0]
        told = await up.stub.EstimateCost(EstimateCostRequest(explanation=asked()))
        assert told.evaluations == result.evaluations and told.expected.ToNanoseconds() > 0


# -- from the configuration --------------------------------------------------------------------------------------------

CARD_FILE = 'model = "net"\nkind = "image"\n[input]\ncrop = [8, 8]\nscale = 0.0039\n[output]\nkind = "logits"\n'
EMBEDDED_MODEL = '[models.embedded]\nfactory = "nets.py:made"\n'
NETS = "from twin_nets import Residual, seeded\ndef made(seed=0): return seeded(Residual, seed)\n"


def written(folder: Path, more: str = "", model: str = EMBEDDED_MODEL, head: str = "") -> Path:
    (folder / "card.toml").write_text(CARD_FILE)
    (folder / "nets.py").write_text(NETS)
    (folder / "sidelight.toml").write_text(f'[[models]]\ncard = "card.toml"\n{head}{model}{more}')
    return folder / "sidelight.toml"


def loaded(path: Path):
    found = config.load(path, {})
    return wiring.makers(found, str(path)), wiring.twins(found, str(path))


def made(path: Path):
    makers, twins = loaded(path)
    predictor = makers["net"]()
    return predictor, twins["net"].make(predictor, predictor.spec())


def test_an_embedded_model_is_its_own_twin_without_configuration(tmp_path):
    predictor, twin = made(written(tmp_path))
    assert twin._module is predictor._forward and predictor.network is None
    assert twin.twin.tolerance == 1e-3 and len(twin.twin.layers) == 12


def test_the_twins_table_is_followed(tmp_path):
    more = '[models.twin]\nfactory = "nets.py:made"\narguments = {seed = 1}\ntolerance = 0.01\nlayers = ["blocks.1"]\n'
    predictor, twin = made(written(tmp_path, more))
    assert twin.twin.tolerance == 0.01 and [one.name for one in twin.twin.layers] == ["blocks.1"]
    assert twin.twin.digest != predictor.spec().digest
    _, twins = loaded(written(tmp_path, head='executor = "twin"\n'))
    assert twins["net"].rows


def test_what_breaks_in_a_twins_source_is_its_reason(tmp_path):
    path = written(tmp_path, '[models.twin]\nfactory = "nets.py:made"\narguments = {seeds = 1}\n')
    makers, twins = loaded(path)
    predictor = makers["net"]()
    with pytest.raises(Unsupported, match="seeds"):
        twins["net"].make(predictor, predictor.spec())


def test_a_device_that_is_full_keeps_the_network_for_another_try(tmp_path):
    nets = "import twin_nets\nclass Full(twin_nets.Residual):\n    full = True\n    def forward(self, x):\n"
    nets += "        if Full.full and x.requires_grad: raise MemoryError\n        return super().forward(x)\n"
    nets += "def made(): return twin_nets.seeded(Full)\n"
    path = written(tmp_path)
    (tmp_path / "nets.py").write_text(nets)
    makers, twins = loaded(path)
    predictor = makers["net"]()
    with pytest.raises(Exhausted, match="no room for the twin"):
        twins["net"].make(predictor, predictor.spec())
    type(predictor.network.module).full = False
    assert twins["net"].make(predictor, predictor.spec()).twin.layers and predictor.network is None


@pytest.mark.parametrize(
    ("text", "key", "mend"),
    [
        ('triton = "localhost:8001"\n[models.twin]\ntolerance = 0.1\n', "twin", "exactly one of factory"),
        ('triton = "localhost:8001"\nexecutor = "twin"\n', "executor", "names its source"),
        ('triton = "localhost:8001"\nexecutor = "both"\n', "executor", "one of served, twin"),
        ('triton = "localhost:8001"\n[models.twin]\nexport = "none.pt2"\n', "twin.export", "a file"),
        ('triton = "localhost:8001"\n[models.twin]\nfactory = "nets"\n', "twin.factory", "file.py:function"),
        ('triton = "localhost:8001"\n[models.twin]\nfactory = "a:b"\nonnx = "card.toml"\n', "twin", "exactly one"),
        ('triton = "localhost:8001"\n[models.twin]\nfactory = "a:b"\ntolerance = 0.0\n', "twin.tolerance", "in 1e-09"),
    ],
)
def test_a_wrong_twin_is_named_with_its_mend(tmp_path, text, key, mend):
    with pytest.raises(ConfigError, match=mend) as caught:
        config.load(written(tmp_path, model=text), {})
    assert caught.value.key == f"models[0].{key}"


def test_the_printed_configuration_has_the_twins_keys():
    text = config.documented()
    assert "# [models.twin]" in text and "# tolerance = 0.001" in text and '# executor = "served"' in text
