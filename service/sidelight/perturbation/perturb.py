"""The plan of the whole family: segment, sample, smooth, replace, predict, attribute (Grund Pihlgren & Framling 2025).

K_n = sum_s Z_ns m~_s / sum_s m~_s        x_n = b + K_n (x - b)        y_n = f(x_n)        Z, y -> a -> map
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import singledispatch
from typing import Any

import torch

from sidelight.core.ask import Forward, Local
from sidelight.core.baseline import default_sigma
from sidelight.core.errors import InvalidRequest
from sidelight.core.explanation import ends
from sidelight.core.fold import First, Fold
from sidelight.core.inputs import ImageInput, TextInput, sentences
from sidelight.core.job import Job, Saliency
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Plan, Rows, Stop, Stopped, Sweep, ask
from sidelight.perturbation import calculators, coalitions, dependence, designs, regression, samplers, sensitivity
from sidelight.perturbation.attribution import Attribution
from sidelight.perturbation.combination import Combination, least, segmentation, smoothing
from sidelight.perturbation.fields import Grid, Groups, Segments, ShiftedGrid, Units
from sidelight.perturbation.mask_mean import MaskMean
from sidelight.perturbation.options import Calculator, MapType, PdaForm, Sampler, Segmentation, Smoothing
from sidelight.perturbation.replacement import segment_mean
from sidelight.perturbation.segmenters import MAX_SEGMENTS

Field = Units | Groups | Segments | Grid | ShiftedGrid


def perturb(job: Job, c: Combination) -> Plan[Saliency]:
    """The map that the combination `c` gives for `job`."""
    field = yield from segmented(job, c)
    if isinstance(job.input, ImageInput) and job.input.from_segments and isinstance(field, Grid | Segments):
        job = yield from _with_baseline(job, job.input, field.labels)
    with _naming(c):
        sampler = SAMPLERS[c.sampler](job, field.units, c)
        fold = _fold(job, c, field, sampler)

    def render(rows: range, on: Placement) -> tuple[Rows, torch.Tensor]:
        z = sampler.draw(rows)  # [k, M]
        masks = field.masks(z, rows, on)  # [k, *shape]
        return job.input.blend(masks, on), masks if isinstance(fold, MaskMean) else z

    size = c.samples if sampler.size is None else min(c.samples, sampler.size)
    if c.sampler in (Sampler.ONE_OFF, Sampler.ONE_ON):
        size = field.units  # `samples` is of designs without an end
    folded = yield from ask(Sweep(Forward(job.model), size, render, fold, job.input.like))
    if folded.value is None:
        if folded.stop is Stop.COMPLETE:  # more superpixels than were asked for
            raise c.wrong("samples", f"too few for one design of {field.units} segments: allow more")
        raise Stopped(folded.stop)
    return replace(folded.value, job=job)


def segmented(job: Job, c: Combination) -> Plan[Field]:
    """The units that `c` cuts the input into. Raises InvalidRequest where there are too few."""
    field = yield from _field(job.input, c, job.stream)
    if field.units < least(c, job.input):
        mend = "the image falls into one segment, which leaves nothing to compare: choose another segmentation"
        raise c.wrong("segmentation", mend)
    return field


@contextmanager
def _naming(c: Combination) -> Iterator[None]:
    """A part names its own parameter; the caller knows it as the method's."""
    try:
        yield
    except InvalidRequest as error:
        raise c.wrong(error.field, error.mend) from error


# -- segment and smooth ------------------------------------------------------------------------------------------------


@singledispatch
def _field(x: Any, c: Combination, stream: Stream) -> Plan[Field]:
    """The units that `c` cuts `x` into, with their masks."""
    yield from ()
    return Units(x.shape[0])


@_field.register
def _(x: TextInput, c: Combination, stream: Stream) -> Plan[Field]:
    yield from ()
    return Groups(_sentence_of(x)) if segmentation(x, c) is Segmentation.SENTENCE else Units(x.shape[0])


@_field.register
def _(x: ImageInput, c: Combination, stream: Stream) -> Plan[Field]:
    kind, smooth = segmentation(x, c), smoothing(x, c)
    with _naming(c):
        if smooth is Smoothing.RANDOM_SHIFT:
            return ShiftedGrid(x.shape, c.cells, stream.child("shift"))
        if kind is Segmentation.GRID:
            return Grid(x.shape, c.cells, smooth.value, c.sigma)
    labels = _dense(c.labels) if c.labels is not None else (yield from _superpixels(x, kind, c.segments))
    with _naming(c):
        if (count := int(labels.max()) + 1) > MAX_SEGMENTS:
            raise InvalidRequest("labels", f"at most {MAX_SEGMENTS} segments, not {count}")
        return Segments(labels, (c.sigma or default_sigma(x.shape)) if smooth is Smoothing.GAUSSIAN else None)


def _dense(labels: torch.Tensor) -> torch.Tensor:
    """The caller's labels [H, W] as 0..M-1."""
    return labels.unique(return_inverse=True)[1]


