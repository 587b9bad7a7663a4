"""Real photos: crops of those that come with packages, or a folder of one's own."""

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
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
IN_PACKAGES = (  # what no function opens, and a smaller installation may lack
    ("sklearn", "datasets/images/flower.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("dianna", "data/bee.jpg"),
)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
OWN = 224  # pixels a side that the network was trained at
SURE = 0.4  # probability of the first class at the network's own size, for a crop to be taken
TOGETHER = 8  # rows of a forward pass
CLOSE = 0.75  # of the shorter side: what a closer crop shows


@dataclass(frozen=True, eq=False)
class Photo:
    """An image with a name that says which one it is, and the photograph that it is a part of."""

    name: str
    photograph: str
    image: Image.Image


@dataclass(frozen=True)
class Agreement:
    """Of the images that the network is sure of at its own size, how many it calls the same at the study's."""

    same: int
    of: int


def of_folder(folder: Path, pixels: int, count: int | None) -> tuple[list[Photo], Agreement]:
    """At most `count` images in `folder`, by name. Raises FileNotFoundError where there is none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"no image ({', '.join(SUFFIXES)}) in {folder}")
    photos = [named(path.stem, path.stem, opened(path)) for path in paths[:count]]
    sure, same = _seen(_network(), photos, pixels)
    return photos, Agreement(int((sure & same).sum()), int(sure.sum()))


def of_packages(pixels: int, count: int | None) -> tuple[list[Photo], Agreement]:
    """At most `count` crops of photographs in installed packages, one of each in turn.

    Taken are those that the network is sure of at its own size and calls the same at `pixels` a side.
    """
    by_photograph: list[list[Photo]] = []
    all_sure = all_same = 0
    net = _network()
    for name, image in _photographs():
        crops = [named(f"{name}.{i}", name, crop) for i, crop in enumerate(_crops(image))]
        sure, same = _seen(net, crops, pixels)
        all_sure, all_same = all_sure + int(sure.sum()), all_same + int((sure & same).sum())
        by_photograph.append([crop for crop, take in zip(crops, sure & same, strict=True) if take])
    in_turn = [crop for crops in zip_longest(*by_photograph) for crop in crops if crop is not None]
    return in_turn[:count], Agreement(all_same, all_sure)


def _network() -> torch.nn.Module:
    return placed(network(CPU)[1], Placement(CPU, channels_last=True))


def _seen(net: torch.nn.Module, photos: Sequence[Photo], pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which photos [photo] the network is sure of at its own size, and which it calls the same at `pixels`."""
    own, small = (_probabilities(net, photos, size) for size in (OWN, pixels))
    return own.max(1).values >= SURE, own.argmax(1) == small.argmax(1)


def _photographs() -> Iterator[tuple[str, Image.Image]]:
    for name in SCIKIT_IMAGE:
        yield name, Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    yield "motorcycle", Image.fromarray(skimage.data.stereo_motorcycle()[0])
    for package, file in IN_PACKAGES:
        spec = importlib.util.find_spec(package)  # an import would take longer than all of the rest
        path = Path(spec.origin).parent / file if spec and spec.origin else None
        if path and path.exists():
            yield path.stem, opened(path)


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


@torch.inference_mode()
def _probabilities(net: torch.nn.Module, photos: Sequence[Photo], pixels: int) -> torch.Tensor:
    """[photo, class]; a few at a time, since a folder may hold many."""
    made = card(pixels)
    space = PixelSpace(made.order or "RGB", made.scale, made.mean, made.std)
    to = Fit(made.crop, made.resize, made.interpolation)
    found = []
    for at in range(0, len(photos), TOGETHER):
        x = torch.stack([encode(fit(p.image, to)[0], space) for p in photos[at : at + TOGETHER]])
        found.append(net(x.contiguous(memory_format=torch.channels_last)).softmax(1))
    return torch.cat(found)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def named(name: str, photograph: str, image: Image.Image) -> Photo:
    """The name ends with a digest of the pixels, since two folders may have files of one name."""
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:6]
    return Photo(f"{name}-{digest}", photograph, image)
