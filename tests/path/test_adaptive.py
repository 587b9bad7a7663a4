"""The adaptive rule by itself: exact where it should be, and honest about its error where it cannot be."""

import numpy as np
import pytest
import torch
from path_nets import seeded
from sidelight.path import adaptive
from sidelight.path.adaptive import Adaptive
from torch import nn


class Integrand:
    """F_j(a), [k, d] of alphas [k], and φ(a) [k], whose derivative is Σ_j F_j; Δ is 1. Keeps what it was asked."""

    def __init__(self, gradients, score, d):
        self.gradients, self.score, self.d, self.rounds = gradients, score, d, []

    def solve(self, tolerance=1e-2, most=400, delta=None):
        rule = Adaptive(tolerance, torch.ones(self.d) if delta is None else delta, most)
        while wanted := rule.next():
            alphas = torch.tensor(wanted, dtype=torch.float64)
            for alpha, s, g in zip(wanted, self.score(alphas).tolist(), self.gradients(alphas), strict=True):
                rule.add(alpha, s, g)
            self.rounds.append(wanted)
        return rule.value()

    @property
    def nodes(self):
        return sorted(alpha for wanted in self.rounds for alpha in wanted)

    def converged(self, panels=256):
        """The map by Gauss-Legendre on many panels."""
        x, w = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(4))
        alphas = ((torch.arange(panels)[:, None] + (x + 1) / 2) / panels).flatten()
        return (w.repeat(panels) / 2 / panels) @ self.gradients(alphas)


def of_roots(at, widths):
    """Steps, F_j = s(1 - s) / w for s a sigmoid of (a - at_j) / w_j, each with the integral 1 on a long enough line."""
    at, widths = torch.tensor(at).double(), torch.tensor(widths).double()

    def s(a):
        return torch.sigmoid((a[:, None] - at) / widths)

    return Integrand(lambda a: s(a) * (1 - s(a)) / widths, lambda a: s(a).sum(1), len(at))


def of_net(make, seed, d=24):
    """The gradient of a random network from one random point to another, in units of Δ."""
    net = seeded(make, seed)
    b, z = torch.randn(2, d, generator=torch.Generator().manual_seed(seed)).double() * 2

    def gradients(a):
        x = (b + a[:, None] * (z - b)).requires_grad_()
        return torch.autograd.grad(net(x).sum(), x)[0] * (z - b)

    return Integrand(gradients, lambda a: net(b + a[:, None] * (z - b)).detach()[:, 0], d)


def mlp(activation):
    return lambda: nn.Sequential(
        nn.Linear(24, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, 1)
    )  # fmt: skip


def error(found, truth):
    return float((found.map - truth).abs().sum() / truth.abs().sum())


def parabola(a, f, nodes, lo, hi):
    """The integral over [lo, hi] of the parabolas through f [n, d] at `nodes`, by numpy's fit."""
    integral = np.polynomial.polynomial.polyint(np.polynomial.polynomial.polyfit(a[nodes], f[nodes], 2))
    of = np.polynomial.polynomial.polyval
    return of(hi, integral) - of(lo, integral)


def by_hand(integrand):
    """Nodes a [n], maps of the gaps [n - 1, d] and φ at the nodes."""
    a = np.array(integrand.nodes)
    f, phi = (g(torch.from_numpy(a)).numpy() for g in (integrand.gradients, integrand.score))
    n, gaps = len(a), []
    for k in range(n - 1):
        through = [range(s, s + 3) for s in (k - 1, k) if s >= 0 and s + 3 <= n]
        gaps.append(np.mean([parabola(a, f, list(nodes), a[k], a[k + 1]) for nodes in through], axis=0))
    return a, np.array(gaps), phi


CASES = {
    "steps": lambda: of_roots([0.21, 0.4, 0.47], [0.02, 0.1, 0.3]),
    "gelu": lambda: of_net(mlp(nn.GELU), 1),
    "relu": lambda: of_net(mlp(nn.ReLU), 1),
}


