"""Parameters of methods: frozen dataclasses whose fields carry bounds. An unknown key is an error, never a default."""

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.predictor import Unit

P = TypeVar("P")
_OWN = {  # what a parameter is, by the key of its metadata
    "names": "names",
    "spans": "spans",
    "array": "tensor",
    "text": "text",
    "picture": "picture",
    "numbers": "numbers",
    "records": "records",
    "one_of": "one of",
}


def bounded(default: Any, *, low: float, high: float, what: str, open: bool = False) -> Any:
    """A number in [low, high], or in (low, high) if `open`; `what` explains it in the catalogue.

    With the default None `what` says what happens when it is left out.
    """
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "open": open, "what": what})


def choice(default: Enum | None, *, what: str, of: type[Enum] | None = None) -> Any:
    """One member of the default's Enum, whose values are its names in lower case; without a default one `of` another's,
    which is None until it is named.
    """
    return dataclasses.field(default=default, metadata={"choices": of or type(default), "what": what})


def choices(*default: Enum, of: type[Enum], what: str) -> Any:
    """Several members of an Enum, each at most once; none: as `what` says."""
    return dataclasses.field(default=default, metadata={"choices": of, "many": True, "what": what})


def names(*, most: int, what: str) -> Any:
    """At most so many names, each at most once; none: as `what` says."""
    return dataclasses.field(default=(), metadata={"names": most, "many": True, "what": what})


def array(*, what: str) -> Any:
    """A tensor that the caller may give, else None."""
    return dataclasses.field(default=None, metadata={"array": True, "what": what})


def spans(*, most: int, what: str) -> Any:
    """At most so many pieces of the explained text; none: as `what` says."""
    return dataclasses.field(default=(), metadata={"spans": most, "what": what})


def text(*, most: int, what: str) -> Any:
    """At most so many characters; empty: as `what` says."""
    return dataclasses.field(default="", metadata={"text": most, "what": what})


def picture(*, what: str, grey: bool = False) -> Any:
    """An encoded image that the caller may give, as its bytes; empty: none.

    Who uses it gets a tensor of its pixels in place of the bytes: uint8 [3, H, W], red green blue, [4, H, W] where it
    has an alpha, or [1, H, W] if `grey`.
    """
    return dataclasses.field(default=b"", metadata={"picture": True, "grey": grey, "what": what})


def numbers(*, most: int, low: float, high: float, what: str) -> Any:
    """At most so many numbers in [low, high]; none: as `what` says."""
    return dataclasses.field(default=(), metadata={"numbers": most, "low": low, "high": high, "what": what})


def records(of: type, *, most: int, what: str) -> Any:
    """At most so many of another dataclass of parameters; none: as `what` says."""
    return dataclasses.field(default=(), metadata={"records": of, "most": most, "what": what})


def one_of(kinds: Callable[[], Mapping[str, Any]], *, what: str) -> Any:
    """The parameters of one plug-in of those that `kinds` lists by name, as `Chosen`; None where none is named."""
    return dataclasses.field(default=None, metadata={"one_of": kinds, "what": what})


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A plug-in by its name, with its parameters."""

    name: str
    params: Any


def kind_of(field: dataclasses.Field) -> str:
    """What a parameter is, in words: integer, number, boolean, text, choice, choices, names, numbers, spans, tensor,
    picture, records or one of.
    """
    for name, words in _OWN.items():
        if name in field.metadata:
            return words
    if "choices" in field.metadata:
        return "choices" if "many" in field.metadata else "choice"
    (kind,) = [t for t in typing.get_args(field.type) if t is not type(None)] or [field.type]
    return {int: "integer", float: "number", bool: "boolean"}[kind]


def build(kind: type[P], given: Mapping[str, Any], path: str) -> P:
    """The parameters with `given` over the defaults. Raises InvalidRequest naming `path`.`key`."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key, value in given.items():
        if key not in fields:
            raise InvalidRequest(f"{path}.{key}", f"no such parameter; there is {', '.join(fields)}")
        _check(f"{path}.{key}", value, fields[key])
    return kind(**given)


