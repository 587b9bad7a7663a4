"""Calculators against replicas of their papers, against each other, and against what they estimate."""

import numpy as np
import perturbation_replicas as replicas
import pytest
import torch
from perturbation_games import Game, attribute, fold, play, target
from sidelight.core.stream import Stream
from sidelight.perturbation.calculators import Ciu, InverseCiu, Pda, Rise
from sidelight.perturbation.coalitions import Coalitions, KernelPairs
from sidelight.perturbation.dependence import Hsic, median_distance
from sidelight.perturbation.designs import Orthogonal, SobolPairs, SpaceFilling
from sidelight.perturbation.fields import Units
from sidelight.perturbation.options import PdaForm
from sidelight.perturbation.regression import Lime, Shap
from sidelight.perturbation.samplers import Antithetic, Bernoulli, OneOff, OneOn, Rate
from sidelight.perturbation.sensitivity import Sobol

GAME = Game(8, outputs=2, seed=4)
FULL, EMPTY = GAME.ends.numpy()
BINARY = [Bernoulli(Stream(1), 8, 0.4), Rate(Stream(1), 8), Orthogonal(Stream(1), 8), KernelPairs(Stream(1), 8)]
binary = pytest.mark.parametrize("sampler", BINARY, ids=lambda s: type(s).__name__)


def scores(calculator, sampler, rows=96, game=GAME):
    return attribute(calculator, sampler, game, rows).maps.numpy()


def rows_of(sampler, rows=96, game=GAME):
    """Z [N, M] and y [N, T]."""
    z = sampler.draw(range(rows)).double()
    return z.numpy(), game(z).numpy()


@binary
def test_rise_equals_its_replica(sampler):
    z, y = rows_of(sampler)
    np.testing.assert_allclose(scores(Rise(), sampler), [replicas.rise(z, v) for v in y.T], rtol=1e-12)


@binary
@pytest.mark.parametrize(("width", "ridge"), [(None, 0.0), (0.25, 0.0), (0.25, 1.0), (None, 3.0)])
def test_lime_equals_its_own_regression(sampler, width, ridge):
    z, y = rows_of(sampler)
    expected = [replicas.lime(z, v, width, ridge) for v in y.T]
    np.testing.assert_allclose(scores(Lime(width, ridge), sampler), expected, rtol=1e-8, atol=1e-12)


def test_lime_equals_scikit_learns_ridge():
    ridge = pytest.importorskip("sklearn.linear_model").Ridge
    z, y = rows_of(BINARY[0])
    w = np.exp(-(((1 - np.sqrt(z.mean(1))) / 0.5) ** 2))
    expected = ridge(alpha=0.7).fit(z, y, sample_weight=w).coef_
    np.testing.assert_allclose(scores(Lime(0.5, 0.7), BINARY[0]), expected, rtol=1e-10)


@binary
def test_shap_equals_its_replica(sampler):
    z, y = rows_of(sampler)
    density = sampler.log_density().exp().numpy()
    expected = [replicas.shap(z, v, f, e, density) for v, f, e in zip(y.T, FULL, EMPTY, strict=True)]
    np.testing.assert_allclose(scores(Shap(sampler.log_density()), sampler), expected, rtol=1e-8, atol=1e-12)


@binary
@pytest.mark.parametrize("form", PdaForm)
@pytest.mark.parametrize("examples", [50, 1_000_000])
def test_pda_equals_its_replica_in_all_its_forms(sampler, form, examples):
    z, y = rows_of(sampler)
    expected = [replicas.pda(z, v, f, form.value, 10, examples) for v, f in zip(y.T, FULL, strict=True)]
    np.testing.assert_allclose(scores(Pda(form, 10, examples), sampler), expected, rtol=1e-10, atol=1e-13)


def test_ciu_equals_its_replica():
    _, y = rows_of(OneOff(8), 8)
    expected = [replicas.ciu(v, f) for v, f in zip(y.T, FULL, strict=True)]
    np.testing.assert_allclose(scores(Ciu(), OneOff(8), 8), expected, rtol=1e-10)


def test_inverse_ciu_equals_its_replica_of_what_is_left_without_a_unit():
    _, y = rows_of(OneOn(8), 8)
    expected = [replicas.ciu(1 - v, f) for v, f in zip(y.T, FULL, strict=True)]
    np.testing.assert_allclose(scores(InverseCiu(), OneOn(8), 8), expected, rtol=1e-10)


