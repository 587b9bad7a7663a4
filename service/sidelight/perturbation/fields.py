"""From units to soft masks over the input: what `segmentation` and `smoothing` are together.

With hard masks m_s and soft ones m~_s of the units s, normalised to cover every pixel once (sum_s m~_s = 1):

    mask of row n       K_n(l) = sum_s Z_ns m~_s(l)         so the all-ones row leaves the input untouched, exactly
    per-pixel map       A(l)   = sum_s a_s m~_s(l)          `spread`
    per-segment map     A(l)   = sum_s a_s m_s(l)           `paint`
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from sidelight.core.baseline import MAX_SIGMA, MIN_SIGMA, default_sigma
from sidelight.core.errors import InvalidRequest
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.perturbation.smoothing import bilinear, blurred, cell_of, exact, gaussian, nearest

MAX_WEIGHTS = 2**26  # float32 numbers of smoothed segments, M x H x W: 256 MiB
CHUNK = 2**22  # weights taken to another precision at once


class Field(Protocol):
    """M units and the soft masks that they span."""

    @property
    def units(self) -> int:
        """M."""

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        """Soft masks [k, *shape] float32 in [0, 1] of kept units z [k, M] (any numbers in [0, 1])."""


class Fixed(Field, Protocol):
    """A field whose masks are the same in every row."""

    def spread(self, a: torch.Tensor) -> torch.Tensor:
        """Per-pixel map [..., *shape] of scores a [..., M], in their dtype: every unit's in the shape of its mask."""

    def paint(self, a: torch.Tensor) -> torch.Tensor:
        """Per-segment map [..., *shape] of scores a [..., M], in their dtype: every pixel shows its unit's."""


@dataclass(frozen=True)
class Units:
    """Every unit is one position of the mask."""

    units: int

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        return z.to(on.device)

    def spread(self, a: torch.Tensor) -> torch.Tensor:
        return a

    def paint(self, a: torch.Tensor) -> torch.Tensor:
        return a


