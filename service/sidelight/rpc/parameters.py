"""Parameters of methods and metrics: the protocol's typed messages to the frozen dataclasses, and back."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from sidelight.core import registry
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import Input
from sidelight.core.params import Chosen, build, kind_of
from sidelight.core.predictor import Unit
from sidelight.predictors.fit import Geometry
from sidelight.rpc.tensors import DTYPES, decode_tensor


def decode_parameters(kind: type, message: Message, path: str) -> Any:
    """The parameters `kind` that `message` sets, the rest at their defaults. Raises InvalidRequest naming the field.

    Unsupported, with the reason, where it names a plug-in that cannot run here.
    """
    metadata = {f.name: f.metadata for f in dataclasses.fields(kind)}
    given: dict[str, Any] = {}
    for field, value in message.ListFields():
        where = f"{path}.{field.name}"
        if field.containing_oneof is not None and field.containing_oneof.name in metadata:
            name = field.containing_oneof.name
            given[name] = _chosen(metadata[name]["one_of"](), field.name, value, where)
        elif field.is_repeated:
            given[field.name] = _several(metadata[field.name], field, value, where)
        elif field.enum_type is not None:
            if value:  # 0 is "unspecified"
                given[field.name] = _member(metadata[field.name]["choices"], field, value, where)
        elif field.message_type is not None:
            given[field.name] = torch.from_numpy(decode_tensor(value, where, tuple(DTYPES)).copy())
        else:
            given[field.name] = value
    return build(kind, given, path)


def _chosen(known: Mapping[str, Any], name: str, message: Message, path: str) -> Chosen:
    """A plug-in of those `known`, with its parameters."""
    if name not in known:
        reason = registry.absent("editors").get(name, "is no kind of editor here")
        raise Unsupported("EDITOR_UNAVAILABLE", name, f"{path} cannot run here: {name} {reason}")
    return Chosen(name, decode_parameters(known[name].params, message, path))


def encode_parameters(params: Any, message: Message) -> None:
    """Write every number, text, choice and list of `params` into `message`, also inside records and plug-ins.

    Tensors, pictures and spans stay as they were sent.
    """
    message.SetInParent()
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if kind_of(field) in ("picture", "spans", "tensor"):
            continue
        if kind_of(field) == "one of":
            if value is not None:
                encode_parameters(value.params, getattr(message, value.name))
            continue
        descriptor = message.DESCRIPTOR.fields_by_name[field.name]
        if kind_of(field) == "records":
            sent = getattr(message, field.name)
            for i, record in enumerate(value):
                encode_parameters(record, sent[i] if i < len(sent) else sent.add())
            continue
        if descriptor.is_repeated:
            known = numbers(descriptor) if descriptor.enum_type is not None else {}
            message.ClearField(field.name)
            getattr(message, field.name).extend(known[v.value] if known else v for v in value)
            continue
        if "choices" in field.metadata and value is not None:
            value = numbers(descriptor).get(value.value)
        if value is not None:
            setattr(message, field.name, value)


def encode_agreed(several: Sequence[Any], message: Message) -> None:
    """The same of the parameters for several models; where those differ, what `message` says stays as it is."""
    made = []
    for params in several:
        one = type(message)()
        one.CopyFrom(message)
        encode_parameters(params, one)
        made.append(one)
    asked = type(message)()
    asked.CopyFrom(message)
    message.CopyFrom(made[0])
    for field in message.DESCRIPTOR.fields:
        if any(getattr(one, field.name) != getattr(made[0], field.name) for one in made):
            message.ClearField(field.name)
            if field.is_repeated:
                getattr(message, field.name).extend(getattr(asked, field.name))
            elif asked.HasField(field.name):
                setattr(message, field.name, getattr(asked, field.name))


def numbers(field: FieldDescriptor) -> dict[str, int]:
    """The numbers of an enum field by name, in lower case and without their prefix; 0 stays out."""
    values = field.enum_type.values
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    return {v.name.removeprefix(prefix).lower(): v.number for v in values if v.number}


def _several(metadata: Mapping[str, Any], field: FieldDescriptor, values: Sequence[Any], path: str) -> tuple[Any, ...]:
    """Of a repeated field: names and numbers as they are, members of an enum, spans, or records."""
    if "spans" in metadata:
        return tuple(Unit(v.begin, v.end) for v in values)
    if "records" in metadata:
        # Counted before they are read: their pictures and tensors need not be looked at.
        if len(values) > metadata["most"]:
            raise InvalidRequest(path, f"at most {metadata['most']}, not {len(values)}")
        return tuple(decode_parameters(metadata["records"], v, f"{path}[{i}]") for i, v in enumerate(values))
    if field.enum_type is None:
        return tuple(values)
    return tuple(_member(metadata["choices"], field, v, f"{path}[{i}]") for i, v in enumerate(values))


def _member(kind: Any, field: FieldDescriptor, number: int, path: str) -> Any:
    known = {n: name for name, n in numbers(field).items()}
    if number not in known:
        raise InvalidRequest(path, f"one of {', '.join(known.values())}, not the number {number}")
    return kind(known[number])


def placed(params: Any, x: Input, where: Geometry | None, path: str) -> Any:
    """The parameters with every tensor brought to the model's input: given there, or over the image as it was sent."""
    arrays: Mapping[str, torch.Tensor] = {
        f.name: t
        for f in dataclasses.fields(params)
        if "array" in f.metadata and (t := getattr(params, f.name)) is not None
    }
    return dataclasses.replace(params, **{n: _placed(t, x, where, f"{path}.{n}") for n, t in arrays.items()})


def _placed(t: torch.Tensor, x: Input, where: Geometry | None, path: str) -> torch.Tensor:
    if tuple(t.shape) == tuple(x.shape):
        return t
    if where is None or tuple(t.shape) != where.source:
        other = where is not None and where.source != tuple(x.shape)
        sent = f" or {list(where.source)}, the image as it was sent" if where and other else ""
        raise InvalidRequest(f"{path}.shape", f"{list(x.shape)}, the model's input{sent}; not {list(t.shape)}")
    rows, columns = where.inside
    top, left = where.offset
    seen = slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)
    out = t.new_zeros(where.size)
    if t.is_floating_point():
        # NaN stands outside the crop in an answer's own `map_at_input`: it has no share in what is averaged.
        known = ~t.isnan()
        both = torch.stack([t.double().nan_to_num(0.0, torch.inf, -torch.inf), known.double()])
        value, share = F.interpolate(both[None], size=where.resized, mode="bilinear", antialias=True)[0]
        out[rows, columns] = (value / share)[seen].to(t.dtype)
    else:  # numbers that name something: each pixel's own, never a mixture
        (down, height), (right, width) = ((torch.arange(n), n) for n in where.resized)
        down, right = (2 * down + 1) * t.shape[0] // (2 * height), (2 * right + 1) * t.shape[1] // (2 * width)
        out[rows, columns] = t[down[seen[0]]][:, right[seen[1]]]
    return out
