"""What a caller sent to be explained: read once, then made into the input of each model."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from sidelight_proto.v1 import types_pb2

from sidelight.core.baseline import Baseline, Blur, FeatureBaseline, FromSegments
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, Input, TextInput, TokenInput, words
from sidelight.core.predictor import Fit, ModelSpec
from sidelight.core.stream import Stream
from sidelight.predictors.fit import Geometry, fit, geometry
from sidelight.rpc.baselines import image_inputs, replacements
from sidelight.rpc.images import Picture, decode_image
from sidelight.rpc.tensors import decode_tensor

HEIGHT_WIDTH = ("height", "width")


@dataclass(frozen=True)
class Limits:
    """Static limits of requests."""

    max_image_pixels: int = 50_000_000
    max_text_characters: int = 20_000
    max_units: int = 2_000
    max_targets: int = 50
    frame_bytes: int = 512 << 20  # of the frames of all series of a request


@dataclass(frozen=True, eq=False)
class Placed:
    """The input of one model, and where it lies in what was sent (None for text)."""

    input: Input
    where: Geometry | None = None
    others: tuple[Input, ...] = ()  # over the further baselines of a distribution
    at_layer: FeatureBaseline | None = None


@dataclass(frozen=True, eq=False)
class Encoded:
    """An encoded image: any size, fitted to each model."""

    picture: Picture

    def made_for(self, spec: ModelSpec, baseline: types_pb2.Baseline, stream: Stream, limits: Limits) -> Placed:
        _needs("input.image", "image", spec)
        pixels, where = fit(self.picture.pixels, spec.fit, spec.pixels.order)
        return _images(pixels, spec, baseline, stream, limits, where)

    @property
    def photo(self) -> Image.Image:
        """The image, for display."""
        return self.picture.photo

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as sent, upright."""
        return self.picture.size

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.picture.warnings


@dataclass(frozen=True, eq=False)
class Pixels:
    """Raw pixels [C, H, W], red green blue or grey, 0..255, already at the model's size."""

    pixels: torch.Tensor
    warnings: tuple[str, ...] = ()

    def made_for(self, spec: ModelSpec, baseline: types_pb2.Baseline, stream: Stream, limits: Limits) -> Placed:
        path = "input.tensor"
        if spec.modality == "tokens":
            raise InvalidRequest(f"{path}.datatype", f"INT64: model {spec.name} takes tokens")
        _needs(path, "image", spec)
        channels, *size = self.pixels.shape
        wanted = len(spec.pixels.order)
        if channels != wanted:
            raise InvalidRequest(f"{path}.shape", f"{wanted} channels for model {spec.name}, not {channels}")
        if spec.fit.size and tuple(size) != tuple(spec.fit.size):
            h, w = spec.fit.size
            raise InvalidRequest(f"{path}.shape", f"{h}x{w} pixels for model {spec.name}, not {size[0]}x{size[1]}")
        pixels = self.pixels.flip(0) if spec.pixels.order == "BGR" else self.pixels
        where = geometry(self.size, Fit(self.size))
        return _images(pixels, spec, baseline, stream, limits, where)

    @property
    def photo(self) -> Image.Image:
        """The pixels, for display."""
        rgb = np.rint(self.pixels.expand(3, -1, -1).numpy()).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return (self.pixels.shape[1], self.pixels.shape[2])


@dataclass(frozen=True)
class Text:
    """A text."""

    text: str
    size: tuple[int, ...] = ()
    photo: None = None
    warnings: tuple[str, ...] = ()

    def made_for(self, spec: ModelSpec, baseline: types_pb2.Baseline, stream: Stream, limits: Limits) -> Placed:
        _needs("input.text", "text", spec)
        given, at_layer = replacements(baseline, spec)
        units = words(self.text)
        if not units:
            raise InvalidRequest("input.text", "at least one word; there is nothing to leave out")
        if len(units) > limits.max_units:
            raise InvalidRequest("input.text", f"at most {limits.max_units} words and marks, not {len(units)}")
        first, *others = (TextInput(spec.input.name, self.text, units, replacement) for replacement in given)
        return Placed(first, None, tuple(others), at_layer)


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids [L], int64."""

    ids: torch.Tensor
    size: tuple[int, ...] = ()
    photo: None = None
    warnings: tuple[str, ...] = ()

    def made_for(self, spec: ModelSpec, baseline: types_pb2.Baseline, stream: Stream, limits: Limits) -> Placed:
        if spec.modality != "tokens":
            raise InvalidRequest("input.tensor.datatype", f"UINT8 or FP32: model {spec.name} takes no tokens")
        given, at_layer = replacements(baseline, spec)
        length = spec.input.shape[-1] if spec.input.shape else -1
        if length not in (-1, len(self.ids)):
            raise InvalidRequest("input.tensor.shape", f"{length} tokens for model {spec.name}, not {len(self.ids)}")
        if len(self.ids) > limits.max_units:
            raise InvalidRequest("input.tensor.shape", f"at most {limits.max_units} tokens, not {len(self.ids)}")
        low, high = int(self.ids.min()), int(self.ids.max())
        if spec.vocabulary and not 0 <= low <= high < spec.vocabulary:
            known = f"token ids in 0..{spec.vocabulary - 1}, those of model {spec.name}"
            raise InvalidRequest("input.tensor.contents", f"{known}; they span {low}..{high}")
        first, *others = (TokenInput(spec.input.name, self.ids, int(replacement or 0)) for replacement in given)
        return Placed(first, None, tuple(others), at_layer)


Source = Encoded | Pixels | Text | Tokens


def decode_source(message: types_pb2.Input, limits: Limits) -> Source:
    """Read an input that is no series; slow for images. Raises InvalidRequest."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest("input", f"set one of {', '.join(_KINDS)}")
    return _KINDS[kind](message, limits)


