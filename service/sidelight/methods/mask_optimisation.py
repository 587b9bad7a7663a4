"""Mask optimisation (MaRC; Brinner & Zarriess, Findings of ACL 2023, arXiv 2508.11388).

The least of an input that suffices for its class, and without which the class is gone: lambda in [0, 1] for each pixel
or word, found by gradient descent on

    -log p - log(1 - q) + a_size (mean lambda)^2 - a_sigma mean(log sigma) + a_TV TV(lambda)               (eqs. 2-5)
    lambda_j = sigmoid( sum_i w_i k(i, j; sigma_i) )                                                       (eq. 6)

p = f(x~)_c and q = f(x~c)_c, x~ = lambda x + (1 - lambda) b the part that is kept, x~c = (1 - lambda) x + lambda b the
rest, b a baseline; over several, terms are means. w_i and sigma_i are free; sigma_i, in pixels or words, says how far
w_i reaches. A step costs two rows for each class and baseline, with one forward and one backward pass each.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sidelight.core.baseline import Baseline
from sidelight.core.evidence import Evidence
from sidelight.core.inputs import Input
from sidelight.core.job import Job, Saliency
from sidelight.core.params import bounded, choice
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.masks import rationale, settings
from sidelight.masks.optimise import optimise
from sidelight.masks.options import BASELINES, Comprehensiveness, Kernel, Optimiser, Preset, Rule
from sidelight.path.layers import twin_of

# ruff: noqa: RUF009 -- `_member` and `_number` make dataclass fields

NAME = "mask_optimisation"


MAX_WEIGHT = 1000.0
SIGMAS = 0.05, 1000.0  # a bank has some levels for each power of ten between its bounds


def _member(kind: type[Enum], what: str) -> Any:
    """One member, or None for the preset's."""
    return field(default=None, metadata={"choices": kind, "what": f"{what}; unset: the preset's"})


def _number(what: str, low: float, high: float, *, open: bool = False) -> Any:
    """A number, or None for the preset's."""
    return bounded(None, low=low, high=high, open=open, what=f"{what}; unset: the preset's")


@dataclass(frozen=True)
class MaskOptimisationParams:
    preset: Preset = choice(Preset.AUTO, what="the paper's settings; auto: image_cnn for images, text for texts")
    evidence: Evidence | None = _member(
        Evidence, "what p is, of a model that serves logits: of probabilities it is softmax"
    )
    comprehensiveness: Comprehensiveness | None = _member(
        Comprehensiveness,
        "what is asked of the complement: -log(1 - q), or +log q, which has no least: weigh the size more",
    )
    kernel: Kernel | None = _member(Kernel, "exp(-d^2 / sigma), or exp(-(d / sigma)^2)")
    size_weight: float | None = _number("a_size, of (mean lambda)^2", 0.0, MAX_WEIGHT)
    sigma_weight: float | None = _number("a_sigma, of -mean(log sigma)", 0.0, MAX_WEIGHT)
    variation_weight: float | None = _number("a_TV, of images", 0.0, MAX_WEIGHT)
    w: float | None = _number("w of each cell at the start", -20.0, 20.0)
    sigma: float | None = _number("sigma at the start, in pixels (of exp(-d^2 / sigma) their square) or words", *SIGMAS)
    sigma_low: float | None = _number("the least sigma", *SIGMAS)
    sigma_high: float | None = _number("the largest sigma", *SIGMAS)
    optimiser: Optimiser | None = _member(Optimiser, "adam, or adamw with a weight decay of .01")
    rate: float | None = _number("learning rate", 0.0, 10.0, open=True)
    steps: int | None = _number("at most, of two rows for each class and baseline", 1, 100_000)
    rule: Rule | None = _member(Rule, "when a mask has settled")
    least_steps: int | None = _number("before the rule may stop it", 0, 100_000)
    every: int | None = _number("steps between two looks of the rule periodic", 1, 10_000)
    settled: float | None = _number("the change of mean lambda that the rule compares with", 0.0, 1.0, open=True)
    snap: float | None = _number("share of words set to 0, and as many to 1, in each step", 0.0, 0.5)
    noise: float | None = _number("standard deviation, on embeddings, in each step", 0.0, 10.0)
    cell: int | None = _number("side of a cell, in pixels", 1, 256)
    span_threshold: float | None = rationale.span_threshold()
    span_share: float | None = rationale.span_share()
    span_count: int | None = rationale.span_count()


def _cost(p: MaskOptimisationParams, x: Input) -> int:
    """Rows of one class over one baseline, should no rule stop it."""
    return 2 * settings.options_of(p, x).steps


def _check(p: MaskOptimisationParams, job: Job) -> None:
    twin_of(job)
    settings.check(p, job, NAME)


def _baseline(p: MaskOptimisationParams, modality: str) -> tuple[Baseline, ...]:
    """The preset's: for images black, white and mean together, or a blur."""
    return BASELINES[settings.preset_of(p.preset, modality == "image")] if modality == "image" else ()


@method(
    NAME,
    params=MaskOptimisationParams,
    paper="Brinner & Zarriess, arXiv 2508.11388",
    needs=("forward", "activation", "gradient"),
    cost=_cost,
    check=_check,
    settle=settings.settled,
    baseline=_baseline,
    instead="mask_search",
)
def mask_optimisation(job: Job, p: MaskOptimisationParams) -> Plan[Saliency]:
    """The least of an input that suffices for its class, and without which the class is gone."""
    return optimise(job, settings.options_of(p, job.input, job.target.kind))