class Grid:
    """s x s cells of equal size, to within a pixel.

    Block, bilinear and Gaussian weights are all separable: K = A_y Z A_x^T, two small matrix products a mask.
    """

    def __init__(self, shape: tuple[int, int], cells: int, smoothing: str = "none", sigma: float | None = None) -> None:
        """`smoothing` is none, bilinear or gaussian, the last of standard deviation `sigma` (None: `default_sigma`).

        Raises InvalidRequest for more cells than pixels along the shorter side and for a sigma out of bounds.
        """
        if not 1 <= cells <= min(shape):
            raise InvalidRequest("segments", f"1 to {min(shape)} cells along a side of this input, not {cells}")
        if smoothing not in _AXIS:
            raise InvalidRequest("smoothing", f"one of {', '.join(_AXIS)} on a grid, not {smoothing!r}")
        sigma = checked_sigma(sigma, shape)
        self.cells = cells
        self.units = cells * cells
        down, right = (cell_of(n, cells) for n in shape)
        self.labels = down.unsqueeze(1) * cells + right  # [H, W] int64
        self._axes = tuple(exact(_AXIS[smoothing](n, cells, sigma)) for n in shape)  # A_y [H, s], A_x [W, s]
        self._on: dict[torch.device, tuple[torch.Tensor, ...]] = {}

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        ay, ax = self._placed(on.device)
        z = z.to(on.device).reshape(-1, self.cells, self.cells)
        return torch.bmm(ay.expand(len(z), -1, -1), z @ ax.T)  # [k, H, s] [k, s, W]

    def spread(self, a: torch.Tensor) -> torch.Tensor:
        ay, ax = (w.to(a.dtype) for w in self._placed(a.device))
        return ay @ (a.reshape(*a.shape[:-1], self.cells, self.cells) @ ax.T)

    def paint(self, a: torch.Tensor) -> torch.Tensor:
        return a[..., self.labels.to(a.device)]

    def _placed(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """A_y and A_x, on the device once a request."""
        if device not in self._on:
            self._on[device] = tuple(w.to(device) for w in self._axes)
        return self._on[device]


_AXIS: dict[str, Callable[[int, int, float], torch.Tensor]] = {
    "none": lambda n, cells, sigma: nearest(n, cells),
    "bilinear": lambda n, cells, sigma: bilinear(n, cells),
    "gaussian": lambda n, cells, sigma: gaussian(n, sigma) @ nearest(n, cells),
}


class Groups:
    """Every position of the mask belongs to one unit, with hard edges: one gather a mask."""

    def __init__(self, labels: torch.Tensor) -> None:
        """`labels` [*shape] int64 from 0 to M - 1. Raises InvalidRequest for labels with gaps."""
        self.labels = labels
        self.units = _count(labels)
        self._on: dict[torch.device, torch.Tensor] = {}

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        return z.to(on.device).index_select(1, self._placed(on.device).flatten()).view(-1, *self.labels.shape)

    def spread(self, a: torch.Tensor) -> torch.Tensor:
        return self.paint(a)

    def paint(self, a: torch.Tensor) -> torch.Tensor:
        return a[..., self._placed(a.device)]

    def _placed(self, device: torch.device) -> torch.Tensor:
        """The labels, on the device once a request."""
        if device not in self._on:
            self._on[device] = self.labels.to(device)
        return self._on[device]


class Segments(Groups):
    """Any partition of an image. With soft edges, a Gaussian on each segment, one matrix product a mask: K = Z m~."""

    def __init__(self, labels: torch.Tensor, sigma: float | None = None) -> None:
        """`labels` [H, W] int64 from 0 to M - 1; `sigma` in pixels is the Gaussian's standard deviation (None: hard).

        Raises InvalidRequest for labels with gaps, a sigma out of bounds, and too many segments to smooth.
        """
        super().__init__(labels)
        self._soft: torch.Tensor | None = None  # m~ [M, H * W]
        self._soft_on: dict[torch.device, torch.Tensor] = {}
        if sigma is not None:
            most = most_smoothed((labels.shape[0], labels.shape[1]))
            if self.units > most:
                raise InvalidRequest(
                    "segments", f"at most {most} of them at this size with smoothing, not {self.units}"
                )
            self._soft = blurred(labels, self.units, checked_sigma(sigma, (labels.shape[0], labels.shape[1])))

    def masks(self, z: torch.Tensor, rows: range, on: Placement) -> torch.Tensor:
        if self._soft is None:
            return super().masks(z, rows, on)
        return (z.to(on.device) @ self._soft_placed(self._soft, on.device)).view(-1, *self.labels.shape)

    def spread(self, a: torch.Tensor) -> torch.Tensor:
        if self._soft is None:
            return super().spread(a)
        soft = self._soft_placed(self._soft, a.device)
        out = a.new_empty((*a.shape[:-1], soft.shape[1]))
        step = max(CHUNK // self.units, 1)
        for begin in range(0, soft.shape[1], step):
            out[..., begin : begin + step] = a @ soft[:, begin : begin + step].to(a.dtype)
        return out.view(*a.shape[:-1], *self.labels.shape)

    def _soft_placed(self, soft: torch.Tensor, device: torch.device) -> torch.Tensor:
        """m~, on the device once a request."""
        if device not in self._soft_on:
            self._soft_on[device] = soft.to(device)
        return self._soft_on[device]


def most_smoothed(shape: tuple[int, int]) -> int:
    """How many segments of an image [H, W] can be given soft edges."""
    return MAX_WEIGHTS // (shape[0] * shape[1])


def checked_sigma(sigma: float | None, shape: tuple[int, int]) -> float:
    """`sigma`, or its default for None. Raises InvalidRequest where it is out of bounds."""
    if sigma is None:
        return default_sigma(shape)
    most = max(min(min(shape) / 2, MAX_SIGMA), MIN_SIGMA)
    if not MIN_SIGMA <= sigma <= most:
        raise InvalidRequest("sigma", f"a number of pixels in [{MIN_SIGMA}, {most}], not {sigma}")
    return sigma


def _count(labels: torch.Tensor) -> int:
    """M. Raises InvalidRequest unless labels are 0..M-1, each of them used."""
    if labels.dtype != torch.int64 or not labels.numel():
        raise InvalidRequest("labels", f"int64 numbers, one for each position, not {labels.dtype} {list(labels.shape)}")
    used = labels.unique()  # sorted
    if used[0] != 0 or used[-1] != len(used) - 1:
        raise InvalidRequest("labels", f"every number from 0 to {len(used) - 1} for {len(used)} segments, and no other")
    return len(used)


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
    weights = bilinear((cells + 1) * cell, cells)
    return weights.float().unfold(0, n, 1)[:cell].transpose(1, 2).contiguous()
