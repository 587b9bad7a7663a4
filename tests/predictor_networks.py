"""Small torch networks that compute what `triton_models.reference` does, and their files."""

from pathlib import Path

import torch
from triton_models import reference

SHAPE = (3, 8, 8)


class Linear(torch.nn.Module):
    """Rows of `shape` -> [n, outputs], as `reference.linear`."""

    def __init__(self, outputs: int = 5, shape: tuple[int, ...] = SHAPE, version: int = 1) -> None:
        super().__init__()
        inputs = int(torch.Size(shape).numel())
        self.layer = torch.nn.Linear(inputs, outputs)
        self.layer.weight.data = torch.from_numpy(reference.weights(inputs, outputs, version).T.copy()).float()
        self.layer.bias.data.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


class Convolution(torch.nn.Module):
    """The same by a convolution as large as the image, for which memory layout matters."""

    def __init__(self, outputs: int = 5) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, outputs, 8, bias=False)
        weights = reference.weights(192, outputs).T.reshape(outputs, *SHAPE)
        self.layer.weight.data = torch.from_numpy(weights.copy()).float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Tokens(torch.nn.Module):
    """`reference.tokens`."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        position = torch.arange(1, ids.shape[1] + 1)
        return torch.stack([(ids % 2 == 0).sum(1).float(), ids.float().mean(1), (ids * position).float().mean(1)], 1)


class Faulty(Linear):
    """Fails as it is told on a row whose first number is 99."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if (x.flatten(1)[:, 0] == 99).any():
            raise self.error
        return super().forward(x)


def several(*names: str) -> torch.nn.Module:
    """A network that returns a mapping: the reference's outputs under the first name, zeros under the others."""

    class Several(Linear):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            y = super().forward(x)
            return {name: y if name == names[0] else torch.zeros_like(y) for name in names}

    return Several()


def vowels(rows: list[str]) -> torch.Tensor:
    """`reference.texts`."""
    texts = [row.encode() for row in rows]
    shares = [sum(t.count(v) for v in b"aeiou") / max(len(t), 1) for t in texts]
    return torch.tensor([[float(len(t)), share] for t, share in zip(texts, shares, strict=True)])


def torchscript(path: Path) -> Path:
    torch.jit.trace(Linear().eval(), torch.zeros(2, *SHAPE)).save(str(path))
    return path


def exported(path: Path, rows: int | None) -> Path:
    """A torch.export file; rows: the only batch size, or None for any."""
    dynamic = {"x": {0: torch.export.Dim("rows")}} if rows is None else None
    torch.export.save(
        torch.export.export(Linear().eval(), (torch.zeros(rows or 3, *SHAPE),), dynamic_shapes=dynamic), path
    )
    return path


def onnx_file(path: Path, rows: int | str | None = "rows") -> Path:
    """An ONNX file. rows: a name for any number, a number for that one, None for no batch axis."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    weights = numpy_helper.from_array(reference.weights(192, 5).astype("float32"), "w")
    shape = numpy_helper.from_array(torch.tensor([-1, 192]).numpy(), "flat")
    last = numpy_helper.from_array(torch.tensor([5] if rows is None else [-1, 5]).numpy(), "last")
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "last"], ["y"]),
    ]
    batch = [] if rows is None else [rows]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*batch, *SHAPE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*batch, 5])],
        [weights, shape, last],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, path)
    return path
