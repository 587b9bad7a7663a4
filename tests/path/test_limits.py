"""Budgets, memory and what a request does not need: nothing is asked, kept or promised beyond it."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from path_nets import Residual, gelu_net, image_job, run, seeded
from sidelight.core.baseline import Neutral
from sidelight.core.errors import InvalidRequest
from sidelight.core.sweep import Meter, Placement, metered
from sidelight.path import rounds, rules
from sidelight.path.blur import Blurred, blur
from sidelight.path.checks import check, settled
from sidelight.path.cost import cost
from sidelight.path.fusion import fused
from sidelight.path.lines import Lines
from sidelight.path.options import Attribution, Options, Path, Quadrature
from sidelight.path.plan import attribute

IG, EG = Attribution.INTEGRATED_GRADIENTS, Attribution.EXPECTED_GRADIENTS
CUTS = ("stem", "sum", "pool", "head")

BUDGETS = {
    "fixed": ({}, {"nodes": 5}),
    "at a layer": ({}, {"nodes": 5, "layers": ("sum",)}),
    "a set that is tried": ({}, {"nodes": 5, "layers": ("branch", "branch.0"), "allow_partial_cut": True}),
    "adaptive": ({"tolerance": 1e-2, "others": 1}, {"layers": ("sum",), "kinds": (IG, Attribution.TAYLOR)}),
    "guided": ({"others": 1}, {"nodes": 4, "path": Path.GUIDED, "layers": ("stem",)}),
    "random": ({}, {"kinds": (EG, IG), "nodes": 3, "layers": ("stem",)}),
    "fused": ({}, {"kinds": (Attribution.LAYER_CAM,), "layers": ("stem", "sum")}),
}


@pytest.mark.parametrize("case", BUDGETS)
def test_the_budget_that_a_refusal_names_is_the_least_that_is_enough(case):
    about, options = BUDGETS[case]
    net = seeded(Residual)
    job = image_job(net, cuts=CUTS, classes=(0, 1), **about)
    kinds = options.get("kinds", (IG,))
    chosen = Options("m", kinds, **{name: v for name, v in options.items() if name != "kinds"})
    plan = fused if case == "fused" else attribute

    def spend(rows):
        return inline(metered(plan(job, chosen), Meter(rows)), Answers(net), on=WIDE)

    with pytest.raises(InvalidRequest) as refused:
        spend(7)
    assert refused.value.field == "budget.max_evaluations"
    least = int(re.search(r"at least (\d+)", refused.value.mend)[1])
    with pytest.raises(InvalidRequest, match=f"at least {least} "):
        spend(least - 1)
    assert spend(least).maps.isfinite().all()


def test_gradients_of_all_integrals_together_are_kept_within_bounds(monkeypatch):
    net = seeded(gelu_net)
    job = image_job(net, classes=(0, 1), others=1, tolerance=1e-9)
    monkeypatch.setattr(rounds, "KEPT", 4 * 7 * 360 * 4)  # of four integrals, seven nodes each
    for accounts in run(job, net, IG).accounts:
        assert accounts[0].evaluations == 2 * 7 and not accounts[0].converged
    monkeypatch.setattr(rounds, "KEPT", 4 * 4 * 360 * 4)
    with pytest.raises(InvalidRequest, match="fewer targets or baselines") as refused:
        run(job, net, IG)
    assert refused.value.field == "path_attribution.quadrature" and run.answers.counts == {}


def test_lines_to_one_input_share_what_is_uploaded_of_it():
    z = {"l": torch.randn(3, 4)}
    lines = Lines(z, [{"l": torch.zeros(3, 4)}, {"l": torch.ones(3, 4)}], 0, 0.0, None)
    for line in (lines[0], lines[1]):
        line.points([0.5], Placement())
    assert lines[0].z_on[Placement()] is lines[1].z_on[Placement()]


def test_slopes_of_the_blur_path_are_made_once_for_all_targets(monkeypatch):
    net = seeded(gelu_net)
    job = image_job(net, classes=(0, 1, 2))
    made, own = [], Blurred._slope
    monkeypatch.setattr(Blurred, "_slope", lambda way, alpha: made.append(alpha) or own(way, alpha))
    x = replace(job.input, sigma=2.0)
    run(replace(job, input=x), net, IG, path=Path.BLUR, nodes=6)
    assert len(made) == 6
    monkeypatch.setattr("sidelight.path.blur.SLOPES", 2)
    way, made[:] = blur(x), []
    for alpha in (0.1, 0.2, 0.3, 0.1, 0.2, 0.3):
        torch.testing.assert_close(way.slope(alpha)["input"], own(way, alpha))
    assert made == [0.1, 0.2, 0.3, 0.3]


def test_what_a_rule_costs_is_told_without_making_it(monkeypatch):
    monkeypatch.setattr(np.polynomial.legendre, "leggauss", None)
    x = image_job(seeded(gelu_net)).input
    assert cost(Options("m", (IG,), nodes=1999), x) == 1999 + 2
    assert cost(Options("m", (IG, Attribution.TAYLOR, Attribution.GRADIENT), nodes=10), x) == 10 + 2 + 2


def test_a_gauss_legendre_rule_is_made_once():
    assert rules.gauss_legendre(123) is rules.gauss_legendre(123)


def test_of_groups_of_random_draws_only_cells_are_kept(monkeypatch):
    kept = []
    monkeypatch.setattr("sidelight.path.plan._standard_error", lambda job, scene, found, kind: kept.extend(found))
    net = seeded(gelu_net)
    found = run(image_job(net, others=1), net, EG, draws=40)
    (finding,) = kept
    assert len(finding.groups) == 20
    assert all(group.features["input"].shape == (1, 12, 10) for group in finding.groups)
    whole = torch.stack([group.features["input"] for group in finding.groups]).sum(0)[0] / 40
    torch.testing.assert_close(whole, found.accounts[0][0].raw["input"].sum(0))


def test_a_baseline_that_no_attribution_is_over_is_not_looked_for():
    net = seeded(Residual)
    with torch.no_grad():
        net.head.weight *= 0.0
        net.head.bias.copy_(torch.tensor([6.0, 0.0, 0.0]))  # nothing is neutral
    job = image_job(net, cuts=CUTS, at_layer=Neutral())
    found = run(job, net, Attribution.GRAD_CAM, layers=("sum",))
    assert run.answers.counts == {"activation": 1, "forward": 1, "gradient": 1}
    assert found.accounts[0][0].evaluations == 3
    run(image_job(net, cuts=CUTS, others=3), net, Attribution.GRAD_CAM, layers=("sum",))
    assert run.answers.counts == {"activation": 1, "forward": 1, "gradient": 1}


@pytest.mark.parametrize(
    ("kind", "path"),
    [(IG, Path.GUIDED), (Attribution.MIDPOINT, Path.STRAIGHT), (EG, Path.STRAIGHT)],
    ids=["guided", "midpoint", "expected gradients"],
)
def test_a_rule_that_nothing_takes_is_refused_and_none_is_echoed(kind, path):
    job = image_job(seeded(gelu_net))
    with pytest.raises(InvalidRequest, match="no rule") as refused:
        check(Options("m", (kind,), path=path, quadrature=Quadrature.TRAPEZOID), job)
    assert refused.value.field == "m.quadrature"
    options = Options("m", (kind,), path=path)
    check(options, job)
    assert settled(options, options, job).quadrature is Quadrature.AUTO
    assert settled(options, options.over(attributions=(IG,), path=Path.STRAIGHT), job).quadrature is (
        Quadrature.GAUSS_LEGENDRE
    )


def test_the_ends_of_guided_paths_are_nodes_of_them_and_asked_once():
    net = seeded(gelu_net)
    job = image_job(net, classes=(0, 2), others=1)
    found = run(job, net, IG, path=Path.GUIDED, nodes=6)
    assert run.answers.counts == {"gradient": 7 * 2 * 2}
    straight = run(job, net, IG, nodes=6)
    for t in (0, 1):
        one, other = found.accounts[t][0], straight.accounts[t][0]
        assert one.evaluations == 7 * 2
        assert one.output == pytest.approx(other.output)
        assert one.baseline_outputs == pytest.approx(other.baseline_outputs)
