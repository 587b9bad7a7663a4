"""What a method is given, and what it gives back."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from sidelight.core.ask import TWIN, Model
from sidelight.core.baseline import FeatureBaseline
from sidelight.core.editor import Frame
from sidelight.core.effect import Interventions
from sidelight.core.inputs import Input
from sidelight.core.predictor import Twin
from sidelight.core.sequence import Sequence
from sidelight.core.stream import Stream
from sidelight.core.target import Target

TINY = 1e-12  # of a target's size, below which nothing is relative to it


@dataclass(frozen=True)
class Job:
    """One explanation of one model: the input with its baseline, the target, and the randomness to use."""

    model: Model
    input: Input
    target: Target
    stream: Stream
    tolerance: float | None = None  # of the relative error that the method tells; None: all rows
    ends: torch.Tensor | None = None  # [2, K] outputs on the input and on the baseline, once known; [1, K] without one
    twin: Twin | None = None
    others: tuple[Input, ...] = ()  # the same input over the further baselines of a distribution, the first in `input`
    at_layer: FeatureBaseline | None = None  # a baseline that only a layer has; None: what `input`'s baseline induces
    most: int | None = None  # rows of the method that the budget allows; it is held to them anyhow
    sequences: tuple[Sequence, ...] = ()  # the interventions asked for, the same objects for all models of a request
    fit: Callable[[Frame], torch.Tensor] | None = None  # a frame as this model's pixels [C, H, W] float32 in 0..255

    @property
    def differentiable(self) -> Model:
        """The model to ask for gradients, activations and substitutions."""
        return self.model if self.model.variant else replace(self.model, variant=TWIN)


@dataclass(frozen=True, eq=False)
class Segments:
    """Scores of the segments of an image."""

    labels: torch.Tensor  # [H, W] int64, 0..M-1
    scores: torch.Tensor  # [T, M] float64
    standard_error: torch.Tensor | None = None  # [T, M]


@dataclass(frozen=True)
class Step:
    """A display step, and what the map adds up to after it."""

    name: str
    result: float


@dataclass(frozen=True, eq=False)
class Account:
    """One attribution of one target: what was to be attributed, what was, and where the difference comes from.

    T = g(z) - g(b); R = sum of A; E = R - T (Cui & Fan, arXiv 2605.22417). `parts` add up to E, but for "cut", which
    is g(b) - f(x'): what passes by layers that are no cut, and T leaves out.
    """

    attribution: str  # its name, as in the request
    baseline: str  # in words, implied where the attribution implies one: "b = 0 at layer4"
    rule: str  # in words: "Gauss-Legendre, 50 nodes", "one node at the input"
    output: float  # g(z)
    baseline_output: float  # g(b), of several their mean; NaN where there is no finite baseline
    result: float  # R, before any display step
    baseline_outputs: tuple[float, ...] = ()  # g(b) of each of several: each has its own T
    parts: Mapping[str, float] = field(default_factory=dict)  # of E: quadrature, remainder, clip, average, cut, ...
    steps: tuple[Step, ...] = ()  # display steps in their order
    residual: float | None = None  # sum over panels of |R - T| over the output's variation, where a rule has panels
    indicator: float | None = None  # estimated error of the map, L1 over L1
    converged: bool = True  # whether |E| / |T| is within the tolerance, and, where a rule has them, both of these
    evaluations: int = 0  # every forward counted, shared ones too
    raw: Mapping[str, torch.Tensor] = field(default_factory=dict)  # A by layer, [*A_l] float64
    map: torch.Tensor | None = None  # [*input.shape] as shown

    @property
    def target(self) -> float:
        """T."""
        return self.output - self.baseline_output

    @property
    def error(self) -> float:
        """E."""
        return self.result - self.target

    @property
    def error_relative(self) -> float:
        """|E| / |T|; NaN where there is no finite baseline."""
        return abs(self.error) / max(abs(self.target), TINY)


@dataclass(frozen=True)
class Span:
    """A rationale: characters [begin, end) of a text, and the mean of the mask over its words."""

    begin: int
    end: int
    score: float


HALF = 0.5  # an optimised mask whose mean is above that is no explanation yet (Brinner & Zarriess, arXiv 2508.11388)


@dataclass(frozen=True, eq=False)
class Optimised:
    """A mask found by optimisation, for one target: how it was come by, and what it is worth.

    Terms as they enter the objective, weight and sign included: "kept" -log p, "removed" -log(1 - q) (or log q),
    "size", "sigma", "variation"; p and q are on the input and its baselines without draws, each a mean over baselines.
    """

    terms: Mapping[str, tuple[float, ...]]  # by name, one number a step
    objective: float  # of the mask, without the term of sigma, which has no bound of its own
    kept: float  # p, of the explained class on the part that the mask keeps
    removed: float  # q, on the complement
    mean: float  # of the mask
    step: int  # whose mask it is, from 0
    settled: bool  # whether its rule stopped it, of a search its last generation; not the budget or the deadline
    w: torch.Tensor  # [*cells] float64
    sigma: torch.Tensor  # [*cells] float64
    gradient_free: bool = False
    spans: tuple[Span, ...] = ()  # of texts


@dataclass(frozen=True)
class Saliency:
    """Attribution maps, one for each of T targets."""

    maps: torch.Tensor  # [T, *input.shape] float64
    standard_error: torch.Tensor | None = None  # the same shape
    relative_error: tuple[float, ...] | None = None  # [T], 95th percentile of SE / (max - min)
    segments: Segments | None = None  # scores by unit, where units are not the map's own positions
    job: Job | None = None  # as the method changed it: a baseline that depends on its segments
    accounts: tuple[tuple[Account, ...], ...] = ()  # [T][attributions], the first of each is what `maps` shows
    rest: torch.Tensor | None = None  # [T], attribution of what no position of the map stands for (special tokens)
    optimised: tuple[Optimised, ...] = ()  # [T], of mask optimisation, where `maps` are the masks


def relative_error(maps: torch.Tensor, error: torch.Tensor) -> tuple[float, ...]:
    """[T]: 95th percentile over u of SE / (max - min of the map); infinite for a constant map with error."""
    flat, errors = maps.flatten(1), error.flatten(1)
    e95 = errors.kthvalue(math.ceil(0.95 * errors.shape[1]), dim=1).values
    return tuple(torch.where(e95 == 0, e95, e95 / (flat.amax(1) - flat.amin(1))).tolist())


Result = Saliency | Interventions | Any
