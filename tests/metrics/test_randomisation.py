"""The randomisation check on a real network and its twin's random copies, against replicas."""

from dataclasses import fields, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from inline import inline
from measured import SPACE, picture, subject
from scipy.stats import spearmanr
from sidelight import methods, metrics
from sidelight.core import registry
from sidelight.core.ask import Model
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.explanation import explain
from sidelight.core.job import Job, Saliency
from sidelight.core.metric import find
from sidelight.core.predictor import Fit, Layer, ModelSpec, TensorSpec, Twin
from sidelight.core.registry import Method
from sidelight.core.stream import Stream
from sidelight.core.sweep import Meter, Placement, metered
from sidelight.core.target import Link, OutputKind, Target
from sidelight.metrics.randomisation import RandomisationParams, cascade, randomisation
from sidelight.predictors.networks import Network
from sidelight.predictors.tuning import Tuned
from sidelight.predictors.twin import TwinPredictor
from torch import nn

registry.load(methods)
registry.load(metrics)
SIZE = (12, 12)
X = picture(SIZE, seed=3)
MAPS = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NAMES = ("spearman", "cosine", "spearman_absolute", "cosine_absolute")


def twin_of(*names):
    return Twin(tuple(Layer(name, (1,), True) for name in names), "digest", 1e-3)


def measured(maps, again, layers=("a", "b", "c", "d"), steps=4):
    """The metric on `maps`, where the method gives `again[variant's layer]` on the copies; and the variants asked."""
    seen = []

    def rerun(stream, variant=""):
        yield from ()
        seen.append((stream, variant))
        return Saliency(again[variant.split(":")[1]])

    s = subject(picture((6, 7)), maps, tuple(range(len(maps))), rerun=rerun)
    s = replace(s, job=replace(s.job, twin=twin_of(*layers)))
    return inline(randomisation(s, RandomisationParams(steps)), None), seen


# -- the numbers -------------------------------------------------------------------------------------------------------


def test_similarities_are_those_of_plain_loops_over_maps_and_their_absolute_values():
    again = {name: torch.randn(2, 6, 7, dtype=torch.float64) for name in "abcd"}
    again["b"] = again["b"].round()  # ties
    found, _ = measured(MAPS, again)
    for t in range(2):
        a = MAPS[t].flatten().numpy()
        for k, name in enumerate("dcba", 1):
            b = again[name][t].flatten().numpy()
            expected = (
                spearmanr(a, b)[0],
                a @ b / np.sqrt((a @ a) * (b @ b)),
                spearmanr(abs(a), abs(b))[0],
                abs(a) @ abs(b) / np.sqrt((a @ a) * (b @ b)),
            )
            for which, value in zip(NAMES, expected, strict=True):
                assert found.curves[which][t, k].item() == pytest.approx(value, abs=1e-12)
    for which in NAMES:
        assert (found.curves[which][:, 0] - 1).abs().max() < 1e-12
        assert torch.equal(found.values[which], found.curves[which][:, -1])  # all weights random


def test_a_method_that_sees_no_weights_survives_and_one_that_flips_does_not():
    survives, _ = measured(MAPS, dict.fromkeys("abcd", MAPS))
    assert all(v.tolist() == pytest.approx([1, 1]) for v in survives.values.values())
    flipped, _ = measured(MAPS, dict.fromkeys("abcd", -MAPS))
    assert flipped.values["spearman"].tolist() == pytest.approx([-1, -1])
    assert flipped.values["spearman_absolute"].tolist() == pytest.approx([1, 1])  # the same places light up


def test_a_map_that_random_weights_empty_is_like_none():
    found, _ = measured(MAPS, dict.fromkeys("abcd", torch.zeros(2, 6, 7)))
    assert all((found.curves[name][:, 1:] == 0).all() for name in NAMES)


def test_the_copies_are_random_from_the_top_down_with_one_seed_and_the_draws_are_the_explanations():
    _, seen = measured(MAPS, dict.fromkeys("abcdefgh", MAPS), "abcdefgh", 4)
    assert [variant.split(":")[:2] for _, variant in seen] == [["randomised", name] for name in "geca"]
    assert len({variant.split(":")[2] for _, variant in seen}) == 1
    assert {stream for stream, _ in seen} == {Stream(5)}


def test_layers_that_hold_others_are_left_out_and_few_layers_make_few_steps():
    layers = twin_of("stem", "block.conv", "block.relu", "block", "head").layers
    assert cascade(layers, 4) == ["head", "block.relu", "block.conv", "stem"]
    assert cascade(layers, 2) == ["block.relu", "stem"]
    assert cascade(layers, 1) == ["stem"]
    assert cascade(layers, 32) == cascade(layers, 4)


def test_without_a_twin_a_rerun_or_a_map_that_varies_it_says_why():
    s = subject(picture((6, 7)), MAPS, (0, 1))
    with pytest.raises(InvalidRequest, match="with an explanation"):
        inline(randomisation(s, RandomisationParams()), None)
    s = replace(s, rerun=lambda stream, variant="": iter(()))
    with pytest.raises(Unsupported, match="no verified differentiable twin"):
        inline(randomisation(s, RandomisationParams()), None)
    with pytest.raises(InvalidRequest, match="target 1 has the same value everywhere"):
        measured(torch.stack([MAPS[0], torch.ones(6, 7)]), dict.fromkeys("abcd", MAPS))


# -- on a network ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3),
    ).eval().requires_grad_(False)  # fmt: skip
    spec = ModelSpec(
        "net", "1", "image", TensorSpec("x", "FP32", (3, *SIZE)), TensorSpec("y", "FP32", (3,)), OutputKind.LOGITS, 3,
        pixels=SPACE, fit=Fit(SIZE),
    )  # fmt: skip
    tuned = Tuned(module, Placement(), "float32")
    predictor = TwinPredictor(Network(module, "python", "digest", module), spec, tuned=tuned, batch_rows=8)
    yield predictor
    predictor.close()


