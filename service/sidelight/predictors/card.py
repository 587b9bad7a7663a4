"""Model cards: what a served model's metadata do not say. One TOML file for each model; see deploy/triton/cards.

    model = "efficientnet_lite0"     # its name in Triton
    kind = "image"                   # image, text or tokens

    [input]                          # all optional
    name = "image"                   # needed where the model has several inputs
    resize = 256                     # shorter side, pixels; absent: so that the crop just fits
    crop = 224                       # or [height, width]; needed where the model's own size varies
    interpolation = "bilinear"       # nearest, box, bilinear, hamming, bicubic, lanczos
    layout = "NCHW"                  # or NHWC; absent: as the model's configuration or its shape says
    channel_order = "RGB"            # RGB, BGR or L
    scale = 0.00392156862745098      # (pixel * scale - mean) / std, pixels in 0..255
    mean = [0.485, 0.456, 0.406]     # one number, or one for each channel
    std = [0.229, 0.224, 0.225]

    [output]                         # all optional
    name = "logits"                  # needed where the model has several outputs
    kind = "logits"                  # or probabilities, or sigmoid: one probability
    labels = "labels.txt"            # one a line, relative to the card; or a list

    [explanation]                    # where the rows of explanations go instead; absent: the same endpoint
    url = "other:8001"               # absent: the same Triton
    model = "efficientnet_explained" # absent: the same name
    version = "1"                    # absent: the same version as asked
    tolerance = 0.001                # allowed difference from production, relative to the largest output

Every mistake is a `CardError` that names the file and the field and says what would do.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidelight.core.errors import Unsupported
from sidelight.core.target import OutputKind
from sidelight.predictors.fit import CHANNELS, INTERPOLATIONS

KINDS = ("image", "text", "tokens")
IMAGE_FIELDS = ("resize", "crop", "interpolation", "layout", "channel_order", "scale", "mean", "std")


class CardError(Unsupported):
    """`field` (dotted) of the card at `path` will not do, or is missing; `mend` says what would do.

    Found when the card is read or, where the card and the model disagree, when the model's metadata are.
    """

    def __init__(self, path: Path | None, field: str, mend: str, model: str = "") -> None:
        where = str(path) if path else f"model {model} has no card, and needs one"
        super().__init__("MODEL_CARD", str(path or model), f"{where}: {field}: {mend}")
        self.path, self.field, self.mend = path, field, mend


@dataclass(frozen=True)
class Redirection:
    """The explanation endpoint. None: the same as production's."""

    url: str | None = None
    model: str | None = None
    version: str | None = None
    tolerance: float = 1e-3  # largest difference over the largest output


@dataclass(frozen=True)
class Card:
    """A model card that has been checked by itself. None: the model's metadata decide."""

    model: str
    kind: str | None = None
    path: Path | None = None
    input: str | None = None
    resize: int | None = None
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    layout: str | None = None
    order: str | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    output: str | None = None
    output_kind: OutputKind = OutputKind.AS_SERVED
    labels: tuple[str, ...] = ()
    explanation: Redirection | None = None

    @property
    def carded(self) -> bool:
        """Whether somebody wrote it, rather than `Card(name)` standing in for none."""
        return self.path is not None

    def error(self, field: str, mend: str) -> CardError:
        """The error that `field` is wrong or missing."""
        return CardError(self.path, field, mend, self.model)


# What a value must be: a function to what is kept of it, which raises ValueError saying what would do.
Check = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def _nonzero(value: Any) -> float:
    if _number(value) == 0:
        raise ValueError("a number other than zero")
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise ValueError("a number above zero")
    return float(value)


