"""Gradients at nodes along paths, as rows of one sweep, summed as they come: never as many features as nodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch

from sidelight.core.ask import INPUT, Gradient
from sidelight.core.errors import Unsupported
from sidelight.core.fold import Fold, Out
from sidelight.core.inputs import Input
from sidelight.core.job import Job
from sidelight.core.sweep import Column, Folded, Placement, Plan, Rows, Stopped, Sweep
from sidelight.core.target import outputs
from sidelight.path.line import Features, Ways

Slot = int


class Node(NamedTuple):
    """One row: the gradient of a target at a point of a path."""

    way: int
    target: int
    alpha: float


@dataclass(frozen=True)
class Leg:
    """The nodes of one path and target: for each the weights with which its gradient enters sums."""

    way: int
    target: int
    nodes: Mapping[float, Mapping[Slot, float]]
    number: int = 0  # of a random draw


def context(x: Input, count: int, on: Placement) -> Rows:
    """The input itself in `count` rows, made once: at a cut its values do not matter, its shape and type do."""
    columns: dict[str, Column] = {}
    for name, column in x.blend(torch.ones((1, *x.shape), device=on.device), on).items():
        assert isinstance(column, torch.Tensor)  # a text comes to the twin as its tokens
        columns[name] = column.expand(count, *column.shape[1:])
    return columns


def like(x: Input, layers: Features) -> tuple:
    """Rows with equal ones may share a batch."""
    shapes = tuple((layer, tuple(a.shape)) for layer, a in layers.items())
    return (x.like, shapes)


def substituted(x: Input, layers: Features, on: Placement) -> Rows:
    """Rows with values [k, *A_l] at layers, beside the input's own column where it is not itself replaced."""
    count = len(next(iter(layers.values())))
    columns: dict = {} if INPUT in layers else dict(context(x, count, on))
    return columns | {f"a.{layer}": a for layer, a in layers.items()}


def weights(job: Job) -> torch.Tensor:
    """[T, K] of which the explained numbers are made."""
    assert job.ends is not None  # known once the target is resolved
    return job.target.weights(outputs(job.ends, job.target.kind).shape[1])


def sweep(job: Job, ways: Ways, nodes: Sequence[Node], fold: Fold, *, exact: bool = False) -> Sweep:
    """The gradients at `nodes`, with the nodes of the rows as memo. All ways are at the same layers."""
    w, z = weights(job), ways[0].z

    def render(rows: range, on: Placement) -> tuple[Rows, Sequence[Node]]:
        part = nodes[rows.start : rows.stop]
        made: list[Features] = [
            ways[way].points([node.alpha for node in run], on) for way, run in groupby(part, key=lambda n: n.way)
        ]
        points = {layer: torch.cat([m[layer] for m in made]) if len(made) > 1 else made[0][layer] for layer in z}
        chosen = w[[node.target for node in part]].to(on.device)
        return {**substituted(job.input, points, on), "w": chosen}, part

    ask = Gradient(job.differentiable, tuple(z), job.target.link, exact)
    return Sweep(ask, len(nodes), render, fold, like(job.input, z))


class Sums(Fold[None]):
    """Weighted sums of the gradients of each leg, handed to `take` when the leg is whole; then they are forgotten."""

    def __init__(self, ways: Ways, legs: Sequence[Leg], take: Callable[[Leg, Mapping[Slot, Features]], None]) -> None:
        self.ways, self.legs, self.take = ways, legs, take
        self.nodes = [Node(leg.way, leg.target, alpha) for leg in legs for alpha in leg.nodes]
        self.scores: dict[Node, float] = {}  # at the ends of ways
        self.whole = 0  # legs
        self.finite = True
        self._left = len(legs[0].nodes) if legs else 0
        self._sums: dict[Slot, dict[str, torch.Tensor]] = {}

    def add(self, rows: range, memo: Sequence[Node], out: Out) -> None:
        scores = out["s"].tolist()
        self.finite = self.finite and bool(out["s"].isfinite().all())
        for i, (node, score) in enumerate(zip(memo, scores, strict=True)):
            if node.alpha in (0.0, 1.0):
                self.scores[node] = score
            leg, slope = self.legs[self.whole], self.ways[node.way].slope(node.alpha)
            for slot, weight in leg.nodes[node.alpha].items():
                for layer in self.ways[node.way].z:
                    self._add(slot, layer, out[f"g.{layer}"][i], weight, None if slope is None else slope[layer])
            self._left -= 1
            if not self._left:
                self._hand_over(leg)

    def _add(self, slot: Slot, layer: str, g: torch.Tensor, weight: float, slope: torch.Tensor | None) -> None:
        # One row at a time and in float64: the sum is the same to the last bit whatever tiles the rows came in.
        sums = self._sums.setdefault(slot, {})
        if layer not in sums:
            sums[layer] = torch.zeros_like(g, dtype=torch.float64)
        if slope is None:
            sums[layer].add_(g, alpha=weight)
        else:
            sums[layer].addcmul_(g.double(), slope.to(g.device), value=weight)

    def _hand_over(self, leg: Leg) -> None:
        sums, self._sums = self._sums, {}
        self.take(leg, {slot: {layer: g.cpu() for layer, g in found.items()} for slot, found in sums.items()})
        self.whole += 1
        if self.whole < len(self.legs):
            self._left = len(self.legs[self.whole].nodes)

    def value(self) -> None:
        return None


def check_finite(finite: bool) -> None:
    """Raises Unsupported where a score along a path was NaN or infinite."""
    if not finite:
        raise Unsupported(
            "NON_FINITE_SCORE",
            "target.link",
            "the explained number is not finite somewhere on the path (the log of a probability of 0): explain the "
            "probability or, where the model serves logits, the logit",
        )


def check_gradient(finite: bool) -> None:
    """Raises Unsupported where a gradient along a path was NaN or infinite."""
    if not finite:
        raise Unsupported(
            "NON_FINITE_GRADIENT",
            "target.link",
            "the gradient is not finite somewhere on the path: take another link or baseline",
        )


def complete(sweeps: tuple[Sweep, ...], least: Sequence[int]) -> Plan[Sequence[Folded]]:
    """Their answers, of at least so many rows each: a part of a rule is no integral. Raises Stopped."""
    answers = yield sweeps
    for folded, needed in zip(answers, least, strict=True):
        if folded.rows < needed:
            raise Stopped(folded.stop)
    return answers
