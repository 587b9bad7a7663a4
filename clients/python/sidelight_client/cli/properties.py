"""Properties and series of images as the command line has them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from sidelight_proto.v1.intervention_pb2 import Property
from sidelight_proto.v1.types_pb2 import Tensor

from sidelight_client.errors import InvalidRequest
from sidelight_client.inputs import Series
from sidelight_client.methods import hint
from sidelight_client.properties import CHANGES, EDITORS, gradual

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


def property_of(text: str) -> Property:
    """WHAT or WHAT:KEY=VALUE,KEY=VALUE. Commas within a value, as in a prompt, may stay. Raises InvalidRequest."""
    what, _, settings = text.partition(":")
    if what not in (*CHANGES, *EDITORS):
        raise InvalidRequest.of("property", f"{what!r} is unknown; {hint(what, (*CHANGES, *EDITORS))}")
    known = _fields("parametric" if what in CHANGES else what)
    given: dict[str, Any] = {}
    # A comma ends a value only where a known name and = follow it.
    for setting in re.split(rf",\s*(?=(?:{'|'.join(known)})=)", settings) if settings else ():
        key, found, value = setting.partition("=")
        if not found or key not in known:
            raise InvalidRequest.of("property", f"{setting!r} is not KEY=VALUE; {what} has {', '.join(known)}")
        if key in given:
            raise InvalidRequest.of("property", f"{key} is given twice for {what}")
        given[key] = _value(known[key], value, key)
    return gradual(what, **given)


def _fields(editor: str) -> dict[str, FieldDescriptor]:
    """What may be said of a property that this editor changes."""
    kinds = Property.DESCRIPTOR.oneofs_by_name["editor"].fields
    own = next(f.message_type for f in kinds if f.name == editor).fields
    return {f.name: f for f in [*Property.DESCRIPTOR.fields, *own] if f not in list(kinds) and f.name != "change"}


def _value(field: FieldDescriptor, text: str, key: str) -> Any:
    if field.message_type is Tensor.DESCRIPTOR:
        return _array(text, key)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _file(text, key)
    if field.type == FieldDescriptor.TYPE_BOOL and text in ("true", "false"):
        return text == "true"
    if field.type not in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_UINT32):
        return text
    if field.is_repeated:
        return _numbers(text, key)
    number = _number(text, key)
    return int(number) if field.type == FieldDescriptor.TYPE_UINT32 and number.is_integer() else number


def _numbers(text: str, flag: str) -> list[float]:
    return [_number(part, flag) for part in text.split(",")]


def _number(text: str, flag: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidRequest.of(flag, f"takes a number, not {text!r}") from None


def _file(path: str, flag: str) -> Path:
    if not Path(path).is_file():
        raise InvalidRequest.of(flag, f"there is no file {path!r}")
    return Path(path)


def _array(text: str, flag: str) -> np.ndarray:
    path = _file(text.removeprefix("@"), flag)
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise InvalidRequest.of(flag, f"{str(path)!r} is not a .npy file with an array of numbers") from None


def series_of(paths: Sequence[str], strengths: str | None, unit: str) -> Series:
    """Files, and the images of folders in the order of their names, numbers in them as numbers: 9 before 10."""
    images: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            images += sorted((f for f in path.iterdir() if f.suffix.lower() in IMAGES), key=_natural)
        else:
            images.append(_file(str(path), "series"))
    if not images:
        raise InvalidRequest.of("series", f"there is no image in {', '.join(paths)}")
    return Series(images, _strengths(strengths, len(images)), unit)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _strengths(text: str | None, count: int) -> list[float]:
    if text is None:
        return []
    first, dots, last = text.partition("..")
    if dots:
        low, high = (_number(part, "strengths") for part in (first, last))
        return np.linspace(low, high, count).tolist()
    return _numbers(text, "strengths")
