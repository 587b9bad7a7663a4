"""Blur and guided paths against slow replicas in float64."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from path_nets import Residual, gelu_net, image_job, run, seeded
from sidelight.core.ask import INPUT
from sidelight.core.baseline import Neutral, gaussian
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import encode
from sidelight.core.predictor import PixelSpace
from sidelight.core.target import Link
from sidelight.path.blur import blur
from sidelight.path.checks import check
from sidelight.path.guided import advanced, guided
from sidelight.path.layers import see
from sidelight.path.line import Line
from sidelight.path.options import Attribution, Options, Path
from sidelight.path.rules import gauss_legendre

IG = Attribution.INTEGRATED_GRADIENTS


def blurred_job(net, sigma=4.0, **more):
    job = image_job(net, **more)
    x = replace(job.input, baseline=gaussian(job.input.pixels.double(), sigma).float(), sigma=sigma)
    return replace(job, input=x)


def gradient(net, x, target):
    x = x.detach().clone().requires_grad_()
    s = net(x.unsqueeze(0))[0, target]
    return torch.autograd.grad(s, x)[0], s.item()


# -- blur --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_blur_path_goes_from_the_requests_baseline_to_the_input(layout):
    space = PixelSpace(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), layout=layout)
    net = seeded(gelu_net)
    job = blurred_job(net)
    way = blur(replace(job.input, space=space))
    assert torch.equal(way.z[INPUT], encode(job.input.pixels.double(), space))
    expected = encode(gaussian(job.input.pixels.double(), 4.0), space)
    torch.testing.assert_close(way.b[INPUT], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(way.points([0.0, 1.0], WIDE)[INPUT], torch.stack([way.b[INPUT], way.z[INPUT]]))
    one = way.points([0.37], WIDE)[INPUT]
    torch.testing.assert_close(way.points([0.1, 0.37, 0.9], WIDE)[INPUT][1:2], one)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 0.8, 0.93])
def test_the_slope_of_the_blur_path_is_its_derivative(alpha):
    way = blur(blurred_job(seeded(gelu_net)).input)
    h = 1e-5
    lower = max(alpha - h, 0.0)
    after, before = way.points([alpha + h, lower], WIDE)[INPUT]
    found = (after - before) / (alpha + h - lower)
    at = (alpha + h + lower) / 2
    torch.testing.assert_close(way.slope(at)[INPUT], found, rtol=1e-5, atol=1e-7)


def test_the_slope_vanishes_where_there_is_nothing_left_to_blur():
    way = blur(blurred_job(seeded(gelu_net)).input)
    assert (way.slope(1.0)[INPUT] == 0).all()
    assert way.points([1.0 - 1e-9], WIDE)[INPUT].isfinite().all() and way.slope(1.0 - 1e-9)[INPUT].isfinite().all()


@pytest.mark.parametrize(("make", "limit"), [(gelu_net, 1e-9), (Residual, 2e-3)])
def test_along_the_blur_path_the_sum_goes_to_the_target(make, limit):
    net = seeded(make)
    way = blur(blurred_job(net).input)
    exact = (net(way.z[INPUT][None]) - net(way.b[INPUT][None]))[0, 1].item()
    errors = []
    for n in (5, 100):
        found = along(net, way, n)
        errors.append(abs(float(found.sum()) - exact) / float(found.abs().sum()))
    assert errors[1] < limit and errors[1] < errors[0]


def along(net, way, n):
    """Gauss-Legendre with n nodes, one by one."""
    rule = gauss_legendre(n)
    return sum(
        w * gradient(net, way.points([a], WIDE)[INPUT][0], 1)[0] * way.slope(a)[INPUT]
        for a, w in zip(rule.nodes, rule.weights, strict=True)
    )


def test_the_integral_is_that_of_the_papers_own_steps_in_the_limit():
    # Xu et al.: sigma linear, a difference of blurred images for the slope; a Riemann sum.
    net = seeded(gelu_net)
    way = blur(blurred_job(net, sigma=3.0).input)
    pixels, space = blurred_job(net).input.pixels.double(), blurred_job(net).input.space

    def at(sigma):
        t = torch.arange(-12, 13, dtype=torch.float64)  # cut where sigma_max is: the same family of kernels
        k = torch.exp(-0.5 * (t / max(sigma, 1e-9)) ** 2)
        k = (k / k.sum()).view(1, 1, 1, -1)
        y = torch.nn.functional.pad(pixels[:, None], (12, 12, 0, 0), mode="replicate")
        y = torch.nn.functional.conv2d(y, k)
        y = torch.nn.functional.pad(y, (0, 0, 12, 12), mode="replicate")
        return encode(torch.nn.functional.conv2d(y, k.transpose(2, 3))[:, 0], space)

    steps, total = 400, 0
    for i in range(steps):
        high, low = (at(3.0 * s / steps) for s in (i + 1, i))
        total = total + gradient(net, (high + low) / 2, 1)[0] * (low - high)
    found = along(net, way, 60)
    assert (found - total).abs().sum() < 1e-3 * total.abs().sum()


@pytest.mark.parametrize(
    "changed",
    [{}, {"at_layer": Neutral()}, {"others": (1,)}],
    ids=["another baseline", "a baseline at the layer", "several baselines"],
)
def test_the_blur_path_needs_the_blurred_image_as_its_baseline(changed):
    net = seeded(gelu_net)
    job = replace(blurred_job(net) if "others" in changed else image_job(net), **changed)
    with pytest.raises(InvalidRequest, match=r"baseline\.blur") as refused:
        check(Options("path_attribution", (IG,), path=Path.BLUR), job)
    assert refused.value.field == "baseline"
    check(Options("path_attribution", (IG,), path=Path.BLUR), blurred_job(net))


@pytest.mark.parametrize("path", [Path.BLUR, Path.GUIDED])
def test_as_a_way_of_integrated_gradients_the_account_is_that_of_the_path(path):
    net = seeded(gelu_net)
    job = blurred_job(net)
    answer = run(job, net, IG, path=path, nodes=60)
    (account,) = answer.accounts[0]
    z, b = blur(job.input).z[INPUT], blur(job.input).b[INPUT]
    with torch.no_grad():
        ends = net(torch.stack([z, b]))[:, 1]
    assert account.output == pytest.approx(ends[0].item())
    assert account.baseline_output == pytest.approx(ends[1].item(), rel=1e-5)  # pixels of baselines are float32
    assert abs(account.error) < 1e-3 * abs(account.target) and path.value in account.rule
    expected = along(net, blur(job.input), 60) if path is Path.BLUR else trail(job, net, 60)
    torch.testing.assert_close(answer.maps[0], expected.sum(0), rtol=1e-4, atol=1e-7)


def trail(job, net, steps):
    return inline(guided(job, line_of(job, net, INPUT), steps), Answers(net), on=WIDE)[0].features[INPUT]


# -- guided ------------------------------------------------------------------------------------------------------------


def line_of(job, net, *layers):
    inputs = {"z": (job.input, False), "b": (job.input, True)}
    seen = inline(see(job, layers, inputs), Answers(net), on=WIDE)
    return Line(seen["z"].features, seen["b"].features)


def published(grad, x_input, x_baseline, steps, fraction=0.25, max_dist=0.02):
    """Guided IG as its authors have it, in the values of the features: the path, point by point."""
    x = x_baseline.copy()
    difference = x_input - x_baseline
    total = np.abs(difference).sum()
    path = [x.copy()]
    for step in range(steps):
        g = grad(x).copy()
        alpha = (step + 1.0) / steps
        low, high = max(alpha - max_dist, 0.0), min(alpha + max_dist, 1.0)
        x_min, x_max = x_baseline + difference * low, x_baseline + difference * high
        target = total * (1 - (step + 1) / steps)
        gamma = np.inf
        while gamma > 1.0:
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(difference != 0, (x - x_baseline) / difference, high)
            x[share < low - 1e-12] = x_min[share < low - 1e-12]
            left = np.abs(x - x_input).sum()
            if math.isclose(target, left, rel_tol=1e-9, abs_tol=1e-9):
                break
            g[np.isclose(share, high, rtol=0, atol=1e-12)] = np.inf
            threshold = np.quantile(np.abs(g), fraction, method="lower")
            chosen = (np.abs(g) <= threshold) & (g != np.inf)
            room = (np.abs(x - x_max) * chosen).sum()
            gamma = (left - target) / room if room > 0 else np.inf
            x[chosen] = x_max[chosen] if gamma > 1.0 else (x + gamma * (x_max - x))[chosen]
        path.append(x.copy())
    return path


@pytest.mark.parametrize("make", [gelu_net, Residual])
def test_the_guided_path_is_the_authors_and_the_integral_the_mean_of_both_ends_of_its_steps(make):
    net = seeded(make)
    job = image_job(net, classes=(1, 2))
    line = line_of(job, net, INPUT)
    steps = 30
    trails = inline(guided(job, line, steps), Answers(net), on=WIDE)
    for trail, target in zip(trails, (1, 2), strict=True):

        def grad(x, target=target):
            return gradient(net, torch.from_numpy(x).view(3, 12, 10), target)[0].flatten().numpy()

        z, b = (line.z[INPUT].flatten().numpy(), line.b[INPUT].flatten().numpy())
        path = published(grad, z, b, steps)
        expected = sum((b - a) * (grad(a) + grad(b)) / 2 for a, b in itertools.pairwise(path))
        found = trail.features[INPUT].flatten().numpy()
        assert np.abs(found - expected).sum() < 1e-6 * np.abs(expected).sum()
        assert trail.output == pytest.approx(net(line.z[INPUT][None])[0, target].item())
        assert trail.baseline_output == pytest.approx(net(line.b[INPUT][None])[0, target].item())
        assert trail.rows == steps + 1


@pytest.mark.parametrize("layer", [INPUT, "1"])
def test_the_guided_sum_goes_to_the_target_as_steps_are_added(layer):
    net = seeded(gelu_net)
    job = image_job(net)
    line = line_of(job, net, layer)
    errors = []
    for steps in (10, 40, 160):
        (trail,) = inline(guided(job, line, steps), Answers(net), on=WIDE)
        target = trail.output - trail.baseline_output
        errors.append(abs(float(trail.features[layer].sum()) - target) / abs(target))
    assert errors[-1] < 1e-4 and errors[-1] < errors[0] / 20


def test_the_guided_error_is_within_what_the_gradient_changes_over_a_step():
    net = seeded(Residual)
    job = image_job(net)
    line = line_of(job, net, INPUT)
    (trail,) = inline(guided(job, line, 50), Answers(net), on=WIDE)
    points = published(
        lambda x: gradient(net, torch.from_numpy(x).view(3, 12, 10), 1)[0].flatten().numpy(),
        line.z[INPUT].flatten().numpy(), line.b[INPUT].flatten().numpy(), 50,
    )  # fmt: skip
    grads = [gradient(net, torch.from_numpy(x).view(3, 12, 10), 1)[0].flatten().numpy() for x in points]
    bound = sum(
        (np.abs(b - a) * np.abs(gb - ga)).sum()
        for a, b, ga, gb in zip(points, points[1:], grads, grads[1:], strict=False)
    )
    error = float(trail.features[INPUT].sum()) - (trail.output - trail.baseline_output)
    assert 0 < abs(error) <= bound


def test_shares_never_fall_keep_to_their_anchors_and_shorten_the_way_step_by_step():
    torch.manual_seed(0)
    size = torch.rand(500, dtype=torch.float64) * (torch.rand(500) > 0.2)
    a, steps = torch.zeros(500, dtype=torch.float64), 37
    for k in range(1, steps + 1):
        g = torch.randn(500, dtype=torch.float64) * (torch.rand(500) > 0.3)  # ties at 0
        after = advanced(a, g, size, k, steps)
        assert (after >= a).all()
        assert (after >= k / steps - 0.02 - 1e-12).all() and (after <= min(k / steps + 0.02, 1) + 1e-12).all()
        left = (size * (1 - after)).sum() / size.sum()
        assert left.item() == pytest.approx(1 - k / steps, abs=1e-9)
        a = after
    assert (a == 1).all()


def test_features_of_small_gradient_move_first():
    g = torch.linspace(1, 2, 100, dtype=torch.float64)
    after = advanced(torch.zeros(100, dtype=torch.float64), g, torch.ones(100, dtype=torch.float64), 1, 100)
    assert (after[:25] > 0).all() and after[0] == pytest.approx(0.03)
    assert (after[60:] == 0).all()


def test_on_a_linear_model_every_guided_step_is_exact():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(360, 3)).double()
    job = image_job(net)
    line = line_of(job, net, INPUT)
    (trail,) = inline(guided(job, line, 5), Answers(net), on=WIDE)
    torch.testing.assert_close(trail.features[INPUT].flatten(), line.delta[INPUT].flatten() * net[1].weight[1])


def test_without_a_way_to_go_nothing_is_attributed():
    net = seeded(gelu_net)
    job = image_job(net)
    z = line_of(job, net, "1").z
    (trail,) = inline(guided(job, Line(z, z), 4), Answers(net), on=WIDE)
    assert (trail.features["1"] == 0).all()


def test_the_trails_of_several_targets_are_those_of_each_alone():
    net = seeded(gelu_net)
    both = image_job(net, classes=(0, 2), link=Link.LOG_PROBABILITY)
    line = line_of(both, net, "1", INPUT)
    line = Line({"1": line.z["1"]}, {"1": line.b["1"]})
    together = inline(guided(both, line, 12), Answers(net), on=WIDE)
    for t, c in enumerate((0, 2)):
        alone = inline(guided(image_job(net, classes=(c,), link=Link.LOG_PROBABILITY), line, 12), Answers(net), 1, WIDE)
        torch.testing.assert_close(together[t].features["1"], alone[0].features["1"], rtol=1e-12, atol=1e-14)
        assert alone[0].output == pytest.approx(both.ends[0].log_softmax(0)[c].item())
