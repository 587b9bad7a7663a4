"""Real photos: crops of those that come with packages, or a folder of one's own."""

import hashlib
import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import skimage.data
import torch
from laboratory import card, network
from PIL import Image, ImageOps
from sidelight.core.inputs import encode
from sidelight.core.predictor import Fit, PixelSpace
from sidelight.core.sweep import CPU, Placement
from sidelight.predictors.fit import fit
from sidelight.predictors.tuning import placed

SCIKIT_IMAGE = ("chelsea", "coffee", "camera", "rocket", "astronaut")
IN_PACKAGES = (  # what has no function that opens it, and what a smaller installation may lack
    ("sklearn.datasets", "images/flower.jpg"),
    ("sklearn.datasets", "images/china.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("dianna", "data/bee.jpg"),
)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
OWN = 224  # pixels a side that the network was trained at
SURE = 0.4  # probability of the first class at the network's own size, for a crop to be taken
CLOSE = 0.75  # of the shorter side: what a closer crop shows


@dataclass(frozen=True, eq=False)
class Photo:
    """An image with a name that says which one it is, and the photograph that it is a part of."""

    name: str
    photograph: str
    image: Image.Image


@dataclass(frozen=True)
class Agreement:
    """How many of the crops that the network is sure of at its own size it calls the same at the study's."""

    same: int
    of: int


def of_folder(folder: Path) -> list[Photo]:
    """Every image in `folder`. Raises FileNotFoundError where there is none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"no image ({', '.join(SUFFIXES)}) in {folder}")
    return [_named(path.stem, path.stem, _opened(path)) for path in paths]


def of_packages(pixels: int, count: int | None) -> tuple[list[Photo], Agreement]:
    """At most `count` crops of photographs in installed packages, one of each in turn, with how far the network agrees.

    Taken are those that it is sure of at its own size and calls the same at `pixels` a side.
    """
    by_photograph: list[list[Photo]] = []
    sure = same = 0
    net = placed(network(CPU)[1], Placement(CPU, channels_last=True))
    for name, image in _photographs():
        crops = [_named(f"{name}.{i}", name, crop) for i, crop in enumerate(_crops(image))]
        own, small = (_probabilities(net, crops, size) for size in (OWN, pixels))
        certain = own.max(1).values >= SURE
        agree = own.argmax(1) == small.argmax(1)
        sure, same = sure + int(certain.sum()), same + int((certain & agree).sum())
        by_photograph.append([crop for crop, take in zip(crops, certain & agree, strict=True) if take])
    in_turn = [crop for crops in zip_longest(*by_photograph) for crop in crops if crop is not None]
    return in_turn[:count], Agreement(same, sure)


def _photographs() -> Iterator[tuple[str, Image.Image]]:
    for name in SCIKIT_IMAGE:
        yield name, Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    yield "motorcycle", Image.fromarray(skimage.data.stereo_motorcycle()[0])
    for package, file in IN_PACKAGES:
        try:
            path = importlib.resources.files(package).joinpath(file)
        except ModuleNotFoundError:
            continue
        with importlib.resources.as_file(path) as found:
            if found.exists():
                yield found.stem, _opened(found)


def _crops(image: Image.Image) -> Iterator[Image.Image]:
    """Squares: the middle, four closer ones towards the corners, both ends of the longer side."""
    width, height = image.size
    side = min(width, height)
    right, down = width - side, height - side
    yield image.crop((right // 2, down // 2, right // 2 + side, down // 2 + side))
    close = round(side * CLOSE)
    for x, y in ((0, 0), (width - close, height - close), (width - close, 0), (0, height - close)):
        yield image.crop((x, y, x + close, y + close))
    if right or down:
        yield image.crop((0, 0, side, side))
        yield image.crop((right, down, width, height))


def _probabilities(net: torch.nn.Module, crops: list[Photo], pixels: int) -> torch.Tensor:
    """[crop, class]."""
    made = card(pixels)
    space = PixelSpace(made.order or "RGB", made.scale, made.mean, made.std)
    x = torch.stack([encode(fit(c.image, Fit(made.crop, made.resize, made.interpolation))[0], space) for c in crops])
    with torch.inference_mode():
        return net(x.contiguous(memory_format=torch.channels_last)).softmax(1)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _named(name: str, photograph: str, image: Image.Image) -> Photo:
    """The name ends with a digest of the pixels, since two folders may have files of one name."""
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:6]
    return Photo(f"{name}-{digest}", photograph, image)
