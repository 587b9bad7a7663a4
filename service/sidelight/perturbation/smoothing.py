"""How units share the pixels: weights that sum to one in every pixel.

Cells of a grid and Gaussians are separable, so most of it is along one axis: weights [n, cells], K = A_y Z A_x^T.
"""

import torch
import torch.nn.functional as F
from scipy.ndimage import find_objects

STEPS = 2**24  # whole multiples of 1/STEPS up to one are float32 numbers, and so are all their partial sums


def cell_of(n: int, cells: int) -> torch.Tensor:
    """The cell of each of n pixels: that which holds the pixel's centre, [n] int64."""
    return (2 * torch.arange(n) + 1) * cells // (2 * n)


def nearest(n: int, cells: int) -> torch.Tensor:
    """Every pixel belongs to its own cell, [n, cells] float64."""
    return F.one_hot(cell_of(n, cells), cells).double()


def bilinear(n: int, cells: int) -> torch.Tensor:
    """Linear interpolation between the centres of cells, held at the edges, [n, cells] float64."""
    centre = ((torch.arange(n, dtype=torch.float64) + 0.5) * cells / n - 0.5).clamp(0, cells - 1)
    left = centre.floor().long().clamp(max=max(cells - 2, 0))
    weights = torch.zeros(n, cells, dtype=torch.float64)
    weights.scatter_(1, left.unsqueeze(1), (1 - (centre - left)).unsqueeze(1))
    weights.scatter_add_(1, (left + 1).clamp(max=cells - 1).unsqueeze(1), (centre - left).unsqueeze(1))
    return weights


def radius(sigma: float) -> int:
    """Pixels on each side that a Gaussian of standard deviation `sigma` reaches: it is cut at 4 sigma."""
    return int(4 * sigma + 0.5)


def gaussian(n: int, sigma: float) -> torch.Tensor:
    """A Gaussian over pixels, mirrored at the edges (as scipy.ndimage's is by default), [n, n] float64."""
    offset = torch.arange(-radius(sigma), radius(sigma) + 1)
    kernel = torch.exp(-0.5 * (offset.double() / sigma) ** 2)
    at = (torch.arange(n).unsqueeze(1) + offset) % (2 * n)  # the axis and its mirror image, over and over
    at = torch.minimum(at, 2 * n - 1 - at)
    weights = (kernel / kernel.sum()).expand(n, -1)
    return torch.zeros(n, n, dtype=torch.float64).scatter_add_(1, at, weights)


def exact(weights: torch.Tensor) -> torch.Tensor:
    """Rows of weights [n, cells] in float32, summing to one exactly and in any order, so that all kept is untouched."""
    whole = (weights * STEPS).round()
    largest = whole.argmax(1, keepdim=True)
    whole.scatter_add_(1, largest, STEPS - whole.sum(1, keepdim=True))
    return (whole / STEPS).float()


def blurred(labels: torch.Tensor, count: int, sigma: float) -> torch.Tensor:
    """Shares [M, H * W] of the segments in each pixel, m~_s = G_y m_s G_x^T, float32 and summing to one exactly.

    A segment reaches `radius` pixels beyond its own box, so only that much of each product is made.
    """
    height, width = labels.shape
    gy, gx, reach = gaussian(height, sigma), gaussian(width, sigma), radius(sigma)
    shares = torch.zeros(count, height, width)  # in whole steps of 1/STEPS
    total = torch.zeros(height, width, dtype=torch.float64)
    for s, (y, x) in enumerate(find_objects(labels.numpy() + 1)):
        near_y = slice(max(y.start - reach, 0), y.stop + reach)
        near_x = slice(max(x.start - reach, 0), x.stop + reach)
        soft = gy[near_y, y] @ (labels[y, x] == s).double() @ gx[near_x, x].T
        steps = (soft * STEPS).round_()
        shares[s, near_y, near_x] = steps.float()
        total[near_y, near_x] += steps
    largest = shares.argmax(0, keepdim=True)
    shares.scatter_add_(0, largest, (STEPS - total).float().unsqueeze(0))
    return shares.div_(STEPS).view(count, -1)
