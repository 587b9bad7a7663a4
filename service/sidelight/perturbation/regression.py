"""Calculators by least squares, LIME and SHAP, from normal equations of size M^2."""

from dataclasses import dataclass

import torch

from sidelight.perturbation.calculators import Sums
from sidelight.perturbation.samplers import log_binomial

SINGULAR = 1e-10  # of the largest eigenvalue: directions below it were not sampled


@dataclass(frozen=True)
class Lime:
    """Slopes of the weighted least squares of y on [Z, 1]; the one of least norm, while rows are too few.

        minimise sum_n w_n (y_n - c - Z_n a)^2 + ridge |a|^2      w_n = exp(-D(1, Z_n)^2 / width^2)

    D is the cosine distance to the full input, 1 - sqrt(k / M) with k units kept; without a width all rows weigh 1.
    Ribeiro et al., KDD 2016.
    """

    kernel_width: float | None = None
    ridge: float = 0.0

    def together(self, units: int) -> int:
        return 1

    def evidence(self, sums: Sums, rows: int) -> float:
        w, squares, z, *_ = sums
        return (w.square() / squares / (len(z) + 1)).item()  # Kish's effective sample size

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        w = self._weights(z).unsqueeze(-1)  # [..., n, 1]
        wz = w * z
        # [1], [1], [M], [T], [M, M], [M, T]
        return w.sum(-2), w.square().sum(-2), wz.sum(-2), (w * y).sum(-2), wz.mT @ z, wz.mT @ y

    def _weights(self, z: torch.Tensor) -> torch.Tensor:
        if self.kernel_width is None:
            return torch.ones_like(z[..., 0])
        cosine = z.sum(-1) / (z.shape[-1] * z.square().sum(-1)).sqrt().clamp(min=1e-12)
        return (-((1 - cosine) / self.kernel_width).square()).exp()

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        w, _, z, y, zz, zy = sums
        w = w.clamp(min=torch.finfo(w.dtype).tiny)  # a narrow kernel may give all rows the weight 0
        mean = (z / w).unsqueeze(-1)  # [..., M, 1]
        zz = zz - mean * z.unsqueeze(-2)  # centred: the intercept is free
        zy = zy - mean * y.unsqueeze(-2)
        return least_norm(zz + self.ridge * torch.eye(zz.shape[-1], dtype=zz.dtype), zy).mT


class Shap:
    """Shapley values by Kernel SHAP: weighted least squares whose two infinite weights are exact constraints.

        minimise sum_n w_n (y_n - y_empty - Z_n a)^2      subject to sum_s a_s = y_full - y_empty
        w_n = pi(k) / q(k)      pi(k) = (M-1) / (C(M, k) k (M-k))

    k units kept, q the sampler's probability of that one coalition, so that any sampler estimates the same values.
    The empty and the full coalition are the constraints. Of least norm around equal shares, while rows are too few.
    Lundberg & Lee, NeurIPS 2017; Covert & Lee, AISTATS 2021.
    """

    def __init__(self, log_density: torch.Tensor) -> None:
        """`log_density` [M+1], as the sampler says it."""
        units = len(log_density) - 1
        k = torch.arange(units + 1, dtype=torch.float64)
        log_weight = -log_binomial(units) - (k * (units - k)).log() - log_density
        proper = (k > 0) & (k < units) & log_density.isfinite()
        log_weight[~proper] = -torch.inf
        self.weight = (log_weight - log_weight.max()).exp() if proper.any() else torch.zeros_like(k)
        # Mean weight over the heaviest: what fraction of rows are worth a row of those. The weights themselves would
        # tell too late, since the heaviest are the rarest.
        self.efficiency = ((log_binomial(units) + log_density).softmax(0) @ self.weight).item() if proper.any() else 1.0

    def together(self, units: int) -> int:
        return 1

    def evidence(self, sums: Sums, rows: int) -> float:
        return rows * self.efficiency / max(len(self.weight) - 1, 1)

    def observe(self, z: torch.Tensor, y: torch.Tensor) -> Sums:
        wz = self.weight[z.sum(-1).round().long()].unsqueeze(-1) * z
        return wz.sum(-2), wz.mT @ z, wz.mT @ y  # [M], [M, M], [M, T]

    def solve(self, sums: Sums, ends: torch.Tensor) -> torch.Tensor:
        z, zz, zy = sums
        share = (ends[0] - ends[1]) / z.shape[-1]  # [T], of equal shares
        r = zy - z.unsqueeze(-1) * ends[1] - zz.sum(-1, keepdim=True) * share
        r = r - r.mean(-2, keepdim=True)
        zz = zz - zz.mean(-1, keepdim=True)  # P A P: both sides projected onto sum_s = 0
        zz = zz - zz.mean(-2, keepdim=True)
        # What is projected away is put back as a unit of its own size, so that a matrix of full rank shows as one.
        trace = zz.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        return (share + least_norm(zz + trace / z.shape[-1] ** 2, r)).mT


def least_norm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The solution x [..., M, T] of least norm to a x = b, for symmetric positive semidefinite a [..., M, M]."""
    factor, info = torch.linalg.cholesky_ex(a)
    pivots = factor.diagonal(dim1=-2, dim2=-1).square()
    if not info.any() and (pivots.amin(-1) > SINGULAR * pivots.amax(-1)).all():
        return torch.cholesky_solve(b, factor)
    return torch.linalg.pinv(a, rtol=SINGULAR, hermitian=True) @ b