@pytest.mark.parametrize("case", CASES)
def test_the_map_is_that_of_its_own_nodes_and_weights(case):
    integrand = CASES[case]()
    found = integrand.solve(most=60)
    _, gaps, _ = by_hand(integrand)
    assert found.nodes == len(integrand.nodes)
    assert np.allclose(found.map.numpy(), gaps.sum(0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_the_residual_is_that_of_an_independent_evaluation_and_bounds_every_union_of_panels(case):
    integrand = CASES[case]()
    found = integrand.solve(most=60)
    _, gaps, phi = by_hand(integrand)
    off = gaps.sum(1) - np.diff(phi)
    panels = [off[k : k + 4].sum() for k in range(0, len(off), 4)]
    variation = np.abs(np.diff(phi)).sum()
    assert found.residual == pytest.approx(np.abs(panels).sum() / variation, rel=1e-6)
    T = phi[-1] - phi[0]
    assert variation >= abs(T) and abs(float(found.map.sum()) - T) <= found.residual * variation * (1 + 1e-9)


def test_parabolas_are_integrated_exactly_in_the_first_round():
    c = torch.randn(3, 7, generator=torch.Generator().manual_seed(0)).double()
    truth = c[0] + c[1] / 2 + c[2] / 3
    integrand = Integrand(
        lambda a: c[0] + a[:, None] * c[1] + a[:, None] ** 2 * c[2],
        lambda a: (a * c[0].sum() + a**2 / 2 * c[1].sum() + a**3 / 3 * c[2].sum()), 7,
    )  # fmt: skip
    found = integrand.solve(1e-9)
    assert found.nodes == 5 and found.converged
    assert torch.allclose(found.map, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("degree", [3, 5, 8])
def test_polynomials_of_higher_degree_are_integrated_to_the_tolerance(degree, tolerance):
    integrand = Integrand(lambda a: a[:, None] ** degree, lambda a: a ** (degree + 1) / (degree + 1), 1)
    found = integrand.solve(tolerance)
    assert found.converged and error(found, torch.tensor([1 / (degree + 1)]).double()) <= tolerance


def test_nodes_go_where_the_gradient_turns_and_none_is_asked_twice():
    integrand = of_roots([0.2, 0.22, 0.21], [0.01, 0.015, 0.02])
    assert integrand.solve(1e-3).converged
    a = np.array(integrand.nodes)
    assert len(set(a)) == len(a)
    assert ((a > 0.1) & (a < 0.35)).mean() > 0.6
    assert all(wanted == sorted(wanted) for wanted in integrand.rounds)


def test_what_happens_between_the_first_nodes_is_seen_by_the_residual_alone():
    integrand = of_roots([0.375], [0.002])  # at the first nodes its gradient is 0 to 1e-24
    found = integrand.solve(1e-2)
    assert found.converged and error(found, torch.ones(1).double()) <= 1e-2


def test_a_score_that_comes_back_to_where_it_was_converges():
    up, down = of_roots([0.3], [0.05]), of_roots([0.7], [0.05])
    both = Integrand(
        lambda a: torch.cat([up.gradients(a), -down.gradients(a)], 1), lambda a: up.score(a) - down.score(a), 2
    )
    found = both.solve(1e-3)
    assert abs(both.score(torch.ones(1)) - both.score(torch.zeros(1))) < 0.01
    assert found.converged and error(found, both.converged()) <= 1e-3


def test_a_constant_score_has_no_map_and_is_done_at_once():
    found = Integrand(lambda a: torch.zeros(len(a), 3), lambda a: torch.zeros(len(a)), 3).solve()
    assert found.converged and found.nodes == 5 and found.residual == found.indicator == 0


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
def test_indicator_and_tolerance_hold_against_converged_maps_of_smooth_networks(tolerance):
    honest, kept, seeds = 0, 0, range(80)
    for seed in seeds:
        integrand = of_net(mlp(nn.GELU), seed)
        found = integrand.solve(tolerance)
        away = error(found, integrand.converged())
        assert found.converged
        honest += away <= 1.5 * found.indicator
        kept += away <= tolerance
    assert honest >= 0.95 * len(seeds) and kept >= 0.95 * len(seeds)


def test_the_indicator_is_about_the_error_itself_where_gradients_jump():
    ratios = []
    for seed in range(80):
        integrand = of_net(mlp(nn.ReLU), seed)
        found = integrand.solve(1e-6, most=60)
        ratios.append(error(found, integrand.converged(1024)) / found.indicator)
    assert 0.8 < np.median(ratios) < 1.2
    assert np.mean(np.array(ratios) <= 1.5) >= 0.9  # few jumps, the same ones in all features: a rough estimate


@pytest.mark.parametrize("most", [5, 6, 17, 40])
def test_at_the_most_nodes_it_stops_and_says_that_it_did_not_converge(most):
    integrand = CASES["relu"]()
    found = integrand.solve(1e-9, most)
    assert found.nodes == most == len(integrand.nodes)
    assert not found.converged and max(found.residual, found.indicator) > 1e-9


def test_fewer_nodes_than_the_first_round_has_are_refused():
    with pytest.raises(ValueError, match="begins with 5 nodes, and 4"):
        Adaptive(1e-2, torch.ones(2), 4)


def test_gradients_are_kept_as_they_came_without_their_batch():
    d = 10
    rule = Adaptive(1e-9, torch.ones(d), 12)
    while wanted := rule.next():
        batch = torch.rand(len(wanted), d, generator=torch.Generator().manual_seed(len(wanted)))
        for alpha, g in zip(wanted, batch, strict=True):
            rule.add(alpha, alpha, g)
    kept = rule._gradients.values()
    assert rule.value().nodes == 12 and not rule.value().converged
    assert all(g.dtype is torch.float32 and g.untyped_storage().nbytes() == 4 * d for g in kept)


def test_the_map_does_not_depend_on_how_features_are_grouped(monkeypatch):
    whole = CASES["gelu"]().solve(1e-4)
    monkeypatch.setattr(adaptive, "BLOCK", 5)
    monkeypatch.setattr(adaptive, "TOGETHER", 3)
    parts = CASES["gelu"]().solve(1e-4)
    assert torch.allclose(whole.map, parts.map, rtol=1e-12) and whole.nodes == parts.nodes
    assert (whole.residual, whole.indicator) == pytest.approx((parts.residual, parts.indicator), rel=1e-9)


def test_the_same_answers_give_the_same_map_to_the_last_bit():
    one, two = (CASES["relu"]().solve(1e-2, 40) for _ in range(2))
    assert torch.equal(one.map, two.map) and one.indicator == two.indicator


def test_gradients_are_taken_times_delta():
    integrand, delta = CASES["steps"](), torch.tensor([2.0, -1.0, 0.5]).double()
    scaled = Integrand(integrand.gradients, lambda a: integrand.score(a), 3)
    found = scaled.solve(1e-12, 40, delta=delta)
    plain = Integrand(integrand.gradients, lambda a: integrand.score(a), 3)
    plain.rounds = scaled.rounds
    assert np.allclose(found.map.numpy(), by_hand(plain)[1].sum(0) * delta.numpy(), rtol=1e-9)


def test_an_answer_is_only_kept_and_what_it_comes_to_is_found_as_the_next_round_is_asked_for(monkeypatch):
    integrand, weighed = CASES["gelu"](), []
    own = Adaptive._weigh
    monkeypatch.setattr(Adaptive, "_weigh", lambda rule: weighed.append(len(rule._gradients)) or own(rule))
    rule = Adaptive(1e-4, torch.ones(integrand.d), 40)
    for _ in range(2):
        before = list(weighed)
        wanted = torch.tensor(rule.next(), dtype=torch.float64)
        asked = list(weighed)
        for alpha, s, g in zip(wanted.tolist(), integrand.score(wanted), integrand.gradients(wanted), strict=True):
            rule.add(alpha, float(s), g)
        assert weighed == asked
    assert before == [] and asked == [5]
    rule.value()
    rule.value()
    assert len(weighed) == 2


def test_a_score_that_hardly_moves_is_integrated_to_what_rounding_makes_of_it():
    def rounded(values):
        return (values + 20).float().double()  # as a float32 network answers

    gradients, scores = (lambda a: 2e-6 * (1 + 0 * a[:, None])), (lambda a: rounded(2e-6 * a))
    found = Integrand(gradients, scores, 1).solve(1e-2)
    assert found.nodes == 5 and found.converged and found.residual <= 1e-2
    moves = Integrand(lambda a: 1 + 0 * a[:, None], lambda a: rounded(2 * a), 1).solve(1e-2)
    assert moves.residual == pytest.approx(0.5)  # what moves is told over how it moves


def test_nodes_out_of_turn_and_values_before_the_first_round_are_refused():
    rule = Adaptive(1e-2, torch.ones(1), 40)
    with pytest.raises(ValueError, match="first round"):
        rule.value()
    with pytest.raises(ValueError, match=r"node 0\.5"):
        rule.add(0.5, 0.0, torch.ones(1))
