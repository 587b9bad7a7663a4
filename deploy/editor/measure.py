"""What the model card says: how the editor's instructions move what they name, and how much else stays.

Strengths are measured from pixels, by arithmetic that knows where a drawn lesion and a sticker are:

    patch, ruler    a, by least squares, in  frame = picture + a (sticker - picture)  where the sticker or ruler lies;
                    under a caption the larger one of both sides
    hairs           mean of closing - frame, 5 x 5: dark lines thinner than that
    darkness, hue   of the mean colour inside the lesion
    size            share of pixels nearer to the lesion's colour than to the skin's
    irregularity    perimeter^2 / (4 pi area) of these, 1 for a disc
"""

import colorsys
import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import lesions
import networks
import numpy as np
import torch
from lesions import Lesion, Picture
from numpy.typing import NDArray
from scipy import ndimage, stats
from sidelight import editors
from sidelight.core import editor as kinds
from sidelight.core import registry
from sidelight.core.editor import Canvas
from sidelight.core.stream import Stream
from sidelight.editors.instruct_pix2pix import InstructPix2PixParams
from sidelight.editors.ledits import LeditsParams
from sidelight.editors.sdedit import SdeditParams
from skimage.measure import perimeter

HELD_OUT = 12  # lesions, of a seed that was not trained on
GUIDANCE = tuple(1 + 0.2 * i for i in range(11))  # of instructions: where this editor draws what it was trained on
BEYOND = 8.0  # where it does no longer
EITHER = "patch on either side"  # captions are not obeyed in this
EDIT_GUIDANCE = tuple(float(i) for i in range(0, 11))  # of LEDITS++
NOISING = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STEPS = 20

Measure = Callable[[Lesion, Picture], float]


@dataclass(frozen=True)
class Found:
    """Of one lesion: its measured strength along the series, what a drawn edit has, and the change of all else."""

    measured: NDArray[np.float64]  # [strengths]
    before: float  # in the picture itself
    whole: float  # in the same picture with the edit drawn at full strength
    elsewhere: NDArray[np.float64]  # [strengths], mean absolute change outside the edited region, levels of 255

    @property
    def order(self) -> float:
        """Spearman's correlation with the strengths, 1 where every frame has more than the one before, 0 of equals."""
        if np.ptp(self.measured) == 0:
            return 0.0
        return float(stats.spearmanr(self.measured, np.arange(len(self.measured))).statistic)

    @property
    def reached(self) -> NDArray[np.float64]:
        """Of the way from the picture to the drawn edit, the share that each frame is at."""
        return (self.measured - self.before) / (self.whole - self.before)


def report() -> None:
    """Print all figures."""
    registry.load(editors)
    size = sum(file.stat().st_size for file in networks.FOLDER.rglob("*.safetensors") if not _linked(file))
    print(f"{size / 1e6:.1f} MB of weights; on {HELD_OUT} held-out lesions, at {STEPS} steps:")
    drawn = held_out()
    print(f"  autoencoder: mean absolute error {_reconstruction(drawn):.2f} levels of 255")
    print("  edit | order: mean, least | share of the drawn edit: middle, end | change elsewhere, levels: middle, end")
    for series in (GUIDANCE, (BEYOND,)):
        print(f"  guidance {series[0]:g} to {series[-1]:g}")
        for name, known in lesions.PROPERTIES.items():
            for more in (True, False)[: 2 if known.less else 1]:
                start = [lesions.at(x, name, _start(name, more)) for x in drawn]
                _say(known.more if more else known.less, [instructed(x, name, more, series) for x in start])
    clean = [lesions.at(x, "patch", 0.0) for x in drawn]
    _say("sdedit: with a patch", [noised(x) for x in clean])
    _say("ledits: a patch", [inverted(x) for x in clean])


def held_out() -> list[Lesion]:
    """Lesions without hairs, ruler and sticker."""
    rng = np.random.default_rng(2**20)
    drawn = [lesions.sample(rng) for _ in range(HELD_OUT)]
    return [dataclasses.replace(x, hairs=0.0, ruler=0.0, patch=0.0) for x in drawn]


