"""Parameters of methods: frozen dataclasses whose fields carry bounds. An unknown key is an error, never a default."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from sidelight.core.errors import InvalidRequest

P = TypeVar("P")


def bounded(default: Any, *, low: float, high: float, what: str, open: bool = False) -> Any:
    """A number in [low, high], or in (low, high) if `open`; `what` explains it in the catalogue."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "open": open, "what": what})


def build(kind: type[P], given: Mapping[str, Any], path: str) -> P:
    """The parameters with `given` over the defaults. Raises InvalidRequest naming `path`.`key`."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key, value in given.items():
        if key not in fields:
            raise InvalidRequest(f"{path}.{key}", f"no such parameter; there is {', '.join(fields)}")
        _check(f"{path}.{key}", value, fields[key])
    return kind(**given)


def _check(path: str, value: Any, field: dataclasses.Field) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    if field.type is int and not isinstance(value, int):
        raise InvalidRequest(path, f"a whole number, not {value!r}")
    inside = low < value < high if field.metadata["open"] else low <= value <= high
    if not (math.isfinite(value) and inside):
        bounds = f"({low}, {high})" if field.metadata["open"] else f"[{low}, {high}]"
        raise InvalidRequest(path, f"a number in {bounds}, not {value}")
