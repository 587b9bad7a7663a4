"""Several attributions on shared evaluations."""

import pytest
import torch
from path_nets import Residual, gelu_net, image_job, run, seeded
from sidelight.path.options import Attribution, Quadrature

ALL = tuple(Attribution)
CUTS = ("stem", "sum", "pool", "head")


def test_each_attribution_of_a_comparison_is_what_it_is_alone_in_the_order_asked():
    net = seeded(gelu_net)
    job = image_job(net, cuts=("1",), classes=(0, 2))
    options = {"layers": ("1",), "nodes": 7, "draws": 12}
    together = run(job, net, *ALL, **options)
    for t in (0, 1):
        assert [a.attribution for a in together.accounts[t]] == [kind.value for kind in ALL]
    assert torch.equal(together.maps[1], together.accounts[1][0].map)
    for i, kind in enumerate(ALL):
        alone = run(job, net, kind, **options)
        for t in (0, 1):
            one, other = alone.accounts[t][0], together.accounts[t][i]
            assert torch.allclose(one.map, other.map, rtol=1e-12)
            assert (one.baseline, one.rule) == (other.baseline, other.rule)
            assert one.result == pytest.approx(other.result, rel=1e-9)
            assert one.parts == pytest.approx(other.parts, nan_ok=True)
            assert one.evaluations == other.evaluations


def test_gradients_that_several_need_are_taken_once():
    net = seeded(gelu_net)
    job = image_job(net, cuts=("1",))
    kinds = [kind for kind in ALL if kind is not Attribution.EXPECTED_GRADIENTS]
    run(job, net, *kinds, layers=("1",), nodes=7)
    # z, b, b +- epsilon, halfway (a node of seven too), and seven nodes; the output on zero is a forward
    assert run.answers.counts == {"activation": 2, "gradient": 1 + 3 + 7, "forward": 1}


def test_every_evaluation_that_an_attribution_stands_on_is_counted_shared_ones_too():
    net = seeded(gelu_net)
    job = image_job(net, cuts=("1",), classes=(0, 1, 2))
    kinds = {
        Attribution.GRADIENT: 1 + 1, Attribution.GRADIENT_X_ACTIVATION: 1 + 1 + 1, Attribution.TAYLOR: 2 + 1 + 1,
        Attribution.TAYLOR_SECOND_ORDER: 2 + 3 + 1, Attribution.MIDPOINT: 2 + 1 + 2,
        Attribution.INTEGRATED_GRADIENTS: 2 + 7 + 2, Attribution.DIFFERENCE_MAP: 2 + 2,
        Attribution.EXPECTED_GRADIENTS: 2 + 12 + 2,
    }  # fmt: skip
    found = run(job, net, *kinds, layers=("1",), nodes=7, draws=12)
    for accounts in found.accounts:
        assert {a.attribution: a.evaluations for a in accounts} == {k.value: n for k, n in kinds.items()}


def test_over_several_baselines_what_is_read_at_the_input_alone_is_asked_once():
    net = seeded(gelu_net)
    job = image_job(net, others=3)
    found = run(job, net, Attribution.GRADIENT_X_ACTIVATION, Attribution.TAYLOR)
    assert run.answers.counts == {"gradient": 1 + 4, "forward": 1}
    taylor = found.accounts[0][1]
    assert "the mean over 4 baselines" in taylor.baseline


def test_the_parts_of_every_error_add_up_to_it():
    net = seeded(Residual)
    job = image_job(net, cuts=CUTS, classes=(0, 1, 2), others=1)
    found = run(job, net, *ALL, layers=("sum",), nodes=5, draws=9)
    for accounts in found.accounts:
        for account in accounts:
            assert sum(account.parts.values()) == pytest.approx(account.error, abs=1e-12, nan_ok=True)
            assert account.error == pytest.approx(account.result - account.target, nan_ok=True)


def test_the_result_is_told_before_display_and_after_every_step():
    net = seeded(Residual)
    job = image_job(net, cuts=CUTS)
    found = run(job, net, Attribution.GRAD_CAM, Attribution.LAYER_CAM, Attribution.ODAM, layers=("sum",))
    cam, layer_cam, odam = found.accounts[0]
    assert [step.name for step in odam.steps][:2] == ["relu", "min_max"]
    for account in (cam, layer_cam, odam):
        cells = account.raw["sum"].sum(0)
        assert account.result == pytest.approx(float(cells.sum()))
        assert account.steps[0].result == pytest.approx(float(cells.clamp(min=0).sum()))
        assert account.steps[-1].result == pytest.approx(float(account.map.sum()))
    assert set(cam.parts) == {"remainder", "average"} and set(layer_cam.parts) == {"remainder", "clip"}
    low = odam.raw["sum"].sum(0).clamp(min=0)
    assert odam.steps[1].result == pytest.approx(float(((low - low.min()) / (low.max() - low.min())).sum()))


def test_a_comparison_with_the_adaptive_rule_is_the_adaptive_rule_alone():
    net = seeded(gelu_net)
    job = image_job(net, classes=(0, 1), tolerance=1e-2)
    kinds = (Attribution.GRADIENT_X_ACTIVATION, Attribution.INTEGRATED_GRADIENTS)
    both = run(job, net, *kinds, quadrature=Quadrature.ADAPTIVE)
    alone = run(job, net, Attribution.INTEGRATED_GRADIENTS)
    for t in (0, 1):
        one, other = both.accounts[t][1], alone.accounts[t][0]
        assert torch.equal(one.map, other.map)
        assert (one.residual, one.indicator, one.converged) == (other.residual, other.indicator, other.converged)
        assert one.evaluations == other.evaluations
