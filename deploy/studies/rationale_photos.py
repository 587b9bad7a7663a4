"""Photos with masks of an object, as the network sees them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from photos import SUFFIXES, Photo, named, opened
from PIL import Image
from sidelight.core.predictor import Fit
from sidelight.predictors.fit import fit

FOLDERS = ("photos", "images", ".")
MASKS = "masks"
LEAST, MOST = 0.02, 0.7  # of the pixels that an object has


@dataclass(frozen=True, eq=False)
class Masked:
    """A photo, and a picture that is 0 where its object is not."""

    photo: Photo
    mask: Image.Image

    def region(self, to: Fit) -> torch.Tensor:
        """Where the object is in the model's image, [H, W] bool."""
        marked = Image.fromarray(np.uint8(np.asarray(self.mask) > 0) * 255)
        size = self.photo.image.size
        whole = marked if marked.size == size else marked.resize(size, Image.Resampling.NEAREST)
        return fit(whole, Fit(to.size, to.resize, "nearest"), "L")[0][0] > 0

    def fits(self, to: Fit) -> bool:
        """Whether the object is neither a speck nor nearly everything."""
        return LEAST <= float(self.region(to).float().mean()) <= MOST


def of_folder(folder: Path) -> list[Masked]:
    """The photos with a mask, by name."""
    inside = next((folder / name for name in FOLDERS if (folder / name).is_dir()), folder)
    found = []
    for path in sorted(p for p in inside.iterdir() if p.suffix.lower() in SUFFIXES):
        mask = folder / MASKS / f"{path.stem}.png"
        if mask.exists():
            with Image.open(mask) as picture:
                marked = Image.fromarray(_marked(picture))
            found.append(Masked(named(path.stem, path.stem, opened(path)), marked))
    return found


def _marked(picture: Image.Image) -> np.ndarray:
    """[H, W] uint8, 1 where any channel but alpha is not 0. Of a palette the numbers count, not their colours."""
    numbers = np.asarray(picture)
    if numbers.ndim == 3:
        numbers = numbers[..., : 3 if numbers.shape[2] > 2 else 1].max(2)
    return (numbers != 0).astype(np.uint8)