def _check(path: str, value: Any, field: dataclasses.Field) -> None:
    if "many" in field.metadata:
        _check_many(path, value, field)
        return
    if "spans" in field.metadata:
        _check_spans(path, value, field.metadata["spans"])
        return
    if kind_of(field) in _CHECKS:
        _CHECKS[kind_of(field)](path, value, field)
        return
    if "choices" in field.metadata:
        if not isinstance(value, field.metadata["choices"]):
            known = ", ".join(member.value for member in field.metadata["choices"])
            raise InvalidRequest(path, f"one of {known}, not {value!r}")
        return
    if "array" in field.metadata:
        if not isinstance(value, torch.Tensor):
            raise InvalidRequest(path, f"a tensor, not {type(value).__name__}")
        return
    low, high = field.metadata["low"], field.metadata["high"]
    if kind_of(field) == "integer" and not isinstance(value, int):
        raise InvalidRequest(path, f"a whole number, not {value!r}")
    inside = low < value < high if field.metadata["open"] else low <= value <= high
    if not (math.isfinite(value) and inside):
        bounds = f"({low}, {high})" if field.metadata["open"] else f"[{low}, {high}]"
        raise InvalidRequest(path, f"a number in {bounds}, not {value}")


def _check_many(path: str, value: Any, field: dataclasses.Field) -> None:
    kind, most = field.metadata.get("choices", str), field.metadata.get("names", math.inf)
    if not isinstance(value, tuple) or not all(isinstance(v, kind) for v in value):
        raise InvalidRequest(path, f"a list, each one of its kind, not {value!r}")
    if len(set(value)) < len(value):
        raise InvalidRequest(path, "each of them once")
    if len(value) > most or "" in value:
        raise InvalidRequest(path, f"at most {most}, none of them empty")


def _check_spans(path: str, value: Any, most: int) -> None:
    if not isinstance(value, tuple) or not all(isinstance(v, Unit) for v in value):
        raise InvalidRequest(path, f"a list of spans, not {value!r}")
    if len(value) > most:
        raise InvalidRequest(path, f"at most {most}, not {len(value)}")
    for i, span in enumerate(value):
        if not 0 <= span.begin < span.end:
            raise InvalidRequest(
                f"{path}[{i}].end", f"beyond its begin, {span.begin}: a span is characters [begin, end), not {span.end}"
            )


def _check_text(path: str, value: Any, field: dataclasses.Field) -> None:
    most = field.metadata["text"]
    if not isinstance(value, str) or not value.isprintable() or len(value) > most:
        raise InvalidRequest(path, f"at most {most} printable characters")


def _check_numbers(path: str, value: Any, field: dataclasses.Field) -> None:
    most, low, high = (field.metadata[name] for name in ("numbers", "low", "high"))
    if len(value) > most:
        raise InvalidRequest(path, f"at most {most}, not {len(value)}")
    for i, number in enumerate(value):
        if not (math.isfinite(number) and low <= number <= high):
            raise InvalidRequest(f"{path}[{i}]", f"a number in [{low}, {high}], not {number}")


def _check_records(path: str, value: Any, field: dataclasses.Field) -> None:
    if len(value) > field.metadata["most"]:
        raise InvalidRequest(path, f"at most {field.metadata['most']}, not {len(value)}")


def _check_one_of(path: str, value: Any, field: dataclasses.Field) -> None:
    known = field.metadata["one_of"]()
    if value is not None and value.name not in known:
        raise InvalidRequest(path, f"one of {', '.join(known)}, not {value.name}")


def _check_picture(path: str, value: Any, field: dataclasses.Field) -> None:
    if not isinstance(value, bytes):
        raise InvalidRequest(path, f"an encoded image, not {type(value).__name__}")


_CHECKS: dict[str, Callable[[str, Any, dataclasses.Field], None]] = {
    "text": _check_text,
    "numbers": _check_numbers,
    "records": _check_records,
    "one of": _check_one_of,
    "picture": _check_picture,
}
