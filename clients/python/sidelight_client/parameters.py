"""Parameters in plain words, put into the messages: numbers, names, lists, arrays, pictures, spans, tables of such."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.metrics_pb2 import TextSpan

from sidelight_client.errors import InvalidRequest
from sidelight_client.inputs import encoded_image
from sidelight_client.methods import hint
from sidelight_client.tensors import encode

AUTO = "auto"  # as the catalogue calls a choice that is left to the service
KINDS = {
    FieldDescriptor.TYPE_UINT32: "a whole number from 0 to 4294967295",
    FieldDescriptor.TYPE_DOUBLE: "a number",
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_ENUM: "the name of a choice",
    FieldDescriptor.TYPE_STRING: "a name",
}


def fill(message: Message, parameters: Mapping[str, Any], path: str) -> None:
    """Set fields of `message`: choices by their names in lower case, several of a kind as a list, tensors from arrays.

    Spans of a text are pairs (begin, end) of characters; a picture is a path, bytes or a PIL image; a message is itself
    or a table of its own parameters.
    Raises InvalidRequest.
    """
    known = message.DESCRIPTOR.fields_by_name
    for name, value in parameters.items():
        if name not in known:
            raise InvalidRequest.of(f"{path}.{name}", f"there is no such parameter; {hint(str(name), known)}")
        field = known[name]
        if field.message_type is TextSpan.DESCRIPTOR:
            getattr(message, name).extend(_spans(value, f"{path}.{name}"))
            continue
        if field.message_type is types_pb2.Tensor.DESCRIPTOR:
            getattr(message, name).CopyFrom(_tensor(value, name, f"{path}.{name}"))
            continue
        if field.message_type is not None:
            _nested(message, field, value, f"{path}.{name}")
            continue
        if field.type == FieldDescriptor.TYPE_BYTES:
            setattr(message, name, _picture(value, f"{path}.{name}"))
            continue
        try:
            if field.is_repeated:
                message.ClearField(name)
                getattr(message, name).extend(_scalar(field, v, f"{path}.{name}") for v in _several(value))
            else:
                setattr(message, name, _scalar(field, value, f"{path}.{name}"))
        except (TypeError, ValueError):
            many = ", or a list of such" if field.is_repeated else ""
            prose = field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
            kind = "a text" if prose else KINDS[field.type]
            raise InvalidRequest.of(f"{path}.{name}", f"takes {kind}{many}, not {value!r}") from None


def _nested(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    """A message of its own, or several."""
    if not field.is_repeated:
        _one(getattr(message, field.name), value, path)
        return
    several = [value] if isinstance(value, Message | Mapping) else value
    for i, one in enumerate(several):
        _one(getattr(message, field.name).add(), one, f"{path}[{i}]")


def _one(message: Message, value: Any, path: str) -> None:
    if isinstance(value, type(message)):
        message.CopyFrom(value)
        message.SetInParent()
    elif isinstance(value, Mapping):
        message.SetInParent()
        fill(message, value, path)
    else:
        kind = type(message).__name__
        raise InvalidRequest.of(path, f"takes a {kind}, or a table of its parameters, not {value!r}")


def _picture(value: Any, path: str) -> bytes:
    try:
        return encoded_image(value)
    except InvalidRequest:
        raise InvalidRequest.of(path, f"takes a path, image bytes or a PIL image, not {type(value).__name__}") from None


def _spans(value: Any, path: str) -> list[TextSpan]:
    try:
        return [TextSpan(begin=begin, end=end) for begin, end in value]
    except (TypeError, ValueError):
        raise InvalidRequest.of(path, f"takes pairs (begin, end) of whole numbers, not {value!r}") from None


def _several(value: Any) -> Iterable[Any]:
    """One thing or several: a word is one."""
    return [value] if isinstance(value, str) else value


def _scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    return _choice(field, value, path) if field.enum_type is not None else value


def _tensor(value: Any, name: str, path: str) -> types_pb2.Tensor:
    try:
        return encode(_plain(np.asarray(value)), name)
    except (TypeError, ValueError) as error:
        raise InvalidRequest.of(path, str(error)) from None


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
    known = {**({} if field.is_repeated else {AUTO: 0}), **choices(field)}
    if isinstance(value, str) and value not in known:
        raise InvalidRequest.of(path, f"{value!r} is unknown; {hint(value, known)}")
    return known[value] if isinstance(value, str) else value
