"""Explained inputs. Each knows its modality and how to blend itself with its baseline under masks, as model rows.

Blending happens in the encoded space (after scale, mean and sd). Encoding is affine, so this equals blending pixels
first and encoding then: encode(b + K (x - b)) = e(b) + K (e(x) - e(b)), and every row costs one fused multiply-add.
"""

import re
import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

import torch

from sidelight.core.predictor import PixelSpace, Unit
from sidelight.core.sweep import Placement, Rows


class Input(Protocol):
    """What a method sees of an input."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a mask and of a map: (H, W) for images, (units,) for text."""

    @property
    def like(self) -> Hashable:
        """Rows of inputs with equal `like` may share a batch."""

    def blend(self, keep: torch.Tensor, on: Placement) -> Rows:
        """Rows that keep the input where `keep` [k, *shape] is 1 and show the baseline where it is 0."""


@dataclass(frozen=True, eq=False)
class ImageInput:
    """Pixels [C, H, W] float32 in 0..255 (channels as `space.order`) with a baseline of the same shape."""

    name: str
    pixels: torch.Tensor
    baseline: torch.Tensor
    space: PixelSpace
    from_segments: str = ""  # the local work that has yet to make the baseline, from a method's segments
    sigma: float = 0.0  # of the Gaussian that made the baseline of the pixels, in pixels; 0: something else did
    _encoded: dict[Placement, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def like(self) -> Hashable:
        return ("image", *self.pixels.shape)

    def blend(self, keep: torch.Tensor, on: Placement) -> Rows:
        b, delta = self._on(on)
        k = keep.unsqueeze(1) if self.space.layout == "NCHW" else keep.unsqueeze(3)
        shape = (len(keep), *b.shape)
        x = torch.empty(shape, dtype=on.dtype, device=on.device, memory_format=on.layout(len(shape)))
        torch.addcmul(b, k, delta, out=x)
        return {self.name: x.round_().clamp_(0, 255).to(torch.uint8) if self.space.integer else x}

    def encoded(self, pixels: torch.Tensor, on: Placement) -> Rows:
        """Rows of other pixels [k, C, H, W] float32 in 0..255 of this input's size, as the model takes them."""
        x = encode(pixels, self.space)
        x = x.to(device=on.device, dtype=on.dtype, memory_format=on.layout(x.ndim))
        return {self.name: x.round_().clamp_(0, 255).to(torch.uint8) if self.space.integer else x}

    def _on(self, on: Placement) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoded baseline and difference, on the device once a request."""
        if on not in self._encoded:
            b, x = encode(self.baseline, self.space), encode(self.pixels, self.space)
            self._encoded[on] = _place(b, on), _place(x - b, on)
        return self._encoded[on]


def _place(x: torch.Tensor, on: Placement) -> torch.Tensor:
    x = x.to(device=on.device, dtype=on.dtype)
    return x.unsqueeze(0).contiguous(memory_format=torch.channels_last)[0] if on.channels_last else x


def encode(pixels: torch.Tensor, space: PixelSpace) -> torch.Tensor:
    """Pixels [..., C, H, W] in 0..255 as the model takes them, [..., C, H, W] or [..., H, W, C]."""
    mean, std = (torch.tensor(v, dtype=pixels.dtype).view(-1, 1, 1) for v in (space.mean, space.std))
    x = (pixels * space.scale - mean) / std
    return x.movedim(-3, -1).contiguous() if space.layout == "NHWC" else x


@dataclass(frozen=True)
class TextInput:
    """A text whose units (words, by default) are kept where the mask is at least 1/2, else replaced or left out."""

    name: str
    text: str
    units: tuple[Unit, ...]
    replacement: str = ""

    @property
    def shape(self) -> tuple[int]:
        return (len(self.units),)

    @property
    def like(self) -> Hashable:
        return ("text",)

    def blend(self, keep: torch.Tensor, on: Placement) -> Rows:
        return {self.name: [self.masked(row) for row in (keep >= 0.5).tolist()]}

    def masked(self, keep: list[bool]) -> str:
        """The text with only the kept units; the space before a unit goes with it when it is left out."""
        parts, at = [], 0
        for unit, kept in zip(self.units, keep, strict=True):
            if kept:
                parts.append(self.text[at : unit.end])
            elif self.replacement:
                parts.append(self.text[at : unit.begin] + self.replacement)
            at = unit.end
        parts.append(self.text[at:])
        return "".join(parts)

    def word(self, unit: Unit) -> str:
        """The characters of a unit."""
        return self.text[unit.begin : unit.end]


def words(text: str) -> tuple[Unit, ...]:
    """Words and single marks, with their character offsets.

    What a reader sees as one character is never cut: accents and vowel signs go with their letter, joiners hold words
    and pictures together, and two letters of a flag are one.
    """
    return tuple(Unit(*m.span()) for m in _word().finditer(text))


@cache
def _word() -> re.Pattern[str]:
    """What `words` finds; where it may begin and how it goes on can be told at every character, so time is linear."""
    known = (*range(0x300, 0x20000), *range(0xE0000, 0xE0200))  # all that Unicode has of them but the soft hyphen
    marks = "".join(c for c in map(chr, known) if unicodedata.category(c) in _EXTENDING and c != "\u200b")
    marks += "\u00ad\U0001f3fb-\U0001f3ff"  # skin tones
    letters = rf"\w[\w{marks}]*"
    flag = "[\U0001f1e6-\U0001f1ff]{2}"
    return re.compile(rf"{letters}(?:['’]{letters})*|{flag}|[^\w\s](?:\u200d[^\w\s]|[{marks}])*")


_EXTENDING = ("Mn", "Mc", "Me", "Cf")  # categories of what goes with the character before it: marks, and what joins

_MARKS = ".!?…؟۔।॥։።"
_CLOSERS = r"[\"'”’»›)\]}】」』》〉]*+"  # may stand behind the mark that ends a sentence, and go with it
_ENDS = re.compile(
    rf"[。！？｡]++{_CLOSERS}|(?<![{_MARKS}])[{_MARKS}]++{_CLOSERS}(?=\s+(?P<next>\S?))"
    r"|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++"
)


def sentences(text: str) -> tuple[Unit, ...]:
    """Sentences, with their character offsets; together they hold every character but the space around them.

    One ends at a line break, at a full stop of East Asian scripts, and at another terminal mark with a space behind
    it: 3.5 stays whole. A small letter behind the space continues the sentence, as in "e.g. this".
    """
    ends = [m.end() for m in _ENDS.finditer(text) if not (m["next"] or "").islower()]
    units = []
    for begin, end in zip([0, *ends], [*ends, len(text)], strict=True):
        piece = text[begin:end]
        if piece.strip():
            units.append(Unit(end - len(piece.lstrip()), begin + len(piece.rstrip())))
    return tuple(units)


@dataclass(frozen=True, eq=False)
class TokenInput:
    """Token ids [L] (int64) for a model that takes them; masked positions show the `replacement` id."""

    name: str
    ids: torch.Tensor
    replacement: int = 0

    @property
    def shape(self) -> tuple[int]:
        return (len(self.ids),)

    @property
    def like(self) -> Hashable:
        return ("tokens", *self.ids.shape)

    def blend(self, keep: torch.Tensor, on: Placement) -> Rows:
        ids = self.ids.to(on.device)
        return {self.name: torch.where(keep.to(on.device) >= 0.5, ids, torch.full_like(ids, self.replacement))}
