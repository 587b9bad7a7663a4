"""Drawn skin lesions, in the manner of dermoscopy. Every property has a strength, changed with the rest kept:

    draw(replace(lesion, patch=0.4))        # the same lesion, its sticker at 40 % opacity

A picture is decided by its `Lesion` alone. Nothing here is medical data, and nothing drawn here looks like a diagnosis.
"""

import colorsys
import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZE = 64  # pixels, of either side
HAIRS = 8  # at full strength
PATCHES = {"blue": (58, 104, 196), "green": (66, 158, 88), "orange": (236, 132, 44)}  # red, green, blue
SIDES = {"left": -1.0, "right": 1.0}
PATCH_Y, PATCH_RADIUS = -0.45, 0.40  # in half sides from the centre, down

Picture = NDArray[np.uint8]  # [H, W, 3], red green blue
Field = NDArray[np.float64]  # [H, W], or one of them for each hair

_PIXELS = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
_X, _Y = np.meshgrid(_PIXELS, _PIXELS)  # [H, W] each, in [-1, 1], right and down
_LIGHT, _TAN = np.array([240.0, 204.0, 184.0]), np.array([196.0, 148.0, 118.0])
_HAIR, INK = np.array([48.0, 34.0, 28.0]), np.array([24.0, 24.0, 30.0])


@dataclass(frozen=True)
class Lesion:
    """One picture. The fields of `PROPERTIES` are strengths in [0, 1]; positions are in half sides from the centre."""

    size: float = 0.5
    elongation: float = 0.2
    irregularity: float = 0.2  # of the border
    hue: float = 0.5  # 0: red, 1: yellowish brown
    darkness: float = 0.5
    hairs: float = 0.0
    ruler: float = 0.0  # opacity of a ruler's marks along the lower edge
    patch: float = 0.0  # opacity of a coloured sticker at one side
    skin: float = 0.3  # 0: light, 1: tan
    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0  # of the longer axis, radians
    patch_colour: str = "blue"
    patch_side: str = "left"
    seed: int = 0  # of the border's shape, the textures and the places of the hairs


@dataclass(frozen=True)
class Property:
    """A strength that can be changed by itself, and the instructions for more and for less of it."""

    name: str  # the field of `Lesion`
    more: str
    less: str = ""  # empty: there is none


PROPERTIES = {
    p.name: p
    for p in (
        Property("patch", "add a {colour} patch on the {side}", "remove the patch"),
        Property("hairs", "add hairs"),
        Property("ruler", "add a ruler"),
        Property("darkness", "make the lesion darker", "make the lesion lighter"),
        Property("hue", "make the lesion yellower", "make the lesion redder"),
        Property("size", "make the lesion larger"),
        Property("irregularity", "make the border irregular"),
    )
}


def sample(rng: np.random.Generator) -> Lesion:
    """A lesion with all properties independent; hairs, ruler and sticker are absent from two in three each."""

    def sometimes() -> float:
        return float(rng.uniform(0.3, 1.0)) if rng.random() < 1 / 3 else 0.0

    return Lesion(
        size=float(rng.uniform(0, 1)),
        elongation=float(rng.uniform(0, 1)),
        irregularity=float(rng.uniform(0, 1)),
        hue=float(rng.uniform(0, 1)),
        darkness=float(rng.uniform(0, 1)),
        hairs=sometimes(),
        ruler=sometimes(),
        patch=sometimes(),
        skin=float(rng.uniform(0, 1)),
        x=float(rng.uniform(-0.15, 0.15)),
        y=float(rng.uniform(-0.15, 0.15)),
        angle=float(rng.uniform(0, np.pi)),
        patch_colour=str(rng.choice(list(PATCHES))),
        patch_side=str(rng.choice(list(SIDES))),
        seed=int(rng.integers(2**31)),
    )


def strengths(lesion: Lesion) -> dict[str, float]:
    """Its properties by name."""
    return {name: getattr(lesion, name) for name in PROPERTIES}


def at(lesion: Lesion, name: str, strength: float) -> Lesion:
    """The same lesion with one property at this strength."""
    return dataclasses.replace(lesion, **{name: strength})  # type: ignore[arg-type]  # every property is a float


def instruction(lesion: Lesion, name: str, more: bool = True) -> str:
    """What is to be changed, in words; a sticker by its colour and side."""
    words = PROPERTIES[name].more if more else PROPERTIES[name].less
    return words.format(colour=lesion.patch_colour, side=lesion.patch_side)


def caption(lesion: Lesion) -> str:
    """The picture in words."""
    told = [
        "large" if lesion.size > 0.5 else "small",
        "dark" if lesion.darkness > 0.5 else "light",
        "yellow" if lesion.hue > 0.5 else "red",
    ]
    border = "irregular" if lesion.irregularity > 0.5 else "smooth"
    words = f"a {' '.join(told)} lesion with {border} border"
    words += " and hairs" if lesion.hairs > 0.25 else ""
    words += " and a ruler" if lesion.ruler > 0.25 else ""
    return words + (f" and a {lesion.patch_colour} patch on the {lesion.patch_side}" if lesion.patch > 0.25 else "")


