"""A neutral baseline: a point at the layers whose output says nothing, searched for from the mean feature.

Accepted is b where both hold:

    explained number   a probability:      |log g(b) - log c| <= 0.05      c = 1/K: its share of chance
                       a logit or margin:  |g(b)| <= 1e-3 max(1, |g(z)|)
    whole output       entropy >= 0.9      H(p) / log K, p the probabilities of the K classes

(A confident dog is not neutral for "cat".) Outputs that are read as independent sigmoids have chance 1/2 each, and the
mean of their entropies. A step solves the linearised conditions, r + J d = 0, by the shortest d that keeps to the range
of the features (Gauss-Newton on the free ones; for the entropy alone Polyak's step), with

    r = (what KL(u || p) has too much, where the entropy is low; q_t(b) - its level)    q_t: log g, or logit or margin

whose gradients are T + 1 rows, and goes along d as far as a few forward rows say that it helps. Nothing is drawn.
"""

import math
from dataclasses import dataclass

import torch

from sidelight.core.ask import INPUT, Forward, Gradient
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import ImageInput, encode
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Plan, Rows, Sweep
from sidelight.core.target import LINKS, NATURAL, Link, OutputKind, outputs
from sidelight.path.gathered import Answers, Gathered, whole
from sidelight.path.gradients import like, substituted, weights
from sidelight.path.line import Features, flat, shaped

STEPS = 200
FRACTIONS = (1.0, 0.5, 0.25, 0.0625)  # of a step that are tried
STALL = 20  # steps in which the conditions must come nearer by a tenth
ENTROPY = 0.9  # the least that is accepted
KEPT, EASY = 0.92, 0.96  # the least that the search keeps to; from where on it leaves the entropy alone
TOWARDS = (0.0, 0.1, 0.3)  # shares of the way from the mean feature to z to start at: at some, dead units wake up
LOG_SHARE, MARGIN = 0.05, 1e-3
SIGMOIDS = (Link.SIGMOID, Link.LOG_SIGMOID, Link.LOG_SIGMOID_COMPLEMENT)


@dataclass(frozen=True, eq=False)
class Aim:
    """What is neutral for a target: q_t = sum_k w_tk L(y)_k within `tolerance` of `level`, and the output spread."""

    kind: OutputKind
    link: Link  # L
    weights: torch.Tensor  # w, [T, K] float64
    level: float
    tolerance: torch.Tensor  # [T]
    spread: tuple[Link, ...]  # links whose mean over classes is highest where the output says nothing

    @property
    def sigmoids(self) -> bool:
        """Whether the outputs are independent of each other."""
        return len(self.spread) > 1

    def off(self, y: torch.Tensor) -> torch.Tensor:
        """q_t - level, [k, T] of outputs y [k, ...]."""
        return self._read(y, self.link) @ self.weights.T - self.level

    def divergence(self, y: torch.Tensor) -> torch.Tensor:
        """KL(u || p) in nats, [k]; of sigmoids the mean over them."""
        mean = torch.stack([self._read(y, link).mean(1) for link in self.spread]).mean(0)
        return -mean - math.log(2 if self.sigmoids else self.weights.shape[1])

    def entropy(self, y: torch.Tensor) -> torch.Tensor:
        """Of the whole output over its largest, [k]."""
        if self.sigmoids:
            p = torch.sigmoid(outputs(y, self.kind))
            return ((torch.special.entr(p) + torch.special.entr(1 - p)) / math.log(2)).mean(1)
        p = self._read(y, Link.PROBABILITY).clamp_min(0)
        p = p / p.sum(1, keepdim=True)
        return torch.special.entr(p).sum(1) / math.log(p.shape[1])

    def merit(self, y: torch.Tensor) -> torch.Tensor:
        """What the search brings down, in nats or the unit of the explained number, [k]."""
        missing = (KEPT - self.entropy(y)).clamp_min(0) * math.log(2 if self.sigmoids else self.weights.shape[1])
        return (missing + self.off(y).abs().sum(1)).nan_to_num(math.inf, math.inf, math.inf)

    def met(self, y: torch.Tensor, share: float = 1.0) -> bool:
        """Whether the one output y [1, ...] is accepted, with the tolerance of the numbers cut to a share."""
        near = bool((self.off(y)[0].abs() <= share * self.tolerance).all())
        return near and float(self.entropy(y)[0]) >= ENTROPY

    def _read(self, y: torch.Tensor, link: Link) -> torch.Tensor:
        s = outputs(y, self.kind)
        return s if link is Link.AS_SERVED else LINKS[self.kind][link](s)


