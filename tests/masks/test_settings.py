"""Parameters of mask optimisation: the preset's where nothing is said, and what does not go together."""

from dataclasses import fields, replace

import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from mask_nets import image_job, small_net
from sidelight.core.baseline import Blur, Constant, FeatureZero, ModelMean
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.evidence import Evidence
from sidelight.core.inputs import TextInput, words
from sidelight.core.params import build
from sidelight.core.registry import find
from sidelight.core.target import OutputKind
from sidelight.masks.options import (
    IMAGE_CNN,
    IMAGE_VIT,
    TEXT,
    Comprehensiveness,
    Kernel,
    Optimiser,
    Options,
    Preset,
    Rule,
)
from sidelight.masks.rationale import rationale
from sidelight.masks.settings import options_of
from sidelight.methods.mask_optimisation import MaskOptimisationParams as Params

METHOD = find("mask_optimisation")
SENTENCE = "not my cup of tea"


def job(**more):
    return image_job(small_net(), **more)


def text_job():
    return replace(job(), input=TextInput("x", SENTENCE, words(SENTENCE)))


def refused(params, where):
    with pytest.raises(InvalidRequest) as error:
        METHOD.check(params, where)
    return str(error.value)


@pytest.mark.parametrize(
    ("preset", "expected"), [(Preset.AUTO, IMAGE_CNN), (Preset.IMAGE_CNN, IMAGE_CNN), (Preset.IMAGE_VIT, IMAGE_VIT)]
)
def test_what_is_left_out_is_the_presets(preset, expected):
    assert options_of(Params(preset=preset), job().input) == expected


def test_texts_have_the_preset_of_texts():
    assert options_of(Params(), text_job().input) == TEXT
    assert options_of(Params(preset=Preset.TEXT), text_job().input) == TEXT


OF_IMAGES = {
    "evidence": Evidence.MIXED, "comprehensiveness": Comprehensiveness.LOG_COMPLEMENT, "kernel": Kernel.SIGMA,
    "size_weight": 0.6, "sigma_weight": 1.2, "variation_weight": 10.0, "w": 0.5, "sigma": 1.2, "sigma_low": 0.6,
    "sigma_high": 400.0, "optimiser": Optimiser.ADAM, "rate": 0.03, "steps": 7500, "rule": Rule.DECREASE,
    "least_steps": 250, "every": 1, "settled": 2e-4, "snap": 0.0, "noise": 0.0, "cell": 1,
}  # fmt: skip
OF_TEXTS = {
    "evidence": Evidence.SOFTMAX, "comprehensiveness": Comprehensiveness.LOG_COMPLEMENT,
    "kernel": Kernel.SIGMA_SQUARED, "size_weight": 1.0, "sigma_weight": 1.2, "variation_weight": 0.0, "w": 1.2,
    "sigma": 2.0, "sigma_low": 0.5, "sigma_high": 20.0, "optimiser": Optimiser.ADAMW, "rate": 0.03, "steps": 900,
    "rule": Rule.PERIODIC, "least_steps": 50, "every": 50, "settled": 1e-2, "snap": 0.05, "noise": 0.03, "cell": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        (IMAGE_CNN, OF_IMAGES),
        (IMAGE_VIT, {**OF_IMAGES, "size_weight": 0.25, "evidence": Evidence.SOFTMAX}),
        (TEXT, OF_TEXTS),
    ],
)
def test_presets_are_those_of_the_paper_and_its_code(preset, settings):
    assert vars(preset) == {**settings, **dict.fromkeys(("span_threshold", "span_share", "span_count"))}


