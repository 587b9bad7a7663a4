"""Maps drawn over pictures, and words coloured by their scores."""

import io

import numpy as np
from PIL import Image

# Matplotlib's "inferno" (CC0) at nine equally spaced points: dark where there is nothing, even to the eye in between.
INFERNO = np.array([
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
    (249, 201, 50), (252, 255, 164),
])  # fmt: skip
OPACITY = (0.3, 0.75)  # of the smallest and the largest number: the picture stays readable where the map is low
FOR, AGAINST = (214, 39, 40), (31, 119, 180)


def overlay(picture: Image.Image, values: np.ndarray) -> Image.Image:
    """A map [H, W] over the picture of the same size, RGBA; transparent where it is NaN (outside the model's crop).

    Colours and opacity are those of the service's own overlays.
    """
    if picture.size != values.shape[::-1]:
        raise ValueError(f"the map is {_size(values.shape[::-1])}, the picture {_size(picture.size)}")
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    level = (np.where(finite, values, low) - low) / ((high - low) or 1.0)  # [H,W] in 0..1
    opacity = (OPACITY[0] + (OPACITY[1] - OPACITY[0]) * level)[:, :, None]
    points = np.linspace(0.0, 1.0, len(INFERNO))
    heat = np.stack([np.interp(level, points, INFERNO[:, c]) for c in range(3)], axis=-1)  # [H,W,3]
    rgb = (1.0 - opacity) * np.asarray(picture.convert("RGB")) + opacity * heat
    return Image.fromarray(np.dstack([rgb.round(), np.where(finite, 255, 0)]).astype(np.uint8))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def opened(encoded: bytes) -> Image.Image:
    """A PNG, decoded."""
    return Image.open(io.BytesIO(encoded))


def png(image: Image.Image, side: int | None = None) -> bytes:
    """The image as PNG, shrunk to at most `side` pixels."""
    if side is not None:
        image = image.copy()
        image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def word_colour(score: float, largest: float) -> tuple[int, int, int]:
    """White at 0, towards red for what speaks for the target and blue for what speaks against it."""
    fade = 1.0 - min(abs(score) / largest, 1.0) if largest > 0 else 1.0
    red, green, blue = (round(c + (255 - c) * fade) for c in (FOR if score > 0 else AGAINST))
    return red, green, blue
