"""Changes with an exact strength in the property's own unit, by arithmetic on pixels.

Rows of different requests, changes, images and strengths share a batch: everything is a column. A frame is rounded to
whole levels at the end, halves up: half to even would move half of all pixels at half a level of brightness.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sidelight.core.ask import Edit
from sidelight.core.editor import Canvas, Frame, Prepared, Scale, editor
from sidelight.core.errors import Cancelled, InvalidRequest
from sidelight.core.params import bounded, choice, numbers, picture
from sidelight.core.stream import Stream
from sidelight.core.sweep import Column, Placement, Rows, Shared
from sidelight.editors.changes import LAWS, Change, Given
from sidelight.editors.layers import laid, noise

# ruff: noqa: RUF009 -- these make dataclass fields

VERSION = "1"  # of the arithmetic, a part of every frame's key
BATCH_ROWS = 16
CHUNK_BYTES = 1 << 20  # of float32 rows that are changed at once: as much as stays in a cache


@dataclass(frozen=True)
class ParametricParams:
    """By the time they are used, `image` and `mask` are their pixels: uint8 [3, H, W] or [4, H, W], and [1, H, W]."""

    change: Change | None = choice(None, of=Change, what="which; has to be named")
    image: bytes | torch.Tensor = picture(what="of an overlay or a cross-fade, fitted to the input's size; empty: none")
    mask: bytes | torch.Tensor = picture(
        grey=True,
        what="of an overlay, white where it lies, fitted to the input's size; empty: the alpha of image, or everywhere",
    )
    fill: tuple[float, ...] = numbers(
        most=3, low=0, high=255, what="of an overlay without an image: grey, or red, green and blue; none: black"
    )
    angle: float = bounded(0.0, low=-360, high=360, what="of a translation: degrees, from right to down")


@editor("parametric", params=ParametricParams, paper="HSV hue, BT.601 luma, ITU-T T.81 (JPEG)")
class Parametric:
    """Changes with an exact strength in the property's own unit: brightness, blur, rotation, overlay and others."""

    name = "parametric"
    digest = ""
    batch_rows = BATCH_ROWS

    def __init__(self, device: torch.device) -> None:
        self.placement = Placement(device)
        self.lane = f"pixels-{device}"  # of its own: an edit here takes milliseconds, in a diffusion model minutes

    def scale(self, params: ParametricParams, canvas: Canvas) -> Scale:
        return LAWS[_named(params)].scale

    def prepare(self, params: ParametricParams, canvas: Canvas, stream: Stream) -> Prepared:
        change = _named(params)
        _check(params, change)
        height, width = canvas.pixels.shape[1:]
        same = {"x": Shared(("frame", canvas.digest), canvas.pixels)}
        if "over" in LAWS[change].needs:
            image, mask = _pixels(params.image), _pixels(params.mask)
            over = laid(image, mask, params.fill, (height, width), cut=change is Change.OVERLAY)
            same["over"] = Shared(("over", _digest(over)), over)
        if "noise" in LAWS[change].needs:
            field = noise(stream, (height, width))
            same["noise"] = Shared(("noise", _digest(field)), field)
        decides = (VERSION, change.value, canvas.digest, params.angle, *(str(c.key) for c in same.values()))
        key = hashlib.sha256(repr(decides).encode()).hexdigest()

        def rows(strengths: Sequence[float], on: Placement) -> Rows:
            LAWS[change].scale.check(strengths)
            s = torch.tensor(strengths, dtype=torch.float64, device=on.device)
            return {**same, "change": [change.value] * len(s), "strength": s, "angle": torch.full_like(s, params.angle)}

        return Prepared(Edit(self.name, (height, width), 1), (), rows, f"{self.name}:{key}", (height, width))

    def edit(self, ask: Edit, tiles: Sequence[Rows], alive: Callable[[], bool]) -> torch.Tensor:
        def check() -> None:
            if not alive():
                raise Cancelled

        rows = [(tile, i) for tile in tiles for i in range(len(tile["strength"]))]  # type: ignore[arg-type]
        places = defaultdict(list)
        for place, (tile, i) in enumerate(rows):
            places[Change(tile["change"][i])].append(place)  # type: ignore[index]
        frames = torch.empty((len(rows), 3, *ask.size), dtype=torch.uint8, device=self.placement.device)
        room = max(1, CHUNK_BYTES // (4 * frames[0].numel()))
        for change, all_of_it in places.items():
            law = LAWS[change]
            for at in range(0, len(all_of_it), room):
                check()
                here = all_of_it[at : at + room]
                columns = {n: self._column(n, [rows[p] for p in here]) for n in ("x", "strength", *law.needs)}
                x, s = columns["x"].float(), columns["strength"].float().view(-1, 1, 1, 1)
                frames[here] = _rounded(law.apply(x, s, Given(columns, check)))
        return frames

    def _column(self, name: str, rows: Sequence[tuple[Rows, int]]) -> torch.Tensor:
        return torch.stack([_of_row(tile[name], i) for tile, i in rows]).to(self.placement.device)

    def close(self) -> None: ...


def _of_row(column: Column, i: int) -> torch.Tensor:
    return column.value if isinstance(column, Shared) else column[i]  # type: ignore[return-value]


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """Whole levels, halves up, within 0..255."""
    return (x + 0.5).floor_().clamp_(0, 255).byte()


def _named(params: ParametricParams) -> Change:
    if params.change is None:
        raise InvalidRequest("change", f"has to be named: one of {', '.join(c.value for c in Change)}")
    return params.change


def _check(params: ParametricParams, change: Change) -> None:
    """Raises InvalidRequest for parameters that are missing, or are of another change."""
    image, mask = (_pixels(p) is not None for p in (params.image, params.mask))
    if image and change not in (Change.OVERLAY, Change.CROSSFADE):
        raise InvalidRequest("image", f"is of an overlay or a cross-fade: leave it out for {change.value}")
    if mask and change is not Change.OVERLAY:
        raise InvalidRequest("mask", f"is of an overlay: leave it out for {change.value}")
    if params.fill and (change is not Change.OVERLAY or image):
        raise InvalidRequest("fill", "is of an overlay without an image: leave it out")
    if len(params.fill) == 2:
        raise InvalidRequest("fill", "one number, or three: red, green and blue")
    if params.angle and change is not Change.TRANSLATION:
        raise InvalidRequest("angle", f"is of a translation: leave it out for {change.value}")
    if change is Change.CROSSFADE and not image:
        raise InvalidRequest("image", "a cross-fade needs the image to fade to")


def _pixels(given: bytes | torch.Tensor) -> Frame | None:
    """The pixels of a picture; None where there is none."""
    return given if isinstance(given, torch.Tensor) else None


def _digest(t: torch.Tensor) -> str:
    return hashlib.sha256(t.contiguous().numpy().data).hexdigest()
