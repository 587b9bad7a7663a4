"""The editors that the conformance suite runs over, and how to ask one. A new kind adds its cases to CASES."""

import functools
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import small_pipelines
import torch
from sidelight import editors
from sidelight.core import editor as kinds
from sidelight.core import registry
from sidelight.core.editor import Canvas, Captured, Editor, Frame, Prepared, Scale
from sidelight.core.stream import Stream
from sidelight.core.sweep import Rows
from sidelight.editors.captured import CapturedParams
from sidelight.editors.changes import Change
from sidelight.editors.instruct_pix2pix import InstructPix2PixParams
from sidelight.editors.ledits import LeditsParams
from sidelight.editors.parametric import ParametricParams
from sidelight.editors.sdedit import SdeditParams

registry.load(editors)
SIZE = (24, 40)
CPU = torch.device("cpu")


def photo(seed: int = 0, size: tuple[int, int] = SIZE, channels: int = 3) -> Frame:
    """Something smooth with noise on it, of all levels."""
    u = torch.from_numpy(Stream(seed, "photo").uniform(range(channels * size[0]), size[1])).view(channels, *size)
    ramp = torch.linspace(0, 1, size[1]) * torch.linspace(1, 0.2, size[0])[:, None]
    return (255 * (0.6 * ramp + 0.4 * u)).round().byte()


def canvas(pixels: Frame, captured: Captured | None = None) -> Canvas:
    """As the request's image comes to an editor."""
    return Canvas(pixels, hashlib.sha256(pixels.numpy().tobytes()).hexdigest(), captured)


@dataclass(frozen=True)
class Case:
    """An editor with parameters.

    `levels` of 255 is how far a row's frame may be from what it is alone: 0 is the same bits. `make` is called once.
    """

    name: str
    kind: str
    make: Callable[[], Editor]
    params: Any
    canvas: Canvas
    levels: int = 0
    other: Any = None  # parameters that make other frames of the same image

    def prepared(self, seed: int = 0, params: Any = None, on: Canvas | None = None) -> Prepared:
        """One property of its canvas, or of `on`."""
        return self.editor.prepare(params or self.params, on or self.canvas, Stream(seed, "case"))

    @property
    def editor(self) -> Editor:
        """One for all tests: weights are loaded once."""
        return _made(self.make)

    @property
    def scale(self) -> Scale:
        """Under its parameters."""
        return self.editor.scale(self.params, self.canvas)

    def strengths(self, count: int = 5) -> list[float]:
        """Some of its default series, both ends among them; of captured images all."""
        if self.canvas.captured:
            return list(self.canvas.captured.strengths)
        s = self.scale
        return [s.first + (s.last - s.first) * i / (count - 1) for i in range(count)]


@functools.cache
def _made(make: Callable[[], Editor]) -> Editor:
    return make()


def edited(editor: Editor, prepared: Prepared, strengths: Sequence[float], tile: int = 100) -> torch.Tensor:
    """Frames [k, 3, H, W] of one batch, its rows made in tiles; of captured images those that are there."""
    if prepared.frames:
        return torch.stack(prepared.frames)
    tiles = [prepared.rows(strengths[at : at + tile], editor.placement) for at in range(0, len(strengths), tile)]
    return editor.edit(prepared.ask, tiles, lambda: True)


def tiles_of(editor: Editor, prepared: Prepared, strengths: Sequence[float]) -> list[Rows]:
    """One tile a row."""
    return [prepared.rows([s], editor.placement) for s in strengths]


@functools.cache
def pixels() -> Editor:
    """What does arithmetic on pixels."""
    return kinds.find("parametric").make(CPU)


@functools.cache
def series() -> Editor:
    """What takes images as they are."""
    return kinds.find("captured").make(CPU)


OWN: dict[Change, dict[str, Any]] = {
    Change.OVERLAY: {"image": photo(1, (30, 20), 4)},
    Change.CROSSFADE: {"image": photo(2, (30, 20))},
    Change.TRANSLATION: {"angle": 30.0},
}
OTHER: dict[Change, dict[str, Any]] = {
    Change.OVERLAY: {"mask": photo(3, (9, 9), 1), "fill": (9.0, 200.0, 30.0)},
    Change.CROSSFADE: {"image": photo(4)},
    Change.TRANSLATION: {"angle": 31.0},
}


def parametric(change: Change) -> Case:
    """A change of the same photo."""
    own, other = ParametricParams(change, **OWN.get(change, {})), ParametricParams(change, **OTHER.get(change, {}))
    return Case(
        f"parametric-{change.value}", "parametric", pixels, own, canvas(photo()),
        other=other if change in OTHER else None,
    )  # fmt: skip


_FOLDERS = tempfile.TemporaryDirectory()  # as long as the tests run


@functools.cache
def diffusion(kind: str) -> Editor:
    """On a pipeline with random weights."""
    folder = Path(_FOLDERS.name) / kind
    save = small_pipelines.instruct_pix2pix if kind == "instruct_pix2pix" else small_pipelines.text_to_image
    return kinds.find(kind).make(name=kind, model=str(save(folder)), device=CPU, precision="float32", batch_rows=8)


def diffused(kind: str, params: Any, other: Any) -> Case:
    """An editor on diffusers' components; kernels of another batch size round otherwise, to a level at most."""
    return Case(kind, kind, functools.partial(diffusion, kind), params, canvas(photo()), levels=1, other=other)


SERIES = Captured((photo(5), photo(6), photo(7)), (10.0, 20.0, 40.0), "degree")
CASES: list[Case] = [
    *map(parametric, Change),
    Case("captured", "captured", series, CapturedParams(), canvas(SERIES.frames[0], SERIES)),
    diffused("instruct_pix2pix", InstructPix2PixParams("", "abc", steps=3), InstructPix2PixParams("", "xyz", steps=3)),
    diffused("sdedit", SdeditParams("", "abc", steps=5), SdeditParams("", "xyz", steps=5)),
    diffused("ledits", LeditsParams("", "abc", steps=3), LeditsParams("", "abc", reverse=True, steps=3)),
]
EDITING = [case for case in CASES if case.canvas.captured is None]
