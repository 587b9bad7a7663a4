"""The paper's optimiser of image masks once more, by the book: one w and one sigma a pixel, a kernel for each of them.

Equations 2-6 of Brinner & Zarriess, arXiv 2508.11388, with the settings of their image experiments on CNNs. The kernels
are written down, H W x 41 x 41 of them, and autograd goes through everything. Nothing of the service's own masks.
"""

import time
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

RADIUS = 20
STEPS, SETTLED, LEAST = 7500, 2e-4, 250


@dataclass(frozen=True)
class Step:
    """What a mask is worth, the terms with their weights, and when it was known."""

    seconds: float
    mean: float
    kept: float
    removed: float
    size: float
    variation: float
    sigma: float

    @property
    def objective(self) -> float:
        """Without the term of sigma, which has no bound of its own."""
        return self.kept + self.removed + self.size + self.variation


@dataclass
class Question:
    """Why `net` sees class c on x [C, H, W], over baselines [M, C, H, W], all as the network takes them."""

    net: torch.nn.Module
    x: torch.Tensor
    baselines: torch.Tensor
    c: int
    size_weight: float = 0.6
    sigma_weight: float = 1.2
    variation_weight: float = 10.0

    def terms(self, mask):
        """Each term of the objective for a mask [H, W], as tensors, but for sigma's."""
        kept = mask * self.x + (1 - mask) * self.baselines
        removed = (1 - mask) * self.x + mask * self.baselines
        y = self.net(torch.cat([kept, removed]))
        p = 0.9 * y.softmax(1)[:, self.c] + 0.1 * y[:, self.c].sigmoid()
        p, q = (0.99999 * p + 5e-6).chunk(2)
        return {
            "kept": -p.log().mean(),
            "removed": -(1 - q).log().mean(),
            "size": self.size_weight * mask.mean() ** 2,
            "variation": self.variation_weight * variation(mask),
        }

    def worth(self, mask):
        """The objective of a mask, without the term of sigma."""
        with torch.no_grad():
            return float(sum(self.terms(mask).values()))


@dataclass
class Found:
    """The mask of the last step, and every step's terms."""

    mask: torch.Tensor | None = None
    steps: list[Step] = field(default_factory=list)
    settled: bool = False


def variation(mask):
    """Squared differences of neighbours, diagonal ones too, each pair once, over the number of pixels."""
    pairs = (
        mask[1:] - mask[:-1],
        mask[:, 1:] - mask[:, :-1],
        mask[1:, 1:] - mask[:-1, :-1],
        mask[1:, :-1] - mask[:-1, 1:],
    )
    return sum(d.square().sum() for d in pairs) / mask.numel()


def mask_of(w, sigma):
    """lambda [H, W] of w and sigma [H, W]: every source's own kernel, laid down where the source is."""
    a = torch.arange(-RADIUS, RADIUS + 1, dtype=w.dtype)
    distance = (a.view(-1, 1) ** 2 + a**2).view(-1, 1)
    kernels = torch.exp(-distance / sigma.view(1, -1)) * w.view(1, -1)  # [41 x 41, H W]
    return F.fold(kernels.unsqueeze(0), w.shape, 2 * RADIUS + 1, padding=RADIUS)[0, 0].sigmoid()


def optimise(question, steps=STEPS, rate=0.03, w0=0.5, sigma0=1.2, low=0.6, high=400.0, dtype=torch.float32):
    """Adam on w and sigma until the smoothed decrease of the mean is below `SETTLED`, or for `steps` steps."""
    shape = question.x.shape[1:]
    w = torch.full(shape, w0, dtype=dtype, requires_grad=True)
    sigma = torch.full(shape, sigma0, dtype=dtype, requires_grad=True)
    adam = torch.optim.Adam([w, sigma], lr=rate)
    found, last, decrease = Found(), 1.0, None
    began = time.perf_counter()
    for step in range(steps):
        mask = mask_of(w, sigma)
        terms = question.terms(mask)
        terms["sigma"] = -question.sigma_weight * sigma.log().mean()
        adam.zero_grad()
        sum(terms.values()).backward()
        adam.step()
        with torch.no_grad():
            sigma.clamp_(low, high)
        found.mask, mean = mask.detach(), mask.mean().item()
        values = {name: term.item() for name, term in terms.items()}
        found.steps.append(Step(time.perf_counter() - began, mean, **values))
        decrease = last - mean if decrease is None else 0.95 * decrease + 0.05 * (last - mean)
        last = mean
        if step >= LEAST and decrease < SETTLED and mean < 0.5:
            found.settled = True
            break
    return found


def overlap(a, b):
    """Intersection over union of two masks cut at 1/2."""
    a, b = a >= 0.5, b >= 0.5
    return float((a & b).sum() / (a | b).sum())
