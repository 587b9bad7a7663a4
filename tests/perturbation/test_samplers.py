"""Samplers: what they draw is what they say they draw, whatever the chunking."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sidelight.core.errors import InvalidRequest
from sidelight.core.stream import Stream
from sidelight.perturbation.coalitions import Coalitions, KernelPairs, permuted, unranked
from sidelight.perturbation.designs import Orthogonal, SobolPairs, SpaceFilling
from sidelight.perturbation.hadamard import hadamard, order_for
from sidelight.perturbation.samplers import Antithetic, Bernoulli, OneOff, OneOn, Rate

SAMPLERS = {
    "bernoulli": lambda s, m: Bernoulli(s, m, 0.3),
    "rate": Rate,
    "antithetic": Antithetic,
    "one_off": lambda s, m: OneOff(m),
    "one_on": lambda s, m: OneOn(m),
    "coalitions": Coalitions,
    "kernel_pairs": KernelPairs,
    "orthogonal": Orthogonal,
    "sobol_pairs": SobolPairs,
    "space_filling": lambda s, m: SpaceFilling(s, m, 300),
}
every = pytest.mark.parametrize("name", SAMPLERS)


def sampler(name, units, seed=0):
    return SAMPLERS[name](Stream(seed), units)


@every
@settings(max_examples=25, deadline=None)
@given(units=st.integers(1, 13), seed=st.integers(0, 99), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_rows_are_the_same_however_they_are_cut(name, units, seed, cuts):
    a = sampler(name, units, seed)
    end = min(a.size or 300, 300)
    whole = a.draw(range(end))
    edges = sorted({0, end, *(c for c in cuts if c < end)})
    parts = [a.draw(range(*edge)) for edge in itertools.pairwise(edges)]
    assert whole.shape == (end, units) and whole.dtype == torch.float32
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(sampler(name, units, seed).draw(range(end)), whole)


@every
def test_rows_lie_in_the_cube_and_only_sobol_pairs_use_its_inside(name):
    z = sampler(name, 8).draw(range(8))
    assert z.min() >= 0 and z.max() <= 1
    assert ((z == 0) | (z == 1)).all() == (name != "sobol_pairs")


@every
def test_each_unit_is_kept_as_often_as_the_mean_says(name):
    a = sampler(name, 6)
    rows = range(a.size) if a.size else range(12_000)
    z = a.draw(rows).double().mean(0)
    torch.testing.assert_close(z, torch.full_like(z, a.mean), rtol=0, atol=1e-6 if a.size == 6 else 0.025)


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n != "sobol_pairs"])
def test_sizes_are_drawn_with_the_density_that_is_said(name):
    """P(k) = C(M, k) density(k): expected counts of each size over many rows of many seeds."""
    units, seeds = 6, 40
    draws = [sampler(name, units, seed) for seed in range(seeds)]
    rows = draws[0].size or 320
    z = torch.cat([a.draw(range(rows)) for a in draws])
    counts = torch.bincount(z.sum(1).long(), minlength=units + 1).double()
    p = draws[0].log_density().exp() * torch.tensor([math.comb(units, k) for k in range(units + 1)])
    p = p / p.sum()
    n = len(z) / max(1, draws[0].block)  # no more evidence than blocks, at the least
    assert ((counts / len(z) - p).abs() <= 4.5 * (p * (1 - p) / n).sqrt() + 1e-12).all()


@pytest.mark.parametrize("name", ["bernoulli", "rate", "antithetic", "kernel_pairs", "orthogonal", "space_filling"])
def test_coalitions_of_one_size_are_equally_likely(name):
    z = torch.cat([sampler(name, 4, seed).draw(range(64)) for seed in range(400)])
    a = sampler(name, 4)
    code = (z @ torch.tensor([1.0, 2.0, 4.0, 8.0])).long()
    p = torch.bincount(code, minlength=16) / len(code)
    two = torch.tensor([c for c in range(16) if c.bit_count() == 2])
    assert (p[two] / p[two].mean() - 1).abs().max() < 0.12, a


@pytest.mark.parametrize("units", [1, 2, 3, 4, 7, 10])
def test_coalitions_come_once_each_by_size_from_the_outside_in(units):
    a = Coalitions(Stream(3), units)
    z = a.draw(range(a.size)).long()
    assert len({tuple(row) for row in z.tolist()}) == a.size == max(2, 2**units - 2)
    k = z.sum(1)
    distance = torch.minimum(k, units - k)
    assert (distance.diff() >= 0).all()
    assert not any(row.sum() in (0, units) for row in z) or units == 1


def test_coalitions_of_a_size_are_shuffled_and_differently_for_each_seed():
    orders = [Coalitions(Stream(seed), 6).draw(range(6)).argmax(1) for seed in range(300)]
    assert len({tuple(o.tolist()) for o in orders}) > 150  # of 720
    first = torch.bincount(torch.stack(orders)[:, 0], minlength=6)
    assert ((first - 50).abs() < 30).all()  # sd 6.5


def test_coalitions_of_a_thousand_units_are_drawn_without_counting_them():
    a = Coalitions(Stream(0), 1000)
    z = a.draw(range(500_000, 500_040))
    assert set(z.sum(1).tolist()) == {2.0} and len({tuple(r.nonzero().flatten().tolist()) for r in z}) == 40


@settings(max_examples=60, deadline=None)
@given(domain=st.integers(1, 5000), seed=st.integers(0, 9))
def test_a_permutation_permutes(domain, seed):
    assert sorted(permuted(Stream(seed), range(domain), domain)) == list(range(domain))


def test_a_permutation_of_few_is_close_to_uniform():
    seen = np.stack([permuted(Stream(seed), range(5), 5) for seed in range(2000)])
    for position in range(5):
        assert (np.abs(np.bincount(seen[:, position], minlength=5) - 400) < 90).all()  # sd 18


def test_unranking_lists_all_coalitions_of_a_size():
    listed = {tuple(row) for row in unranked(np.arange(35), 7, 3)}
    assert len(listed) == 35 and {sum(row) for row in listed} == {3}


@pytest.mark.parametrize("name", ["antithetic", "kernel_pairs", "orthogonal"])
def test_every_second_row_is_the_complement_of_the_one_before(name):
    z = sampler(name, 7).draw(range(64))
    assert torch.equal(z[1::2], 1 - z[::2])


@pytest.mark.parametrize("units", [1, 2, 3, 5, 12, 13, 28, 36, 49, 100])
def test_hadamard_columns_are_orthogonal_and_orders_are_small(units):
    h = hadamard(order_for(units)).astype(int)
    np.testing.assert_array_equal(h.T @ h, len(h) * np.eye(len(h), dtype=int))
    assert set(np.unique(h)) <= {-1, 1} and units <= len(h) < max(2 * units, 3)
    assert len(h) <= 1.15 * units + 4  # 49 -> 56, where powers of two would need 64


@pytest.mark.parametrize("units", [3, 7, 12])
def test_a_replicate_is_balanced_in_every_unit_pair_and_triple(units):
    """Strength three: what a fold-over adds to an orthogonal array."""
    a = Orthogonal(Stream(5), units)
    for replicate in range(2):
        z = 2 * a.draw(range(replicate * a.block, (replicate + 1) * a.block)).double() - 1
        assert not z.sum(0).any()
        assert torch.equal(z.T @ z, a.block * torch.eye(units).double())
        for i, j, k in itertools.combinations(range(units), 3):
            assert (z[:, i] * z[:, j] * z[:, k]).sum() == 0


def test_replicates_differ():
    a = Orthogonal(Stream(5), 9)
    first, second = a.draw(range(a.block)), a.draw(range(a.block, 2 * a.block))
    assert not torch.equal(first, second)
    assert {tuple(r) for r in first.tolist()} != {tuple(r) for r in second.tolist()}


def test_a_sobol_design_swaps_one_column_at_a_time():
    a = SobolPairs(Stream(2), 5)
    z = a.draw(range(3 * a.design)).view(3, 7, 5)
    for first, second, *swapped in z:
        for i, row in enumerate(swapped):
            expected = first.clone()
            expected[i] = second[i]
            assert torch.equal(row, expected)


def test_sobol_pairs_are_stratified_within_a_replicate_and_independent_between():
    a = SobolPairs(Stream(2), 6)
    z = a.draw(range(1000 * a.block)).view(1000, -1, a.design, 6)
    first = z[:, :, 0]  # [replicate, point, M]
    assert torch.equal((first * 4).floor().sort(1).values[0], torch.arange(4.0).unsqueeze(1).expand(4, 6))
    means = first.mean(1)
    c = torch.corrcoef(means.T) - torch.eye(6)
    assert c.abs().max() < 0.15
    assert ((first.flatten(0, 1) ** 2).mean(0) - 1 / 3).abs().max() < 0.02


@pytest.mark.parametrize(("units", "rows"), [(9, 64), (49, 1500), (121, 1024)])
def test_a_space_filling_design_balances_units_and_pairs(units, rows):
    z = 2 * SpaceFilling(Stream(1), units, rows).draw(range(rows)).double() - 1
    worst = (z.T @ z / rows - torch.eye(units)).abs().max()
    assert worst < (1e-12 if rows.bit_count() == 1 else 0.05)


def test_a_space_filling_design_is_the_sobol_sequence_cut_in_half_up_to_order_and_sides():
    sequence = torch.quasirandom.SobolEngine(30).draw(200, dtype=torch.float64) >= 0.5
    z = SpaceFilling(Stream(1), 30, 1024).draw(range(200)) > 0
    sided = {tuple((column ^ column[0]).tolist()) for column in z.T}
    assert sided == {tuple((column ^ column[0]).tolist()) for column in sequence.T} and len(sided) == 30


def test_a_space_filling_design_refuses_units_that_it_could_not_tell_apart():
    with pytest.raises(InvalidRequest, match="400 units"):
        SpaceFilling(Stream(1), 400, 512)
