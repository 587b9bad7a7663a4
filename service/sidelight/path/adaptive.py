"""The residual-driven adaptive rule for  A_j = Δ_j ∫₀¹ ∂_j g(b + αΔ) dα, which stops by itself.

The nodes are 0, 1 and what lies between them, and every gap may be halved, so no answer is ever thrown away. The map is
the integral of parabolas through neighbouring nodes (parabolas.py); their weights are remade each round. A round halves
the gaps that matter most, all in one sweep: while the indicator is above the tolerance those where a node, left out,
would have surprised its neighbours most; then those in the panels with the largest residuals.

Residual. A panel is four neighbouring gaps. What its map should add up to is known from the scores that come with the
gradients:  r = |Σ_j A_j(panel) - (φ(c) - φ(a))|,  φ(α) = g(b + αΔ).  Σ r bounds the error of the sum over any union of
panels. It is told over the variation of φ, the sum of |φ(c) - φ(a)| over gaps, which is |T| or more: of a score that
goes up and comes down again T may be 0. Where φ hardly moves it is told over τ, of which the tolerance is what float32
makes of its values, a rounding a panel. Weights that would make r vanish are not looked for: they make maps worse.

Indicator. It estimates the map's own error, L1 over L1:

    2/3 · clamp(S₃/S₁, ½, 1)^1.5 · |A - A'|₁ / |A|₁

A' is the map from every second node, |A - A'|₁ the mean over the even and the odd ones. 2/3 is for jumps at random
places (ReLU): in a gap h a jump J errs uniformly in ±hJ/2 and moves the coarse map by ±hJ/2, so 1/√3 is expected; the
rest is for there being few of them. S₁ and S₃ sum the surprises under lines and under cubics. Jumps surprise cubics as
much as lines; smooth functions less, the better they are resolved, and for them the difference overstates the error.
Exponent and lower clamp are measured (tests/bench/test_adaptive.py).
"""

import math
from dataclasses import dataclass

import torch

from sidelight.path.parabolas import integrals, surprises
from sidelight.path.rules import ROUNDING

FIRST = 5  # nodes of the first round, evenly spaced
PANEL = 4  # gaps
JUMPS, SMOOTH, RESOLVED = 2 / 3, 1.5, 0.5  # of the indicator
LINES = 0.1  # of lines' surprises in a gap's share: cubics are foretold, but not integrated, without error
FAINT = 1e-200  # where nothing surprises, gaps count by their length
LARGE = 0.5  # of the largest share: the least of a gap that a round halves
GAINED = 0.9  # of a gap's share, by halving it, as a round expects, in order not to go too far
BLOCK, TOGETHER = 1 << 14, 16  # features and nodes at a time, so that what is computed from all of them stays small


@dataclass(frozen=True, eq=False)
class Integral:
    """The map A [d] in float64 and what is known of its error."""

    map: torch.Tensor
    residual: float  # Σ r over the variation of φ, or τ
    indicator: float  # estimated |error|₁ / |A|₁
    converged: bool  # both within the tolerance: of T itself, that |E| is too is for the caller to see
    nodes: int  # gradients taken