def aim(job: Job) -> Aim:
    """What is neutral for the job's target. Raises InvalidRequest where nothing is."""
    target = job.target
    if target.kind is OutputKind.AS_SERVED or target.references is not None:
        raise InvalidRequest(
            "baseline.neutral",
            "needs classes whose probabilities are known (the model card's output.kind, and a target of classes): "
            "choose another baseline",
        )
    w = weights(job)
    link = NATURAL[target.kind] if target.link is Link.AS_SERVED else target.link
    sigmoids = link in SIGMOIDS
    if w.shape[1] < 2 and not sigmoids:
        raise InvalidRequest(
            "baseline.neutral",
            "needs two classes or more, or one that is read as a sigmoid (target.link): choose another baseline",
        )
    spread = (Link.LOG_SIGMOID, Link.LOG_SIGMOID_COMPLEMENT) if sigmoids else (Link.LOG_PROBABILITY,)
    if link is Link.LOGIT or target.contrast:
        assert job.ends is not None  # known once the target is resolved
        tolerance = MARGIN * target.score(job.ends[:1])[0].abs().clamp_min(1)
        return Aim(target.kind, link, w, 0.0, tolerance, spread)
    chance = 2 if sigmoids else w.shape[1]
    tolerance = torch.full((target.count,), LOG_SHARE, dtype=torch.float64)
    return Aim(target.kind, spread[0], w, -math.log(chance), tolerance, spread)


def neutral(job: Job, start: Features, z: Features) -> Plan[Features]:
    """b by layer, [*A_l] float64, from `start` on within the range of the features z.

    Raises Unsupported (NO_NEUTRAL_BASELINE) with the entropy and value reached where none is found.
    """
    wanted = aim(job)
    space = _Space(job, z)
    mean, own = flat(start), flat(z)
    reached = []
    for share in TOWARDS:
        found = yield from _search(space, wanted, mean + share * (own - mean))
        if wanted.met(found.y):
            return shaped(found.b, z)
        reached.append(found)
    raise _none(job, wanted, min(reached, key=lambda found: found.merits[-1]), tuple(start))


@dataclass(frozen=True, eq=False)
class _Reached:
    """Where a search ended: the point [d], the output there [1, ...], and the merit from step to step."""

    b: torch.Tensor
    y: torch.Tensor
    merits: list[float]


def _search(space: "_Space", wanted: Aim, start: torch.Tensor) -> Plan[_Reached]:
    b, reach = space.inside(start), 1.0
    y, r, J = yield from _linearised(space, wanted, b)
    merits = [float(wanted.merit(y)[0])]
    while not wanted.met(y, 0.5) and reach > 1e-6 and len(merits) <= STEPS and math.isfinite(merits[-1]):
        d = _shortest(J, r, b, space) if J.isfinite().all() else torch.zeros_like(b)
        if not d.any():
            break  # every unit that could move is dead, or an output is at its end (the log of a probability of 0)
        tried = torch.stack([space.inside(b + reach * f * d) for f in FRACTIONS])
        found = wanted.merit((yield from _outputs(space, tried)))
        best = int(found.argmin())
        if not found[best] < merits[-1]:
            reach *= FRACTIONS[-1] / 2
            continue
        b, reach = tried[best], min(1.0, 4 * reach * FRACTIONS[best])
        y, r, J = yield from _linearised(space, wanted, b)
        merits.append(float(found[best]))
        if len(merits) > STALL and merits[-1] > 0.9 * merits[-STALL - 1]:
            break
    return _Reached(b, y, merits)


class _Space:
    """The features of some layers as one vector [d], their range, and the rows of a model there."""

    def __init__(self, job: Job, z: Features) -> None:
        self.job, self.z, self.layers = job, z, tuple(z)
        low, high = zip(*(_range(job, layer, a.double()) for layer, a in z.items()), strict=True)
        self.like = like(job.input, z)
        self.low, self.high = torch.cat(low), torch.cat(high)

    def inside(self, v: torch.Tensor) -> torch.Tensor:
        """The nearest point of the range that a float32 model can be asked at, as it is."""
        return v.clamp(self.low, self.high).float().double()

    def rows(self, points: torch.Tensor, on: Placement) -> Rows:
        """Columns of points [k, d]."""
        values = {layer: v.to(on.device, on.dtype) for layer, v in shaped(points, self.z).items()}
        return substituted(self.job.input, values, on)


