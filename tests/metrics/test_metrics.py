"""What holds of every registered metric."""

import dataclasses
import math
from dataclasses import replace

import pytest
import torch
from measured import bent, picture, run, sentence, subject
from sidelight import metrics
from sidelight.core import metric as registry
from sidelight.core.errors import InvalidRequest, Unknown
from sidelight.core.job import Saliency
from sidelight.core.params import build
from sidelight.core.predictor import Layer, Twin, Unit
from sidelight.core.registry import load
from sidelight.core.sweep import Meter, metered

load(metrics)
NAMES = sorted(registry.metrics())
X = picture((6, 7))
MASK = torch.eye(6, 7, dtype=torch.bool)
WORDS = sentence()
MAPS = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def again(stream, variant=""):
    yield from ()
    return Saliency(torch.from_numpy(stream.normal(range(2), 42)).view(2, 6, 7))


def explained(metric):
    """A text for what is held against spans of it, else an image."""
    return WORDS if "spans" in metric.needs else X


def asked(metric):
    """Two targets, a method that can run again, and a twin of four layers."""
    x = explained(metric)
    s = subject(x, MAPS.flatten(1)[:, : math.prod(x.shape)].view(2, *x.shape), (0, 1), rerun=again)
    twin = Twin(tuple(Layer(name, (1,), True) for name in "abcd"), "digest", 1e-3)
    return replace(s, job=replace(s.job, twin=twin))


def params(metric):
    truth = {"mask": MASK, "spans": (Unit(2, 17),)}
    return metric.params(**{name: truth[name] for name in truth if name in metric.needs})


def test_all_are_registered_beside_their_definition():
    assert {"srg", "insertion", "deletion", "pointing_game", "mass_in_mask", "stability", "randomisation"} <= set(NAMES)
    assert {"sufficiency", "comprehensiveness", "rationale"} <= set(NAMES)


def test_an_unknown_metric_is_answered_with_those_that_are_close():
    with pytest.raises(Unknown, match="insertion"):
        registry.find("insertoin")


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_says_what_it_is_where_it_is_from_and_what_it_needs(name):
    m = registry.find(name)
    assert m.summary.endswith(".") and m.paper and m.needs
    assert set(m.needs) <= {"forward", "mask", "spans", "rerun", "twin"}


@pytest.mark.parametrize("name", NAMES)
def test_its_cost_is_the_rows_that_it_asks_for(name):
    m, meter = registry.find(name), Meter(left=0)
    run(metered(m.plan(asked(m), params(m)), meter), bent(X))
    copies = {"randomisation": 4}.get(name, 0)  # the input and baseline on each are asked by what runs the method again
    assert sum(meter.rows.values()) == m.cost(params(m), (6, 7), 2) - 2 * copies
    assert m.reruns(params(m)) == ((copies or 2) if "rerun" in m.needs else 0)


@pytest.mark.parametrize("name", NAMES)
def test_its_values_are_finite_and_one_for_each_target(name):
    m = registry.find(name)
    found = run(m.plan(asked(m), params(m)), bent(X))
    assert found.values
    for value in found.values.values():
        assert value.shape == (2,) and value.dtype == torch.float64 and value.isfinite().all()
    for curve in found.curves.values():
        steps = params(m).layers if "twin" in m.needs else params(m).steps
        assert curve.shape == (2, steps + 1) and curve.dtype == torch.float64
    m.check(params(m), explained(m))
    assert bool(found.replacement) == ("forward" in m.needs)


@pytest.mark.parametrize("name", NAMES)
def test_its_parameters_say_what_they_are_and_can_be_built_from_nothing(name):
    kind = registry.find(name).params
    assert all(f.metadata["what"] for f in dataclasses.fields(kind))
    given = {f.name: f.default for f in dataclasses.fields(kind) if f.default is not None}
    assert dataclasses.asdict(build(kind, given, f"metrics.{name}")) == dataclasses.asdict(kind())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_map_that_cannot_be_ranked_is_refused(bad):
    maps = MAPS.clone()
    maps[1, 2, 3] = bad
    with pytest.raises(InvalidRequest, match="finite") as refused:
        subject(X, maps, (0, 1))
    assert refused.value.field == "maps"


def test_a_map_of_another_shape_than_the_input_is_refused():
    with pytest.raises(InvalidRequest, match=r"shape \[2, 6, 7\], not \[2, 7, 6\]"):
        subject(X, MAPS.transpose(1, 2), (0, 1))
    with pytest.raises(InvalidRequest, match=r"\[1, 6, 7\]"):
        subject(X, MAPS, (0,))
