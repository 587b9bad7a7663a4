"""Parameters in plain words: numbers, names of choices, arrays, put into the protocol's messages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from sidelight_client.errors import InvalidRequest
from sidelight_client.methods import hint
from sidelight_client.tensors import encode


def fill(message: Message, parameters: Mapping[str, Any], path: str) -> None:
    """Set fields of `message`: choices by their names in lower case, tensors from arrays. Raises InvalidRequest."""
    known = message.DESCRIPTOR.fields_by_name
    for name, value in parameters.items():
        if name not in known:
            raise InvalidRequest.of(f"{path}.{name}", f"there is no such parameter; {hint(name, known)}")
        field = known[name]
        try:
            if field.message_type is not None:
                getattr(message, name).CopyFrom(encode(_plain(np.asarray(value)), name))
            elif field.enum_type is not None:
                setattr(message, name, _choice(field, value, f"{path}.{name}"))
            else:
                setattr(message, name, value)
        except (TypeError, ValueError) as error:
            raise InvalidRequest.of(f"{path}.{name}", f"{value!r} will not do: {error}") from None


def _plain(array: np.ndarray) -> np.ndarray:
    """In a datatype that requests take: whole numbers as int64, masks as bytes, the rest as float32."""
    kinds = {"b": np.uint8, "u": np.int64, "i": np.int64, "f": np.float32}
    if array.dtype.kind not in kinds:
        raise TypeError(f"an array of numbers, not of {array.dtype}")
    return array.astype(kinds[array.dtype.kind])


def choices(field: FieldDescriptor) -> dict[str, int]:
    """The numbers of a choice by name, in lower case and without their prefix."""
    values = field.enum_type.values
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    return {v.name.removeprefix(prefix).lower(): v.number for v in values if v.number}


def _choice(field: FieldDescriptor, value: Any, path: str) -> int:
    known = choices(field)
    if isinstance(value, str) and value not in known:
        raise InvalidRequest.of(path, f"{value!r} is unknown; {hint(value, known)}")
    return known[value] if isinstance(value, str) else value
