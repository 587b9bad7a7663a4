"""From free parameters to a mask: lambda_j = sigmoid( sum_i w_i k(i, j; sigma_i) ), equation 6, for images and texts.

The optimiser moves w and sigma themselves, as the authors' does, so that its rate means what theirs does. Both fields
give the initial lambda of the paper: inside an image .868 for w = .5, sigma = 1.2; inside a text .986 for w = 1.2,
sigma = 2 and the kernel exp(-(d / sigma)^2), .953 with exp(-d^2 / sigma).
"""

from dataclasses import dataclass
from typing import Protocol

import torch

from sidelight.masks.bank import bank
from sidelight.masks.options import Kernel, Options


@dataclass(frozen=True, eq=False)
class Cells:
    """The free parameters of one mask: leaves, which the optimiser changes in place."""

    w: torch.Tensor  # [*cells]
    sigma: torch.Tensor  # [*cells], in pixels (of a kernel `sigma` their square) or in words


class Field(Protocol):
    """Masks of one input."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a mask."""

    def start(self) -> Cells:
        """Cells as they are before the first step."""

    def mask(self, cells: Cells) -> torch.Tensor:
        """lambda [*shape], from 0 to 1; differentiable in w and sigma, which are within bounds."""

    def clamp(self, cells: Cells) -> None:
        """Put sigma back within its bounds, in place."""


class ImageField:
    """Cells of `options.cell` pixels a side, each of whose pixels is a source: lambda [H, W] float32.

    A cell of one pixel is the paper's own parameterisation; a larger one ties the parameters of its pixels, and so
    starts from the same lambda, with the same objective.
    """

    def __init__(self, shape: tuple[int, int], options: Options, dtype: torch.dtype = torch.float32) -> None:
        self.shape, self._options = shape, options
        low, high = (_width(torch.tensor(s), options).item() for s in (options.sigma_low, options.sigma_high))
        self._bank = bank(tuple(shape), options.cell, low, high, dtype)

    def start(self) -> Cells:
        cells = tuple(-(-side // self._options.cell) for side in self.shape)
        return _start(cells, self._options, self._bank.dtype)

    def mask(self, cells: Cells) -> torch.Tensor:
        return self._bank.sum(cells.w, _width(cells.sigma, self._options)).sigmoid()

    def clamp(self, cells: Cells) -> None:
        _clamp(cells, self._options)


class UnitField:
    """A cell for each of n units at places [n, axes], with the exact kernel of their distance: lambda [n] float64."""

    def __init__(self, at: torch.Tensor, options: Options) -> None:
        self.shape, self._options = (len(at),), options
        at = at.double()
        self._distance = (at.unsqueeze(1) - at).square().sum(2)  # [to, from]; squared

    def start(self) -> Cells:
        return _start(self.shape, self._options, torch.float64)

    def mask(self, cells: Cells) -> torch.Tensor:
        return (torch.exp(-self._distance / _width(cells.sigma, self._options)) @ cells.w).sigmoid()

    def clamp(self, cells: Cells) -> None:
        _clamp(cells, self._options)


class WordField(UnitField):
    """Of n words, so many words apart."""

    def __init__(self, n: int, options: Options) -> None:
        super().__init__(torch.arange(n).view(-1, 1), options)


def _start(cells: tuple[int, ...], options: Options, dtype: torch.dtype) -> Cells:
    return Cells(torch.full(cells, options.w, dtype=dtype), torch.full(cells, options.sigma, dtype=dtype))


def _width(sigma: torch.Tensor, options: Options) -> torch.Tensor:
    """What d^2 is divided by."""
    return sigma if options.kernel is Kernel.SIGMA else sigma.square()


def _clamp(cells: Cells, options: Options) -> None:
    with torch.no_grad():
        cells.sigma.clamp_(options.sigma_low, options.sigma_high)
