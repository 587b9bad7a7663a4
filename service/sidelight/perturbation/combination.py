"""What the perturbation family lets a caller choose, and which choices go together.

Every part is free of the others, with the exceptions that `check` lists, each with its reason.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, TextInput, TokenInput, sentences
from sidelight.core.job import Job
from sidelight.core.target import Link
from sidelight.perturbation.fields import most_smoothed
from sidelight.perturbation.options import Calculator, MapType, Sampler, Segmentation, Smoothing
from sidelight.perturbation.segmenters import MAX_SEGMENTS

IMAGES = (Segmentation.GRID, Segmentation.SLIC, Segmentation.FELZENSZWALB, Segmentation.QUICKSHIFT,
          Segmentation.WATERSHED, Segmentation.LABELS)  # fmt: skip
TEXTS = (Segmentation.WORD, Segmentation.SENTENCE)
MAX_REGRESSION = 256  # units: the normal equations of so many, for each of the groups of a jackknife, take 34 MB
MAX_HSIC = 4096  # rows: the kernel of their outputs takes 134 MB


@dataclass(frozen=True, eq=False)
class Combination:
    """One cell of segmentation x smoothing x sampler x calculator x map; the replacement is the input's baseline."""

    name: str  # of the method, for errors
    segmentation: Segmentation = Segmentation.AUTO
    on_images: Segmentation = Segmentation.GRID  # what AUTO is there
    segments: int = 49
    labels: torch.Tensor | None = None  # [H, W], any whole numbers
    smoothing: Smoothing = Smoothing.AUTO
    smooth_images: Smoothing = Smoothing.NONE  # what AUTO is there; text has none
    sigma: float | None = None  # pixels
    sampler: Sampler = Sampler.BERNOULLI
    samples: int = 4000
    keep: float = 0.5
    calculator: Calculator = Calculator.RISE
    kernel_width: float | None = None
    ridge: float = 0.0
    map_type: MapType = MapType.PER_PIXEL
    names: Mapping[str, str] = field(default_factory=dict)  # of the fields above, where the method calls them otherwise

    def wrong(self, name: str, mend: str) -> InvalidRequest:
        """The error for the field `name` of this class, under the name that the caller knows."""
        return InvalidRequest(f"{self.name}.{self.names.get(name, name)}", mend)

    @property
    def cells(self) -> int:
        """Cells along each side of a grid of about `segments`."""
        return max(1, round(math.sqrt(self.segments)))


@singledispatch
def segmentation(x: Any, c: Combination) -> Segmentation:
    """How `c` cuts the input `x`. Raises InvalidRequest for what this modality does not have."""
    raise TypeError(f"no segmentation of {type(x).__name__}")


def _one_of(c: Combination, allowed: tuple[Segmentation, ...], auto: Segmentation, modality: str) -> Segmentation:
    chosen = auto if c.segmentation is Segmentation.AUTO else c.segmentation
    if chosen not in allowed:
        names = ", ".join(s.value for s in allowed)
        raise c.wrong("segmentation", f"one of {names} for {modality}, not {chosen.value}")
    return chosen


@segmentation.register
def _(x: ImageInput, c: Combination) -> Segmentation:
    return _one_of(c, IMAGES, c.on_images, "images")


@segmentation.register
def _(x: TextInput, c: Combination) -> Segmentation:
    return _one_of(c, TEXTS, Segmentation.WORD, "text")


@segmentation.register
def _(x: TokenInput, c: Combination) -> Segmentation:
    return _one_of(c, (Segmentation.TOKEN,), Segmentation.TOKEN, "token ids")


def smoothing(x: Any, c: Combination) -> Smoothing:
    """How `c` softens the units of the input `x`. Raises InvalidRequest for soft words."""
    image = segmentation(x, c) in IMAGES
    if not image and c.smoothing not in (Smoothing.AUTO, Smoothing.NONE):
        raise c.wrong("smoothing", f"none for text, which has no pixels; not {c.smoothing.value}")
    if c.smoothing is Smoothing.AUTO:
        return c.smooth_images if image else Smoothing.NONE
    return c.smoothing


def units(x: Any, c: Combination) -> int:
    """How many units there will be: exactly, but for superpixels."""
    kind = segmentation(x, c)
    if kind is Segmentation.GRID:
        return c.cells**2
    if kind is Segmentation.LABELS:
        return c.segments if c.labels is None else len(c.labels.unique())
    if kind is Segmentation.SENTENCE:
        return len(sentences(x.text))
    return c.segments if kind in IMAGES else x.shape[0]


def least(c: Combination, x: Any) -> int:
    """Units that there have to be: two where one is held against the others."""
    compares = c.calculator is Calculator.SHAP or c.sampler in (Sampler.COALITIONS, Sampler.KERNEL_PAIRS)
    return 2 if compares or bool(getattr(x, "from_segments", "")) else 1


def cost(c: Combination, x: Any) -> int:
    """Expected rows."""
    m = units(x, c)
    if c.sampler in (Sampler.ONE_OFF, Sampler.ONE_ON):
        return m
    if c.sampler is Sampler.COALITIONS:
        return min(c.samples, 2 ** min(m, 62) - 2) if m > 1 else 1
    return c.samples