def _sentence_of(x: TextInput) -> torch.Tensor:
    """The sentence that each word is in, [words] int64."""
    begins = torch.tensor([s.begin for s in sentences(x.text)])
    words = torch.tensor([w.begin for w in x.units])
    return _dense(torch.searchsorted(begins, words, right=True) - 1)


def _superpixels(x: ImageInput, kind: Segmentation, count: int) -> Plan[torch.Tensor]:
    """Labels [H, W] int64, cut in a process of its own."""
    rgb = x.pixels.flip(0) if x.space.order == "BGR" else x.pixels
    pixels = rgb.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    found = yield from _local("segment", {"pixels": pixels[None], "kind": [kind.value], "segments": [count]})
    return torch.from_numpy(found["labels"][0])


def _local(name: str, columns: Mapping[str, Any]) -> Plan[Mapping[str, Any]]:
    sweep = Sweep(Local(name), 1, lambda rows, on: (columns, None), First(), counts=False)
    return (yield from ask(sweep)).value


# -- replace -----------------------------------------------------------------------------------------------------------


def _with_baseline(job: Job, x: ImageInput, labels: torch.Tensor) -> Plan[Job]:
    """The job over the baseline that the segments of its input `x` make, and the outputs on that."""
    at = labels.numpy()
    if x.from_segments == "segment_mean":
        made = segment_mean(x.pixels.numpy(), at)
    else:
        found = yield from _local("inpaint", {"pixels": x.pixels.numpy()[None], "labels": at[None]})
        made = found["pixels"][0]
    job = replace(job, input=ImageInput(x.name, x.pixels, torch.from_numpy(made), x.space))
    y = yield from ends(job)
    return replace(job, ends=y)


# -- sample and attribute ----------------------------------------------------------------------------------------------

SAMPLERS: Mapping[Sampler, Callable[[Job, int, Combination], samplers.Sampler]] = {
    Sampler.BERNOULLI: lambda job, m, c: samplers.Bernoulli(job.stream.child("cells"), m, c.keep),
    Sampler.RATE: lambda job, m, c: samplers.Rate(job.stream.child("rate"), m),
    Sampler.ANTITHETIC: lambda job, m, c: samplers.Antithetic(job.stream.child("antithetic"), m),
    Sampler.ONE_OFF: lambda job, m, c: samplers.OneOff(m),
    Sampler.ONE_ON: lambda job, m, c: samplers.OneOn(m),
    Sampler.COALITIONS: lambda job, m, c: coalitions.Coalitions(job.stream.child("coalitions"), m),
    Sampler.KERNEL_PAIRS: lambda job, m, c: coalitions.KernelPairs(job.stream.child("kernel"), m),
    Sampler.ORTHOGONAL: lambda job, m, c: designs.Orthogonal(job.stream.child("orthogonal"), m),
    Sampler.SOBOL_PAIRS: lambda job, m, c: designs.SobolPairs(job.stream.child("sobol"), m),
    Sampler.SPACE_FILLING: lambda job, m, c: designs.SpaceFilling(job.stream.child("filling"), m, c.samples),
}
CALCULATORS: Mapping[Calculator, Callable[[int, samplers.Sampler, Combination], calculators.Calculator]] = {
    Calculator.RISE: lambda k, sampler, c: calculators.Rise(),
    Calculator.LIME: lambda k, sampler, c: regression.Lime(c.kernel_width, c.ridge),
    Calculator.SHAP: lambda k, sampler, c: regression.Shap(_log_density(sampler)),
    Calculator.PDA: lambda k, sampler, c: calculators.Pda(),
    Calculator.PDA_INFORMATION: lambda k, sampler, c: calculators.Pda(PdaForm.INFORMATION, k),
    Calculator.PDA_EVIDENCE: lambda k, sampler, c: calculators.Pda(PdaForm.EVIDENCE, k),
    Calculator.CIU: lambda k, sampler, c: calculators.Ciu(),
    Calculator.INVERSE_CIU: lambda k, sampler, c: calculators.InverseCiu(),
    Calculator.SOBOL: lambda k, sampler, c: sensitivity.Sobol(),
}


def _log_density(sampler: samplers.Sampler) -> torch.Tensor:
    density = sampler.log_density()
    if density is None:
        raise ValueError("a design of continuous masks draws no coalitions")
    return density


def _fold(job: Job, c: Combination, field: Field, sampler: samplers.Sampler) -> Fold[Any]:
    if isinstance(field, ShiftedGrid):
        return MaskMean(job.target, sampler, job.tolerance)
    per_pixel = c.map_type is MapType.PER_PIXEL
    labels = field.labels if isinstance(field, Grid | Segments) else None
    if c.calculator is Calculator.HSIC:
        return dependence.Hsic(sampler, field, per_pixel, job.target, labels)
    if job.ends is None:
        raise ValueError("a job without the outputs on its ends")
    calculator = CALCULATORS[c.calculator](job.ends.shape[1], sampler, c)
    scores = job.target.score(job.ends)
    return Attribution(calculator, sampler, field, per_pixel, job.target, scores, job.tolerance, labels)
