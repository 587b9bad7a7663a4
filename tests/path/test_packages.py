"""Agreement with captum, at the input and at layers, on the same network."""

import pytest
import torch
from differentiable import WIDE
from path_nets import Residual, Transformer, gelu_net, image_job, relu_net, run, seeded, token_job
from sidelight.path.options import Attribution, Quadrature

captum = pytest.importorskip("captum.attr")
RULES = {Quadrature.GAUSS_LEGENDRE: "gausslegendre", Quadrature.MIDPOINT: "riemann_middle"}


def ends(job):
    z, b = (job.input.blend(torch.full((1, *job.input.shape), keep), WIDE) for keep in (1.0, 0.0))
    return z["x"], b["x"]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.value)
@pytest.mark.parametrize("make", [relu_net, gelu_net, Residual])
def test_integrated_gradients_agree_with_captum_at_the_input(make, rule):
    net = seeded(make)
    job = image_job(net, classes=(2,))
    ours = run(job, net, Attribution.INTEGRATED_GRADIENTS, quadrature=rule, nodes=50).accounts[0][0].raw["input"]
    z, b = ends(job)
    theirs = captum.IntegratedGradients(net).attribute(z, b, target=2, n_steps=50, method=RULES[rule])[0]
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_integrated_gradients_agree_with_captum_at_a_layer():
    net = seeded(gelu_net)
    job = image_job(net, cuts=("1",), classes=(2,))
    ours = run(job, net, Attribution.INTEGRATED_GRADIENTS, layers=("1",), nodes=50).accounts[0][0].raw["1"]
    z, b = ends(job)
    theirs = captum.LayerIntegratedGradients(net, net[1]).attribute(z, b, target=2, n_steps=50)[0]
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_integrated_gradients_agree_with_captum_at_token_embeddings():
    net, ids = seeded(Transformer), [3, 4, 5, 6, 7]
    ours = run(token_job(net, ids, cuts=("embedding",)), net, Attribution.INTEGRATED_GRADIENTS).maps[0]
    method = captum.LayerIntegratedGradients(net, net.embedding)
    theirs = method.attribute(torch.tensor([ids]), torch.zeros(1, 5, dtype=torch.int64), target=1, n_steps=50)[0]
    assert torch.allclose(ours, theirs.sum(1), rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_grad_cam_agrees_with_captum_before_it_is_spread_over_pixels():
    net = seeded(Residual)
    job = image_job(net, cuts=("stem", "sum"), classes=(2,))
    raw = run(job, net, Attribution.GRAD_CAM, layers=("sum",)).accounts[0][0].raw["sum"]
    theirs = captum.LayerGradCam(net, net.sum).attribute(ends(job)[0], target=2)[0, 0]
    assert torch.allclose(raw.sum(0), theirs, rtol=1e-6, atol=1e-9)
