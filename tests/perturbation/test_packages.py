"""Agreement with the packages of the methods' authors, on rows and outputs that are shared."""

import numpy as np
import pytest
import torch
from perturbation_games import Game, attribute
from sidelight.core.stream import Stream
from sidelight.perturbation.coalitions import Coalitions
from sidelight.perturbation.regression import Lime, Shap
from sidelight.perturbation.samplers import Bernoulli

GAME = Game(8, seed=4)


def test_lime_agrees_with_the_package_lime():
    """Which takes the square root of the paper's kernel: its width is this one's over sqrt(2)."""
    base = pytest.importorskip("lime.lime_base")
    sampler = Bernoulli(Stream(1), 8, 0.5)
    z = torch.cat([torch.ones(1, 8), sampler.draw(range(200))]).double()
    y = GAME(z).numpy()
    distances = 1 - np.sqrt(z.numpy().mean(1))
    kernel = base.LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)))
    _, found, _, _ = kernel.explain_instance_with_data(z.numpy(), y, distances, 0, 8, feature_selection="none")
    here = Lime(0.25 * 2**0.5, ridge=1.0)
    scores = here.solve(here.observe(z, torch.from_numpy(y)), GAME.ends)[0]
    np.testing.assert_allclose(scores, [dict(found)[s] for s in range(8)], rtol=1e-6, atol=1e-9)


def test_shap_agrees_with_the_package_shap():
    package = pytest.importorskip("shap")
    explainer = package.KernelExplainer(lambda z: GAME(z)[:, 0].numpy(), np.zeros((1, 8)))
    found = explainer.shap_values(np.ones(8), nsamples=2**8, silent=True)
    sampler = Coalitions(Stream(0), 8)
    scores = attribute(Shap(sampler.log_density()), sampler, GAME, sampler.size).maps[0]
    np.testing.assert_allclose(scores, found, rtol=0, atol=1e-8)
