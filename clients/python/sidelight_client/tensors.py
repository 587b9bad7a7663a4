"""Tensors of the protocol as numpy arrays: little-endian, C order."""

import math
from collections.abc import MutableMapping

import numpy as np
from sidelight_proto.v1 import types_pb2

from sidelight_client.errors import ProtocolError

DTYPES = {"FP32": "<f4", "FP16": "<f2", "UINT8": "|u1", "INT64": "<i8", "BOOL": "|b1"}
DATATYPES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


def encode(array: np.ndarray, name: str = "", axes: tuple[str, ...] = ()) -> types_pb2.Tensor:
    """The array as a tensor of the protocol. Raises KeyError where the protocol has no such datatype."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return types_pb2.Tensor(
        name=name,
        datatype=DATATYPES[little.dtype],
        shape=array.shape,
        axes=axes,
        contents=np.ascontiguousarray(little).tobytes(),
    )


class Chunks:
    """Contents of large tensors, put together from the pieces of a stream."""

    def __init__(self) -> None:
        self._buffers: MutableMapping[int, bytearray] = {}

    def add(self, number: int, offset: int, data: bytes) -> None:
        """Append a piece. Raises ProtocolError where it does not begin where the last one ended."""
        buffer = self._buffers.setdefault(number, bytearray())
        if offset != len(buffer):
            raise ProtocolError(f"tensor chunk {number} begins at byte {offset} where byte {len(buffer)} was due")
        buffer += data

    def decode(self, tensor: types_pb2.Tensor) -> np.ndarray:
        """The array, writable. Raises ProtocolError where contents, shape and datatype do not fit together."""
        if tensor.datatype not in DTYPES:
            raise ProtocolError(f"tensor {tensor.name!r} has the unknown datatype {tensor.datatype!r}")
        dtype = np.dtype(DTYPES[tensor.datatype])
        contents = self._buffers.get(tensor.chunk_id) if tensor.HasField("chunk_id") else bytearray(tensor.contents)
        if contents is None:
            raise ProtocolError(f"tensor {tensor.name!r} names chunk {tensor.chunk_id}, which never came")
        due = math.prod(tensor.shape) * dtype.itemsize
        if len(contents) != due or min(tensor.shape, default=0) < 0:
            raise ProtocolError(f"tensor {tensor.name!r} has {len(contents)} bytes where its shape needs {due}")
        return np.frombuffer(contents, dtype).reshape(tuple(tensor.shape))
