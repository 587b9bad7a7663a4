"""Encoded images to pixels. Everything is decided from the header before a pixel is decoded."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sidelight.core.errors import InvalidRequest

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
    if not data:
        raise InvalidRequest(path, f"is empty; send an encoded image ({', '.join(FORMATS)})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which is not used
            return _decode(data, max_pixels, path)
    except BROKEN as error:
        raise InvalidRequest(path, f"does not decode ({error}); send a whole, undamaged image") from error


def _decode(data: bytes, max_pixels: int, path: str) -> Picture:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise InvalidRequest(path, f"is no image that can be read; send one of {', '.join(FORMATS)}") from error
    with image:
        width, height = image.size
        if width * height > max_pixels:
            limit = f"at most {max_pixels} pixels are taken (limits.max_image_pixels)"
            raise InvalidRequest(path, f"is {width}x{height} pixels; {limit}: send it smaller")
        notes = ("the image has several frames: the first was explained",) if _animated(image) else ()
        image.load()
        return Picture(_pixels(ImageOps.exif_transpose(image), path), notes)


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
