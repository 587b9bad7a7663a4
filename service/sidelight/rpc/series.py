"""A series of images that a caller sent: a captured intervention, whose first image is the one that is explained."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from sidelight_proto.v1 import types_pb2

from sidelight.core.editor import Captured, Frame
from sidelight.core.errors import InvalidRequest
from sidelight.rpc.images import decode_image, size_of
from sidelight.rpc.sources import Encoded, Limits

PATH = "input.series"
FEWEST, MOST = 3, 1000  # images: central differences need a middle
IMAGES = 20  # of the largest size: what all images of a series may have in pixels together, since each is decoded
MAX_UNIT = 64  # characters


@dataclass(frozen=True, eq=False)
class Series(Encoded):
    """Encoded images in order of strength; `picture` is the first."""

    images: tuple[bytes, ...]
    strengths: tuple[float, ...]
    unit: str
    limits: Limits

    def captured(self, small: Callable[[Image.Image], Image.Image]) -> Captured:
        """The frames, each as `small` makes it. Slow. Raises InvalidRequest for what does not decode, or is too much.

        One image after the other, so that only the small ones are held.
        """
        frames, held = [], 0
        for i, data in enumerate(self.images):
            picture = (
                self.picture if i == 0 else decode_image(data, self.limits.max_image_pixels, f"{PATH}.images[{i}]")
            )
            frames.append(frame_of(small(picture.photo)))
            held += frames[-1].numel()
            if held > self.limits.frame_bytes:
                raise InvalidRequest(f"{PATH}.images", f"{too_many(self.limits)}: images 0..{i} already have {held}")
        return Captured(tuple(frames), self.strengths, self.unit)


def frame_of(image: Image.Image) -> Frame:
    """The pixels of an image, uint8 [3, H, W]."""
    return torch.from_numpy(np.asarray(image.convert("RGB")).transpose(2, 0, 1).copy())


def too_many(limits: Limits) -> str:
    """What would do, where frames take more than there is room for."""
    return f"at most {limits.frame_bytes} bytes of frames in all (limits.frame_bytes)"


def decode_series(message: types_pb2.Input, limits: Limits) -> Series:
    """Check the whole series by its headers and decode its first image. Raises InvalidRequest."""
    series = message.series
    images = tuple(series.images)
    if not FEWEST <= len(images) <= MOST:
        raise InvalidRequest(f"{PATH}.images", f"{FEWEST} to {MOST} of them, not {len(images)}")
    strengths = _strengths(series, len(images))
    if len(series.unit) > MAX_UNIT or not series.unit.isprintable():
        raise InvalidRequest(f"{PATH}.unit", f"at most {MAX_UNIT} printable characters")
    most, total = IMAGES * limits.max_image_pixels, 0
    for i, data in enumerate(images):
        height, width = size_of(data, f"{PATH}.images[{i}]")
        total += height * width
        if total > most:
            raise InvalidRequest(f"{PATH}.images", f"at most {most} pixels in all images together: send them smaller")
    first = decode_image(images[0], limits.max_image_pixels, f"{PATH}.images[0]")
    return Series(first, images, strengths, series.unit, limits)


def _strengths(series: types_pb2.ImageSeries, count: int) -> tuple[float, ...]:
    """One for each image; 0, 1, 2, ... where none are told."""
    if not series.strengths:
        return tuple(float(i) for i in range(count))
    if len(series.strengths) != count:
        raise InvalidRequest(f"{PATH}.strengths", f"{count}, one for each image, or none; not {len(series.strengths)}")
    return ordered(series.strengths, f"{PATH}.strengths")


def ordered(strengths: Sequence[float], path: str) -> tuple[float, ...]:
    """The strengths, which are finite and either rise or fall all along."""
    for i, x in enumerate(strengths):
        if not math.isfinite(x):
            raise InvalidRequest(f"{path}[{i}]", f"a finite number, not {x}")
    steps = [after - before for before, after in pairwise(strengths)]
    for i, step in enumerate(steps):
        if step * steps[0] <= 0:
            what = "rise" if steps[0] > 0 else "fall" if steps[0] < 0 else "rise or fall"
            raise InvalidRequest(
                f"{path}[{i + 1}]", f"in order: they {what} from the first on, and {strengths[i + 1]} does not go on so"
            )
    return tuple(strengths)
