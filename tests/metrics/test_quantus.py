"""Agreement with Quantus, an independent implementation. Its package is not among ours: `pip install quantus`."""

import numpy as np
import pytest
import torch
from measured import Linear, picture, run, subject
from sidelight.core.predictor import PixelSpace
from sidelight.core.target import Link
from sidelight.metrics.comprehensiveness import comprehensiveness
from sidelight.metrics.deletion import DeletionParams, deletion
from sidelight.metrics.erasure import ErasureParams
from sidelight.metrics.mass_in_mask import MassInMaskParams, mass_in_mask
from sidelight.metrics.pointing_game import PointingGameParams, pointing_game
from sidelight.metrics.replacement import Replacement
from sidelight.metrics.srg import SrgParams, srg
from sidelight.metrics.sufficiency import sufficiency

quantus = pytest.importorskip("quantus", reason="compares with the package quantus: pip install quantus")

X = picture((8, 8), space=PixelSpace(scale=1 / 255))
QUIET = {"disable_warnings": True, "normalise": False, "abs": False}


class Net(torch.nn.Module):
    """Two layers with a bend between them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = Linear(X, 8, seed=3), Linear(X, 3, seed=4)
        self.top = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 3)))

    def forward(self, x):
        return ((self.hidden.of(x.double()) / 5).tanh() @ self.top).float()


def answer(ask, columns):
    return {"y": Net()(columns["x"])}


def maps(seed):
    return torch.randn(1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def flipped(a, c, steps, softmax):
    """Scores after each step, the largest of `a` first, in black. A pixel is three features of equal rank there."""
    metric = quantus.PixelFlipping(features_in_step=64 // steps, perturb_baseline=0.0, **QUIET)
    x = (X.pixels / 255).numpy()[None]
    (curve,) = metric(model=Net().eval(), x_batch=x, y_batch=np.array([c]), a_batch=a.numpy()[None], softmax=softmax)
    return torch.tensor(np.array(curve, dtype=np.float64))[2::3]


@pytest.mark.parametrize(("link", "softmax"), [(Link.LOGIT, False), (Link.PROBABILITY, True)])
@pytest.mark.parametrize("steps", [4, 16, 64])
def test_deletion_follows_pixel_flipping(link, softmax, steps):
    a = maps(steps)
    p = DeletionParams(steps, Replacement.REQUEST)
    curve = run(deletion(subject(X, a, (2,), link), p), answer).curves["deletion"][0]
    torch.testing.assert_close(curve[1:], flipped(a, 2, steps, softmax), rtol=0, atol=1e-5)


def test_both_curves_of_srg_follow_pixel_flipping_of_the_map_and_of_its_inverse():
    a = maps(1)
    m = run(srg(subject(X, a, (1,)), SrgParams(8, Replacement.REQUEST)), answer)
    torch.testing.assert_close(m.curves["mif"][0, 1:], flipped(a, 1, 8, False), rtol=0, atol=1e-5)
    torch.testing.assert_close(m.curves["lif"][0, 1:], flipped(-a, 1, 8, False), rtol=0, atol=1e-5)


def test_comprehensiveness_and_sufficiency_are_the_falls_of_pixel_flipping_of_the_map_and_of_its_inverse():
    a, p = maps(2), ErasureParams(16, replacement=Replacement.REQUEST)
    y = Net()((X.pixels / 255).unsqueeze(0))[0, 1].double()
    s = subject(X, a, (1,))
    removed = run(comprehensiveness(s, p), answer).curves["comprehensiveness"][0]
    torch.testing.assert_close(removed[1:], y - flipped(a, 1, 16, False), rtol=0, atol=1e-5)
    kept = run(sufficiency(s, p), answer).curves["sufficiency"][0]  # without the least relevant, the last step first
    torch.testing.assert_close(kept.flip(0)[1:], y - flipped(-a, 1, 16, False), rtol=0, atol=1e-5)


def located(metric, a, mask):
    x = (X.pixels / 255).numpy()[None]
    s = mask.numpy()[None, None].astype(float)
    (value,) = metric(model=Net().eval(), x_batch=x, y_batch=np.array([0]), a_batch=a.numpy()[None], s_batch=s)
    return float(value)


@pytest.mark.parametrize("seed", range(6))
def test_the_pointing_game_and_the_mass_in_a_mask_agree(seed):
    a = maps(seed).abs()  # where both define a mass alike: Quantus sums signed relevance, we its positive part
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[1:6, 3:8] = True
    hit = run(pointing_game(subject(X, a), PointingGameParams(mask)), answer).values["hit"].item()
    assert hit == located(quantus.PointingGame(**QUIET), a, mask)
    mass = run(mass_in_mask(subject(X, a), MassInMaskParams(mask)), answer).values["mass"].item()
    assert mass == pytest.approx(located(quantus.RelevanceMassAccuracy(**QUIET), a, mask), rel=1e-6)