def test_sobol_equals_its_replica():
    sampler = SobolPairs(Stream(1), 8)
    _, y = rows_of(sampler, 12 * 10)
    expected = [replicas.sobol(v, 8) for v in y.T]
    np.testing.assert_allclose(scores(Sobol(), sampler, 12 * 10), expected, rtol=1e-10)


def test_sobol_on_an_additive_game_converges_to_the_share_of_variance():
    def additive(z):
        return torch.as_tensor(z, dtype=torch.float64) @ torch.tensor([[0.1], [0.2], [0.3]], dtype=torch.float64)

    additive.units, additive.outputs, additive.ends = 3, 1, additive(torch.stack([torch.ones(3), torch.zeros(3)]))
    s = attribute(Sobol(), SobolPairs(Stream(0), 3), additive, 20_000)
    torch.testing.assert_close(s.maps[0], torch.tensor([1, 4, 9]).double() / 14, rtol=0, atol=0.02)


@pytest.mark.parametrize("n", [100, 600])  # rows are compared in blocks of 256
def test_hsic_equals_the_trace_of_its_kernel_matrices(n):
    sampler = SpaceFilling(Stream(1), 8, n)
    z, y = rows_of(sampler, n)
    a = Hsic(sampler, Units(8), True, target(2))
    for rows in (range(30), range(30, n)):
        a.add(rows, None, {"y": torch.from_numpy(y[rows.start : rows.stop])})
    np.testing.assert_allclose(a.value().maps, [replicas.hsic(z, v) for v in y.T], rtol=1e-9)


def test_hsic_is_nothing_where_the_output_is_constant_and_most_where_it_depends():
    sampler = SpaceFilling(Stream(1), 5, 256)
    z = sampler.draw(range(256)).double()
    a = Hsic(sampler, Units(5), True, target(2))
    a.add(range(256), None, {"y": torch.stack([torch.full((256,), 0.3).double(), z[:, 2] * (0.4 + 0.1 * z[:, 4])], 1)})
    constant, dependent = a.value().maps
    assert not constant.any()
    assert dependent.argsort(descending=True)[:2].tolist() == [2, 4] and dependent[[0, 1, 3]].max() < 1e-9


@pytest.mark.parametrize("n", [2, 3, 4, 50, 51, 300])
def test_the_median_distance_is_that_of_all_pairs(n):
    y = torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    for scale in (1.0, 1e-9, 1e9):
        expected = torch.pdist(scale * y.unsqueeze(1)).median().item()
        assert median_distance(scale * y) == pytest.approx(expected, rel=1e-12)


def test_where_most_outputs_are_equal_the_mean_distance_stands_in():
    y = torch.tensor([3.0, 3, 3, 3, 5], dtype=torch.float64)
    assert median_distance(y) == pytest.approx(0.8) and median_distance(y[:4]) == 0


