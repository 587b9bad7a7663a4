"""From units to soft masks over the input: what `smoothing` and `segmentation` are together.

`shifted_grid` is RISE's: for images a coarse grid, upsampled and shifted at random; for text every word by itself.
"""

import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Protocol

import torch

from sidelight.core.inputs import ImageInput, TextInput, TokenInput
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement


class Field(Protocol):
    """M units and the masks that they span."""

    @property
    def units(self) -> int:
        """M."""

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        """Soft masks [k, *shape] float32 in [0, 1] of kept units z [k, M]."""


@dataclass(frozen=True)
class Units:
    """Every unit is one position of the mask."""

    units: int

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        return z.to(on.device)


class ShiftedGrid:
    """s x s cells, bilinearly upsampled to (s+1) cells' size and cropped at a random offset: one offset a mask.

    RISE, section 3.2: with cells of C_H = ceil(H/s) by C_W = ceil(W/s) pixels, the grid is upsampled to
    (s+1)C_H x (s+1)C_W and an H x W window is cut at an offset uniform in [0, C_H) x [0, C_W). Bilinear upsampling is
    separable, and a crop is a choice of its rows: M = A_y Z A_x^T, two small matrix products a mask.
    """

    def __init__(self, shape: tuple[int, int], cells: int, stream: Stream) -> None:
        self.units = cells * cells
        self.cells = cells
        self.stream = stream
        self.cell = tuple(math.ceil(n / cells) for n in shape)
        self._windows = tuple(_windows(n, cells, c) for n, c in zip(shape, self.cell, strict=True))  # [C, n, s]
        self._on: dict[torch.device, tuple[torch.Tensor, ...]] = {}

    def offsets(self, rows: range) -> torch.Tensor:
        """Offsets [k, 2] in pixels: down, right."""
        u = self.stream.uniform(rows, 2)
        return torch.from_numpy((u * self.cell).astype("int64"))

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        if on.device not in self._on:
            self._on[on.device] = tuple(w.to(on.device) for w in self._windows)
        down, right = self.offsets(rows).to(on.device).unbind(1)
        ay, ax = self._on[on.device]
        z = z.to(on.device).view(-1, self.cells, self.cells)
        return ay[down] @ z @ ax[right].transpose(1, 2)  # [k, H, s] [k, s, s] [k, s, W]


def _windows(n: int, cells: int, cell: int) -> torch.Tensor:
    """Bilinear weights [offset, n, cells] of each window of n pixels, one for each offset in [0, cell)."""
    size = (cells + 1) * cell
    centre = ((torch.arange(size, dtype=torch.float64) + 0.5) * cells / size - 0.5).clamp(0, cells - 1)
    left = centre.floor().long().clamp(max=max(cells - 2, 0))
    weights = torch.zeros(size, cells, dtype=torch.float64)
    weights.scatter_(1, left.unsqueeze(1), (1 - (centre - left)).unsqueeze(1))
    weights.scatter_add_(1, (left + 1).clamp(max=cells - 1).unsqueeze(1), (centre - left).unsqueeze(1))
    return weights.float().unfold(0, n, 1)[:cell].transpose(1, 2).contiguous()


@singledispatch
def shifted_grid(x: object, cells: int, stream: Stream) -> Field:
    """RISE's field over the input `x`."""
    raise TypeError(f"no mask field for {type(x).__name__}")


@shifted_grid.register
def _(x: ImageInput, cells: int, stream: Stream) -> Field:
    return ShiftedGrid(x.shape, cells, stream)


@shifted_grid.register
def _(x: TextInput | TokenInput, cells: int, stream: Stream) -> Field:
    return Units(x.shape[0])
