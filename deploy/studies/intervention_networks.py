"""Two small classifiers of 64 x 64 pictures: a residual network with batch norm, and one in the manner of ConvNeXt."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
    """x + two 3 x 3 convolutions, each with batch norm (He et al., CVPR 2016); halves the side where channels grow."""

    def __init__(self, channels: int, grown: int) -> None:
        super().__init__()
        stride = 1 if grown == channels else 2
        self.first = nn.Conv2d(channels, grown, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(grown)
        self.second = nn.Conv2d(grown, grown, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(grown)
        self.passed = nn.Identity() if stride == 1 else nn.Conv2d(channels, grown, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.passed(x) + self.second_norm(self.second(y)))


class Mixing(nn.Module):
    """x + a 7 x 7 convolution in depth, then two layers over channels (Liu et al., CVPR 2022)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(channels, channels, 7, 1, 3, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.wide = nn.Conv2d(channels, 4 * channels, 1)
        self.narrow = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(F.gelu(self.wide(self.norm(self.depth(x)))))


def resnet() -> nn.Module:
    """From 32 x 32 positions of 16 channels to 8 x 8 of 64."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Residual(16, 32), Residual(32, 64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2),
    )  # fmt: skip


def convnext() -> nn.Module:
    """16 x 16 positions of 32 channels, then 8 x 8 of 64."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 4), nn.GroupNorm(1, 32), Mixing(32), nn.Conv2d(32, 64, 2, 2), Mixing(64), Mixing(64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 2),
    )  # fmt: skip


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {"resnet": resnet, "convnext": convnext}
