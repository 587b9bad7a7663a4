"""What an answer says of itself is what an independent evaluation in float64 finds, on many random networks."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from path_nets import run, seeded, vector_job
from path_replicas import INPUT, Head, nodes
from sidelight.path.options import Attribution, Quadrature
from sidelight.path.rules import FIXED, ROUNDING
from torch import nn

IG = Attribution.INTEGRATED_GRADIENTS
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "softplus": nn.Softplus}
NETWORKS = st.tuples(
    st.integers(0, 10_000), st.sampled_from(sorted(ACTIVATIONS)), st.integers(1, 12), st.integers(1, 2), st.booleans()
)


def network(seed, activation, width, depth, bias):
    """A perceptron over 2 x 2 x 2 features with one output."""
    sizes = [8, *[width] * depth]
    parts = [nn.Flatten()]
    for a, b in pairwise(sizes):
        parts += [nn.Linear(a, b, bias), ACTIVATIONS[activation]()]
    return seeded(lambda: nn.Sequential(*parts, nn.Linear(sizes[-1], 1, bias)), seed)


def ends(seed):
    drawn = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 2, 2, 2)))
    return drawn[0], drawn[1]


@settings(max_examples=1500, deadline=None)
@given(NETWORKS, st.sampled_from(sorted(FIXED, key=lambda q: q.value)), st.integers(2, 9), st.integers(1, 9))
def test_result_target_and_error_are_those_of_an_independent_evaluation(made, rule, n, tile):
    net = network(*made)
    z, b = ends(made[0])
    account = run(vector_job(net, z, b), net, IG, quadrature=rule, nodes=n, tile=tile).accounts[0][0]
    g = Head(net, INPUT, None, 0)
    result = sum(w * float(((z - b) * g.gradient(b + a * (z - b))).sum()) for a, w in nodes(rule.value, n))
    scale = max(abs(g.value(z)), abs(g.value(b)), 1e-3)
    assert abs(account.result - result) < 1e-10 * scale
    assert abs(account.target - (g.value(z) - g.value(b))) < 1e-10 * scale
    assert abs(account.error - (result - g.value(z) + g.value(b))) < 1e-10 * scale
    assert abs(sum(account.parts.values()) - account.error) < 1e-12 * scale


@settings(max_examples=500, deadline=None)
@given(NETWORKS, st.sampled_from([1e-1, 1e-2, 1e-3]))
def test_the_adaptive_rule_claims_no_more_than_an_independent_evaluation_confirms(made, tolerance):
    net = network(*made)
    z, b = ends(made[0])
    account = run(vector_job(net, z, b, tolerance=tolerance), net, IG).accounts[0][0]
    g = Head(net, INPUT, None, 0)
    steps = torch.linspace(0, 1, 101, dtype=torch.float64).tolist()
    values = torch.tensor([g.value(b + a * (z - b)) for a in steps], dtype=torch.float64)
    variation = float(values.diff().abs().sum())
    assert abs(account.target - float(values[-1] - values[0])) < 1e-9 * max(variation, 1e-3)
    assert abs(account.result - float(account.raw[INPUT].sum())) < 1e-9 * max(variation, 1e-3)
    largest = max(abs(account.output), abs(account.baseline_output))
    panels = -(-(account.evaluations - 1) // 4)
    tau = ROUNDING * float(values.abs().max()) * panels / tolerance
    # The residual bounds the error of the whole; it is over the variation between its own nodes, which differ a little.
    assert abs(account.error) <= 1.05 * account.residual * max(variation, tau) + 1e-9
    told = abs(account.error) <= max(tolerance * abs(account.target), ROUNDING * largest)
    assert account.converged == (account.residual <= tolerance and account.indicator <= tolerance and told)


def test_the_indicator_is_honest_against_a_converged_map():
    """It says that the map is within the tolerance; how far the map is, is measured with 2000 midpoints."""
    worst = []
    for seed in range(40):
        net = network(seed, sorted(ACTIVATIONS)[seed % 4], 8, 2, True)
        z, b = ends(seed)
        job = vector_job(net, z, b, tolerance=1e-2)
        account = run(job, net, IG).accounts[0][0]
        true = run(vector_job(net, z, b), net, IG, quadrature=Quadrature.MIDPOINT, nodes=2000, tile=2000).accounts[0][0]
        away = (account.raw[INPUT] - true.raw[INPUT]).abs().sum() / true.raw[INPUT].abs().sum()
        worst.append(float(away))
    assert sorted(worst)[35] < 2e-2
    assert max(worst) < 1e-1
