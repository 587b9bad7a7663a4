"""Twins from a Python factory, a TorchScript file, a torch.export file and ONNX: the same gradients."""

import importlib.util
from pathlib import Path

import pytest
import torch
from sidelight.core.ask import INPUT, Activation, Forward, Gradient
from sidelight.core.errors import Unknown, Unsupported
from sidelight.core.predictor import TensorSpec
from sidelight.core.target import Link
from sidelight.predictors.networks import file_digest
from sidelight.predictors.twin import TwinPredictor
from sidelight.predictors.twin_networks import differentiable
from torch import nn
from twin_nets import ASKED, TOKENS, Encoder, Residual, ask, images, seeded, spec

CPU = torch.device("cpu")
NET = seeded(Residual).requires_grad_(False)
W = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
X = images(6)
with_onnx2torch = pytest.mark.skipif(
    importlib.util.find_spec("onnx2torch") is None, reason="needs onnx2torch: make test-onnx-twin"
)


def exported(folder: Path, rows: int | None = None) -> Path:
    """The network as a torch.export file, of a fixed number of rows where one is given."""
    path = folder / f"net{rows}.pt2"
    axes = None if rows else ({0: torch.export.Dim("rows", min=1, max=64)},)
    torch.export.save(torch.export.export(NET, (images(rows or 2),), dynamic_shapes=axes), path)
    return path


def scripted(folder: Path) -> Path:
    path = folder / "net.pt"
    torch.jit.save(torch.jit.trace(NET, images(2)), path)
    return path


def onnx(folder: Path) -> Path:
    path = folder / "net.onnx"
    axes = {"x": {0: "rows"}, "y": {0: "rows"}}
    torch.onnx.export(
        NET,
        (images(2),),
        path,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    return path


def twin_of(source: str, where: str | Path) -> TwinPredictor:
    return TwinPredictor(differentiable(source, where, {}, CPU), spec(), batch_rows=4)


def check_input(predictor: TwinPredictor) -> None:
    """Outputs and gradients at the input are the network's."""
    x = X.clone().requires_grad_()
    y = NET(x)
    (g,) = torch.autograd.grad((y.double() * W).sum(), x)
    out = ask(predictor, Gradient(ASKED, (INPUT,), Link.LOGIT), w=W, **{"a.input": X})
    torch.testing.assert_close(out["y"], y.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out["g.input"], g, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ask(predictor, Forward(ASKED), x=X)["y"], y.detach(), rtol=1e-4, atol=1e-5)


def check_layer(predictor: TwinPredictor, layer: str, rest: nn.Module) -> None:
    """Gradients at `layer` are those of `rest`, what comes after it."""
    a = ask(predictor, Activation(ASKED, (layer,)), x=X)[f"a.{layer}"]
    leaf = a.clone().requires_grad_()
    (g,) = torch.autograd.grad((rest(leaf.clone()).double() * W).sum(), leaf)
    out = ask(predictor, Gradient(ASKED, (layer,), Link.LOGIT), x=X, w=W, **{f"a.{layer}": a})
    torch.testing.assert_close(out[f"g.{layer}"], g, rtol=1e-3, atol=1e-5)


def after_first_block(h: torch.Tensor) -> torch.Tensor:
    return NET.head(NET.pool(torch.relu(NET.blocks[1](h))).flatten(1))


def test_a_factory(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from twin_nets import Residual, seeded\ndef made(seed): return seeded(Residual, seed)\n"
    )
    predictor = TwinPredictor(differentiable("factory", f"{tmp_path}/nets.py:made", {"seed": 0}, CPU), spec())
    check_input(predictor)
    check_layer(predictor, "blocks.0", after_first_block)


def test_a_factory_of_a_function_is_refused(tmp_path):
    (tmp_path / "nets.py").write_text("def made(): return lambda x: x\n")
    with pytest.raises(Unsupported, match="needs a torch module"):
        differentiable("factory", f"{tmp_path}/nets.py:made", {}, CPU)


def test_torchscript_at_the_input_alone_with_the_reason(tmp_path):
    predictor = twin_of("torchscript", scripted(tmp_path))
    check_input(predictor)
    assert predictor.twin.layers == () and "input only" in predictor.twin.note
    with pytest.raises(Unknown, match="layer"):
        ask(predictor, Activation(ASKED, ("blocks.0",)), x=X)


@pytest.mark.parametrize("rows", [None, 4, 1])
def test_an_exported_program_at_any_layer(tmp_path, rows):
    path = exported(tmp_path, rows)
    predictor = twin_of("export", path)
    assert predictor.twin.digest == file_digest(path)
    check_input(predictor)
    check_layer(predictor, "blocks.0", after_first_block)
    cuts = {one.name: one.cut for one in predictor.twin.layers}
    assert cuts["blocks.0"] and not cuts["blocks.0.conv"] and cuts["head"]


def test_an_exported_program_of_a_few_rows_at_most_is_refused_with_what_would_do(tmp_path):
    axes = ({0: torch.export.Dim("rows", min=1, max=8)},)
    torch.export.save(torch.export.export(NET, (images(2),), dynamic_shapes=axes), tmp_path / "net.pt2")
    with pytest.raises(Unsupported, match=r"takes at most 8 rows at once.* up to 64 rows or more, or a fixed one"):
        twin_of("export", tmp_path / "net.pt2")


def test_an_exported_program_of_so_many_rows_of_token_ids(tmp_path):
    net, ids = seeded(Encoder), torch.tensor([[5, 7, 9, 0], [8, 0, 2, 1]])
    torch.export.save(torch.export.export(net, (ids,)), tmp_path / "net.pt2")
    four = {**TOKENS, "input": TensorSpec("ids", "INT64", (4,))}
    predictor = TwinPredictor(differentiable("export", tmp_path / "net.pt2", {}, CPU), spec(2, **four))
    assert predictor.spec().vocabulary == 100
    assert {one.name: one.cut for one in predictor.twin.layers}["first.mix"] is False
    torch.testing.assert_close(ask(predictor, Forward(ASKED), ids=ids[:1])["y"], net(ids[:1]).detach())


def test_onnx_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "onnx2torch" else find(name, *a))
    with pytest.raises(Unsupported, match=r"sidelight\[onnx-twin\]"):
        differentiable("onnx", tmp_path / "net.onnx", {}, CPU)