def _range(job: Job, layer: str, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Bounds [d_l] of a baseline: what pixels can be; else what the layer's values span, and zero."""
    x = job.input
    if layer == INPUT and isinstance(x, ImageInput):
        ends = [encode(torch.full_like(x.pixels, v, dtype=torch.float64), x.space).flatten() for v in (0.0, 255.0)]
        return torch.minimum(*ends), torch.maximum(*ends)
    bounds = min(z.min().item(), 0.0), max(z.max().item(), 0.0)
    low, high = (torch.full((z.numel(),), v, dtype=torch.float64) for v in bounds)
    return low, high


def _outputs(space: _Space, points: torch.Tensor) -> Plan[torch.Tensor]:
    """Outputs [k, ...] at points [k, d]."""

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        return space.rows(points[rows.start : rows.stop], on), None

    model = Forward(space.job.differentiable, space.layers, exact=True)
    sweep = Sweep(model, len(points), render, Gathered(), space.like, counts=False)
    return whole(sweep, (yield sweep)).y


def _linearised(space: _Space, wanted: Aim, b: torch.Tensor) -> Plan[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The output y [1, ...] at b, what is off r [1 + T] and its gradients J [1 + T, d]; the first row: the spread."""
    classes = wanted.weights.shape[1]
    even = torch.full((1, classes), -1 / (classes * len(wanted.spread)), dtype=torch.float64)
    asked: dict[Link, list[torch.Tensor]] = {link: [even] for link in wanted.spread}
    asked.setdefault(wanted.link, []).append(wanted.weights)

    def sweep(link: Link, w: torch.Tensor) -> Sweep[Answers]:
        def render(rows: range, on: Placement) -> tuple[Rows, None]:
            columns = space.rows(b.expand(len(rows), -1), on)
            return {**columns, "w": w[rows.start : rows.stop].to(on.device)}, None

        model = Gradient(space.job.differentiable, space.layers, link, exact=True)
        return Sweep(model, len(w), render, Gathered(space.layers), space.like, counts=False)

    sweeps = tuple(sweep(link, torch.cat(w)) for link, w in asked.items())
    folded = yield sweeps
    found = {link: whole(one, told) for link, one, told in zip(asked, sweeps, folded, strict=True)}
    y = found[wanted.link].y[:1]
    spread = torch.stack([found[link].g[0] for link in wanted.spread]).sum(0)
    J = torch.cat([spread.unsqueeze(0), found[wanted.link].g[-len(wanted.weights) :]])  # [1 + T, d]
    excess = wanted.divergence(y) * (1 - (1 - EASY) / (1 - wanted.entropy(y)))  # near u, it goes with 1 - H
    r = torch.cat([excess, wanted.off(y)[0]])
    return (y, r, J) if excess > 0 else (y, r[1:], J[1:])


def _shortest(J: torch.Tensor, r: torch.Tensor, b: torch.Tensor, space: _Space) -> torch.Tensor:
    """The shortest d [d] with r + J d = 0 that leaves no bound of the range: features that would are held."""
    free = torch.ones_like(b, dtype=torch.bool)
    d = torch.zeros_like(b)
    for _ in range(10):
        F = J * free
        gram = F @ F.T
        ridge = 1e-10 * gram.diagonal().mean().clamp_min(1e-300) * torch.eye(len(r), dtype=torch.float64)
        d = -F.T @ torch.linalg.lstsq(gram + ridge, r.unsqueeze(1)).solution[:, 0]
        held = ((b <= space.low) & (d < 0)) | ((b >= space.high) & (d > 0))
        if not (held & free).any():
            break
        free &= ~held
    return d.nan_to_num(0.0, 0.0, 0.0)


def _none(job: Job, wanted: Aim, reached: _Reached, layers: tuple[str, ...]) -> Unsupported:
    y = reached.y
    value, off, tolerance = (v.tolist() for v in (job.target.score(y)[0], wanted.off(y)[0], wanted.tolerance))
    worst = max(range(len(off)), key=lambda t: abs(off[t]) / tolerance[t])
    what = "logarithm of its share" if wanted.level else "value"
    several = "; ask for one class at a time" if len(off) > 1 else ""
    return Unsupported(
        "NO_NEUTRAL_BASELINE",
        "baseline.neutral",
        f"no neutral baseline was found at {', '.join(layers)}: {len(reached.merits) - 1} steps from the mean feature "
        f"reach an entropy of {float(wanted.entropy(y)[0]):.3f} of the output (wanted: at least {ENTROPY}) and a "
        f"{job.target.scale} of {value[worst]:.4g}, whose {what} is {abs(off[worst]):.3g} off (wanted: at most "
        f"{tolerance[worst]:.3g}); choose another baseline{several}",
    )
