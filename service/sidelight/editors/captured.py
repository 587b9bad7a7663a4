"""Ordered images that the caller took itself: nothing is edited."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sidelight.core.ask import Edit
from sidelight.core.editor import Canvas, Prepared, Scale, editor
from sidelight.core.editor import Captured as Series
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Rows


@dataclass(frozen=True)
class CapturedParams:
    """There are none: strengths and unit come with the images."""


@editor("captured", params=CapturedParams, paper="Penzel & Denzler, arXiv 2503.05424, section on captured data")
class Captured:
    """The caller's own ordered images: a turntable, a time lapse."""

    name = "captured"
    digest = ""
    batch_rows = 1

    def __init__(self, device: torch.device) -> None:
        self.placement = Placement(device)
        self.lane = f"pixels-{device}"

    def scale(self, params: CapturedParams, canvas: Canvas) -> Scale:
        x = _series(canvas).strengths
        return Scale(_series(canvas).unit, min(x), max(x), x[0], x[-1], len(x), neutral=x[0])

    def prepare(self, params: CapturedParams, canvas: Canvas, stream: Stream) -> Prepared:
        """Frames are in the order of the series' strengths; there are no others."""
        series = _series(canvas)

        def rows(strengths: Sequence[float], on: Placement) -> Rows:
            raise InvalidRequest("strengths", "captured images have those of input.series, and no others")

        height, width = canvas.pixels.shape[1:]
        ask = Edit(self.name, (height, width), 0)
        return Prepared(ask, (), rows, f"{self.name}:{canvas.digest}", (height, width), series.frames)

    def edit(self, ask: Edit, tiles: Sequence[Rows], alive: Callable[[], bool]) -> torch.Tensor:
        raise Unsupported("NO_EXECUTOR", self.name, "captured images are there already: nothing edits them")

    def close(self) -> None: ...


def _series(canvas: Canvas) -> Series:
    if canvas.captured is None:
        raise InvalidRequest("", "has no images: send them as input.series")
    return canvas.captured
