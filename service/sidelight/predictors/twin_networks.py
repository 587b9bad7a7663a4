"""Networks to take gradients of: from a Python factory, a TorchScript or torch.export file, or ONNX."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sidelight.core.errors import Unsupported
from sidelight.core.predictor import TensorSpec
from sidelight.predictors.networks import Network, exported, file_digest, from_factory, from_torchscript, weights_digest

ROWS = 64  # that an exported program with a batch dimension has to take


def differentiable(source: str, where: str | Path, arguments: Mapping[str, Any], device: torch.device) -> Network:
    """The network from its source: factory, torchscript, export or onnx. Raises Unsupported where it cannot be."""
    if source == "factory":
        network = from_factory(str(where), arguments, device)
        if network.module is None:
            raise Unsupported("TWIN_SOURCE", str(where), f"{where} makes a function; a twin needs a torch module")
        return network
    read = {"torchscript": from_torchscript, "export": from_export, "onnx": from_onnx}
    return read[source](Path(where), device)


def from_export(path: Path, device: torch.device) -> Network:
    """A file of torch.export.save, taken apart into its modules again: hooks on the program's own never fire."""
    program, rows, most = exported(path, device)
    if rows is None and most < ROWS:
        raise Unsupported(
            "TWIN_SOURCE",
            path.name,
            f"{path.name} takes at most {most:g} rows at once, too few for a twin: export it with a batch dimension "
            f"of up to {ROWS} rows or more, or a fixed one",
        )
    module = torch.export.unflatten(program)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Network(module, "torch.export", file_digest(path), module, fixed_rows=rows)


def from_onnx(path: Path, device: torch.device) -> Network:
    """An ONNX file as a torch module, by onnx2torch. Raises Unsupported where that is not installed."""
    if importlib.util.find_spec("onnx2torch") is None:
        raise Unsupported(
            "MISSING_DEPENDENCY",
            path.name,
            f"a twin from {path.name} needs the package onnx2torch: pip install sidelight[onnx-twin]",
        )
    import onnx
    import onnx2torch  # type: ignore[import-not-found]  # an extra

    module = onnx2torch.convert(str(path)).eval().requires_grad_(False).to(device)
    graph = onnx.load(path, load_external_data=False).graph
    rows = next(iter(graph.input[0].type.tensor_type.shape.dim)).dim_value  # 0 where it has a name
    outputs = {y.name: TensorSpec(y.name, "FP32", (-1,)) for y in graph.output}
    digest = weights_digest(module)  # that of the file leaves out what is in others beside it
    return Network(module, "onnx2torch", digest, module, outputs=outputs, fixed_rows=rows or None)
