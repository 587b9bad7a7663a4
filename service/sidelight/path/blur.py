"""The blur path (Xu, Venugopalan & Sundararajan, CVPR 2020): from the blurred image to the image.

    gamma(a) = L(x, sigma(a)),   gamma'(a) = dL/dsigma sigma'(a)        L: x under a Gaussian of sigma pixels
    sigma(a) = s ((1 + sigma_max / s)^(1 - a) - 1)                      sigma_max at a = 0, none at a = 1

Its baseline is the blurred end, baseline.blur of the request. The integral does not depend on how sigma runs (the paper
has it linear), but what a rule of n nodes makes of it does: detail enters below a few pixels, and there the nodes are.
The Gaussian is sampled, cut at 4 sigma_max and normalised, edges replicated: at a = 0 that of baseline.blur, and smooth
in sigma throughout.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import torch

from sidelight.core.ask import INPUT
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, encode
from sidelight.core.job import Job
from sidelight.core.sweep import Placement
from sidelight.path.line import Features

SLOPES = 64  # of nodes that are kept, each as large as the image: every target goes through the same ones
FINE = 0.5  # s, pixels: below it a sampled Gaussian is next to none


def starts_blurred(job: Job) -> None:
    """Raises InvalidRequest for a baseline that is not the input, blurred."""
    if job.others or job.at_layer is not None or not (isinstance(job.input, ImageInput) and job.input.sigma):
        raise InvalidRequest(
            "baseline", "the blur path starts at the blurred image: ask for baseline.blur, whose sigma says how blurred"
        )


def blur(x: ImageInput) -> "Blurred":
    """The path to x from its baseline, which is x, blurred."""
    return Blurred(x)


class Blurred:
    """A way at the input of an image model."""

    def __init__(self, x: ImageInput) -> None:
        self._pixels = x.pixels.double()  # [C, H, W]
        self._space, self.sigma = x.space, x.sigma
        self._radius = max(1, math.ceil(4 * x.sigma))
        self._slopes: dict[float, torch.Tensor] = {}

    @cached_property
    def z(self) -> Features:
        return {INPUT: encode(self._pixels, self._space)}

    @cached_property
    def b(self) -> Features:
        return {INPUT: self._at(0.0)}

    def points(self, alphas: Sequence[float], on: Placement) -> Features:
        return {INPUT: torch.stack([self._at(alpha) for alpha in alphas]).to(on.device, on.dtype)}

    def slope(self, alpha: float) -> Features:
        found = self._slopes.get(alpha)
        if found is None:
            found = self._slope(alpha)
            if len(self._slopes) < SLOPES:  # the first stay: all are gone through in turn
                self._slopes[alpha] = found
        return {INPUT: found}

    def _slope(self, alpha: float) -> torch.Tensor:
        rows, columns = self._kernels(alpha)
        along = self._along(alpha)
        down, across = (self._matrix(self._gaussian(alpha)[1], n) for n in self._pixels.shape[1:])
        moved = down @ self._pixels @ columns.T + rows @ self._pixels @ across.T
        return encode(moved * along, self._space) - encode(torch.zeros_like(moved), self._space)

    def _at(self, alpha: float) -> torch.Tensor:
        """gamma(a), as the model takes it."""
        rows, columns = self._kernels(alpha)
        return encode(rows @ self._pixels @ columns.T, self._space)

    def _sigma(self, alpha: float) -> float:
        return FINE * ((1 + self.sigma / FINE) ** (1 - alpha) - 1)

    def _along(self, alpha: float) -> float:
        """sigma'(a)."""
        return -math.log(1 + self.sigma / FINE) * (self._sigma(alpha) + FINE)

    def _kernels(self, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
        """[H, H] and [W, W]: what each pixel has of each other along the columns and along the rows."""
        k, _ = self._gaussian(alpha)
        height, width = self._pixels.shape[1:]
        return self._matrix(k, height), self._matrix(k, width)

    def _gaussian(self, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
        """k_t = e_t / sum e, e_t = exp(-t^2 / 2 sigma^2), and dk_t/dsigma, [2 R + 1]."""
        t = torch.arange(-self._radius, self._radius + 1, dtype=torch.float64)
        sigma = self._sigma(alpha)
        if sigma < 1e-3:  # all but the middle underflow
            return (t == 0).double(), torch.zeros_like(t)
        e = torch.exp(-0.5 * (t / sigma).square())
        d = e * t.square() / sigma**3
        return e / e.sum(), (d - e * d.sum() / e.sum()) / e.sum()

    def _matrix(self, k: torch.Tensor, n: int) -> torch.Tensor:
        """[n, n] of a kernel, what reaches beyond an edge on the edge."""
        place = torch.arange(n).view(-1, 1)
        at = (place + torch.arange(-self._radius, self._radius + 1)).clamp(0, n - 1)
        return torch.zeros((n, n), dtype=torch.float64).scatter_add_(1, at, k.expand(n, -1))