def check(c: Combination, job: Job) -> None:
    """Raises InvalidRequest, naming the field and the reason, for choices that do not go together."""
    kind = segmentation(job.input, c)
    made = getattr(job.input, "from_segments", "")
    if made and smoothing(job.input, c) is Smoothing.RANDOM_SHIFT:
        raise InvalidRequest(f"baseline.{made}", "a random shift has no segments to make it from: choose another")
    for wrong, name, reason in _exclusions(c, kind, job):
        if wrong:
            raise c.wrong(name, reason)
    _check_units(c, kind, job.input)


# What decides the number of units where that is not `segments`, and what makes fewer or more of them.
DECIDES = {
    Segmentation.LABELS: ("labels", "", ""),
    Segmentation.WORD: ("segmentation", ": choose sentence", ""),
    Segmentation.SENTENCE: ("segmentation", "", ": choose word"),
    Segmentation.TOKEN: ("segmentation", "", ""),
}


def _check_units(c: Combination, kind: Segmentation, x: Any) -> None:
    """Raises InvalidRequest, naming what decides it, for a number of units that is too large or too small."""
    m, smooth = units(x, c), smoothing(x, c)
    decides, fewer, more = DECIDES.get(kind, ("segments", ": choose fewer", ""))
    if kind in IMAGES and m > MAX_SEGMENTS and smooth is not Smoothing.RANDOM_SHIFT:
        raise c.wrong(decides, f"at most {MAX_SEGMENTS} segments, not {m}")
    if kind is not Segmentation.GRID and smooth is Smoothing.GAUSSIAN and m > (most := most_smoothed(x.shape)):
        raise c.wrong(decides, f"at most {most} segments with gaussian smoothing at this size, not {m}")
    if c.calculator in (Calculator.LIME, Calculator.SHAP) and m > MAX_REGRESSION:
        raise c.wrong(decides, f"at most {MAX_REGRESSION} units for a regression, not {m}{fewer}")
    if m < least(c, x):
        raise c.wrong(decides, f"at least two units, for with one there is nothing to compare{more}")


def _exclusions(c: Combination, kind: Segmentation, job: Job) -> list[tuple[bool, str, str]]:
    grid = kind is Segmentation.GRID
    smooth = smoothing(job.input, c)
    shifts = smooth is Smoothing.RANDOM_SHIFT
    single = c.sampler in (Sampler.ONE_OFF, Sampler.ONE_ON)
    probability = job.target.link in (Link.PROBABILITY, Link.SIGMOID) and not job.target.contrast
    m = units(job.input, c)
    pairs = c.sampler is Sampler.SOBOL_PAIRS
    return [
        (kind is Segmentation.LABELS and c.labels is None, "labels", "the label map that segmentation labels cuts by"),
        (kind is not Segmentation.LABELS and c.labels is not None, "labels", "goes with segmentation labels only"),
        (c.labels is not None and c.labels.is_floating_point(), "labels", "whole numbers, INT64 or UINT8"),
        (smooth is Smoothing.BILINEAR and not grid, "smoothing",
         "bilinear lies between the cells of a grid: choose segmentation grid, or gaussian"),
        (shifts and not grid, "smoothing", "a random shift moves a grid: choose segmentation grid"),
        (shifts and c.calculator is not Calculator.RISE, "smoothing",
         "with a random shift a unit has another place in every row: only calculator rise can add that up"),
        (shifts and c.map_type is MapType.PER_SEGMENT, "smoothing",
         "with a random shift there are no segments to paint: choose map_type per_pixel"),
        (shifts and (single or c.sampler in (Sampler.COALITIONS, Sampler.SOBOL_PAIRS)), "sampler",
         "a random shift needs rows that keep every unit equally often: choose bernoulli, rate, antithetic, "
         "kernel_pairs, orthogonal or space_filling"),
        (c.sigma is not None and smooth is not Smoothing.GAUSSIAN, "sigma", "is for gaussian smoothing"),
        (c.calculator is Calculator.CIU and c.sampler is not Sampler.ONE_OFF, "sampler",
         "ciu looks at units taken away one by one: choose one_off"),
        (c.calculator is Calculator.INVERSE_CIU and c.sampler is not Sampler.ONE_ON, "sampler",
         "inverse ciu looks at units kept one by one: choose one_on"),
        (c.calculator in (Calculator.INVERSE_CIU, Calculator.PDA_INFORMATION, Calculator.PDA_EVIDENCE)
         and not probability, "calculator",
         f"{c.calculator.value} is defined for probabilities: set target.link to LINK_PROBABILITY, without contrast"),
        (c.calculator is Calculator.SOBOL and not pairs, "sampler",
         "a Sobol index needs pairs of designs: choose sobol_pairs"),
        (pairs and c.calculator is not Calculator.SOBOL, "calculator",
         "sobol_pairs has continuous masks in an order that only calculator sobol reads"),
        (c.calculator is Calculator.HSIC and (single or c.sampler is Sampler.COALITIONS), "sampler",
         "hsic compares rows with and without a unit, drawn alike: choose space_filling, bernoulli or antithetic"),
        (c.calculator is Calculator.HSIC and c.samples > MAX_HSIC, "samples",
         f"at most {MAX_HSIC} for hsic, which compares every row with every other"),
        (pairs and c.samples < m + 2, "samples", f"at least {m + 2}, one design of {m} units"),
    ]  # fmt: skip
