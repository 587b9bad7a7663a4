"""Attributions whose nodes depend on what others answered: a whole round of all targets and baselines in one sweep."""

from collections.abc import Mapping, Sequence

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.fold import Fold, Out
from sidelight.core.job import Job
from sidelight.core.sweep import Plan, Stopped, together
from sidelight.path.adaptive import FIRST, Adaptive, Integral
from sidelight.path.ends import End, Z
from sidelight.path.gradients import Node, check_finite, check_gradient, sweep
from sidelight.path.guided import guided
from sidelight.path.ledger import Finding
from sidelight.path.line import Features, flat, shaped
from sidelight.path.lines import Lines
from sidelight.path.options import MAX_NODES, Options

Path = tuple[int, int]  # line and target
Led = tuple[list[Finding], dict[End, torch.Tensor]]  # of each target; and g(z) and g(b) [T], which are nodes of it

KEPT = 1 << 29  # bytes of gradients that the integrals of one explanation keep together


class Feed(Fold[None]):
    """Hands each gradient to the rule that asked for it."""

    def __init__(self, rules: Mapping[Path, Adaptive], layers: Sequence[str]) -> None:
        self.rules, self.layers = rules, layers
        self.finite = self.finite_gradients = True
        self.ends: dict[Node, float] = {}  # scores at them

    def add(self, rows: range, memo: Sequence[Node], out: Out) -> None:
        self.finite = self.finite and bool(out["s"].isfinite().all())
        for i, (node, score) in enumerate(zip(memo, out["s"].tolist(), strict=True)):
            if node.alpha in (0.0, 1.0):
                self.ends[node] = score
            g = torch.cat([out[f"g.{layer}"][i].flatten() for layer in self.layers])
            self.finite_gradients = self.finite_gradients and bool(g.isfinite().all())
            self.rules[node.way, node.target].add(node.alpha, score, g.cpu())

    def value(self) -> None:
        return None


def adaptive(job: Job, options: Options, lines: Lines) -> Plan[Led]:
    """Integrated Gradients by the adaptive rule. Where the budget ends within a round, that of the rounds before.

    Raises Stopped where there was none, InvalidRequest for more integrals than there is memory for.
    """
    assert job.tolerance is not None  # the options were checked
    targets, baselines = range(job.target.count), range(len(lines.b))
    deltas = [flat(lines[m].delta) for m in baselines]
    most = _most(options, len(deltas) * len(targets), 4 * len(deltas[0]))
    rules = {(m, t): Adaptive(job.tolerance, deltas[m], most) for m in baselines for t in targets}
    feed, whole = Feed(rules, tuple(lines.z)), False
    while nodes := [Node(m, t, alpha) for (m, t), rule in rules.items() for alpha in rule.next()]:
        try:
            folded = yield sweep(job, lines, nodes, feed, exact=True)
            short = None if folded.rows == len(nodes) else folded.stop
        except Stopped as stopped:
            short = stopped.stop
        check_finite(feed.finite)
        check_gradient(feed.finite_gradients)
        if short is not None:
            if not whole:
                raise Stopped(short)
            break
        whole = True
    scores: dict[End, torch.Tensor] = {}
    for node, score in feed.ends.items():
        end = Z if node.alpha else ("b", node.way)
        scores.setdefault(end, torch.zeros(len(targets), dtype=torch.float64))[node.target] = score
    return [_mean([rules[m, t].value() for m in baselines], lines.z, job.tolerance) for t in targets], scores


def _most(options: Options, integrals: int, row: int) -> int:
    """Nodes that each of so many integrals may have, whose gradients are rows of so many bytes."""
    most = min(MAX_NODES, KEPT // (integrals * row))
    if most < FIRST:
        raise InvalidRequest(
            options.field("quadrature"),
            f"a fixed rule: of {integrals} targets over baselines the adaptive one keeps {FIRST} gradients at least, "
            f"of {row} bytes, and has room for {KEPT}; or ask for fewer targets or baselines at a time",
        )
    return most


def _mean(found: Sequence[Integral], z: Features, tolerance: float) -> Finding:
    """Over baselines: the mean of their maps, whose error is at most the mean of theirs, while the maps may cancel."""
    total = torch.stack([integral.map for integral in found]).mean(0)
    nodes = sum(integral.nodes for integral in found)
    size, errors = float(total.abs().sum()), [i.indicator * float(i.map.abs().sum()) for i in found]
    indicator = sum(errors) / len(found) / size if size else max(integral.indicator for integral in found)
    residual = max(integral.residual for integral in found)
    return Finding(
        shaped(total, z), 0.0, f"adaptive, {nodes} nodes", nodes, residual, indicator,
        converged=residual <= tolerance and indicator <= tolerance,
    )  # fmt: skip


def led(job: Job, options: Options, lines: Lines) -> Plan[Led]:
    """Integrated Gradients along guided paths."""
    trails = yield from together(*(guided(job, lines[m], options.nodes) for m in range(len(lines.b))))
    found = []
    for t in range(job.target.count):
        own = [of_baseline[t] for of_baseline in trails]
        total = {layer: torch.stack([trail.features[layer] for trail in own]).mean(0) for layer in lines.z}
        found.append(Finding(total, 0.0, f"{options.nodes} steps along the guided path", sum(t.rows for t in own)))
    of = {Z: [trail.output for trail in trails[0]]}
    of |= {("b", m): [trail.baseline_output for trail in its] for m, its in enumerate(trails)}
    return found, {end: torch.tensor(s, dtype=torch.float64) for end, s in of.items()}
