"""Tensors of the Open Inference Protocol: raw little-endian bytes in C order."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sidelight_proto.v1 import types_pb2

from sidelight.core.errors import InvalidRequest

DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1"), "INT64": np.dtype("<i8")}


def decode_tensor(message: types_pb2.Tensor, path: str, datatypes: Sequence[str]) -> np.ndarray:
    """The array. Raises InvalidRequest where datatype, shape and contents do not go together."""
    if message.datatype not in datatypes:
        raise InvalidRequest(f"{path}.datatype", f"one of {', '.join(datatypes)}, not {message.datatype!r}")
    shape = list(message.shape)
    if not shape or any(n < 1 for n in shape):
        raise InvalidRequest(f"{path}.shape", f"positive numbers, one an axis, not {shape}")
    if message.axes and len(message.axes) != len(shape):
        raise InvalidRequest(f"{path}.axes", f"one name for each of {len(shape)} axes, or none at all")
    if message.HasField("chunk_id"):
        raise InvalidRequest(f"{path}.chunk_id", "is for answers; put the bytes into `contents`")
    dtype = DTYPES[message.datatype]
    expected = math.prod(shape) * dtype.itemsize
    if len(message.contents) != expected:
        got = len(message.contents)
        raise InvalidRequest(f"{path}.contents", f"{expected} bytes of {message.datatype} {shape}, not {got}")
    array = np.frombuffer(message.contents, dtype).reshape(shape)
    if message.datatype == "FP32" and not np.isfinite(array).all():
        raise InvalidRequest(f"{path}.contents", "finite numbers; there are NaN or infinite ones")
    return array


def encode_tensor(name: str, values: torch.Tensor, axes: Sequence[str]) -> types_pb2.Tensor:
    """`values` as FP32."""
    array = np.ascontiguousarray(values.detach().cpu().numpy(), DTYPES["FP32"])
    return types_pb2.Tensor(name=name, datatype="FP32", shape=array.shape, axes=axes, contents=array.tobytes())


def encode_labels(name: str, labels: torch.Tensor, axes: Sequence[str]) -> types_pb2.Tensor:
    """`labels` as INT64."""
    array = np.ascontiguousarray(labels.cpu().numpy(), DTYPES["INT64"])
    return types_pb2.Tensor(name=name, datatype="INT64", shape=array.shape, axes=axes, contents=array.tobytes())
