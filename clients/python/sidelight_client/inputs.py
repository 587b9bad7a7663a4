"""What is explained, as the caller has it: a path, bytes, a picture, an array, a text or a series of images."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps
from sidelight_proto.v1 import types_pb2

from sidelight_client import tensors
from sidelight_client.errors import InvalidRequest

Picture: TypeAlias = str | Path | bytes | Image.Image


@dataclass(frozen=True)
class Series:
    """Ordered images of one scene that differ in one property; `strengths` in `unit`, or 0, 1, 2, ..."""

    images: Sequence[Picture]
    strengths: Sequence[float] = ()
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Source:
    """An input as it is sent. Kept beside the answer, so that overlays can be drawn and answers replayed."""

    message: types_pb2.Input

    @property
    def text(self) -> str | None:
        """The text; None for anything else."""
        return self.message.text if self.message.HasField("text") else None

    @property
    def sha256(self) -> str:
        """Of the content, hexadecimal, as the service tells it in `input_sha256`."""
        parts = {
            "image": lambda m: [m.image],
            "tensor": lambda m: [m.tensor.contents],
            "text": lambda m: [m.text.encode()],
            "series": lambda m: m.series.images,
        }[self.message.WhichOneof("kind")](self.message)
        total = hashlib.sha256()
        for part in parts:
            total.update(part)
        return total.hexdigest()

    def picture(self) -> Image.Image | None:
        """The image as the service sees it: upright, RGB, alpha laid over white. None for texts and tokens."""
        match self.message.WhichOneof("kind"):
            case "image":
                return upright(self.message.image)
            case "series":
                return upright(self.message.series.images[0])
            case "tensor" if len(self.message.tensor.shape) == 3:
                return _from_pixels(tensors.Chunks().decode(self.message.tensor))
            case _:
                return None


def encode(value: object = None, text: str | None = None) -> Source:
    """The input for the wire. A `str` is always a path; a text to explain is given as `text`.

    Arrays are sent as raw pixels, uint8 or float32 in 0..255, [height, width, channel] or [channel, height, width],
    and must have the model's size; wrap one in `PIL.Image.fromarray` to have the service fit it to the model. An array
    [length] of whole numbers is the token ids of a text. A list of images is a `Series` of them.
    """
    if (value is None) == (text is None):
        raise InvalidRequest.of("input", "give one thing to explain: an image, or text=")
    if text is not None:
        return Source(types_pb2.Input(text=text))
    if isinstance(value, np.ndarray):
        return Source(types_pb2.Input(tensor=_tensor(value)))
    if isinstance(value, list | tuple):
        value = Series(value)
    if isinstance(value, Series):
        images = [encoded_image(image) for image in value.images]
        series = types_pb2.ImageSeries(images=images, strengths=value.strengths, unit=value.unit)
        return Source(types_pb2.Input(series=series))
    return Source(types_pb2.Input(image=encoded_image(value)))


def encoded_image(value: object) -> bytes:
    """The bytes of an image file: read, taken as they are, or a PIL image as PNG (lossless, upright)."""
    match value:
        case bytes():
            return value
        case str() | Path():
            return Path(value).read_bytes()
        case Image.Image():
            return _png(value)
    would_do = "a path (str or Path), image bytes, a PIL image, a numpy array or a Series (a text goes into text=)"
    raise InvalidRequest.of("input", f"takes {would_do}; got {type(value).__name__}")


def upright(encoded: bytes) -> Image.Image:
    """The image decoded as the service does: EXIF rotation applied, alpha laid over white, RGB."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _png(image: Image.Image) -> bytes:
    # PNG does not keep EXIF here, so the rotation has to be in the pixels.
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F"):
        raise InvalidRequest.of("input", "a picture of 32-bit numbers has no defined white; convert it to 8 or 16 bits")
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _tensor(array: np.ndarray) -> types_pb2.Tensor:
    if array.ndim == 1 and np.issubdtype(array.dtype, np.integer):
        return tensors.encode(array.astype(np.int64))
    if array.ndim != 3 or array.dtype not in (np.uint8, np.float32):
        raise InvalidRequest.of(
            "input",
            f"an array has to be [height, width, channel] or [channel, height, width], uint8 or float32 in 0..255, "
            f"at the model's size; got {array.dtype} {list(array.shape)}",
        )
    return tensors.encode(array, axes=_axes(array.shape))


def _axes(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Photos are wider than they have channels, so the channel axis is the short one at either end."""
    return ("height", "width", "channel") if shape[2] <= 4 else ("channel", "height", "width")


def _from_pixels(array: np.ndarray) -> Image.Image:
    if _axes(array.shape)[0] == "channel":
        array = array.transpose(1, 2, 0)
    pixels = np.clip(np.rint(np.nan_to_num(array)), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
