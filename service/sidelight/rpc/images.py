"""Encoded images to pixels. Everything is decided from the header before a pixel is decoded."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sidelight.core.errors import InvalidRequest

T = TypeVar("T")
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
# What Pillow's parsers raise on broken files, beside OSError: they say so nowhere, this list is from fuzzing them.
BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, OverflowError, RuntimeError, AttributeError,
    ArithmeticError, struct.error, zlib.error,
)  # fmt: skip

# Pillow's own limit is one for the process and lets twice as much through; ours is configured and exact.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image, upright, alpha over white: RGB of 8 bits, or of 16 bits grey [1, H, W] float32 in 0..255."""

    pixels: Image.Image | NDArray[np.float32]
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        if isinstance(self.pixels, Image.Image):
            return (self.pixels.height, self.pixels.width)
        return (self.pixels.shape[1], self.pixels.shape[2])

    @property
    def photo(self) -> Image.Image:
        """RGB of 8 bits, for display."""
        if isinstance(self.pixels, Image.Image):
            return self.pixels
        return Image.fromarray(np.rint(self.pixels[0]).astype(np.uint8)).convert("RGB")


def decode_image(data: bytes, max_pixels: int, path: str) -> Picture:
    """Decode one image; slow, so never on the event loop. Raises InvalidRequest naming the field `path`."""

    def pictured(image: Image.Image, several: bool) -> Picture:
        notes = ("the image has several frames: the first was explained",) if several else ()
        return Picture(_pixels(image, path), notes)

    return _decoded(data, max_pixels, path, pictured)


def decode_layer(data: bytes, max_pixels: int, path: str, *, grey: bool = False) -> torch.Tensor:
    """An image to be laid over another: uint8 [3, H, W], [4, H, W] where it has an alpha, or [1, H, W] if `grey`.

    Slow. Raises InvalidRequest naming the field `path`, also for a picture in colour where a grey one is due.
    """

    def layered(image: Image.Image, several: bool) -> torch.Tensor:
        if several:
            raise InvalidRequest(path, "one image; this one has several frames")
        if image.mode in (*SIXTEEN_BIT, "I", "F"):
            raise InvalidRequest(path, "an image of 8 bits a channel")
        if grey:
            return _grey(image, path)
        planes = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        return torch.from_numpy(planes.transpose(2, 0, 1).copy())

    return _decoded(data, max_pixels, path, layered)


def size_of(data: bytes, path: str) -> tuple[int, int]:
    """Height and width as the header tells them, before any EXIF rotation. Raises InvalidRequest."""
    with _opened(data, path) as image:
        return image.height, image.width


def _grey(image: Image.Image, path: str) -> torch.Tensor:
    rgb = np.asarray(image.convert("RGB"))  # of a palette or of grey, what is shown
    if image.has_transparency_data or (rgb != rgb[:, :, :1]).any():
        raise InvalidRequest(path, "a grey image without alpha, white where the overlay lies; this one is in colour")
    return torch.from_numpy(rgb[None, :, :, 0].copy())


def _decoded(data: bytes, max_pixels: int, path: str, use: Callable[[Image.Image, bool], T]) -> T:
    """What `use` makes of the upright image and of whether it has several frames."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which is not used
            with _opened(data, path) as image:
                width, height = image.size
                if width * height > max_pixels:
                    limit = f"at most {max_pixels} pixels are taken (limits.max_image_pixels)"
                    raise InvalidRequest(path, f"is {width}x{height} pixels; {limit}: send it smaller")
                several = _animated(image)
                image.load()
                return use(ImageOps.exif_transpose(image), several)
    except BROKEN as error:
        raise InvalidRequest(path, f"does not decode ({error}); send a whole, undamaged image") from error


def _opened(data: bytes, path: str) -> Image.Image:
    """The image with its header read."""
    if not data:
        raise InvalidRequest(path, f"is empty; send an encoded image ({', '.join(FORMATS)})")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise InvalidRequest(path, f"is no image that can be read; send one of {', '.join(FORMATS)}") from error
    except BROKEN as error:
        raise InvalidRequest(path, f"does not decode ({error}); send a whole, undamaged image") from error


def _animated(image: Image.Image) -> bool:
    # A JPEG's further frames (MPO) are thumbnails, depth and gain maps of the same photo.
    return image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False)


def _pixels(image: Image.Image, path: str) -> Image.Image | NDArray[np.float32]:
    """The pixels of an image in any of Pillow's modes."""
    if image.mode in SIXTEEN_BIT:
        return np.asarray(image).astype(np.float32)[None] / np.float32(257)  # 65535 becomes 255 exactly
    if image.mode in ("I", "F"):
        raise InvalidRequest(path, "holds 32-bit numbers, whose black and white are not defined; send 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
