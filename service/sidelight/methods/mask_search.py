"""Mask optimisation of black boxes: the objective of Brinner & Zarriess (arXiv 2508.11388) without gradients.

    minimise   -log p - log(1 - q)  +  a_size (mean lambda)^2  -  a_sigma mean(log sigma)  +  a_TV TV(lambda)

p on what the mask lambda keeps, q on the rest, over a baseline; over several, terms are means. lambda_j =
sigmoid(sum_i w_i exp(-(d_ij / sigma_i)^2)) of words or segments j, d their distance. An evolution strategy looks for w
and sigma (Ros & Hansen, PPSN 2008): it finds good masks of some dozens of units with some thousand evaluations. With a
twin `mask_optimisation` is faster and finer.
"""

import math
from dataclasses import dataclass, replace

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.evidence import Evidence, check_evidence
from sidelight.core.inputs import ImageInput, Input
from sidelight.core.job import Job, Saliency
from sidelight.core.params import bounded, choice
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.masks import rationale
from sidelight.masks.options import IMAGE_CNN, TEXT, Comprehensiveness, Kernel, Options
from sidelight.masks.search import search
from sidelight.perturbation.combination import Combination, segmentation, units
from sidelight.perturbation.family import Segmented
from sidelight.perturbation.fields import Field, Grid, Segments
from sidelight.perturbation.options import Segmentation, Smoothing
from sidelight.perturbation.perturb import segmented

WORDS, SEGMENTS = (0.5, 1.0, 4.0), (0.3, 0.5, 1.0)  # lowest sigma, first and highest
MAX_UNITS = 500  # the search takes ever more generations, and its kernel the square of them


@dataclass(frozen=True, eq=False)
class MaskSearchParams(Segmented):
    evidence: Evidence = choice(Evidence.SOFTMAX, what="what p is, of a model that serves logits")
    comprehensiveness: Comprehensiveness = choice(
        Comprehensiveness.LOG_COMPLEMENT, what="what is asked of the complement: -log(1 - q), or +log q"
    )
    size_weight: float | None = bounded(None, low=0.0, high=1e3, what="a_size; unset: .6 for images, 1 for text")
    sigma_weight: float = bounded(1.2, low=0.0, high=1e3, what="a_sigma")
    variation_weight: float = bounded(10.0, low=0.0, high=1e3, what="a_TV, of images")
    generations: int = bounded(150, low=1, high=10_000, what="of the evolution strategy")
    population: int | None = bounded(
        None, low=4, high=1000, what="candidates a generation; unset: 8 + 6 ln(2 M) of M units"
    )
    span_threshold: float | None = rationale.span_threshold()
    span_share: float | None = rationale.span_share()
    span_count: int | None = rationale.span_count()


def combination(p: MaskSearchParams) -> Combination:
    """How the input is cut."""
    return Combination(
        "mask_search", p.segmentation, Segmentation.SLIC, p.segments, p.labels, smooth_images=Smoothing.NONE
    )


def options(p: MaskSearchParams, x: Input) -> Options:
    """Distances are in units: words, or spacings of segments, which are wide already: their sigma goes up to one."""
    own = IMAGE_CNN if isinstance(x, ImageInput) else TEXT
    sigmas = SEGMENTS if isinstance(x, ImageInput) else WORDS
    return replace(
        own, evidence=p.evidence, comprehensiveness=p.comprehensiveness, kernel=Kernel.SIGMA_SQUARED,
        size_weight=own.size_weight if p.size_weight is None else p.size_weight, sigma_weight=p.sigma_weight,
        variation_weight=p.variation_weight, sigma=sigmas[1], sigma_low=sigmas[0], sigma_high=sigmas[2],
        span_threshold=p.span_threshold, span_share=p.span_share, span_count=p.span_count,
    )  # fmt: skip


def cost(p: MaskSearchParams, x: Input) -> int:
    """Rows for one target over one baseline."""
    m = units(x, combination(p))
    return 2 * p.generations * (p.population or population(m))


def population(m: int) -> int:
    """Twice Hansen 2016, equation 48, for M units of two parameters each: of half the size one in five gets stuck."""
    return 8 + int(6 * math.log(2 * m))


def check(p: MaskSearchParams, job: Job) -> None:
    """Raises InvalidRequest or Unsupported for what cannot be searched."""
    c = combination(p)
    if segmentation(job.input, c) is Segmentation.SENTENCE:
        raise InvalidRequest("mask_search.segmentation", "word: a rationale is made of words")
    if (m := units(job.input, c)) > MAX_UNITS:
        raise InvalidRequest("mask_search.segments", f"at most {MAX_UNITS} units, and this input has {m}")
    check_evidence(job.target, p.evidence, "mask_search.evidence")
    rationale.check_spans(job.input, options(p, job.input), "mask_search")


@method(
    "mask_search",
    params=MaskSearchParams,
    paper="Brinner & Zarriess, arXiv 2508.11388",
    needs=("forward",),
    cost=cost,
    check=check,
    apart=True,
)
def mask_search(job: Job, p: MaskSearchParams) -> Plan[Saliency]:
    """A mask that is sufficient, comprehensive and compact, found without gradients by an evolution strategy."""
    cut = yield from segmented(job, combination(p))
    if cut.units > MAX_UNITS:
        raise InvalidRequest(
            "mask_search.segments", f"ask for fewer: the image fell into {cut.units}, at most {MAX_UNITS}"
        )
    size = p.population or population(cut.units)
    return (yield from search(job, options(p, job.input), cut, places(cut), p.generations, size))


def places(cut: Field) -> torch.Tensor:
    """Where units are, [M, axes] float64: words by number, segments by their centre in spacings."""
    if not isinstance(cut, Grid | Segments):
        return torch.arange(cut.units, dtype=torch.float64).view(-1, 1)
    labels = cut.labels
    height, width = labels.shape
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    counts = labels.flatten().bincount(minlength=cut.units)
    centre = [labels.flatten().bincount(axis.flatten().double(), cut.units) / counts for axis in (down, right)]
    return torch.stack(centre, 1) / (height * width / cut.units) ** 0.5