class Two(nn.Module):
    """What is asked for comes second; of so many rows as it was exported with."""

    def forward(self, x):
        y = NET(x)
        return y.softmax(1), y.reshape(len(x), 4)


@with_onnx2torch
def test_onnx_of_two_outputs_and_a_fixed_number_of_rows_with_its_weights_in_another_file(tmp_path):
    import onnx as format

    path = tmp_path / "two.onnx"
    torch.onnx.export(
        Two(), (images(3),), path, input_names=["x"], output_names=["p", "y"], opset_version=17, dynamo=False
    )
    digests = []
    for scale in (1, 2):
        model = format.load(path)
        tensors = [t for t in model.graph.initializer if len(t.dims) > 1]
        tensors[0].raw_data = (scale * format.numpy_helper.to_array(tensors[0])).tobytes()
        format.save(model, tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0, location="weights")
        network = differentiable("onnx", tmp_path / "net.onnx", {}, CPU)
        digests.append(network.digest)
        if scale == 1:
            check_input(TwinPredictor(network, spec()))
    assert digests[0] != digests[1]


@with_onnx2torch
def test_onnx_at_any_layer(tmp_path):
    predictor = twin_of("onnx", onnx(tmp_path))
    check_input(predictor)
    blocks = [one.name for one in predictor.twin.layers if one.cut and one.shape == (6, 8, 8)]
    assert blocks and any(not one.cut for one in predictor.twin.layers)
    # In ONNX the rectifier after the blocks is a layer of its own, and the last cut of that shape.
    check_layer(predictor, blocks[-1], lambda h: NET.head(NET.pool(h).flatten(1)))
