"""Flips, chosen frames and distances from the unedited image."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sidelight.interventions.chosen import chosen
from sidelight.interventions.distance import Distance, resized, similarity
from sidelight.interventions.flips import first_flip, flips
from skimage.metrics import structural_similarity


def image(seed, h=40, w=56):
    return torch.randint(0, 256, (3, h, w), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_flips_are_counted_between_neighbours_and_told_from_the_unedited_class():
    top = torch.tensor([2, 2, 0, 0, 0, 2, 1])
    assert flips(top) == 3
    assert first_flip(top, 2) == 2
    assert first_flip(top, 7) == 0
    assert first_flip(torch.tensor([1, 1]), 1) is None and flips(torch.tensor([1, 1])) == 0


@given(st.integers(3, 200), st.integers(2, 64), st.data())
def test_chosen_frames_have_both_ends_and_the_flip_and_are_no_more_than_asked(n, count, data):
    at = sorted(data.draw(st.sets(st.integers(1, 998), min_size=n - 2, max_size=n - 2)) | {0, 999})
    flip = data.draw(st.none() | st.integers(0, n - 1))
    found = chosen(at, count, flip)
    assert found[0] == 0 and found[-1] == n - 1 and len(found) <= count
    assert list(found) == sorted(set(found))
    assert flip is None or flip in found or len(found) < 3


def test_chosen_frames_of_an_even_series_are_even():
    assert chosen(range(9), 5, None) == (0, 2, 4, 6, 8)
    assert chosen(range(9), 5, 5) == (0, 2, 5, 6, 8)
    assert chosen(range(9), 0, 3) == () and chosen(range(9), 1, 3) == (8,)
    assert chosen(range(3), 8, None) == (0, 1, 2)


def test_pixel_distance_is_the_mean_absolute_difference():
    a, b = image(1), image(2)
    difference, _ = Distance(a)(b)
    assert difference == pytest.approx(np.abs(a.numpy().astype(float) - b.numpy()).mean())


def test_an_edit_that_did_nothing_is_at_distance_0_and_similarity_1():
    assert Distance(image(1))(image(1)) == (0, 1)
    dark = torch.zeros(3, 8, 8, dtype=torch.uint8)
    assert Distance(dark)(dark) == (0, 1)
    assert Distance(dark)(dark + 255)[0] == 255


def ssim_loop(a, b):
    """SSIM window by window, in the words of Wang et al. (2004)."""
    g = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    w = np.outer(g, g) / g.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq, vpq = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum(), (w * (p - mp) * (q - mq)).sum()
            found.append((2 * mp * mq + c1) * (2 * vpq + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(found)


def test_similarity_equals_a_loop_over_its_windows():
    a, b = image(1, 18, 23), (image(1, 18, 23).float() * 0.7 + image(2, 18, 23).float() * 0.3).to(torch.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    luma = [np.einsum("c,chw->hw", weights, x.numpy().astype(float)) for x in (a, b)]
    assert Distance(a)(b)[1] == pytest.approx(ssim_loop(*luma), abs=1e-4)


def test_large_images_are_compared_at_the_scale_that_its_authors_use():
    a, b = image(1, 512, 600), image(2, 512, 600)
    weights = np.array([0.299, 0.587, 0.114])
    luma = [np.einsum("c,chw->hw", weights, x.numpy().astype(float)) for x in (a, b)]
    halved = [x.reshape(256, 2, 300, 2).mean((1, 3)) for x in luma]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert Distance(a)(b)[1] == pytest.approx(structural_similarity(*halved, **options), abs=1e-4)


def test_an_image_smaller_than_a_window_is_one_window():
    a, b = torch.rand(7, 9) * 255, torch.rand(7, 9) * 255
    u, v = a.double().numpy(), b.double().numpy()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = np.cov(u.ravel(), v.ravel(), bias=True)
    want = (2 * u.mean() * v.mean() + c1) * (2 * covariance[0, 1] + c2)
    want /= (u.mean() ** 2 + v.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
    assert similarity(a, b) == pytest.approx(want, abs=1e-5)


def test_the_unedited_image_is_brought_to_the_frames_size():
    a = image(3, 40, 56)
    smooth = resized(a, (10, 14))
    larger = resized(smooth, (40, 56))
    assert larger.shape == a.shape and larger.dtype == torch.uint8
    distance = Distance(smooth)
    assert distance(larger)[0] == 0
    assert distance(smooth) == (0, 1)
