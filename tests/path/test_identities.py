"""The identities that the specification accepts path attributions by."""

import pytest
import torch
from path_nets import image_job, run, seeded, vector_job
from sidelight.core.inputs import ImageInput
from sidelight.path.options import Attribution, Quadrature
from sidelight.path.rules import FIXED
from torch import nn

IG = Attribution.INTEGRATED_GRADIENTS
RULES = list(FIXED)


class Quadratic(nn.Module):
    """x [k, C, H, W] -> [k, 1]: x.Hx / 2 + w.x, flattened."""

    def __init__(self, size=3 * 4 * 4):
        super().__init__()
        h = torch.randn(size, size) / size
        self.H, self.w = nn.Parameter(h + h.T), nn.Parameter(torch.randn(size))

    def forward(self, x):
        x = x.flatten(1)
        return ((x @ self.H * x).sum(1) / 2 + x @ self.w).unsqueeze(1)


class Cube(nn.Module):
    """x -> sum (x - 1)^3, whose integral two Gauss-Legendre nodes have exactly."""

    def forward(self, x):
        return (x - 1).pow(3).flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.value)
@pytest.mark.parametrize("n", [2, 3, 7, 50])
def test_the_weights_of_every_rule_add_up_to_one(rule, n):
    made = FIXED[rule](n)
    assert len(made.nodes) == len(made.weights) == n
    assert sum(made.weights) == pytest.approx(1, abs=1e-12)
    assert all(0 <= a <= 1 for a in made.nodes)


def test_a_trapezoid_halves_its_ends():
    made = FIXED[Quadrature.TRAPEZOID](5)
    assert made.nodes == (0, 0.25, 0.5, 0.75, 1)
    assert made.weights == (0.125, 0.25, 0.25, 0.25, 0.125)


@pytest.mark.parametrize("rule", [r for r in RULES if r is not Quadrature.TRAPEZOID], ids=lambda r: r.value)
def test_one_node_of_any_rule_is_exact_for_a_linear_network(rule):
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2)))
    found = run(image_job(module, size=(4, 4)), module, IG, quadrature=rule, nodes=1)
    account = found.accounts[0][0]
    assert account.error == pytest.approx(0, abs=1e-12 * abs(account.target) + 1e-13)


def test_midpoint_and_second_order_are_exact_for_a_quadratic_and_the_others_err_by_half_its_curvature():
    module = seeded(Quadratic)
    z = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(5)).double()
    job = vector_job(module, z)
    kinds = (
        Attribution.MIDPOINT, Attribution.TAYLOR_SECOND_ORDER, Attribution.GRADIENT_X_ACTIVATION, Attribution.TAYLOR,
    )  # fmt: skip
    found = run(job, module, *kinds).accounts[0]
    half = float(z.flatten() @ module.H.detach() @ z.flatten()) / 2
    errors = [account.error for account in found]
    assert errors == pytest.approx([0, 0, half, -half], abs=1e-6 * abs(half))


def test_gauss_legendre_with_n_nodes_is_exact_for_degree_2n_minus_1_and_not_above():
    module = Cube().double()
    job = image_job(module, classes=(0,), size=(4, 4))
    two, one = (run(job, module, IG, nodes=n).accounts[0][0] for n in (2, 1))
    assert two.error == pytest.approx(0, abs=1e-12 * abs(two.target))
    assert abs(one.error) > 1e-3 * abs(one.target)


def test_gradient_x_activation_is_exact_for_a_relu_head_without_bias():
    module, z = toy(seed=0)
    job = vector_job(module, z)
    account = run(job, module, Attribution.GRADIENT_X_ACTIVATION).accounts[0][0]
    assert account.baseline_output == 0
    assert account.error == pytest.approx(0, abs=1e-12 * abs(account.target))


def toy(seed):
    """A random ReLU head without bias over 16 x 49 features that a ReLU has left positive."""
    layers = nn.Flatten, lambda: nn.Linear(16 * 49, 64, False), nn.ReLU, lambda: nn.Linear(64, 1, False)
    module = seeded(lambda: nn.Sequential(*(make() for make in layers)), seed)
    torch.manual_seed(seed + 1000)
    return module, torch.randn(16, 7, 7).double().relu()


def test_the_toy_of_the_specification_layer_cam_over_attributes_tenfold_and_odam_fourfold():
    cam, odam = [], []
    for seed in range(30):
        module, z = toy(seed)
        first, second = run(vector_job(module, z), module, Attribution.LAYER_CAM, Attribution.ODAM).accounts[0]
        cam.append(abs(first.error / first.target))
        odam.append(abs(second.steps[0].result - second.target) / abs(second.target))
        assert second.error == pytest.approx(0, abs=1e-12 * abs(second.target))  # before it is shown
    assert 5 < sorted(cam)[15] < 20
    assert 2 < sorted(odam)[15] < 8


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.value)
def test_swapping_the_baseline_and_the_input_negates_the_attribution(rule):
    """Of symmetric rules; left and right exchange."""
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.Tanh(), nn.Linear(6, 2)))
    job = image_job(module, size=(4, 4))
    x = job.input
    turned = image_job(module, size=(4, 4), swap=ImageInput(x.name, x.baseline, x.pixels, x.space))
    other = {Quadrature.LEFT: Quadrature.RIGHT, Quadrature.RIGHT: Quadrature.LEFT}.get(rule, rule)
    there = run(job, module, IG, quadrature=rule, nodes=5).maps
    back = run(turned, module, IG, quadrature=other, nodes=5).maps
    assert torch.allclose(there, -back, rtol=1e-9, atol=1e-12)