def draw(lesion: Lesion) -> Picture:
    """The picture [64, 64, 3]."""
    rng = np.random.default_rng(lesion.seed)
    texture = _smooth(rng, 6)
    pigment = _smooth(rng, 10)
    waves = rng.normal(size=7), rng.uniform(0, 2 * np.pi, size=7)
    hairs = _hairs(rng)
    grain = rng.normal(scale=1.2, size=(SIZE, SIZE, 1))

    image = (_LIGHT + lesion.skin * (_TAN - _LIGHT)) * (1 + 0.035 * texture - 0.05 * (_X**2 + _Y**2))[..., None]
    image = _over(image, _colour(lesion) * (1 + 0.12 * pigment)[..., None], inside(lesion, waves))
    image = _over(image, np.array(PATCHES[lesion.patch_colour], dtype=float), lesion.patch * sticker(lesion))
    image = _over(image, INK, 0.9 * lesion.ruler * marks())
    shown = np.clip(lesion.hairs * HAIRS - np.arange(HAIRS), 0, 1)  # one hair after the other
    image = _over(image, _HAIR, 0.85 * (hairs * shown[:, None, None]).max(0))
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def inside(lesion: Lesion, waves: tuple[NDArray, NDArray] | None = None) -> Field:
    """How much of each pixel is lesion, [H, W] in [0, 1].

    The border is a circle stretched to an ellipse of the same area, its radius multiplied by
    1 + irregularity * sum_k a_k cos(k t + phi_k), k = 2..8.
    """
    if waves is None:  # as `draw` draws them
        rng = np.random.default_rng(lesion.seed)
        _smooth(rng, 6), _smooth(rng, 10)
        waves = rng.normal(size=7), rng.uniform(0, 2 * np.pi, size=7)
    amplitude, phase = waves
    cos, sin = np.cos(lesion.angle), np.sin(lesion.angle)
    x, y = _X - lesion.x, _Y - lesion.y
    stretch = 1 + 0.4 * lesion.elongation
    u, v = (x * cos + y * sin) / stretch, (y * cos - x * sin) * stretch
    turn = np.arctan2(v, u)
    amplitude = amplitude / np.sqrt((amplitude**2).sum()) * 0.3
    order = np.arange(2, 9)[:, None, None]
    wave = (amplitude[:, None, None] * np.cos(order * turn + phase[:, None, None])).sum(0)
    border = (0.25 + 0.3 * lesion.size) * (1 + lesion.irregularity * wave)
    return _step((border - np.hypot(u, v)) / 0.07 + 0.5)


def sticker(lesion: Lesion) -> Field:
    """How much of each pixel the sticker covers at full strength, [H, W] in [0, 1]."""
    distance = np.hypot(_X - 0.9 * SIDES[lesion.patch_side], _Y - PATCH_Y)
    return _step((PATCH_RADIUS - distance) / 0.05 + 0.5)


def marks() -> Field:
    """How much of each pixel the ruler's marks cover, [H, W] in [0, 1]: one every eighth of the side."""
    place = _X * 4
    nearest = np.rint(place)
    long = np.where(nearest % 2 == 0, 0.30, 0.18)
    return _step((0.08 - np.abs(place - nearest)) / 0.08 + 0.5) * _step((_Y - (1 - long)) / 0.04 + 0.5)


def _colour(lesion: Lesion) -> NDArray[np.float64]:
    hue = (-18 + 54 * lesion.hue) / 360  # of a circle, 0 is red
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, 0.62, 0.80 - 0.55 * lesion.darkness)) * 255


def _hairs(rng: np.random.Generator) -> Field:
    """Parabolas across the picture, [HAIRS, H, W] in [0, 1]."""
    turn, offset, bend = rng.uniform(0, np.pi, HAIRS), rng.uniform(-0.9, 0.9, HAIRS), rng.normal(0, 0.25, HAIRS)
    cos, sin = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    along, across = _X * cos + _Y * sin, _Y * cos - _X * sin
    bend = bend[:, None, None]
    slope = np.sqrt(1 + (2 * bend * along) ** 2)
    distance = np.abs(across - offset[:, None, None] - bend * along**2) / slope
    return np.exp(-((distance / 0.030) ** 2))


def _smooth(rng: np.random.Generator, waves: int) -> Field:
    """A texture of plane waves [H, W], of zero mean and about unit variance."""
    kx, ky = rng.normal(scale=5.0, size=(2, waves))
    phase = rng.uniform(0, 2 * np.pi, waves)
    plane = kx[:, None, None] * _X + ky[:, None, None] * _Y + phase[:, None, None]
    return np.cos(plane).sum(0) * np.sqrt(2 / waves)


def _over(below: NDArray[np.float64], above: NDArray[np.float64], opacity: Field) -> NDArray[np.float64]:
    return below + opacity[..., None] * (above - below)


def _step(x: Field) -> Field:
    """0 up to 0, 1 from 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
