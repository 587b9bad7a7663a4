"""Attributions whose nodes depend on what others answered: a whole round of all targets and baselines in one sweep."""

from collections.abc import Mapping, Sequence

import torch

from sidelight.core.fold import Fold, Out
from sidelight.core.job import Job
from sidelight.core.sweep import Plan, Stopped, together
from sidelight.path.adaptive import Adaptive, Integral
from sidelight.path.ends import End, Z
from sidelight.path.gradients import Node, check_finite, refused, sweep
from sidelight.path.guided import guided
from sidelight.path.ledger import Finding
from sidelight.path.line import Features
from sidelight.path.lines import Lines
from sidelight.path.options import MAX_NODES, Options

Path = tuple[int, int]  # line and target


class Feed(Fold[None]):
    """Hands each gradient to the rule that asked for it."""

    def __init__(self, rules: Mapping[Path, Adaptive], layers: Sequence[str]) -> None:
        self.rules, self.layers, self.finite = rules, layers, True
        self.ends: dict[Node, float] = {}  # scores at them

    def add(self, rows: range, memo: Sequence[Node], out: Out) -> None:
        self.finite = self.finite and bool(out["s"].isfinite().all())
        for i, (node, score) in enumerate(zip(memo, out["s"].tolist(), strict=True)):
            if node.alpha in (0.0, 1.0):
                self.ends[node] = score
            g = torch.cat([out[f"g.{layer}"][i].flatten() for layer in self.layers])
            self.rules[node.way, node.target].add(node.alpha, score, g.cpu())

    def value(self) -> None:
        return None


def adaptive(job: Job, lines: Lines) -> Plan[tuple[list[Finding], dict[End, torch.Tensor]]]:
    """Integrated Gradients of each target by the adaptive rule, and g(z) and g(b), which are nodes of it.

    Where the budget ends within a round, that of the rounds before. Raises what is left where there was none.
    """
    assert job.tolerance is not None  # the options were checked
    targets, baselines = range(job.target.count), range(len(lines.b))
    rules = {(m, t): Adaptive(job.tolerance, flat(lines[m].delta), None, MAX_NODES) for m in baselines for t in targets}
    feed, whole = Feed(rules, tuple(lines.z)), False
    while nodes := [Node(m, t, alpha) for (m, t), rule in rules.items() for alpha in rule.next()]:
        try:
            folded = yield sweep(job, lines, nodes, feed, exact=True)
            short = None if folded.rows == len(nodes) else folded.stop
        except Stopped as stopped:
            short = stopped.stop
        check_finite(feed.finite)
        if short is not None:
            if not whole:
                raise refused(short, len(nodes))
            break
        whole = True
    scores: dict[End, torch.Tensor] = {}
    for node, score in feed.ends.items():
        end = Z if node.alpha else ("b", node.way)
        scores.setdefault(end, torch.zeros(len(targets), dtype=torch.float64))[node.target] = score
    return [_mean([rules[m, t].value() for m in baselines], lines.z) for t in targets], scores


def _mean(found: Sequence[Integral], z: Features) -> Finding:
    """Over baselines: their maps' mean, and the worst of what they say of themselves."""
    total = torch.stack([integral.map for integral in found]).mean(0)
    nodes = sum(integral.nodes for integral in found)
    return Finding(
        shaped(total, z), 0.0, f"adaptive, {nodes} nodes", nodes,
        residual=max(integral.residual for integral in found),
        indicator=max(integral.indicator for integral in found),
        converged=all(integral.converged for integral in found),
    )  # fmt: skip


def led(job: Job, options: Options, lines: Lines, asked: int) -> Plan[list[Finding]]:
    """Integrated Gradients of each target along its guided path."""
    trails = yield from together(*(guided(job, lines[m], options.nodes) for m in range(len(lines.b))))
    found = []
    for t in range(job.target.count):
        own = [of_baseline[t] for of_baseline in trails]
        total = {layer: torch.stack([trail.features[layer] for trail in own]).mean(0) for layer in lines.z}
        rows = sum(trail.rows for trail in own)
        found.append(Finding(total, 0.0, f"{options.nodes} steps along the guided path", rows + asked))
    return found


def flat(features: Features) -> torch.Tensor:
    """All layers one after another, [d] float64."""
    return torch.cat([a.double().flatten() for a in features.values()])


def shaped(v: torch.Tensor, like: Features) -> dict[str, torch.Tensor]:
    """The other way round."""
    parts = v.split([a.numel() for a in like.values()])
    return {layer: part.view(a.shape) for (layer, a), part in zip(like.items(), parts, strict=True)}