def on(predictor):
    return lambda ask, columns: predictor.start(ask, [columns], lambda: None).result()


def checked(predictor, name, steps=3, meter=None, **params):
    method = registry.find(name)
    job = Job(Model("net", "1"), X, Target(OutputKind.LOGITS, Link.LOGIT), Stream(5), twin=predictor.twin)
    target = Target(OutputKind.LOGITS, Link.LOGIT, (0, 1))
    chosen = [(find("randomisation"), RandomisationParams(steps))]
    plan = explain(job, lambda y: target, method, method.params(**params), metrics=chosen)
    return inline(metered(plan, meter or Meter()), on(predictor))


@pytest.mark.parametrize(("name", "params"), [("rise", {"masks": 100}), ("integrated_gradients", {"nodes": 8})])
def test_black_boxes_and_gradients_alike_go_to_the_random_copies(network, name, params):
    explanation = checked(network, name, **params)
    (found,) = explanation.measures
    assert set(found.values) == set(NAMES) and found.curves["cosine"].shape == (2, 4)
    assert (found.curves["spearman"][:, 1:].abs() < 0.99).all()  # a few cells: chance alone may make them much alike
    assert explanation.evaluations == pytest.approx(explanation.rows_done * 4, rel=0.3)


def test_each_map_is_that_of_the_same_question_to_the_copy(network):
    explanation = checked(network, "rise", steps=2, masks=60)
    found = explanation.measures[0]
    seed = int(Stream(5).child("randomisation").integers(range(1), 1, 2**31)[0, 0])
    own = explanation.result.maps.flatten(1)
    for k, layer in enumerate(cascade(network.twin.layers, 2), 1):
        job = replace(explanation.job, model=Model("net", "1", f"randomised:{layer}:{seed}"))
        rise = registry.find("rise")
        other = inline(rise.plan(job, rise.params(masks=60)), on(network)).maps.flatten(1)
        expected = torch.cosine_similarity(own.double(), other.double())
        torch.testing.assert_close(found.curves["cosine"][:, k], expected)


def test_the_same_request_measures_the_same_again(network):
    first, second = (checked(network, "integrated_gradients", nodes=6).measures[0] for _ in range(2))
    for name in NAMES:
        assert torch.equal(first.curves[name], second.curves[name])


def black_box(name, plan):
    """A method without parameters that asks for outputs only."""
    plain = {
        "paper": "",
        "needs": ("forward",),
        "cost": lambda *_: 0,
        "check": lambda *_: None,
        "summary": "",
        "maps": True,
    }
    rest = {f.name: None for f in fields(Method) if f.name not in plain}
    return Method(**{**rest, **plain, "name": name, "plan": plan, "params": SimpleNamespace})


def test_a_method_that_shows_the_input_survives_on_a_real_network(network):
    def plan(job, params):
        yield from ()
        return Saliency(X.pixels.double().mean(0).expand(2, *SIZE))

    edges = black_box("edges", plan)
    job = Job(Model("net", "1"), X, Target(OutputKind.LOGITS, Link.LOGIT), Stream(5), twin=network.twin)
    target = Target(OutputKind.LOGITS, Link.LOGIT, (0, 1))
    chosen = [(find("randomisation"), RandomisationParams(2))]
    explanation = inline(explain(job, lambda y: target, edges, None, metrics=chosen), on(network))
    assert explanation.measures[0].values["spearman"].tolist() == pytest.approx([1, 1])


def test_what_goes_wrong_on_a_copy_is_the_metrics_reason_and_the_map_is_kept(network):
    def plan(job, params):
        yield from ()
        if job.model.variant:
            raise Unsupported("NO_NEUTRAL_BASELINE", "baseline", "no neutral baseline was found")
        return Saliency(MAPS.new_ones((2, *SIZE)).tril())

    picky = black_box("picky", plan)
    job = Job(Model("net", "1"), X, Target(OutputKind.LOGITS, Link.LOGIT), Stream(5), twin=network.twin)
    target = Target(OutputKind.LOGITS, Link.LOGIT, (0, 1))
    run = partial(explain, job, lambda y: target, picky, None)
    explanation = inline(run(metrics=[(find("randomisation"), RandomisationParams(2))]), on(network))
    assert explanation.measures == ("no neutral baseline was found",)


def test_a_twin_that_is_far_from_the_served_model_on_this_input_is_not_what_the_map_is_checked_on(network):
    def other(ask, columns):
        found = on(network)(ask, columns)
        return found if ask.model.variant else {"y": found["y"] + 1}

    job = Job(Model("net", "1"), X, Target(OutputKind.LOGITS, Link.LOGIT), Stream(5), twin=network.twin)
    target, rise = Target(OutputKind.LOGITS, Link.LOGIT, (0, 1)), registry.find("rise")
    chosen = [(find("randomisation"), RandomisationParams(2)), (find("deletion"), find("deletion").params())]
    explanation = inline(explain(job, lambda y: target, rise, rise.params(masks=20), metrics=chosen), other)
    reason, deletion = explanation.measures
    assert "differs from the served model on the input and its baseline" in reason
    assert deletion.values  # it alone fails


def test_a_map_with_tiny_values_is_like_itself_in_any_units():
    again = {name: torch.randn(2, 6, 7, dtype=torch.float64) for name in "abcd"}
    expected, _ = measured(MAPS, again)
    for scale in (1e-12, 1e-200):
        found, _ = measured(MAPS * scale, {name: maps * scale for name, maps in again.items()})
        for which in NAMES:
            torch.testing.assert_close(found.curves[which], expected.curves[which])
