"""The adaptive rule, the blur path and the guided path as parts of an explanation; budgets and deadlines."""

from dataclasses import replace

import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from path_nets import gelu_net, image_job, run, seeded, vector_job
from sidelight.core.baseline import Blur
from sidelight.core.errors import InvalidRequest
from sidelight.core.explanation import Explanation
from sidelight.core.inputs import ImageInput
from sidelight.core.sweep import Meter, Stop, Stopped, metered
from sidelight.path.options import Attribution, Options, Path, Quadrature
from sidelight.path.plan import attribute
from torch import nn

IG, EG = Attribution.INTEGRATED_GRADIENTS, Attribution.EXPECTED_GRADIENTS


def test_a_tolerance_brings_the_adaptive_rule_which_tells_what_it_reached():
    net = seeded(gelu_net)
    job = image_job(net, cuts=("1",), classes=(0, 1), others=1, tolerance=1e-3)
    found = run(job, net, IG, layers=("1",))
    exact = run(job, net, IG, layers=("1",), nodes=200, quadrature=Quadrature.GAUSS_LEGENDRE)
    for t in (0, 1):
        account = found.accounts[t][0]
        assert account.converged and account.residual <= 1e-3 and account.indicator <= 1e-3
        away = (account.raw["1"] - exact.accounts[t][0].raw["1"]).abs().sum() / account.raw["1"].abs().sum()
        assert away < 3e-3
        assert account.output == pytest.approx(exact.accounts[t][0].output)
        assert account.baseline_output == pytest.approx(exact.accounts[t][0].baseline_output)
    assert sum(a[0].evaluations for a in found.accounts) < 2 * 60


def spend(job, net, rows, **options):
    """Attribute with a budget of rows; the saliency and what was spent."""
    meter = Meter(rows)
    plan = attribute(job, Options("path_attribution", options.pop("kinds"), **options))
    found = inline(metered(plan, meter), Answers(net), on=WIDE)
    return found, meter


def test_a_fixed_rule_cut_short_is_refused_with_what_it_takes():
    net = seeded(gelu_net)
    with pytest.raises(InvalidRequest, match="a part of a rule is no integral") as refused:
        spend(image_job(net), net, 20, kinds=(IG,), nodes=50)
    assert refused.value.field == "budget.max_evaluations" and "52 " in refused.value.mend


def test_an_adaptive_rule_cut_short_answers_with_its_last_whole_round_and_says_so():
    net = seeded(gelu_net)
    job = image_job(net, classes=(0, 1), tolerance=1e-6)
    found, meter = spend(job, net, 40, kinds=(IG,))
    account = found.accounts[0][0]
    assert not account.converged and account.residual is not None
    assert meter.stop is Stop.MAX_EVALUATIONS
    assert torch.isfinite(found.maps).all()
    with pytest.raises(InvalidRequest, match="part of a rule"):
        spend(job, net, 4, kinds=(IG,))


def test_random_draws_cut_short_are_fewer_draws():
    net = seeded(gelu_net)
    job = image_job(net, others=1)
    found, meter = spend(job, net, 33, kinds=(EG,), draws=100)
    assert found.accounts[0][0].rule.startswith("30 random draws")
    assert meter.stop is Stop.MAX_EVALUATIONS
    whole = run(job, net, EG, draws=30)
    assert torch.allclose(found.accounts[0][0].raw["input"], whole.accounts[0][0].raw["input"], rtol=1e-9)


def test_a_deadline_before_the_rule_is_whole_leaves_nothing():
    net = seeded(gelu_net)
    plan = attribute(image_job(net), Options("path_attribution", (IG,)))
    next(plan)
    with pytest.raises(Stopped):
        plan.throw(Stopped(Stop.DEADLINE))


