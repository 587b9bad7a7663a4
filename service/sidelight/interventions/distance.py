"""How far frames are from the unedited image: whether an edit did anything, or changed everything.

Mean absolute difference of pixels, 0..255, over all channels; and the structural similarity of Wang, Bovik, Sheikh &
Simoncelli (IEEE TIP 2004) on luma: 11 x 11 Gaussian of sd 1.5, K1 = .01, K2 = .03, population moments, the mean over
windows that lie inside. As its authors use it, images are first averaged over blocks of F x F pixels, F the shorter
side over 256, rounded. Of an image smaller than a window all of it is one window, evenly weighed.
"""

import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity

from sidelight.core.editor import Frame

SIDE = 256  # of the shorter side, at which structures are compared
WINDOW = 11
SD = 1.5
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (Rec. 601)
RANGE = 255.0


class Distance:
    """From one image [3, H, W] uint8, brought to the size of each frame that is compared with it."""

    def __init__(self, original: Frame) -> None:
        self._original = original
        self._sized: dict[tuple[int, int], tuple[Frame, torch.Tensor]] = {}  # the image and its luma, by size

    def __call__(self, frame: Frame) -> tuple[float, float]:
        """Mean absolute difference and structural similarity of a frame [3, h, w] uint8."""
        original, luma = self._at((frame.shape[1], frame.shape[2]))
        difference = (frame.to(torch.int16) - original.to(torch.int16)).abs_().sum(dtype=torch.int64)
        return float(difference) / frame.numel(), similarity(luma, _luma(frame))

    def _at(self, size: tuple[int, int]) -> tuple[Frame, torch.Tensor]:
        if size not in self._sized:
            frame = resized(self._original, size)
            self._sized[size] = frame, _luma(frame)
        return self._sized[size]


def resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """The frame at another size, bilinear, averaged where it shrinks."""
    if frame.shape[1:] == size:
        return frame
    x = F.interpolate(frame[None].float(), size, mode="bilinear", align_corners=False, antialias=True)
    return x[0].round().clamp(0, 255).to(torch.uint8)


def similarity(a: torch.Tensor, b: torch.Tensor) -> float:
    """SSIM of two luma images [h, w] in 0..255."""
    if min(a.shape) < WINDOW:
        return _one_window(a, b)
    found = structural_similarity(
        a.numpy(), b.numpy(), data_range=RANGE, gaussian_weights=True, sigma=SD, use_sample_covariance=False
    )
    return float(found)


def _one_window(a: torch.Tensor, b: torch.Tensor) -> float:
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    u, v = a - a.mean(), b - b.mean()
    means = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
    return float(means * (2 * (u * v).mean() + c2) / ((u * u).mean() + (v * v).mean() + c2))


def _luma(frame: Frame) -> torch.Tensor:
    """[h, w] float32, no finer than structures are compared."""
    luma = torch.einsum("c,chw->hw", torch.tensor(LUMA), frame.float())
    block = max(1, round(min(luma.shape) / SIDE))
    return F.avg_pool2d(luma[None], block)[0] if block > 1 else luma
