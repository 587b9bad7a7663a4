"""On a GPU: what is asynchronous there, and shared memory of the device."""

import copy
import threading

import predictor_networks as made
import pytest
import torch
import twin_nets
from sidelight.core.ask import INPUT, Activation, Forward, Gradient, Model
from sidelight.core.target import Link
from sidelight.predictors import networks
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.networks import Network
from sidelight.predictors.shared_memory import CudaRegion
from sidelight.predictors.triton import TritonPredictor
from sidelight.predictors.triton_endpoint import TritonEndpoint

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CARD = Card("net", "image", crop=(8, 8))


@pytest.fixture
def predictor():
    net = made.Convolution().eval().cuda()
    predictor = EmbeddedPredictor(Network(net, "python", networks.weights_digest(net), net), CARD, "cuda")
    yield predictor
    predictor.close()


def test_outputs_on_the_device_equal_those_on_the_cpu(predictor):
    x = torch.randn(37, 3, 8, 8)
    woken = threading.Event()
    call = predictor.start(Forward(Model("net", "1")), [{"input": x[:8].cuda()}, {"input": x[8:].cuda()}], woken.set)
    assert woken.wait(10)
    assert call.done()
    y = call.result()["y"]
    assert y.device.type == "cpu"
    assert torch.allclose(y, made.Convolution()(x).flatten(1), atol=1e-3)


def test_starting_does_not_wait_for_the_device(predictor):
    calls = [
        predictor.start(Forward(Model("net", "1")), [{"input": torch.randn(64, 3, 8, 8, device="cuda")}], lambda: None)
        for _ in range(2)
    ]
    assert predictor.depth == 2
    assert all(call.result()["y"].shape == (64, 5) for call in calls)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "auto"])
def test_other_precisions_stay_close(precision):
    net = made.Convolution().eval().cuda()
    predictor = EmbeddedPredictor(Network(net, "python", "", net), CARD, "cuda", precision=precision)
    x = torch.randn(16, 3, 8, 8)
    y = predictor.start(Forward(Model("net", "1")), [{"input": x.cuda()}], lambda: None).result()["y"]
    assert torch.allclose(y, made.Convolution()(x).flatten(1), atol=0.1)
    predictor.close()


def test_a_cuda_region_holds_what_is_copied_to_it():
    region = CudaRegion(4096, torch.device("cuda"))
    rows = region.tensor(torch.float32, (4, 8))
    rows.copy_(torch.arange(32.0).view(4, 8))
    region.flush()
    assert torch.equal(region.tensor(torch.float32, (32,)).cpu(), torch.arange(32.0))
    del rows
    region.close()


def test_rows_rendered_on_the_device_reach_triton_by_its_shared_memory(triton):
    predictor = TritonPredictor(TritonEndpoint(triton.grpc, device="cuda"), Card("nchw"))
    predictor.spec("1")
    x = torch.randn(5, 3, 8, 8)
    y = predictor.start(Forward(Model("nchw", "1")), [{"x": x.cuda()}], lambda: None).result()["y"]
    on_cpu = TritonPredictor(TritonEndpoint(triton.grpc), Card("nchw"))
    assert torch.equal(y, on_cpu.start(Forward(Model("nchw", "1")), [{"x": x}], lambda: None).result()["y"])
    assert predictor.endpoint.shared_memory == "cuda"
    predictor.close()
    on_cpu.close()


def test_a_twins_gradients_on_the_device_equal_those_on_the_cpu():
    net = twin_nets.seeded(twin_nets.Residual).requires_grad_(False)
    here, there = (twin_nets.twin(copy.deepcopy(net), plain=False, device=device) for device in ("cpu", "cuda"))
    x, w = twin_nets.images(13), torch.randn(13, 4, dtype=torch.float64)
    for layer in (INPUT, "blocks.0", "blocks.1.conv"):
        a = x if layer == INPUT else twin_nets.ask(here, Activation(twin_nets.ASKED, (layer,)), x=x)[f"a.{layer}"]
        question = Gradient(twin_nets.ASKED, (layer,), Link.LOGIT)
        mine = twin_nets.ask(here, question, x=x, w=w, **{f"a.{layer}": a})
        theirs = twin_nets.ask(there, question, x=x.cuda(), w=w, **{f"a.{layer}": a.cuda()})
        for name, value in theirs.items():
            assert value.device.type == "cpu"
            torch.testing.assert_close(value, mine[name], rtol=1e-2, atol=1e-2 * float(mine[name].abs().max()))
    there.close()
