"""Masks of free parameters: the paper's sums, their start, and that nothing as large as its kernels is made."""

import math
from dataclasses import replace

import pytest
import torch
from masks.replica import mask_of
from sidelight.masks.bank import LEAST, RADIUS, Bank
from sidelight.masks.field import Cells, ImageField, UnitField, WordField
from sidelight.masks.options import IMAGE_CNN, TEXT, Kernel
from torch.utils._python_dispatch import TorchDispatchMode

LOW, HIGH = IMAGE_CNN.sigma_low, IMAGE_CNN.sigma_high


def image(shape, dtype=torch.float64, **changed):
    return ImageField(shape, replace(IMAGE_CNN, **changed), dtype)


def uniform(shape, seed):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def normal(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def between(low, high, u):
    """Evenly in the logarithm."""
    return low * torch.exp(u * math.log(high / low))


def smooth(x, radius):
    padded = torch.nn.functional.pad(x.view(1, 1, *x.shape), (radius,) * 4, mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 2 * radius + 1, 1)[0, 0]


# -- images: the sum -------------------------------------------------------------------------------------------------

SHAPE = (48, 44)
FIELDS = {
    "any sigma": (0.5 * normal(SHAPE, 0), between(LOW, HIGH, uniform(SHAPE, 1))),
    "narrow ones": (0.5 * normal(SHAPE, 2) + 0.1, between(1, 20, uniform(SHAPE, 3))),
    "wide ones": (0.2 * normal(SHAPE, 4), between(100, HIGH, uniform(SHAPE, 5))),
    "smooth": (3 * smooth(normal(SHAPE, 6), 4), between(LOW, HIGH, smooth(uniform(SHAPE, 7), 6))),
    "one sigma, between levels": (0.5 * normal(SHAPE, 8), torch.full(SHAPE, 1.5, dtype=torch.float64)),
    "at the bounds": (0.5 * normal(SHAPE, 9), torch.where(uniform(SHAPE, 10) < 0.5, LOW, HIGH)),
}


@pytest.mark.parametrize("name", FIELDS)
def test_lambda_and_its_gradients_are_those_of_the_exact_sum_over_sources(name):
    w, sigma = (x.clone().requires_grad_() for x in FIELDS[name])
    exact, ours = mask_of(w, sigma), image(SHAPE).mask(Cells(w, sigma))
    assert exact.std() > 0.1
    torch.testing.assert_close(ours, exact, atol=2e-4, rtol=0)
    towards = normal(SHAPE, 11)
    for which, bound, x in (("w", 5e-4, w), ("sigma", 1e-2, sigma)):
        wanted, found = (torch.autograd.grad(mask, x, towards, retain_graph=True)[0] for mask in (exact, ours))
        assert (found - wanted).norm() < bound * wanted.norm(), which


def test_at_a_level_the_sum_is_exact():
    bank = Bank(SHAPE, 1, LOW, HIGH, torch.float64)
    for level in (0, 1, 7, bank.gaps):
        w, sigma = 0.3 * normal(SHAPE, level), torch.full(SHAPE, LOW * math.exp(bank.step * level), dtype=torch.float64)
        torch.testing.assert_close(bank.sum(w, sigma).sigmoid(), mask_of(w, sigma), atol=1e-12, rtol=0)


def test_single_precision_is_enough():
    w, sigma = FIELDS["any sigma"]
    single = image(SHAPE, torch.float32).mask(Cells(w.float(), sigma.float()))
    torch.testing.assert_close(single.double(), image(SHAPE).mask(Cells(w, sigma)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("sigma", [LOW, 3.3, HIGH])
def test_a_source_reaches_the_square_window_and_no_further(sigma):
    w = torch.zeros(61, 61, dtype=torch.float64)
    w[30, 30] = 1e3
    seen = image((61, 61)).mask(Cells(w, torch.full_like(w, sigma))) != 0.5
    window = slice(30 - RADIUS, 31 + RADIUS)
    assert seen[window, window].sum() == seen.sum()
    assert seen[30, 30]
    if sigma == HIGH:
        assert seen.sum() == 41 * 41


def test_no_kernel_has_numbers_whose_products_are_denormal():
    bank = Bank((50, 40), 1, 0.6, 1000.0, torch.float32)
    for kernel in (bank.rows, bank.columns):
        assert kernel[kernel > 0].min() >= LEAST


def test_the_other_kernel_is_the_first_at_the_square_of_sigma():
    w, sigma = 0.3 * normal(SHAPE, 0), between(1, 5, uniform(SHAPE, 1))
    other = image(SHAPE, kernel=Kernel.SIGMA_SQUARED, sigma_high=20.0).mask(Cells(w, sigma))
    torch.testing.assert_close(other, mask_of(w, sigma.square()), atol=2e-4, rtol=0)


def test_a_source_of_no_weight_changes_no_bit_whatever_its_sigma():
    w, sigma = 0.3 * normal(SHAPE, 0), torch.full(SHAPE, 2.0, dtype=torch.float64)
    w[3, 3] = 0
    wide = sigma.clone()
    wide[3, 3] = HIGH
    torch.testing.assert_close(
        image(SHAPE).mask(Cells(w, sigma)), image(SHAPE).mask(Cells(w, wide)), atol=1e-14, rtol=0
    )


def test_sums_over_bounds_that_lie_close_together_are_exact_enough():
    w, sigma = 0.3 * normal(SHAPE, 0), between(2.0, 2.1, uniform(SHAPE, 1))
    found = image(SHAPE, sigma_low=2.0, sigma_high=2.1).mask(Cells(w, sigma))
    torch.testing.assert_close(found, mask_of(w, sigma), atol=1e-6, rtol=0)


@pytest.mark.parametrize("cell", [2, 3, 5])
def test_a_cell_is_so_many_pixels_that_share_their_parameters(cell):
    shape = (23, 31)
    cells = tuple(math.ceil(side / cell) for side in shape)
    w, sigma = 0.2 * normal(cells, 0), between(LOW, HIGH, uniform(cells, 1))

    def spread(x):
        return x.repeat_interleave(cell, 0).repeat_interleave(cell, 1)[: shape[0], : shape[1]]

    by_pixel = image(shape).mask(Cells(spread(w), spread(sigma)))
    torch.testing.assert_close(image(shape, cell=cell).mask(Cells(w, sigma)), by_pixel, atol=1e-12, rtol=0)


@pytest.mark.parametrize("cell", [1, 2])
def test_gradients_of_an_image_s_mask_agree_with_finite_differences(cell):
    field = image((6, 7), cell=cell)
    shape = field.start().w.shape
    w, sigma = (0.3 * normal(shape, 0)).requires_grad_(), between(0.7, 300, uniform(shape, 1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, sigma: field.mask(Cells(w, sigma)), (w, sigma), atol=1e-7)


class Largest(TorchDispatchMode):
    """The most numbers that a tensor has had, of all that were made."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


def test_nothing_made_on_the_way_is_as_large_as_a_fiftieth_of_a_kernel_for_each_pixel():
    shape = (224, 224)
    with Largest() as largest:
        field = ImageField(shape, IMAGE_CNN)
        cells = Cells(torch.full(shape, 0.1, requires_grad=True), between(LOW, HIGH, uniform(shape, 0)).float())
        cells.sigma.requires_grad_()
        field.mask(cells).sum().backward()
    assert cells.sigma.grad.abs().sum() > 0
    assert shape[0] * shape[1] < largest.numbers < shape[0] * shape[1] * 41 * 41 / 50


# -- images: the start -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [1, 2, 4, 7])
def test_the_initial_lambda_inside_an_image_is_the_paper_s_whatever_the_cells(cell):
    field = ImageField((61, 50), replace(IMAGE_CNN, cell=cell))
    inside = field.mask(field.start())[10:-10, 10:-10]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.868), atol=5e-4, rtol=0)
    assert inside.dtype == torch.float32


def test_at_the_border_of_an_image_and_a_text_the_sum_is_over_the_sources_that_there_are():
    first = image((61, 50)).start()
    line = sum(math.exp(-(d**2) / 1.2) for d in range(RADIUS + 1))  # from the border inwards
    whole = 2 * line - 1
    mask = image((61, 50)).mask(first)
    for at, z in ((mask[0, 0], line * line), (mask[60, 25], line * whole), (mask[30, 25], whole * whole)):
        assert at.logit().item() == pytest.approx(0.5 * z, abs=1e-3)
    ends = WordField(41, TEXT).mask(WordField(41, TEXT).start()).logit()
    line = sum(math.exp(-((d / 2) ** 2)) for d in range(41))
    assert ends[0].item() == pytest.approx(1.2 * line)
    assert ends[20].item() == pytest.approx(1.2 * (2 * line - 1))


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "value"), [(Kernel.SIGMA_SQUARED, 0.986), (Kernel.SIGMA, 0.953)])
def test_the_initial_lambda_inside_a_text_is_the_paper_s(kernel, value):
    field = WordField(41, replace(TEXT, kernel=kernel))
    inside = field.mask(field.start())[12:-12]
    torch.testing.assert_close(inside, torch.full_like(inside, value), atol=5e-4, rtol=0)


@pytest.mark.parametrize("kernel", Kernel)
def test_lambda_of_a_word_is_the_sum_over_words_each_with_its_own_sigma(kernel):
    w, sigma = normal(7, 0).tolist(), between(0.5, 20, uniform(7, 1)).tolist()

    def reach(d, s):
        return math.exp(-(d**2) / s) if kernel is Kernel.SIGMA else math.exp(-((d / s) ** 2))

    wanted = [1 / (1 + math.exp(-sum(w[i] * reach(i - j, sigma[i]) for i in range(7)))) for j in range(7)]
    cells = Cells(torch.tensor(w, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64))
    found = WordField(7, replace(TEXT, kernel=kernel)).mask(cells)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


@pytest.mark.parametrize("kernel", Kernel)
def test_gradients_of_a_text_s_mask_agree_with_finite_differences(kernel):
    field = WordField(6, replace(TEXT, kernel=kernel))
    w, sigma = normal(6, 0).requires_grad_(), between(0.6, 15, uniform(6, 1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, sigma: field.mask(Cells(w, sigma)), (w, sigma))


def test_units_in_the_plane_are_as_far_from_each_other_as_they_are():
    cells = Cells(torch.tensor([1.0, 0, 0], dtype=torch.float64), torch.full((3,), 5.0, dtype=torch.float64))
    field = UnitField(torch.tensor([[0, 0], [3, 4], [1, 0]]), replace(TEXT, kernel=Kernel.SIGMA))
    wanted = torch.tensor([1, math.exp(-25 / 5), math.exp(-1 / 5)], dtype=torch.float64).sigmoid()
    torch.testing.assert_close(field.mask(cells), wanted)


# -- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [ImageField((1, 3), IMAGE_CNN), WordField(3, TEXT)])
def test_sigma_is_put_back_within_its_bounds_and_w_has_none(field):
    low, high = (LOW, HIGH) if isinstance(field, ImageField) else (TEXT.sigma_low, TEXT.sigma_high)
    cells = field.start()
    with torch.no_grad():
        cells.sigma.copy_(torch.tensor([-1.0, 5.0, 1e6]).view(cells.sigma.shape))
        cells.w.fill_(-1e6)
    leaf = cells.sigma.requires_grad_()
    field.clamp(cells)
    assert cells.sigma is leaf
    assert leaf.flatten().tolist() == pytest.approx([low, 5.0, high])
    assert (cells.w == -1e6).all()
