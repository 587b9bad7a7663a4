"""Attributions whose nodes are known beforehand: those of a fixed rule, of one point, of random draws."""

from collections.abc import Mapping, Sequence

import torch

from sidelight.core.job import Job
from sidelight.path.attributions import READINGS, Source
from sidelight.path.gradients import Leg, Slot
from sidelight.path.options import Attribution, Options
from sidelight.path.rules import FIXED, Rule, gauss_legendre

Table = Mapping[float, float]  # weight by node


def rule_of(options: Options) -> Rule:
    """The fixed rule that is asked for; Gauss-Legendre where none is."""
    return FIXED.get(options.quadrature, gauss_legendre)(options.nodes)


def table_of(kind: Attribution, rule: Rule) -> Table:
    """The weights with which gradients enter."""
    points = READINGS[kind].points
    return rule.table if points is None else points


def slots(kinds: Sequence[Attribution], rule: Rule) -> tuple[dict[Attribution, Slot], list[Table]]:
    """The number of the sum that each attribution reads, and the weights of each: equal weights share a sum."""
    uses: dict[Attribution, Slot] = {}
    tables: list[Table] = []
    for kind in kinds:
        if table := table_of(kind, rule):
            if table not in tables:
                tables.append(table)
            uses[kind] = tables.index(table)
    return uses, tables


def legs(
    ways: int, baselines: int, targets: int, uses: Mapping[Attribution, Slot], tables: Sequence[Table]
) -> list[Leg]:
    """Way by way and target by target. What is read at z alone needs the ways of one baseline only."""
    every = {slot for kind, slot in uses.items() if READINGS[kind].source is Source.REQUEST}
    found = []
    for way in range(ways):
        nodes: dict[float, dict[Slot, float]] = {}
        for slot in sorted(every if way % baselines else set(uses.values())):
            for alpha, weight in tables[slot].items():
                nodes.setdefault(alpha, {})[slot] = weight
        if nodes:
            found += [Leg(way, t, dict(sorted(nodes.items()))) for t in range(targets)]
    return found


def draws(job: Job, count: int, copies: int, baselines: int) -> list[Leg]:
    """Of expected gradients: for draw i a baseline and a point, both at random; draw by draw and target by target."""
    stream = job.stream.child("expected_gradients")
    which = stream.child("baseline").integers(range(count), 1, baselines)[:, 0].tolist()
    alphas = stream.child("alpha").uniform(range(count), 1)[:, 0].tolist()
    return [
        Leg(i % max(1, copies) * baselines + m, t, {alpha: {0: 1.0}}, number=i)
        for i, (m, alpha) in enumerate(zip(which, alphas, strict=True))
        for t in range(job.target.count)
    ]


def spread(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Standard error [*shape] of the mean over draws, of the means [G, *shape] of groups of `counts` [G] draws each.

    Var = sum_g n_g (m_g - m)^2 / (G - 1) / N: each group's mean has the variance of one draw over n_g.
    """
    n = counts.double().view(-1, *[1] * (values.ndim - 1))
    mean = (n * values).sum(0) / n.sum()
    return ((n * (values - mean).square()).sum(0) / (len(values) - 1) / n.sum()).sqrt()
