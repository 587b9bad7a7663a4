"""What stands for "not there", in the caller's words, and its message."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from google.protobuf.message import Message
from PIL import Image
from sidelight_proto.v1 import types_pb2

from sidelight_client.errors import InvalidRequest
from sidelight_client.inputs import encoded_image
from sidelight_client.methods import hint

Picture: TypeAlias = Path | bytes | Image.Image | np.ndarray
OneBaseline: TypeAlias = str | float | Sequence[float] | Message | Picture | Mapping[str, Sequence[str | Picture]]
BaselineLike: TypeAlias = OneBaseline | Sequence[OneBaseline]

COLOURS = {"black": [0.0], "grey": [127.5], "white": [255.0]}
KINDS = {f.name: f.message_type for f in types_pb2.Baseline.DESCRIPTOR.oneofs_by_name["kind"].fields}
WITH_IMAGES = ("reference_mean", "feature_mean")
PRESETS = (*(KINDS.keys() - {"constant", "image", "reference_mean", "distribution"}), *COLOURS)


def baseline(value: BaselineLike) -> types_pb2.Baseline:
    """A preset by name (a message of the protocol with its defaults), a message, a colour, an image, or several."""
    match value:
        case str():
            return _preset(value)
        case Message():
            return _message(value)
        case Mapping():
            return _of_images(value)
        case Path() | bytes() | Image.Image():
            return types_pb2.Baseline(image=types_pb2.ImageBaseline(image=encoded_image(value)))
        case np.ndarray() if value.ndim >= 2:
            return baseline(Image.fromarray(value))
        case int() | float():
            return _colour([value])
    numbers = [float(v) for v in value if isinstance(v, int | float | np.number)]
    if len(numbers) == len(value):
        return _colour(numbers)
    several = types_pb2.DistributionBaseline(baselines=[baseline(one) for one in value])
    return types_pb2.Baseline(distribution=several)


def _colour(value: Sequence[float]) -> types_pb2.Baseline:
    return types_pb2.Baseline(constant=types_pb2.ConstantBaseline(value=value))


def _preset(name: str) -> types_pb2.Baseline:
    if name in COLOURS:
        return _colour(COLOURS[name])
    if name == "reference_mean":
        raise InvalidRequest.of("baseline", 'the mean of reference images needs them: {"reference_mean": [...]}')
    if name not in PRESETS:
        raise InvalidRequest.of("baseline", f"{name!r} is unknown; {hint(name, PRESETS)}")
    return types_pb2.Baseline(**{name: {}})


def _message(value: Message) -> types_pb2.Baseline:
    fields = {descriptor: name for name, descriptor in KINDS.items()}
    if value.DESCRIPTOR not in fields:
        raise InvalidRequest.of("baseline", f"{type(value).__name__} is not a baseline")
    return types_pb2.Baseline(**{fields[value.DESCRIPTOR]: value})


def _of_images(value: Mapping[str, Sequence[str | Picture]]) -> types_pb2.Baseline:
    if len(value) != 1 or not value.keys() <= set(WITH_IMAGES):
        raise InvalidRequest.of("baseline", f"a mapping is one of {' or '.join(WITH_IMAGES)} to its reference images")
    ((name, images),) = value.items()
    several = [images] if isinstance(images, str | Path | bytes | Image.Image) else images
    pictures = (Image.fromarray(image) if isinstance(image, np.ndarray) else image for image in several)
    return types_pb2.Baseline(**{name: {"images": [encoded_image(image) for image in pictures]}})


def words(message: types_pb2.Baseline, absent: str = "nothing") -> str:
    """A baseline in short, as a caller could ask for it; of several, all. `absent`: a text's without a replacement."""
    kind = message.WhichOneof("kind")
    if kind is None:
        return ""
    if kind == "distribution":
        return ", ".join(words(one, absent) for one in message.distribution.baselines)
    if kind == "constant":
        value = list(message.constant.value)
        return next((name for name, colour in COLOURS.items() if colour == value), f"colour {value}")
    if kind == "text":
        return repr(message.text.replacement) if message.text.replacement else absent
    said = (f"{f.name} {value:g}" for f, value in getattr(message, kind).ListFields() if f.type == f.TYPE_DOUBLE)
    return " ".join([kind, *said])