def _pixels(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65_536:
        raise ValueError("a whole number of pixels in 1..65536")
    return value


def _size(value: Any) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2:
        return _pixels(value[0]), _pixels(value[1])
    if isinstance(value, list):
        raise ValueError("one whole number of pixels, or two: [height, width]")
    return _pixels(value), _pixels(value)


def _numbers(each: Check) -> Check:
    def check(value: Any) -> tuple[float, ...]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError("one number, or one for each channel")
        return tuple(each(v) for v in values)

    return check


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return check


def _output_kind(value: Any) -> OutputKind:
    return OutputKind(_one_of("logits", "probabilities", "sigmoid")(value))


def _labels(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(label, str) for label in value):
        return tuple(value)
    if isinstance(value, str) and value:
        return value
    raise ValueError("a file name, relative to the card, or a list of texts")


# Table, its keys, and for each the attribute it becomes and its check.
_SCHEMA: dict[str, dict[str, tuple[str, Check]]] = {
    "": {"model": ("model", _text), "kind": ("kind", _one_of(*KINDS))},
    "input": {
        "name": ("input", _text),
        "resize": ("resize", _pixels),
        "crop": ("crop", _size),
        "interpolation": ("interpolation", _one_of(*INTERPOLATIONS)),
        "layout": ("layout", _one_of("NCHW", "NHWC")),
        "channel_order": ("order", _one_of(*CHANNELS)),
        "scale": ("scale", _nonzero),
        "mean": ("mean", _numbers(_number)),
        "std": ("std", _numbers(_nonzero)),
    },
    "output": {"name": ("output", _text), "kind": ("output_kind", _output_kind), "labels": ("labels", _labels)},
    "explanation": {
        "url": ("url", _text),
        "model": ("model", _text),
        "version": ("version", _text),
        "tolerance": ("tolerance", _positive),
    },
}


def read_card(path: Path) -> Card:
    """The card in the TOML file `path`. Raises CardError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CardError(path, "card", f"a file that can be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(path, "card", f"a TOML file: {error}") from None
    top = {key: value for key, value in tables.items() if key not in _SCHEMA}
    found = _checked(path, "", top)
    for required in ("model", "kind"):
        if required not in found:
            raise CardError(path, required, f"is required: {_SCHEMA[''][required][0]} of the card's model")
    for name in ("input", "output"):
        found |= _checked(path, name, tables.get(name, {}))
    if found["kind"] != "image" and (given := [key for key in IMAGE_FIELDS if key in tables.get("input", {})]):
        raise CardError(path, f"input.{given[0]}", f'is for kind = "image", not {found["kind"]}: leave it out')
    _check_channels(path, found)
    if isinstance(labels := found.get("labels"), str):
        found["labels"] = _read_labels(path, labels)
    if "explanation" in tables:
        found["explanation"] = _redirection(path, tables["explanation"])
    return Card(path=path, **found)


def _checked(path: Path, name: str, table: Any) -> dict[str, Any]:
    """Attributes of one table."""
    if not isinstance(table, Mapping):
        raise CardError(path, name, f"a table: [{name}]")
    found = {}
    for key, value in table.items():
        field = f"{name}.{key}" if name else key
        if key not in _SCHEMA[name]:
            tables = "" if name else "; tables are [input], [output], [explanation]"
            raise CardError(path, field, f"no such field; there is {', '.join(_SCHEMA[name])}{tables}")
        attribute, check = _SCHEMA[name][key]
        try:
            found[attribute] = check(value)
        except ValueError as wanted:
            raise CardError(path, field, f"{wanted}, not {value!r}") from None
    return found


def _check_channels(path: Path, found: Mapping[str, Any]) -> None:
    order = found.get("order")
    allowed = {1, CHANNELS[order]} if order else set(CHANNELS.values())
    for key in ("mean", "std"):
        if key in found and len(found[key]) not in allowed:
            wanted = " or ".join(map(str, sorted(allowed)))
            raise CardError(path, f"input.{key}", f"{wanted} numbers, not {len(found[key])}")


def _read_labels(path: Path, name: str) -> tuple[str, ...]:
    try:
        labels = tuple(line.strip() for line in (path.parent / name).read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise CardError(path, "output.labels", f"a file beside the card: {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CardError(path, "output.labels", f"a UTF-8 file: {name} is not") from None
    if not labels or not all(labels):
        blank = f"; line {labels.index('') + 1} is blank" if labels else ""
        raise CardError(path, "output.labels", f"one label a line in {name}{blank}")
    return labels


def _redirection(path: Path, table: Any) -> Redirection:
    found = _checked(path, "explanation", table)
    if not {"url", "model"} & found.keys():
        raise CardError(path, "explanation", "a url, a model, or both: without either it is the endpoint itself")
    return Redirection(**found)
