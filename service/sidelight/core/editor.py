"""What edits an image gradually. Kinds are registered beside their definition, as methods are; an editor is one of a
kind with its weights, on one device.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from sidelight.core.ask import Edit
from sidelight.core.errors import InvalidRequest, Unknown
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Rows

Frame = torch.Tensor  # uint8 [3, H, W], red green blue


@dataclass(frozen=True, eq=False)
class Captured:
    """Ordered images that a caller sent, with the property's strength in each and its unit."""

    frames: tuple[Frame, ...]  # each of its own size
    strengths: tuple[float, ...]
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Canvas:
    """The image that is edited, and its SHA-256; with `captured` the first of that series."""

    pixels: Frame
    digest: str
    captured: Captured | None = None


@dataclass(frozen=True)
class Scale:
    """The strengths of an editor under its parameters: what it takes, and the series that it makes unless told."""

    unit: str  # "degree", "guidance scale"
    low: float
    high: float
    first: float
    last: float
    count: int
    neutral: float | None = None  # the strength that gives the input back, up to the editor's error
    error: float = 0.0  # most levels of 255 by which a channel of a pixel is off at the neutral strength

    def check(self, strengths: Sequence[float], path: str = "strengths") -> None:
        """Raises InvalidRequest naming the first that the editor does not take."""
        for i, strength in enumerate(strengths):
            if not self.low <= strength <= self.high:
                unit = f" ({self.unit})" if self.unit else ""
                raise InvalidRequest(f"{path}[{i}]", f"a number in [{self.low:g}, {self.high:g}]{unit}, not {strength}")


@dataclass(frozen=True, eq=False)
class Prepared:
    """One property of one image, ready to be edited at any strength.

    `rows(strengths, on)` is pure: the columns of these strengths, each parameter a column. What is the same for all of
    them (the image, its prompt) is `Shared` and encoded once.
    """

    ask: Edit
    like: Hashable  # rows with equal asks and equal `like` may share a batch
    rows: Callable[[Sequence[float], Placement], Rows]
    key: str  # digest of all that decides a frame, but for its strength
    size: tuple[int, int]  # of a frame
    frames: tuple[Frame, ...] = ()  # where they are there already, by the strengths' order


class Editor(Protocol):
    """One editor with its weights. `scale` and `prepare` may be called from any thread, `edit` from its lane's only."""

    name: str  # in asks, metrics and answers: the kind's, or the one that the configuration gives it
    lane: str  # editors and predictors with equal lanes share a worker
    digest: str  # SHA-256 of its weights; empty where it has none

    @property
    def placement(self) -> Placement:
        """Where `rows` should be made."""

    @property
    def batch_rows(self) -> int:
        """Rows worth handing over at once."""

    def scale(self, params: Any, canvas: Canvas) -> Scale:
        """The strengths that there are."""

    def prepare(self, params: Any, canvas: Canvas, stream: Stream) -> Prepared:
        """One sequence: its noise is drawn from `stream`, the same for all its rows.

        Raises InvalidRequest, the field named below the editor's own message.
        """

    def edit(self, ask: Edit, tiles: Sequence[Rows], alive: Callable[[], bool]) -> torch.Tensor:
        """Frames [k, 3, H, W] uint8 of the tiles' rows, in order. Asks `alive` between steps, and raises Cancelled."""

    def close(self) -> None:
        """Give back memory."""


@dataclass(frozen=True)
class Kind:
    """A kind of editor: its message's field in `Property`, its parameters, and what makes one."""

    name: str
    params: type
    paper: str
    make: Callable[..., Editor]
    weights: bool  # whether one has to be configured, with weights of its own
    summary: str


_KINDS: dict[str, Kind] = {}


def editor(name: str, *, params: type, paper: str, weights: bool = False) -> Callable[[type], type]:
    """Register a class as the kind of editors `name`, which is also its field in the request's `Property`."""

    def register(made: type) -> type:
        _KINDS[name] = Kind(name, params, paper, made, weights, (made.__doc__ or "").strip().splitlines()[0])
        return made

    return register


def kinds() -> dict[str, Kind]:
    """All kinds by name."""
    return dict(_KINDS)


def find(name: str) -> Kind:
    """The kind `name`. Raises Unknown."""
    if name not in _KINDS:
        raise Unknown("editor", name, _KINDS)
    return _KINDS[name]