@pytest.mark.parametrize("units", [1, 2, 3, 5, 8, 10])
def test_shap_over_all_coalitions_is_exactly_shapleys(units):
    game = Game(units, seed=units)
    sampler = Coalitions(Stream(0), units)
    s = attribute(Shap(sampler.log_density()), sampler, game, sampler.size, tile=37)
    exact = replicas.shapley(lambda z: game(z)[:, 0].numpy(), units)
    np.testing.assert_allclose(s.maps[0], exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sampler", [KernelPairs, Rate, Antithetic, Orthogonal])
def test_shap_of_any_sampler_converges_to_shapley_values(sampler):
    game, sampler = Game(6, seed=2), sampler(Stream(0), 6)
    s = attribute(Shap(sampler.log_density()), sampler, game, 20_000, tile=2_000)
    exact = torch.from_numpy(replicas.shapley(lambda z: game(z)[:, 0].numpy(), 6))
    assert ((s.maps[0] - exact) / s.standard_error[0]).abs().max() < 4.5
    assert (s.maps[0] - exact).abs().max() < 0.01


@binary
def test_shap_scores_add_up_to_the_difference_of_the_ends(sampler):
    for rows in (1, 5, 64):
        total = scores(Shap(sampler.log_density()), sampler, rows).sum(1)
        np.testing.assert_allclose(total, FULL - EMPTY, rtol=1e-10)


def test_with_one_unit_off_at_a_time_all_calculators_rank_alike():
    ranks = [
        scores(c, OneOff(8), 8).argsort(1)
        for c in (Rise(), Lime(), Lime(0.25, 1.0), Shap(OneOff(8).log_density()), *(Pda(f) for f in PdaForm), Ciu())
    ]
    assert all((r == ranks[0]).all() for r in ranks)
    assert (ranks[0] == (-rows_of(OneOff(8), 8)[1]).argsort(0).T).all()


def test_with_one_unit_on_at_a_time_all_calculators_rank_alike():
    ranks = [
        scores(c, OneOn(8), 8).argsort(1)
        for c in (
            Rise(),
            Lime(),
            Lime(0.25, 1.0),
            Shap(OneOn(8).log_density()),
            *(Pda(f) for f in PdaForm),
            InverseCiu(),
        )
    ]
    assert all((r == ranks[0]).all() for r in ranks)
    assert (ranks[0] == rows_of(OneOn(8), 8)[1].argsort(0).T).all()


def test_pda_mirrors_rise_where_every_unit_is_kept_in_exactly_half_of_the_rows():
    sampler = Orthogonal(Stream(3), 8)
    rise, pda = (scores(c, sampler, 5 * sampler.block) for c in (Rise(), Pda()))
    np.testing.assert_allclose(np.ptp(rise - pda, axis=1), 0, atol=1e-12)


def test_orthogonal_designs_are_exact_on_additive_games_and_say_so():
    """A naive error over rows would say .3 / sqrt(N) here."""
    w = torch.linspace(-0.1, 0.1, 8, dtype=torch.float64).unsqueeze(1)

    def additive(z):
        return 0.5 + torch.as_tensor(z, dtype=torch.float64) @ w

    additive.units, additive.outputs, additive.ends = 8, 1, additive(torch.stack([torch.ones(8), torch.zeros(8)]))
    sampler = Orthogonal(Stream(0), 8)
    for calculator, expected in (
        (Rise(), 0.5 + w.sum() / 2 + w / 2),
        (Pda(), w.sum() / 2 + w / 2),
        (Lime(), w),
        (Shap(sampler.log_density()), w),
    ):
        s = attribute(calculator, sampler, additive, 40 * sampler.block)
        torch.testing.assert_close(s.maps, expected.T, rtol=0, atol=1e-10)
        assert s.standard_error.max() < 1e-10


EVERYTHING = [
    *((c, s) for c in (Rise(), Lime(), Lime(0.25), Pda(PdaForm.EVIDENCE)) for s in BINARY),
    *((Shap(s.log_density()), s) for s in BINARY),
    (Sobol(), SobolPairs(Stream(1), 8)),
    (Shap(Coalitions(Stream(1), 8).log_density()), Coalitions(Stream(1), 8)),
    (Rise(), SpaceFilling(Stream(1), 8, 200)),
]
names = [f"{type(c).__name__}-{type(s).__name__}" for c, s in EVERYTHING]


@pytest.mark.parametrize(("calculator", "sampler"), EVERYTHING, ids=names)
@pytest.mark.parametrize("tile", [1, 7, 64])
def test_the_answer_does_not_depend_on_how_rows_are_cut_into_tiles(calculator, sampler, tile):
    whole, tiled = (attribute(calculator, sampler, GAME, 200, t) for t in (None, tile))
    torch.testing.assert_close(tiled.maps, whole.maps, rtol=1e-9, atol=1e-12)
    assert (whole.standard_error is None) == (tiled.standard_error is None)
    if whole.standard_error is not None:
        torch.testing.assert_close(tiled.standard_error, whole.standard_error, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("calculator", "sampler"), EVERYTHING, ids=names)
def test_a_preview_after_any_prefix_is_the_answer_of_that_prefix(calculator, sampler):
    a, done = fold(calculator, sampler, GAME), 0
    for rows in (1, 3, 10, 11, 40, 100):
        play(a, sampler, GAME, rows, start=done)
        done = rows
        alone = attribute(calculator, sampler, GAME, rows)
        if isinstance(calculator, Sobol) and rows < 10:
            assert a.preview() is None and alone is None
            continue
        assert a.preview().isfinite().all()
        torch.testing.assert_close(a.preview(), alone.maps, rtol=1e-7, atol=1e-9)
        assert torch.equal(a.value().maps, a.preview())


def test_sobol_uses_whole_designs_of_an_unfinished_block_and_no_others():
    sampler = SobolPairs(Stream(1), 8)  # designs of 10 rows, blocks of 40
    at = {n: scores(Sobol(), sampler, n) for n in (40, 60, 69)}
    assert (at[60] == at[69]).all() and (at[40] != at[60]).any()


@pytest.mark.parametrize("calculator", [Rise(), Pda(), Pda(PdaForm.EVIDENCE), Ciu()])
def test_a_unit_that_was_not_yet_looked_at_counts_as_one_that_does_not_matter(calculator):
    a = fold(calculator, OneOff(8), GAME)
    play(a, OneOff(8), GAME, 3)
    rest = a.preview()[:, 3:]
    if isinstance(calculator, Rise):
        assert (rest == rest[:, :1]).all()
    else:
        assert not rest.any()


def test_too_few_rows_have_the_least_regression_and_no_error():
    sampler = Bernoulli(Stream(1), 8, 0.5)
    z, y = rows_of(sampler, 5)
    s = attribute(Lime(), sampler, GAME, 5)
    c = z - z.mean(0)
    expected = [np.linalg.pinv(c) @ (v - v.mean()) for v in y.T]
    np.testing.assert_allclose(s.maps, expected, rtol=1e-7, atol=1e-10)
    assert s.standard_error is None and s.relative_error is None
    assert attribute(Lime(), sampler, GAME, 71).standard_error is None  # 9 unknowns, 8 rows for each
    assert attribute(Lime(), sampler, GAME, 72).standard_error is not None


@pytest.mark.parametrize("sampler", [Antithetic(Stream(0), 8), Orthogonal(Stream(0), 8), SobolPairs(Stream(0), 8)])
def test_an_error_is_said_from_eight_blocks_on(sampler):
    calculator = Sobol() if isinstance(sampler, SobolPairs) else Rise()
    assert attribute(calculator, sampler, GAME, 8 * sampler.block - 1).standard_error is None
    assert attribute(calculator, sampler, GAME, 8 * sampler.block).standard_error is not None


def test_designs_without_independent_blocks_have_no_error():
    for sampler in (SpaceFilling(Stream(0), 8, 512), Coalitions(Stream(0), 8)):
        s = attribute(Rise(), sampler, GAME, 254)
        assert s.standard_error is None and s.relative_error is None and s.segments is None


def test_shap_says_no_error_where_the_coalitions_that_count_most_are_hardly_ever_drawn():
    """Of 49 units Bernoulli rows never keep 1 or 48, which have most of the weight: their spread is not the error."""
    game = Game(49)
    for sampler, said in ((Bernoulli(Stream(0), 49, 0.5), False), (KernelPairs(Stream(0), 49), True)):
        s = attribute(Shap(sampler.log_density()), sampler, game, 4000)
        assert (s.standard_error is not None) == said


def test_memory_does_not_grow_with_rows():
    def held(a):
        parts = [sums for _, sums in (*a.blocks.groups, a.blocks.open or (0, ()))] + [a.blocks.rest or ()]
        tensors = [t for part in parts for t in part]
        return sum(t.numel() for t in tensors)

    sampler = Antithetic(Stream(0), 8)
    a = fold(Lime(), sampler, GAME)
    one = 2 + 8 + 2 + 64 + 16  # numbers of one group
    play(a, sampler, GAME, 20_001, tile=111)
    assert held(a) <= 65 * one  # with the row of an unfinished pair
    assert len(a.blocks.groups) >= 32
    wide = fold(Lime(), Bernoulli(Stream(0), 900, 0.5), Game(900))
    play(wide, Bernoulli(Stream(0), 900, 0.5), Game(900), 400, tile=100)
    assert 8 <= len(wide.blocks.groups) <= 16


def test_segments_are_told_where_the_labels_are_known():
    labels = torch.arange(8).view(2, 4)
    sampler = Bernoulli(Stream(0), 8, 0.5)
    a = fold(Rise(), sampler, GAME, labels=labels)
    play(a, sampler, GAME, 100)
    s = a.value()
    assert torch.equal(s.segments.scores, s.maps) and torch.equal(s.segments.labels, labels)
    torch.testing.assert_close(s.segments.standard_error, s.standard_error)


def test_a_tolerance_stops_after_256_rows_of_whole_blocks_and_not_before():
    def stopped(sampler, tolerance, tile=16):
        game = Game(sampler.units)
        a = fold(Rise(), sampler, game, tolerance)
        for start in range(0, 8000, tile):
            play(a, sampler, game, start + tile, start=start)
            if a.enough():
                return start + tile, a.value()
        return None, a.value()

    assert stopped(Bernoulli(Stream(0), 8, 0.5), 1e9)[0] == 256
    assert stopped(Orthogonal(Stream(0), 8), 1e9)[0] == 256
    assert stopped(Orthogonal(Stream(0), 12), 1e9)[0] == 272  # blocks of 24: the eleventh ends at 264
    rows, s = stopped(Bernoulli(Stream(0), 8, 0.5), 0.05)
    assert 256 < rows < 8000 and max(s.relative_error) <= 0.05
    assert stopped(SpaceFilling(Stream(0), 8, 8000), 1e9)[0] is None