class Adaptive:
    """One integral. Take `next`, `add` the answer of each node that it names, and so on until it names none.

    Keeps the gradients in the dtype in which they came.
    """

    def __init__(self, tolerance: float, delta: torch.Tensor, most: int) -> None:
        """`delta` [d], z - b; `most`, nodes. Raises ValueError where those are fewer than 5."""
        if most < FIRST:
            raise ValueError(f"the adaptive rule begins with {FIRST} nodes, and {most} are allowed")
        self._tolerance, self._delta, self._most = tolerance, delta.double().flatten(), most
        self._scores: dict[float, float] = {}
        self._gradients: dict[float, torch.Tensor] = {}
        self._wanted = [k / (FIRST - 1) for k in range(FIRST)]
        self._found: Integral | None = None

    def next(self) -> list[float]:
        """The alphas wanted in this round, ascending; none once it has converged or may have no more nodes."""
        self._settle()
        return list(self._wanted)

    def add(self, alpha: float, score: float, gradient: torch.Tensor) -> None:
        """The answer of one node, in the order of `next`: g(b + alpha Δ), and its gradient [d] there. It is only kept:
        what it comes to is found in `next`, since a lane that waits for a fold waits for nothing else."""
        if self._wanted[:1] != [alpha]:
            raise ValueError(f"node {alpha} is not the one that comes next")
        self._scores[alpha] = score
        self._gradients[alpha] = gradient.detach().flatten().clone()  # a view would keep its whole batch
        del self._wanted[0]

    def value(self) -> Integral:
        """The integral after the last whole round. Raises ValueError before the first."""
        self._settle()
        if self._found is None:
            raise ValueError("the first round is not whole")
        return self._found

    def _settle(self) -> None:
        """Weigh the answers of a round that has become whole."""
        if not self._wanted and (self._found is None or self._found.nodes < len(self._gradients)):
            self._found, shares = self._weigh()
            self._wanted = self._middles(self._found, shares)

    def _weigh(self) -> tuple[Integral, torch.Tensor]:
        """The integral, and each gap's share [gaps] in what keeps it from having converged."""
        alphas = sorted(self._gradients)
        a = torch.tensor(alphas, dtype=torch.float64)
        n, h = len(a), a.diff()
        rule = integrals(a)
        coarse = torch.stack([_every_second(a, first) for first in (0, 1)])  # [2, n]
        predicted = torch.stack([surprises(a, 1), surprises(a, 3)])  # [2, n, n]
        surprised = a.new_zeros(2, n)  # L1 over features
        slopes = a.new_zeros(n)  # φ'
        A, apart = torch.empty_like(self._delta), 0.0
        for some in (slice(i, i + BLOCK) for i in range(0, len(A), BLOCK)):
            f = torch.stack([self._gradients[alpha][some] for alpha in alphas]).double().mul_(self._delta[some])
            slopes += f.sum(1)
            A[some] = rule.sum(0) @ f
            apart += float((A[some] - coarse @ f).abs().sum()) / 2
            for k in range(0, n, TOGETHER):
                near = slice(max(k - 4, 0), k + TOGETHER + 4)  # a cubic reaches no further
                surprised[:, k : k + TOGETHER] += (predicted[:, k : k + TOGETHER, near] @ f[near]).abs().sum(2)

        within = slice(1, n - 1)  # beyond the last node a surprise is no measure of smoothness
        cells = (h[1:] + h[:-1]) / 2
        lines, cubics = (float(s) for s in surprised[:, within] @ cells)
        smooth = min(max(_ratio(cubics, lines), RESOLVED), 1.0)
        indicator = JUMPS * smooth**SMOOTH * _ratio(apart, float(A.abs().sum()))

        scores = torch.tensor([self._scores[alpha] for alpha in alphas], dtype=torch.float64)
        rises, panel = scores.diff(), torch.arange(n - 1) // PANEL
        r = _sums(rule @ slopes - rises, panel).abs()
        tau = ROUNDING * float(scores.abs().max()) * len(r) / self._tolerance
        residual = _ratio(float(r.sum()), max(float(rises.abs().sum()), tau))

        rough = surprised[1] + LINES * surprised[0] + FAINT
        shares = h * (rough[1:] + rough[:-1])
        if indicator <= self._tolerance:  # the residual's turn; within a panel where surprises are
            shares = r[panel] * shares / _sums(shares, panel)[panel]
        converged = indicator <= self._tolerance and residual <= self._tolerance
        return Integral(A, residual, indicator, converged, n), shares

    def _middles(self, found: Integral, shares: torch.Tensor) -> list[float]:
        """Those of the gaps to halve: of large share, and no more than promise to be enough."""
        room = self._most - found.nodes
        if found.converged or room <= 0:
            return []
        above = found.indicator if found.indicator > self._tolerance else found.residual
        largest = shares.argsort(descending=True, stable=True)
        left = above * (1 - GAINED * shares[largest].cumsum(0) / shares.sum())
        enough = int((left > self._tolerance).sum()) + 1
        large = int((shares >= LARGE * shares.max()).sum())
        alphas = sorted(self._gradients)
        gaps = largest[: min(enough, large, room)].tolist()
        return sorted((alphas[k] + alphas[k + 1]) / 2 for k in gaps)


def _every_second(a: torch.Tensor, first: int) -> torch.Tensor:
    """[nodes]: weights of the rule that has every second node from `first`, and the ends."""
    kept = sorted({0, len(a) - 1, *range(first, len(a), 2)})
    weights = torch.zeros_like(a)
    weights[kept] = integrals(a[kept]).sum(0)
    return weights


def _sums(values: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """[groups]"""
    return values.new_zeros(int(group[-1]) + 1).index_add(0, group, values)


def _ratio(part: float, whole: float) -> float:
    """Of nothing to nothing it is 0."""
    return part / whole if whole else (math.inf if part else 0.0)
