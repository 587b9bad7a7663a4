"""The terms of the objective: their values, the gradient of all of them, and what each does alone."""

from dataclasses import dataclass, replace

import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from mask_nets import image_job, optimised, small_net
from sidelight.core.evidence import Evidence
from sidelight.masks.field import Cells, ImageField
from sidelight.masks.images import ImageScene
from sidelight.masks.objective import comparable, regularisers, variation
from sidelight.masks.optimise import minimise
from sidelight.masks.options import IMAGE_CNN, IMAGE_VIT, TEXT, Comprehensiveness, Rule
from torch import nn

ALONE = {"size_weight": 0.0, "sigma_weight": 0.0, "variation_weight": 0.0, "rule": Rule.NEVER}


class Blind(nn.Module):
    """Sees nothing: leaves the mask to the regularisers."""

    def forward(self, x):
        return 0 * x.flatten(1)[:, :2]


def regularised(steps, size=(24, 24), **changed):
    """A mask that only the terms with weights in `changed` move."""
    net = Blind().double()
    found = optimised(image_job(net, size=size, classes=(0,)), net, **(ALONE | {"steps": steps} | changed))
    return found.maps[0], found.optimised[0]


# -- values ----------------------------------------------------------------------------------------------------------


def test_initial_lambda_inside_an_image_is_the_papers():
    job = image_job(small_net(), size=(96, 90))
    field = ImageScene(job, IMAGE_CNN).field(IMAGE_CNN)
    mask = field.mask(field.start())
    assert mask[48, 45].item() == pytest.approx(0.868, abs=5e-4)
    assert mask[20:-20, 20:-20].std() < 1e-5


def test_variation_is_the_sum_over_pairs_of_eight_neighbours_over_the_pixels():
    torch.manual_seed(0)
    mask = torch.rand(7, 5, dtype=torch.float64)
    pairs = 0.0
    for i in range(7):
        for j in range(5):
            for k in range(7):
                for m in range(5):
                    if max(abs(i - k), abs(j - m)) == 1:
                        pairs += (mask[i, j] - mask[k, m]).item() ** 2
    assert variation(mask).item() == pytest.approx(pairs / 2 / 35)


def test_terms_are_those_of_the_paper_with_weight_and_sign():
    torch.manual_seed(0)
    mask, sigma = torch.rand(6, 8, dtype=torch.float64), 1 + torch.rand(6, 8, dtype=torch.float64)
    terms = regularisers(mask, Cells(torch.zeros(6, 8), sigma), IMAGE_CNN)
    assert terms["size"].item() == pytest.approx(0.6 * mask.mean().item() ** 2)
    assert terms["sigma"].item() == pytest.approx(-1.2 * sigma.log().mean().item())
    assert terms["variation"].item() == pytest.approx(10 * variation(mask).item())


def test_masks_of_words_have_no_variation_and_those_of_transformers_a_smaller_price():
    words = torch.rand(9, dtype=torch.float64)
    assert set(regularisers(words, Cells(words, words + 1), TEXT)) == {"size", "sigma"}
    image = torch.rand(4, 4, dtype=torch.float64)
    assert regularisers(image, Cells(image, image + 1), IMAGE_VIT)["size"].item() == pytest.approx(
        0.25 * image.mean().item() ** 2
    )


def test_the_term_of_sigma_is_told_and_never_counted():
    assert comparable({"kept": 1.0, "removed": 2.0, "size": 4.0, "variation": 8.0, "sigma": -1e9}) == 15.0


# -- the gradient of all of it ---------------------------------------------------------------------------------------


@dataclass
class At:
    """A scene whose field starts at given cells, in float64."""

    scene: ImageScene
    cells: Cells

    @property
    def targets(self):
        return self.scene.targets

    def field(self, options):
        field = ImageField(self.scene.shape, options, torch.float64)
        field.start = lambda: self.cells
        return field

    def rows(self, *given, **more):
        return self.scene.rows(*given, **more)


def one_step(job, net, options, w, sigma):
    """The whole objective at w and sigma, and its gradient there as the optimiser got it."""
    cells, seen = Cells(w.clone().requires_grad_(), sigma.clone().requires_grad_()), {}
    cells.w.register_hook(lambda g: seen.update(w=g.clone()))
    cells.sigma.register_hook(lambda g: seen.update(sigma=g.clone()))
    scene = At(ImageScene(job, options), cells)
    found = inline(minimise(job, scene, replace(options, steps=1)), Answers(net), 16, WIDE)
    return sum(curve[0] for curve in found.optimised[0].terms.values()), seen


@pytest.mark.parametrize("form", Comprehensiveness)
@pytest.mark.parametrize("of", Evidence)
def test_the_gradient_in_w_and_sigma_is_that_of_finite_differences(form, of):
    net = small_net()
    job = image_job(net, size=(14, 11), baselines=(100.0, 20.0))
    options = replace(IMAGE_CNN, comprehensiveness=form, evidence=of, rule=Rule.NEVER)
    torch.manual_seed(1)
    w, sigma = torch.randn(14, 11, dtype=torch.float64) / 2, 1 + 3 * torch.rand(14, 11, dtype=torch.float64)
    _, gradient = one_step(job, net, options, w, sigma)
    h = 1e-5
    for i, j in ((0, 0), (3, 4), (7, 10), (13, 5)):
        at = torch.zeros_like(w)
        at[i, j] = h
        up, down = one_step(job, net, options, w + at, sigma)[0], one_step(job, net, options, w - at, sigma)[0]
        assert gradient["w"][i, j].item() == pytest.approx((up - down) / 2 / h, rel=1e-5, abs=1e-9)
        up, down = one_step(job, net, options, w, sigma + at)[0], one_step(job, net, options, w, sigma - at)[0]
        assert gradient["sigma"][i, j].item() == pytest.approx((up - down) / 2 / h, rel=1e-5, abs=1e-9)


# -- what each does alone --------------------------------------------------------------------------------------------


def test_size_alone_shrinks_the_mask_to_nothing():
    mask, found = regularised(600, size_weight=1.0)
    assert found.mean < 0.01
    assert mask.max() < 0.1
    assert list(found.terms["size"]) == sorted(found.terms["size"], reverse=True)


def test_variation_alone_smooths_the_mask():
    mask, found = regularised(300, variation_weight=10.0)
    assert variation(mask).item() < 0.02 * found.terms["variation"][0] / 10
    assert mask.mean() > 0.4  # it has no wish for a small one


def test_sigma_alone_widens_every_kernel_up_to_its_cap():
    _, found = regularised(60, sigma_weight=1.2, sigma_high=2.5)
    assert torch.equal(found.sigma, torch.full_like(found.sigma, found.sigma.max().item()))
    assert found.sigma.max().item() == pytest.approx(2.5)
    assert torch.equal(found.w, torch.full_like(found.w, 0.5))


def test_sigma_never_falls_below_its_least():
    _, found = regularised(10, size_weight=5.0, w=3.0, sigma=1.0, sigma_low=0.95)
    assert found.sigma.min().item() == pytest.approx(0.95)


def test_without_any_weight_nothing_moves():
    _, found = regularised(5)
    assert torch.equal(found.w, torch.full_like(found.w, 0.5))
    assert set(found.terms) == {"kept", "removed", "size", "sigma", "variation"}
    assert all(len(curve) == 5 for curve in found.terms.values())
