"""An explanation endpoint takes the rows only where it answers as production does."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from server import Ports, TritonServer
from sidelight.core.ask import Forward, Model
from sidelight.core.errors import Unavailable, Unsupported
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.explanation import ExplanationPredictor, probes, verify
from sidelight.predictors.networks import Network
from sidelight.predictors.triton import TritonPredictor
from sidelight.predictors.triton_endpoint import TritonEndpoint
from triton_models import reference

Make = Callable[..., ExplanationPredictor]


@pytest.fixture
def redirected(triton: TritonServer) -> Iterator[Make]:
    made = []

    def make(production: str, stand_in: str, tolerance: float = 1e-3, version: str | None = None, url: str = ""):
        card = Card(production, crop=(8, 8))
        there = TritonPredictor(TritonEndpoint(url or triton.grpc), Card(stand_in, crop=(8, 8)))
        predictor = TritonPredictor(TritonEndpoint(triton.grpc), card)
        made.append(ExplanationPredictor(predictor, there, tolerance, version))
        return made[-1]

    yield make
    for predictor in made:
        predictor.close()


def test_rows_go_to_a_verified_endpoint_under_productions_name_and_version(redirected):
    predictor = redirected("nchw", "slow")
    spec = predictor.spec("1")
    assert (predictor.name, spec.name, spec.version) == ("nchw", "nchw", "1")
    assert predictor.gap(spec).largest == 0
    assert (predictor.endpoint.executor, predictor.endpoint.shares_production) == ("triton_explanation", False)
    x = torch.randn(3, 3, 8, 8)
    y = predictor.start(Forward(Model("nchw", "1")), [{"x": x}], lambda: None).result()["y"]
    assert np.allclose(y.numpy(), reference.linear(x.numpy(), 5), atol=1e-5)


def test_an_endpoint_that_answers_otherwise_is_refused_with_the_numbers(redirected):
    predictor = redirected("nchw", "slow", version="1")
    with pytest.raises(
        Unsupported, match=r"nchw 2 is refused: on 8 probes it differs by \d.* of the largest output"
    ) as e:
        predictor.spec("2")
    assert e.value.reason == "EXPLANATION_ENDPOINT"
    assert "0.001 is allowed" in str(e.value)
    predictor.spec("1")  # each version for itself


@pytest.mark.parametrize(("here", "there", "rows"), [((1.0, 0.85), (0.91, 0.94), 8), ((1.0, 0.95), (0.97, 0.98), 0)])
def test_another_top_class_is_refused_where_the_margin_exceeds_the_tolerance(here, there, rows):
    production, stand_in = (constant(y) for y in (here, there))
    specs = production.spec(), stand_in.spec()
    if rows:
        with pytest.raises(
            Unsupported, match=rf"differs by 0\.09.* 0\.1 is allowed, and its top class differs on {rows}"
        ):
            verify(production, stand_in, *specs, 0.1)
    else:
        assert verify(production, stand_in, *specs, 0.1).other_top == 0


def constant(y: tuple[float, ...]) -> EmbeddedPredictor:
    """A model that answers every row with `y`."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, len(y)))
    net[1].weight.data.zero_()
    net[1].bias.data = torch.tensor(y)
    return EmbeddedPredictor(Network(net.eval(), "python", "", net), Card("net", "image", crop=(8, 8)))


def test_an_endpoint_that_takes_another_input_is_refused(redirected):
    with pytest.raises(Unsupported, match=r"it takes TensorSpec.*FP16"):
        redirected("nchw", "half", version="1").spec("1")


def test_an_endpoint_without_the_version_or_the_server_is_unavailable(redirected):
    with pytest.raises(Unavailable, match="explanation endpoint of nchw: no version '2'"):
        redirected("nchw", "slow").spec("2")
    with pytest.raises(Unavailable, match="does not answer"):
        redirected("nchw", "nchw", url=f"127.0.0.1:{Ports.free().grpc}").spec("1")


@pytest.mark.parametrize("model", ["nchw", "nhwc", "bytes", "anysize", "texts", "tokens"])
def test_probes_are_rows_that_the_model_takes(triton, model):
    predictor = TritonPredictor(TritonEndpoint(triton.grpc), Card(model, crop=(8, 8) if model == "anysize" else None))
    spec = predictor.spec()
    rows = probes(spec)[spec.input.name]
    assert len(rows) == 8
    assert verify(predictor, predictor, spec, spec, 1e-6).largest == 0
    predictor.close()
