"""Every cell of segmentation x smoothing x sampler x calculator x map: it runs, or is refused with the reason."""

from dataclasses import fields, replace
from itertools import product

import pytest
import torch
from inline import inline
from sidelight import methods
from sidelight.core import registry
from sidelight.core.ask import Local, Model
from sidelight.core.errors import InvalidRequest
from sidelight.core.explanation import explain
from sidelight.core.inputs import ImageInput, TextInput, TokenInput, words
from sidelight.core.job import Job
from sidelight.core.local import works
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.methods.pda import PdaParams
from sidelight.methods.perturbation import PerturbationParams
from sidelight.perturbation.options import Calculator, MapType, PdaForm, Sampler, Segmentation, Smoothing

registry.load(methods)
S, M, D, C, T = Segmentation, Smoothing, Sampler, Calculator, MapType
SIZE = (10, 12)
LABELS = torch.arange(SIZE[0]).view(-1, 1) // 5 * 3 + torch.arange(SIZE[1]) // 4  # 6 segments
IMAGES = (S.GRID, S.SLIC, S.FELZENSZWALB, S.QUICKSHIFT, S.WATERSHED, S.LABELS)
TARGET = Target(OutputKind.LOGITS, Link.PROBABILITY, (0, 1))


def pixels() -> torch.Tensor:
    """Four coloured fields with noise, so that every segmenter finds more than one segment."""
    fields = torch.tensor([[30.0, 220.0], [140.0, 90.0]]).repeat_interleave(5, 0).repeat_interleave(6, 1)
    noise = torch.from_numpy(Stream(3).uniform(range(3), SIZE[0] * SIZE[1])).float().view(3, *SIZE) * 30
    return fields * torch.tensor([1.0, 0.8, 0.6]).view(3, 1, 1) + noise


IMAGE = ImageInput("x", pixels(), torch.zeros(3, *SIZE), PixelSpace(scale=1 / 255))
TEXT = TextInput("x", "A good film. Not dull, they say!", words("A good film. Not dull, they say!"))
TOKENS = TokenInput("x", torch.tensor([5, 2, 9, 4]))
WEIGHT = torch.from_numpy(Stream(4).normal(range(2), 3 * SIZE[0] * SIZE[1])) / 10
segmented: dict[str, dict] = {}  # by kind: the image is always the same


def answer(ask, columns):
    if isinstance(ask, Local):
        key = str((ask.name, list(columns.get("kind", ""))))
        if key not in segmented:
            segmented[key] = works()[ask.name](columns)
        return segmented[key]
    x = columns["x"]
    if isinstance(x, list):
        x = torch.tensor([[t.count("a"), t.count("o"), len(t)] for t in x], dtype=torch.float64) / 9
    weight = WEIGHT[:, : x[0].numel()]
    return {"y": 2 * torch.tanh(x.double().flatten(1) @ weight.T)}


def job(x) -> Job:
    return Job(Model("m", "1"), x, TARGET, Stream(1))


def explained(p: PerturbationParams, x, target: Target = TARGET):
    method = registry.find("perturbation")
    asked = replace(job(x), target=target)
    method.check(p, asked)
    return inline(explain(asked, lambda y: target, method, p), answer, tile=8)


def is_legal(segmentation, smoothing, sampler, calculator, map_type) -> bool:
    """The exclusions of the specification, said again."""
    grid = segmentation is S.GRID
    if smoothing in (M.BILINEAR, M.RANDOM_SHIFT) and not grid:
        return False
    if smoothing is M.RANDOM_SHIFT and (calculator is not C.RISE or map_type is not T.PER_PIXEL):
        return False
    if smoothing is M.RANDOM_SHIFT and sampler in (D.ONE_OFF, D.ONE_ON, D.COALITIONS):
        return False
    wants = {C.CIU: D.ONE_OFF, C.INVERSE_CIU: D.ONE_ON, C.SOBOL: D.SOBOL_PAIRS}
    if (calculator is C.SOBOL) != (sampler is D.SOBOL_PAIRS) or wants.get(calculator, sampler) is not sampler:
        return False
    return calculator is not C.HSIC or sampler not in (D.ONE_OFF, D.ONE_ON, D.COALITIONS)


def cells(segmentation, calculator):
    smoothings = [m for m in M if m is not M.AUTO] if segmentation in IMAGES else [M.NONE]
    return product([segmentation], smoothings, D, [calculator], T)


def params(segmentation, smoothing, sampler, calculator, map_type) -> PerturbationParams:
    labels = LABELS if segmentation is S.LABELS else None
    samples = 64 if sampler is D.SPACE_FILLING else 16  # of its rows there have to be enough to tell units apart
    return PerturbationParams(
        segmentation=segmentation, segments=4, labels=labels, smoothing=smoothing, sampler=sampler, samples=samples,
        calculator=calculator, map_type=map_type,
    )  # fmt: skip