def instructed(lesion: Lesion, name: str, more: bool, guidance: tuple[float, ...] = GUIDANCE) -> Found:
    """Along the guidance of an instruction."""
    params = InstructPix2PixParams(prompt=lesions.instruction(lesion, name, more), steps=STEPS)
    made = frames("instruct_pix2pix", params, lesion, guidance)
    return found(lesion, name, float(more), made)


def noised(lesion: Lesion) -> Found:
    """Along the strength of SDEdit, under the caption of the lesion with its sticker."""
    params = SdeditParams(prompt=lesions.caption(lesions.at(lesion, "patch", 1.0)), guidance=3.0, steps=2 * STEPS)
    return found(lesion, EITHER, 1.0, frames("sdedit", params, lesion, NOISING))


def inverted(lesion: Lesion) -> Found:
    """Along the guidance of LEDITS++."""
    params = LeditsParams(prompt=lesions.caption(lesions.at(lesion, "patch", 1.0)), threshold=0.8, steps=2 * STEPS)
    return found(lesion, EITHER, 1.0, frames("ledits", params, lesion, EDIT_GUIDANCE))


def frames(kind: str, params: object, lesion: Lesion, strengths: tuple[float, ...]) -> list[Picture]:
    """Edited pictures."""
    picture = lesions.draw(lesion)
    pixels = torch.from_numpy(picture).permute(2, 0, 1).contiguous()
    canvas = Canvas(pixels, hashlib.sha256(picture.tobytes()).hexdigest())
    made = _editor(kind)
    prepared = made.prepare(params, canvas, Stream(0))
    with torch.no_grad():
        edited = made.edit(prepared.ask, [prepared.rows(strengths, made.placement)], lambda: True)
    return list(edited.permute(0, 2, 3, 1).numpy())


def found(lesion: Lesion, name: str, end: float, made: list[Picture]) -> Found:
    """What these frames have of a property that goes to `end`."""
    sign, measure = (1 if end else -1), MEASURES[name]
    picture, whole = lesions.draw(lesion), lesions.draw(lesions.at(lesion, "patch" if name == EITHER else name, end))
    elsewhere = ~_edited(lesion, name)
    change = [np.abs(f.astype(float) - picture)[elsewhere].mean() if elsewhere.any() else np.nan for f in made]
    measured = np.array([sign * measure(lesion, frame) for frame in made])
    return Found(measured, sign * measure(lesion, picture), sign * measure(lesion, whole), np.array(change))


def _start(name: str, more: bool) -> float:
    """Where an edit begins: without what is added, in the middle of what has two directions."""
    if name in ("patch", "hairs", "ruler"):
        return float(not more)
    return 0.5 if lesions.PROPERTIES[name].less else 0.2


def _edited(lesion: Lesion, name: str) -> NDArray[np.bool_]:
    """Where an edit is expected, [H, W]; with hairs everywhere."""
    if name == "patch":
        return lesions.sticker(lesion) > 0
    if name == EITHER:
        return np.logical_or(*(lesions.sticker(x) > 0 for x in _both(lesion)))
    if name == "ruler":
        return np.arange(lesions.SIZE)[:, None].repeat(lesions.SIZE, 1) >= 0.8 * lesions.SIZE
    if name == "hairs":
        return np.ones((lesions.SIZE, lesions.SIZE), dtype=bool)
    grown = [dataclasses.replace(lesion, size=1.0), dataclasses.replace(lesion, irregularity=1.0), lesion]
    return np.logical_or.reduce([lesions.inside(x) > 0 for x in grown[0 if name == "size" else 1 :]])