def _image(message: types_pb2.Input, limits: Limits) -> Source:
    return Encoded(decode_image(message.image, limits.max_image_pixels, "input.image"))


def _tensor(message: types_pb2.Input, limits: Limits) -> Source:
    path = "input.tensor"
    array = decode_tensor(message.tensor, path, ("UINT8", "FP32", "INT64"))
    if message.tensor.datatype == "INT64":
        if array.ndim != 1:
            raise InvalidRequest(f"{path}.shape", f"[tokens] for INT64, not {list(array.shape)}")
        return Tokens(torch.from_numpy(array.astype(np.int64)))
    if array.ndim != 3:
        raise InvalidRequest(f"{path}.shape", f"[height, width, channel] or the channel first, not {list(array.shape)}")
    first = _channel_first(array.shape, list(message.tensor.axes), path)
    height, width = array.shape[1:] if first else array.shape[:2]
    if height * width > limits.max_image_pixels:
        raise InvalidRequest(f"{path}.shape", f"at most {limits.max_image_pixels} pixels (limits.max_image_pixels)")
    if message.tensor.datatype == "FP32" and not (array.min() >= 0 and array.max() <= 255):
        raise InvalidRequest(
            f"{path}.contents",
            f"pixels in 0..255, before any normalisation; they span {array.min():.4g}..{array.max():.4g}",
        )
    pixels = array if first else array.transpose(2, 0, 1)
    return Pixels(torch.from_numpy(np.array(pixels, np.float32, order="C")))


def _channel_first(shape: tuple[int, ...], axes: list[str], path: str) -> bool:
    if axes:
        if axes not in (["channel", *HEIGHT_WIDTH], [*HEIGHT_WIDTH, "channel"]):
            raise InvalidRequest(f"{path}.axes", f'["height", "width", "channel"] or the channel first, not {axes}')
        return axes[0] == "channel"
    first, last = shape[0] in (1, 3), shape[2] in (1, 3)
    if first == last:
        raise InvalidRequest(f"{path}.axes", f"the names of the axes: {list(shape)} does not tell which is the channel")
    return first


def _text(message: types_pb2.Input, limits: Limits) -> Source:
    if len(message.text) > limits.max_text_characters:
        most = f"at most {limits.max_text_characters} characters (limits.max_text_characters)"
        raise InvalidRequest("input.text", f"{most}, not {len(message.text)}")
    return Text(message.text)


_KINDS: dict[str, Callable[[types_pb2.Input, Limits], Source]] = {"image": _image, "tensor": _tensor, "text": _text}


def digest(message: types_pb2.Input) -> str:
    """SHA-256 of the input as sent, hexadecimal."""
    kind = message.WhichOneof("kind")
    sent = {
        "image": lambda: [message.image],
        "tensor": lambda: [message.tensor.contents],
        "text": lambda: [message.text.encode()],
        "series": lambda: message.series.images,
    }[kind]()
    total = hashlib.sha256()
    for part in sent:
        total.update(part)
    return total.hexdigest()


def _needs(path: str, modality: str, spec: ModelSpec) -> None:
    if spec.modality != modality:
        does = {
            "image": "an image (input.image)",
            "text": "a text (input.text)",
            "tokens": "INT64 tokens (input.tensor)",
        }
        raise InvalidRequest(path, f"model {spec.name} takes {does[spec.modality]}")


def _images(
    pixels: torch.Tensor,
    spec: ModelSpec,
    message: types_pb2.Baseline,
    stream: Stream,
    limits: Limits,
    where: Geometry,
) -> Placed:
    """The pixels over each of their baselines, every one with draws of its own."""

    def over(baseline: Baseline, name: str) -> ImageInput:
        drawn = baseline.image(pixels, spec.pixels, stream.child(name) if name else stream)
        pending = baseline.name if isinstance(baseline, FromSegments) else ""
        sigma = baseline.width(pixels) if isinstance(baseline, Blur) else 0.0
        return ImageInput(spec.input.name, pixels, drawn, spec.pixels, pending, sigma)

    (first, *others), at_layer = image_inputs(message, spec, over, limits.max_image_pixels)
    return Placed(first, where, tuple(others), at_layer)