INPUT_OF = {**dict.fromkeys(IMAGES, IMAGE), S.WORD: TEXT, S.SENTENCE: TEXT, S.TOKEN: TOKENS}


@pytest.mark.parametrize("calculator", C)
@pytest.mark.parametrize("segmentation", INPUT_OF)
def test_every_cell_runs_to_finite_maps_of_the_inputs_shape_or_is_refused_by_field_with_the_mend(
    segmentation, calculator
):
    x = INPUT_OF[segmentation]
    for cell in cells(segmentation, calculator):
        p = params(*cell)
        if not is_legal(*cell):
            with pytest.raises(InvalidRequest) as refused:
                explained(p, x)
            field = refused.value.field.removeprefix("perturbation.")
            assert field in ("smoothing", "sampler", "calculator"), cell
            assert "choose" in refused.value.mend or "only" in refused.value.mend, cell
            continue
        result = explained(p, x).result
        assert result.maps.shape == (2, *x.shape), cell
        assert result.maps.isfinite().all(), cell
        assert result.standard_error is None or result.standard_error.isfinite().all(), cell


def test_the_table_of_legal_cells_has_the_size_that_the_specification_gives_it():
    everything = [c for s in INPUT_OF for k in C for c in cells(s, k)]
    legal = [c for c in everything if is_legal(*c)]
    assert (len(everything), len(legal)) == (5400, 2022)
    assert [{c[i] for c in legal} for i in (0, 2, 3, 4)] == [set(INPUT_OF), set(D), set(C), set(T)]


# -- presets -----------------------------------------------------------------------------------------------------------

PRESETS = ("rise", "lime", "kernel_shap", "occlusion", "ciu", "pda", "sobol", "hsic")
MANY = " ".join(["word"] * 300)
INPUTS = (
    IMAGE,
    replace(IMAGE, from_segments="segment_mean"),
    TEXT,
    TextInput("x", "word", words("word")),
    TextInput("x", MANY, words(MANY)),
    TOKENS,
    TokenInput("x", torch.tensor([1])),
    TokenInput("x", torch.arange(300)),
)
TARGETS = (TARGET, replace(TARGET, link=Link.LOGIT), replace(TARGET, classes=(0,), contrast=(1,)))
MAPS = (None, LABELS, torch.zeros(SIZE, dtype=torch.int64), LABELS.float(), torch.arange(120).view(SIZE))


def settings(kind: type):
    """Parameters of a preset, the sensible and the odd."""
    names = {f.name for f in fields(kind)}
    options = {
        "segmentation": list(S), "labels": MAPS, "segments": [2, 49, 1024], "samples": [8], "masks": [4],
        "cells": [1, 7, 64], "inverse": [False, True], "form": list(PdaForm),
    }  # fmt: skip
    known = {name: values for name, values in options.items() if name in names}
    return (kind(**dict(zip(known, values, strict=True))) for values in product(*known.values()))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_refused_by_fields_that_it_has(name):
    method, refused = registry.find(name), set()
    known = {f"{name}.{f.name}" for f in fields(method.params)} | {"baseline.segment_mean"}
    for p, x, target in product(settings(method.params), INPUTS, TARGETS):
        try:
            method.check(p, replace(job(x), target=target))
        except InvalidRequest as error:
            refused.add(error.field)
    assert refused and refused <= known


def test_segments_that_are_too_many_to_smooth_are_refused_before_any_work():
    x = ImageInput("x", torch.zeros(3, 512, 512), torch.zeros(3, 512, 512), PixelSpace())
    labels = (torch.arange(512 * 512) * 300 // (512 * 512)).view(512, 512)
    for p, field in [
        (PdaParams(segmentation=S.LABELS, labels=labels), "pda.labels"),
        (PdaParams(segmentation=S.SLIC, segments=300), "pda.segments"),
    ]:
        with pytest.raises(InvalidRequest, match="at most 256 segments") as refused:
            registry.find("pda").check(p, job(x))
        assert refused.value.field == field
    registry.find("pda").check(PdaParams(segments=400), job(x))  # a grid's weights are separable


def test_the_default_of_every_preset_runs_on_every_input_or_says_why_not():
    for name, x in product(PRESETS, INPUTS):
        method = registry.find(name)
        p = method.params(**{n: 16 for n in ("samples", "masks") if n in {f.name for f in fields(method.params)}})
        if name == "sobol":
            p = replace(p, samples=53)
        asked, known = job(x), {f"{name}.{f.name}" for f in fields(method.params)} | {"baseline.segment_mean"}
        try:
            method.check(p, asked)
            maps = inline(explain(asked, lambda y: TARGET, method, p), answer, tile=8).result.maps
        except InvalidRequest as error:
            named = error.field
        else:
            named = f"{name}.{fields(method.params)[0].name}" if maps.isfinite().all() else "a map with NaN"
            assert maps.shape == (2, *x.shape), name
        assert named in known
