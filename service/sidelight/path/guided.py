"""Guided Integrated Gradients (Kapishnikov et al., CVPR 2021): features of small gradient move first.

Each feature j is a share a_j of its way, x_j = b_j + a_j D_j, D = z - b. Step k of n brings sum_j |D_j| (1 - a_j) down
to (1 - k/n) of what it was: the quarter of the features with the smallest |d g / d x_j| go on, as far as k/n + 0.02 at
most, then the next quarter, until it is; none stays behind k/n - 0.02 (the anchors that keep the path near the straight
one). Fraction and reach are those of the authors' code. No share ever falls, so the path is monotone, from b to z.

    A_j = sum_k (x_kj - x_(k-1)j) (g_kj + g_(k-1)j) / 2

The path is theirs; they take the gradient at the beginning of each step, here it is the mean of both ends, which are
asked anyway: the sum A is then nearer to g(z) - g(b).
"""

from dataclasses import dataclass

import torch

from sidelight.core.ask import Gradient
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Plan, Rows, Sweep
from sidelight.path.gathered import Answers, Gathered, whole
from sidelight.path.gradients import check_finite, check_gradient, like, substituted, weights
from sidelight.path.line import Features, Way, flat, shaped

FRACTION = 0.25  # of the features, that move together
REACH = 0.02  # how far a share may be from k/n


@dataclass(frozen=True, eq=False)
class Trail:
    """What the path of one target came to."""

    features: Features  # A by layer
    output: float  # g(z), where it ends
    baseline_output: float  # g(b), where it begins
    rows: int


def guided(job: Job, line: Way, steps: int) -> Plan[list[Trail]]:
    """One trail for each of T targets, from line.b to line.z, each guided by its own gradient, side by side."""
    w = weights(job)  # [T, K]
    b = flat(line.b)
    delta = flat(line.z) - b  # [d]
    size = delta.abs()
    a = torch.zeros((len(w), len(b)), dtype=torch.float64)
    total = torch.zeros_like(a)
    found = first = yield from _gradients(job, line, b + a * delta, w)
    for k in range(1, steps + 1):
        now = torch.stack([advanced(*row, size, k, steps) for row in zip(a, found.g, strict=True)])
        before, moved, a = found.g, (now - a) * delta, now
        found = yield from _gradients(job, line, b + a * delta, w)
        total += moved * (before + found.g) / 2
    return [Trail(shaped(total[t], line.z), found.s[t].item(), first.s[t].item(), steps + 1) for t in range(len(w))]


def advanced(a: torch.Tensor, g: torch.Tensor, size: torch.Tensor, k: int, steps: int) -> torch.Tensor:
    """Shares a [d] after step k of features with gradients g [d], whose ways are `size` [d] = |D| long."""
    if k == steps:
        return torch.ones_like(a)
    low, high = max(k / steps - REACH, 0.0), min(k / steps + REACH, 1.0)
    a = a.clamp_min(low)
    length = size.sum()
    while True:
        gap = (size * (1 - a)).sum() - length * (1 - k / steps)
        cost = torch.where((a >= high) | (size == 0), torch.inf, g.abs())
        if gap <= 1e-12 * length or cost.isinf().all():
            return a
        threshold = cost.kthvalue(int(FRACTION * (len(a) - 1)) + 1).values
        chosen = (cost <= threshold) & cost.isfinite()
        room = (size * (high - a))[chosen].sum()
        if gap < room:
            return torch.where(chosen, a + (high - a) * (gap / room), a)
        a = torch.where(chosen, high, a)


def _gradients(job: Job, line: Way, x: torch.Tensor, w: torch.Tensor) -> Plan[Answers]:
    """At points x [T, d], each for its own target."""
    layers = tuple(line.z)

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        values = {n: v.to(on.device, on.dtype) for n, v in shaped(x[rows.start : rows.stop], line.z).items()}
        return {**substituted(job.input, values, on), "w": w[rows.start : rows.stop].to(on.device)}, None

    model = Gradient(job.differentiable, layers, job.target.link, exact=True)
    sweep = Sweep(model, len(w), render, Gathered(layers), like(job.input, line.z))
    found = whole(sweep, (yield sweep))
    check_finite(bool(found.s.isfinite().all()))
    check_gradient(bool(found.g.isfinite().all()))  # before a path is led by it
    return found
