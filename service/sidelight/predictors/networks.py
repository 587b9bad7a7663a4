"""Networks that run in this process: from a Python factory, a TorchScript or torch.export file, or ONNX."""

import hashlib
import importlib
import importlib.util
import math
import mmap
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from sidelight.core.errors import Unsupported
from sidelight.core.predictor import TensorSpec
from sidelight.loading import ONE_BY_ONE
from sidelight.predictors.serving import split_batch

Forward = Callable[[Any], Any]  # rows (a tensor, or a list of texts) -> a tensor, or a mapping or sequence of tensors


@dataclass(frozen=True)
class Network:
    """A network with what its file says of it."""

    forward: Forward
    platform: str  # python, torchscript, torch.export, onnxruntime
    digest: str  # SHA-256 of the weights
    module: torch.nn.Module | None = None  # where its dtype and memory layout may be changed
    inputs: Mapping[str, TensorSpec] | None = None  # None: not known
    outputs: Mapping[str, TensorSpec] | None = None
    fixed_rows: int | None = None  # the only batch size that it takes


def from_factory(name: str, arguments: Mapping[str, Any], device: torch.device) -> Network:
    """What the callable `name` returns for `arguments`: a torch module, or a plain function of a list of texts.

    name: "package.module:attribute.path", or "path/to/file.py:function". Raises ValueError where there is none.
    """
    source, _, path = name.partition(":")
    if not path:
        raise ValueError(f"a factory is named package.module:function or file.py:function, not {name!r}")
    with ONE_BY_ONE:
        try:
            made: Any = _module(source)
            for part in path.split("."):
                made = getattr(made, part)
        except (ModuleNotFoundError, FileNotFoundError, AttributeError) as error:
            raise ValueError(f"there is no factory {name}: {error}") from error
        network = made(**arguments)
    if isinstance(network, torch.nn.Module):
        network = network.eval().requires_grad_(False).to(device)
        return Network(network, "python", weights_digest(network), network)
    if not callable(network):
        raise ValueError(f"the factory {name} made a {type(network).__name__}, not a network")
    return Network(network, "python", "")


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    spec = importlib.util.spec_from_file_location(Path(source).stem, source)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def from_torchscript(path: Path, device: torch.device) -> Network:
    """A file of torch.jit.save."""
    module = torch.jit.load(path, map_location=device).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Network(module, "torchscript", file_digest(path), module)


def from_exported(path: Path, device: torch.device) -> Network:
    """A file of torch.export.save (.pt2). Its dtype and memory layout are part of the graph."""
    program, rows, _ = exported(path, device)
    return Network(program.module(), "torch.export", file_digest(path), fixed_rows=rows)


def exported(path: Path, device: torch.device) -> tuple[torch.export.ExportedProgram, int | None, float]:
    """The program of a file of torch.export.save on a device, its only batch size if it has one, and its largest."""
    program = torch.export.load(path)
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    rows = inputs[0].meta["val"].shape[0]
    if isinstance(rows, int):
        return program, rows, rows
    bounds = program.range_constraints.get(rows.node.expr)
    return program, None, math.inf if bounds is None else float(bounds.upper)


def picked(y: Any, name: str | None) -> torch.Tensor:
    """[n, ...] of what a network returned: a tensor, or of several the one of that name or at that place.

    Raises KeyError with the names that there are.
    """
    if isinstance(y, torch.Tensor):
        return y if y.dim() > 1 else y.unsqueeze(-1)
    named = dict(y) if hasattr(y, "keys") else {str(place): part for place, part in enumerate(y)}
    name = next(iter(named)) if len(named) == 1 else name
    if name not in named:
        raise KeyError(", ".join(named))
    return picked(named[name], name)


def from_onnx(path: Path, device: torch.device) -> Network:
    """An ONNX file through onnxruntime. Raises Unsupported where that is not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise Unsupported(
            "MISSING_DEPENDENCY", path.name, f"{path} needs the package onnxruntime: pip install sidelight[onnx]"
        ) from None
    options = onnxruntime.SessionOptions()
    # Threads that spin between runs would take the cores that masking and folding need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise Unsupported("MISSING_DEPENDENCY", path.name, f"{path} on {device} needs onnxruntime's {provider}")
    place = {"device_id": device.index or 0} if device.type == "cuda" else {}
    session = onnxruntime.InferenceSession(str(path), options, providers=[(provider, place)])
    inputs = {t.name: _onnx_tensor(t) for t in session.get_inputs()}
    batch = next((rows for rows, _ in inputs.values() if rows is not None), None)
    outputs = {t.name: _onnx_output(t, batch is not None) for t in session.get_outputs()}
    return Network(
        OnnxForward(session, batch is not None),
        "onnxruntime",
        onnx_digest(path),
        inputs={name: spec for name, (_, spec) in inputs.items()},
        outputs=outputs,
        fixed_rows=batch if batch is not None and batch > 0 else None,
    )


class OnnxForward:
    """An ONNX session of one input, as a function of rows -> its outputs by name."""

    def __init__(self, session: Any, axis: bool) -> None:
        self._session, self._axis = session, axis
        self._inputs = [t.name for t in session.get_inputs()]
        self._outputs = [t.name for t in session.get_outputs()]

    def __call__(self, rows: torch.Tensor | list[str]) -> dict[str, torch.Tensor]:
        array = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else np.array(rows, dtype=np.object_)
        if not isinstance(rows, torch.Tensor):
            rank = len(self._session.get_inputs()[0].shape)
            array = array.reshape(-1, *[1] * (rank - 1))
        if self._axis:
            answers = self._run(array)
        else:
            each = [self._run(row) for row in array]
            answers = [np.stack(parts) for parts in zip(*each, strict=True)]
        return {name: torch.from_numpy(np.asarray(y)) for name, y in zip(self._outputs, answers, strict=True)}

    def _run(self, array: np.ndarray) -> list[np.ndarray]:
        return self._session.run(self._outputs, {self._inputs[0]: array})


# Of a tensor in another file, as protobuf has it: a key, and the length of the value that follows.
_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])", re.DOTALL)
_ONNX_TYPES = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(double)": "FP64",
    "tensor(uint8)": "UINT8",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(string)": "BYTES",
}


def _onnx_tensor(tensor: Any) -> tuple[int | None, TensorSpec]:
    datatype = _ONNX_TYPES.get(tensor.type, tensor.type)
    batch, shape = split_batch(datatype, tuple(size if isinstance(size, int) else -1 for size in tensor.shape))
    return batch, TensorSpec(tensor.name, datatype, shape)


def _onnx_output(tensor: Any, axis: bool) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
    return TensorSpec(tensor.name, _ONNX_TYPES.get(tensor.type, tensor.type), shape[1:] if axis else shape)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def onnx_digest(path: Path) -> str:
    """SHA-256 of an ONNX file, and of the files beside it that hold its tensors; of one alone `file_digest`."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        digest = hashlib.sha256(data)
        places = {data[m.end() : m.end() + m[1][0]].decode() for m in _LOCATION.finditer(data)}
    for place in sorted(places):
        digest.update(file_digest(path.parent / place).encode())
    return digest.hexdigest()


def weights_digest(module: torch.nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers, with their names, shapes and dtypes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
