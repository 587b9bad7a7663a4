"""Nominal 95 % intervals cover between 90 and 98 %, for every sampler that reports an error with every calculator."""

import itertools

import pytest
import torch
from perturbation_games import Game, attribute
from sidelight.core.stream import Stream
from sidelight.perturbation.calculators import Pda, Rise
from sidelight.perturbation.coalitions import KernelPairs
from sidelight.perturbation.designs import Orthogonal, SobolPairs
from sidelight.perturbation.options import PdaForm
from sidelight.perturbation.regression import Lime, Shap
from sidelight.perturbation.samplers import Antithetic, Bernoulli, Rate
from sidelight.perturbation.sensitivity import Sobol

UNITS = 6
REPEATS = 200
SAMPLERS = {
    "bernoulli": lambda s: Bernoulli(s, UNITS, 0.5),
    "sparse": lambda s: Bernoulli(s, UNITS, 0.3),
    "rate": lambda s: Rate(s, UNITS),
    "antithetic": lambda s: Antithetic(s, UNITS),
    "kernel_pairs": lambda s: KernelPairs(s, UNITS),
    "orthogonal": lambda s: Orthogonal(s, UNITS),
}
CALCULATORS = {
    "rise": lambda s: Rise(),
    "pda": lambda s: Pda(),
    "pda_evidence": lambda s: Pda(PdaForm.EVIDENCE),
    "lime": lambda s: Lime(),
    "lime_kernel": lambda s: Lime(0.25),
    "shap": lambda s: Shap(s.log_density()),
}


def limit(calculator, sampler, game):
    """What the calculator converges to, [T, M]: its sums over all coalitions, each as often as it is drawn."""
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=UNITS)), dtype=torch.float64)
    often = sampler.log_density()[z.sum(1).long()].exp()
    sums = calculator.observe(z.unsqueeze(1), game(z).unsqueeze(1))  # of each coalition by itself
    total = tuple(torch.einsum("c,c...->...", often, s) for s in sums)
    return calculator.solve(total, game.ends)


def coverage(sampler, calculator, game, truth, rows):
    """The share of intervals, over repeats, units and outputs, that hold the truth."""
    inside = []
    for seed in range(REPEATS):
        s = attribute(calculator, sampler(Stream(seed).child("repeat")), game, rows)
        inside.append((s.maps - truth).abs() <= 1.96 * s.standard_error)
    return torch.stack(inside).double().mean().item()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("calculator", CALCULATORS)
def test_the_standard_error_covers_the_truth_as_often_as_it_says(sampler, calculator):
    game, draw = Game(UNITS, outputs=6, seed=11), SAMPLERS[sampler]
    rows = 1280 if (sampler, calculator) == ("sparse", "shap") else 512  # 5 of 6 units are seldom kept: no error before
    fit = CALCULATORS[calculator](draw(Stream(0)))
    assert 0.90 <= coverage(draw, fit, game, limit(fit, draw(Stream(0)), game), rows) <= 0.98


@pytest.mark.parametrize("sampler", ["antithetic", "orthogonal"])
@pytest.mark.parametrize("calculator", ["rise", "pda", "lime"])
def test_it_does_so_with_as_few_rows_as_it_is_given_for(sampler, calculator):
    game, draw = Game(UNITS, outputs=6, seed=11), SAMPLERS[sampler]
    fit = CALCULATORS[calculator](draw(Stream(0)))
    rows = max(8 * draw(Stream(0)).block, 56 if calculator == "lime" else 16)
    assert 0.90 <= coverage(draw, fit, game, limit(fit, draw(Stream(0)), game), rows) <= 0.98


@pytest.mark.parametrize("blocks", [8, 16])
def test_the_standard_error_of_sobol_indices_covers_the_truth_as_often_as_it_says(blocks):
    game = Game(UNITS, outputs=6, seed=11)
    truth = attribute(Sobol(), SobolPairs(Stream(99), UNITS), game, 400_000).maps
    rows = blocks * SobolPairs(Stream(0), UNITS).block
    assert 0.90 <= coverage(lambda s: SobolPairs(s, UNITS), Sobol(), game, truth, rows) <= 0.98