def _opacity(of: Callable[[Lesion], tuple[NDArray, NDArray]], name: str) -> Measure:
    def measure(lesion: Lesion, frame: Picture) -> float:
        cover, colour = of(lesion)
        clean = lesions.draw(lesions.at(lesion, name, 0.0)).astype(float)
        whole = cover[..., None] * (colour - clean)
        return float(((frame - clean) * whole).sum() / (whole**2).sum())

    return measure


def _both(lesion: Lesion) -> list[Lesion]:
    """With the sticker on the left, and on the right."""
    return [dataclasses.replace(lesion, patch_side=side) for side in lesions.SIDES]


def _hairs(lesion: Lesion, frame: Picture) -> float:
    grey = frame.astype(float).mean(-1)
    return float((ndimage.grey_closing(grey, (5, 5)) - grey).mean())


def _inner(lesion: Lesion, frame: Picture) -> NDArray[np.float64]:
    """Mean colour inside."""
    return frame[lesions.inside(lesion) > 0.9].mean(0)


def _darkness(lesion: Lesion, frame: Picture) -> float:
    return -float(_inner(lesion, frame).mean())


def _hue(lesion: Lesion, frame: Picture) -> float:
    hue = colorsys.rgb_to_hsv(*(_inner(lesion, frame) / 255))[0] * 360
    return (hue + 180) % 360 - 180


def _mask(lesion: Lesion, frame: Picture) -> NDArray[np.bool_]:
    """Pixels nearer to the lesion's colour than to the skin's."""
    picture, inside = lesions.draw(lesion).astype(float), lesions.inside(lesion)
    skin, own = picture[inside == 0].mean(0), picture[inside > 0.9].mean(0)
    return ((frame - (skin + own) / 2) * (own - skin)).sum(-1) > 0


def _size(lesion: Lesion, frame: Picture) -> float:
    return float(_mask(lesion, frame).mean())


def _irregularity(lesion: Lesion, frame: Picture) -> float:
    mask = _mask(lesion, frame)
    return float(perimeter(mask) ** 2 / (4 * np.pi * max(mask.sum(), 1)))


MEASURES: dict[str, Measure] = {
    "patch": _opacity(lambda x: (lesions.sticker(x), np.array(lesions.PATCHES[x.patch_colour], dtype=float)), "patch"),
    "hairs": _hairs,
    "ruler": _opacity(lambda x: (lesions.marks(), lesions.INK), "ruler"),
    "darkness": _darkness,
    "hue": _hue,
    "size": _size,
    "irregularity": _irregularity,
}
MEASURES[EITHER] = lambda lesion, frame: max(MEASURES["patch"](x, frame) for x in _both(lesion))
_EDITORS: dict[str, kinds.Editor] = {}


def _editor(kind: str) -> kinds.Editor:
    if kind not in _EDITORS:
        folder = networks.PIX2PIX if kind == "instruct_pix2pix" else networks.TEXT_TO_IMAGE
        _EDITORS[kind] = kinds.find(kind).make(name=kind, model=str(folder))
    return _EDITORS[kind]


def _reconstruction(drawn: list[Lesion]) -> float:
    """Of pictures with everything on them."""
    rich = [dataclasses.replace(x, hairs=0.5, ruler=1.0, patch=1.0) for x in drawn]
    params = SdeditParams(prompt="lesion", steps=STEPS)
    errors = [frames("sdedit", params, x, (0.0,))[0].astype(float) - lesions.draw(x) for x in rich]
    return float(np.abs(errors).mean())


def _say(edit: str, made: list[Found]) -> None:
    order, middle = [x.order for x in made], len(made[0].measured) // 2
    reached = np.median([x.reached for x in made], 0)
    elsewhere = np.mean([x.elsewhere for x in made], 0)
    print(
        f"  {edit} | {np.mean(order):.2f}, {min(order):.2f} | {reached[middle]:.2f}, {reached[-1]:.2f} "
        f"| {elsewhere[middle]:.1f}, {elsewhere[-1]:.1f}",
        flush=True,
    )


def _linked(file: "networks.Path") -> bool:
    return any(parent.is_symlink() for parent in file.parents)
