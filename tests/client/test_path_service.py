"""Path attribution through the real service: the client's words in, its tables and arrays out."""

import numpy as np
import pytest
import torch
from PIL import Image
from served import served
from sidelight.core.target import OutputKind
from sidelight.predictors import networks
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.networks import Network
from sidelight.predictors.twin import TwinPredictor
from sidelight.watch import TwinSource
from sidelight_client import InvalidRequest, PreconditionFailed
from sidelight_client.cli import main
from sidelight_proto.v1 import types_pb2

CARD = Card("net", "image", crop=(12, 12), scale=1 / 255, output_kind=OutputKind.LOGITS)
ALL = [name.removeprefix("ATTRIBUTION_").lower() for name, number in types_pb2.Attribution.items() if number]


class Residual(torch.nn.Module):
    """[n, 3, 12, 12] -> [n, 2]; `side` is passed by."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem, self.side = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.head = torch.nn.GELU(), torch.nn.Linear(4 * 144, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.stem(x)
        return self.head((z + self.act(self.side(z))).flatten(1))


@pytest.fixture(scope="module")
def up():
    net = Residual().eval()
    network = Network(net, "python", networks.weights_digest(net), net)
    model = EmbeddedPredictor(network, CARD, precision="float32", batch_rows=4)
    twin = TwinSource(lambda predictor, spec: TwinPredictor(network, spec, batch_rows=4))
    with served(model, twins={"net": twin}) as up:
        yield up


@pytest.fixture
def photo(tmp_path) -> str:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def ask(up, photo, method, baseline="model_mean", outputs=("map",), **parameters):
    return up.client.explain(
        photo,
        model="net",
        method=method,
        parameters=parameters,
        baseline=baseline,
        outputs=outputs,
        link="logit",
        seed=1,
    ).best


def test_integrated_gradients_at_a_layer_add_up_to_their_target(up, photo):
    best = ask(up, photo, "integrated_gradients", "feature_zero", ("map", "features"), layers=["stem"], nodes=50)
    (one,) = best.attributions
    assert (one.attribution, one.converged) == ("integrated_gradients", True) and "stem" in one.baseline
    assert one.error == pytest.approx(one.result - one.target) and one.error_relative < 1e-4
    assert one.target == pytest.approx(one.output - one.baseline_output) and one.output == pytest.approx(best.value)
    assert sum(one.parts.values()) == pytest.approx(one.error)
    assert one.features["stem"].shape == (4, 12, 12)
    assert one.features["stem"].sum() == pytest.approx(one.result, rel=1e-4)
    assert best.twin_gap < 1e-5
    assert best.map.shape == (12, 12) and best.map.sum() == pytest.approx(one.result, rel=1e-4)


@pytest.mark.parametrize("baseline", [
    "blur", "feature_zero", "feature_mean", ["black", "white", 100], [[1, 2, 3], "noise"],
])  # fmt: skip
def test_every_attribution_is_compared_over_the_baseline_that_was_said(up, photo, baseline):
    best = ask(up, photo, "compare", baseline, layers="stem", attributions=ALL, draws=20)
    assert [one.attribution for one in best.attributions] == ALL
    table = best.table()
    for name in ALL:
        assert name.replace("_", " ") in table
    told = {one.attribution: one for one in best.attributions}
    assert told["integrated_gradients"].error_relative < 1e-3
    assert told["gradient"].target is None
    assert all(one.map.shape == (12, 12) for one in best.attributions)


def test_reference_images_may_be_files(up, photo):
    dark = Image.new("RGB", (20, 20), "black")
    first = ask(up, photo, "integrated_gradients", {"reference_mean": [photo, dark]}).attributions[0]
    second = ask(up, photo, "integrated_gradients", {"reference_mean": [dark]}).attributions[0]
    third = ask(up, photo, "integrated_gradients", "black").attributions[0]
    assert second.target == pytest.approx(third.target, rel=1e-4) != pytest.approx(first.target, rel=1e-4)


def test_a_layer_that_is_passed_by_is_refused_with_what_passes_unless_that_is_accepted(up, photo):
    with pytest.raises(PreconditionFailed, match="stem"):
        ask(up, photo, "integrated_gradients", layers=["side"])
    (one,) = ask(up, photo, "integrated_gradients", layers=["side"], allow_partial_cut=True).attributions
    assert "cut" in one.parts


def test_misspelt_layers_and_baselines_without_a_layer_are_named(up, photo):
    with pytest.raises(InvalidRequest, match="stem"):
        ask(up, photo, "integrated_gradients", layers=["stam"])
    with pytest.raises(InvalidRequest, match="baseline"):
        ask(up, photo, "rise", "feature_zero")


def test_the_command_prints_the_table_and_the_layers(up, photo, capsys):
    asked = ["--model", "net", "--method", "compare", "--set", "layers=stem", "--link", "logit", "--quiet"]
    assert main(["explain", photo, *asked, "--address", up.address]) == 0
    out = capsys.readouterr().out
    assert "largest part of E" in out and "layer cam" in out and "nan" not in out
    assert main(["catalogue", "net", "--address", up.address]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stem", "4×12×12", "cut"] in lines and ["side", "4×12×12"] in lines