def test_an_explanation_says_converged_only_where_its_accounts_do():
    net = seeded(gelu_net)
    loose, _ = spend(image_job(net, tolerance=1e-2), net, None, kinds=(IG,))
    tight, _ = spend(image_job(net, tolerance=1e-9), net, 30, kinds=(IG,))
    none = torch.zeros(0)
    for found, stop, wanted in ((loose, Stop.ENOUGH, True), (tight, Stop.MAX_EVALUATIONS, False)):
        job = image_job(net, tolerance=1e-2)
        assert Explanation(job, found, none, none, none, 1, stop, 1, 0).converged is wanted


def blurred_job(net, sigma=2.0, **more):
    job = image_job(net, **more)
    x, pixels = job.input, job.input.pixels.double()
    made = ImageInput(x.name, pixels, Blur(sigma).image(pixels, x.space, job.stream), x.space, sigma=sigma)
    return image_job(net, swap=made, **more)


@pytest.mark.parametrize("path", [Path.BLUR, Path.GUIDED], ids=lambda p: p.value)
def test_the_other_paths_have_the_same_target_and_another_map(path):
    net = seeded(gelu_net)
    job = blurred_job(net, classes=(0, 1))
    straight, other = (run(job, net, IG, path=p, nodes=100) for p in (Path.STRAIGHT, path))
    for t in (0, 1):
        one, two = straight.accounts[t][0], other.accounts[t][0]
        assert two.target == pytest.approx(one.target, rel=1e-6)
        assert abs(two.error) < 0.02 * abs(two.target)
        assert (one.map - two.map).abs().sum() > 0.01 * one.map.abs().sum()
        assert path.value in two.rule


class Cubic(nn.Module):
    """g(x) = sum x + x^5 / 5: over x - d and x + d the maps cancel but for the fifth powers."""

    def forward(self, x):
        return (x + 0.2 * x**5).flatten(1).sum(1, keepdim=True)


def test_the_indicator_over_several_baselines_is_that_of_their_mean_map():
    z = torch.full((2, 2, 2), 0.1).double()
    one, other = (vector_job(Cubic(), z, z + d, tolerance=1e-2) for d in (0.9, -0.91))
    alone = [run(job, Cubic(), IG).accounts[0][0] for job in (one, other)]
    both = run(replace(one, others=(other.input,)), Cubic(), IG).accounts[0][0]
    maps = [a.raw["input"] for a in alone]
    errors = sum(a.indicator * float(m.abs().sum()) for a, m in zip(alone, maps, strict=True))
    assert both.indicator == pytest.approx(errors / float(sum(maps).abs().sum()))
    assert all(a.indicator <= 1e-2 for a in alone) and both.indicator > 1e-2 and not both.converged


class Hill(nn.Module):
    """g(x) = sum x exp(-x): it goes up to 1, and at FAR is down at what it was at 0.3."""

    def forward(self, x):
        return (x * (-x).exp()).flatten(1).sum(1, keepdim=True)


FAR = 2.36456825


@pytest.mark.parametrize("options", [{}, {"quadrature": Quadrature.MIDPOINT, "nodes": 9}], ids=["adaptive", "fixed"])
def test_converged_is_only_what_leaves_no_more_of_its_target_than_the_tolerance(options):
    b, up = torch.tensor([0.3, 1]).double().view(1, 1, 2), torch.tensor([1, 0.8]).double().view(1, 1, 2)
    cancels = torch.tensor([1, FAR]).double().view(1, 1, 2)
    there, back = (
        run(vector_job(Hill(), z, b, tolerance=1e-2), Hill(), IG, **options).accounts[0][0] for z in (up, cancels)
    )
    assert there.converged and there.error_relative <= 1e-2
    assert not back.converged and back.error_relative > 1e-2
    assert options or (back.residual <= 1e-2 and back.indicator <= 1e-2)  # what the rule itself stops by


def test_an_error_that_is_rounding_does_not_keep_a_map_from_converging():
    z = torch.full((1, 2, 2), 3.0).double()
    found = run(vector_job(Hill(), z, z, tolerance=1e-2), Hill(), IG).accounts[0][0]
    assert found.converged and found.target == 0