GIVEN = {
    "evidence": Evidence.SIGMOID, "comprehensiveness": Comprehensiveness.LOG_RATIO, "kernel": Kernel.SIGMA_SQUARED,
    "size_weight": 0.1, "sigma_weight": 0.2, "variation_weight": 0.3, "w": 0.4, "sigma": 5.0, "sigma_low": 1.5,
    "sigma_high": 70.0, "optimiser": Optimiser.ADAMW, "rate": 0.8, "steps": 9, "rule": Rule.NEVER, "least_steps": 10,
    "every": 11, "settled": 0.12, "snap": 0.13, "noise": 0.14, "cell": 15, "span_threshold": 0.16, "span_share": 0.17,
    "span_count": 18,
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_every_option_can_be_asked_for(name):
    assert options_of(Params(**{name: GIVEN[name]}), job().input) == replace(IMAGE_CNN, **{name: GIVEN[name]})


def test_every_option_is_a_parameter_and_every_parameter_an_option():
    assert {f.name for f in fields(Params)} - {"preset"} == {f.name for f in fields(Options)} == set(GIVEN)


def test_parameters_are_answered_with_all_that_was_left_out():
    told = METHOD.settle(Params(steps=7), job())
    assert (told.preset, told.steps, told.rate, told.rule) == (Preset.IMAGE_CNN, 7, 0.03, Rule.DECREASE)
    assert options_of(told, job().input) == replace(IMAGE_CNN, steps=7)


def test_models_that_serve_no_logits_are_read_as_they_can_be():
    served = job(kind=OutputKind.PROBABILITIES)
    METHOD.check(Params(), served)
    assert METHOD.settle(Params(), served).evidence is Evidence.SOFTMAX
    assert "mask_optimisation.evidence: softmax" in refused(Params(evidence=Evidence.MIXED), served)


def test_baselines_are_the_presets_for_images_and_the_blank_token_for_texts():
    assert METHOD.baseline(Params(), "image") == (Constant((0.0,)), Constant((255.0,)), ModelMean())
    assert METHOD.baseline(Params(preset=Preset.IMAGE_VIT), "image") == (Blur(20.0),)
    assert METHOD.baseline(Params(), "text") == ()


def test_it_costs_two_rows_a_step_for_each_class_and_baseline():
    assert METHOD.cost(Params(steps=70), job().input) == 140
    assert METHOD.cost(Params(), text_job().input) == 1800
    assert METHOD.apart  # so that this is multiplied by classes and baselines


def test_a_model_without_a_twin_is_refused_and_what_does_without_is_named():
    with pytest.raises(Unsupported) as error:
        METHOD.check(Params(), job(twin=None))
    assert error.value.reason == "NO_TWIN"
    assert METHOD.instead == "mask_search"  # which the service names in its refusal


@pytest.mark.parametrize("name", ["sigma", "sigma_low", "sigma_high"])
@pytest.mark.parametrize("value", [1e-30, 0.0, 1e9])
def test_sigma_is_bounded_so_that_levels_between_its_bounds_are_few(name, value):
    with pytest.raises(InvalidRequest, match=rf"{name}: a number in \[0.05, 1000"):
        build(Params, {name: value}, "mask_optimisation")


def test_images_take_both_kernels():
    METHOD.check(Params(kernel=Kernel.SIGMA_SQUARED), job())
    net, first = small_net(), []
    for sigma, kernel in ((1.44, Kernel.SIGMA), (1.2, Kernel.SIGMA_SQUARED)):
        found = inline(METHOD.plan(job(), Params(sigma=sigma, kernel=kernel, steps=1)), Answers(net), 16, WIDE)
        first.append(found.maps)
    torch.testing.assert_close(*first, rtol=1e-3, atol=1e-4)


def test_presets_of_another_kind_of_input_are_refused():
    assert "preset: image_cnn or image_vit" in refused(Params(preset=Preset.TEXT), job())
    assert "preset: text" in refused(Params(preset=Preset.IMAGE_VIT), text_job())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"sigma": 0.5}, "sigma: in [0.6, 400]"),
        ({"sigma_low": 1.3}, "sigma: in [1.3, 400]"),
        ({"sigma_low": 3.0, "sigma_high": 2.0}, "sigma_high: above"),
        ({"sigma_low": 1.2, "sigma_high": 1.2}, "sigma_high: above"),
        ({"snap": 0.1}, "snap: 0"),
        ({"noise": 0.1}, "noise: 0"),
        ({"cell": 11}, "cell: at most 10"),
        ({"span_share": 0.2}, "span_share: of texts"),
    ],
)
def test_what_an_image_cannot_have_is_refused_by_its_field(changed, field):
    METHOD.check(Params(), job())
    assert f"mask_optimisation.{field}" in refused(Params(**changed), job())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"variation_weight": 1.0}, "variation_weight: 0"),
        ({"cell": 2}, "cell: 1"),
        ({"span_share": 0.2, "span_count": 3}, "span_count: leave it out, or span_share"),
    ],
)
def test_what_a_text_cannot_have_is_refused_by_its_field(changed, field):
    METHOD.check(Params(), text_job())
    assert f"mask_optimisation.{field}" in refused(Params(**changed), text_job())


def test_baselines_that_are_no_inputs_are_refused():
    assert "baseline: one that is an input" in refused(Params(), job(at_layer=FeatureZero()))
    x = job().input
    assert "not made from segments" in refused(Params(), replace(job(), input=replace(x, from_segments="inpainting")))


def test_targets_that_are_no_class_are_refused():
    contrast = job()
    contrast = replace(contrast, target=replace(contrast.target, contrast=(0,)))
    assert "target: classes" in refused(Params(), contrast)


def test_rationales_are_by_a_threshold_of_a_half_unless_they_are_asked_for_otherwise():
    x, mask = text_job().input, torch.tensor([0.9, 0.2, 0.5, 0.4, 0.8])

    def chosen(**ways):
        return [SENTENCE[s.begin : s.end] for s in rationale(x, mask, replace(TEXT, **ways))]

    assert chosen() == ["not", "cup", "tea"]
    assert chosen(span_threshold=0.4) == ["not", "cup of tea"]
    assert chosen(span_share=0.4) == ["not", "tea"]
    assert chosen(span_count=1) == ["not"]
    assert rationale(job().input, torch.ones(12, 10), IMAGE_CNN) == ()


def test_the_method_explains():
    net, asked = small_net(), job()
    found = inline(METHOD.plan(asked, Params(steps=3, rule=Rule.NEVER)), Answers(net), 16, WIDE)
    assert found.maps.shape == (1, 12, 10)
    assert found.maps.dtype == torch.float64
