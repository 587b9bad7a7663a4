"""Fitting images to a model and maps back to images, against slow references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sidelight.core.predictor import Fit
from sidelight.predictors.fit import INTERPOLATIONS, Geometry, fit, geometry, unfit

sizes = st.integers(1, 70)
fits = st.builds(
    Fit,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.none() | st.integers(1, 60),
    st.sampled_from(sorted(INTERPOLATIONS)),
)


def picture(height: int, width: int) -> Image.Image:
    pixels = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def torchvision_resize_and_crop(image: Image.Image, to: Fit) -> Image.Image:
    """torchvision's Resize(shorter side) and CenterCrop, step by step on whole images."""
    width, height = image.size
    if to.resize is not None:
        short, long = min(width, height), max(width, height)
        new_short, new_long = to.resize, int(to.resize * long / short)
        size = (new_short, new_long) if width <= height else (new_long, new_short)
    else:
        h, w = to.size
        size = (max(w, int(h * width / height)), h) if h / height >= w / width else (w, max(h, int(w * height / width)))
    image = image.resize(size, INTERPOLATIONS[to.interpolation])
    crop_height, crop_width = to.size
    width, height = image.size
    if crop_width > width or crop_height > height:
        left = (crop_width - width) // 2 if crop_width > width else 0
        top = (crop_height - height) // 2 if crop_height > height else 0
        padded = Image.new("RGB", (max(width, crop_width), max(height, crop_height)))
        padded.paste(image, (left, top))
        image, (width, height) = padded, padded.size
    top, left = round((height - crop_height) / 2.0), round((width - crop_width) / 2.0)
    return image.crop((left, top, left + crop_width, top + crop_height))


@given(sizes, sizes, fits)
def test_fit_equals_torchvision_resize_and_center_crop(height, width, to):
    image = picture(height, width)
    pixels, where = fit(image, to)
    wanted = np.asarray(torchvision_resize_and_crop(image, to), np.float32).transpose(2, 0, 1)
    assert where.size == to.size
    assert pixels.dtype == torch.float32
    assert np.array_equal(pixels.numpy(), wanted)


@given(sizes, sizes, fits)
def test_the_border_that_a_crop_pads_is_black(height, width, to):
    pixels, where = fit(Image.new("RGB", (width, height), (255, 255, 255)), to)
    rows, columns = where.inside
    inside = torch.zeros(to.size, dtype=torch.bool)
    inside[rows, columns] = True
    assert bool((pixels[:, inside] == 255).all())
    assert bool((pixels[:, ~inside] == 0).all())


def test_a_model_of_any_size_sees_the_image_as_it_is():
    image = picture(5, 9)
    pixels, where = fit(image, Fit(None))
    assert where == Geometry((5, 9), (5, 9), (0, 0), (5, 9))
    assert np.array_equal(pixels.numpy(), np.asarray(image, np.float32).transpose(2, 0, 1))


@pytest.mark.parametrize("order", ["RGB", "BGR", "L"])
def test_channels_come_in_the_order_of_the_model(order):
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    pixels, _ = fit(image, Fit((4, 4)), order)
    wanted = {"RGB": [200, 100, 50], "BGR": [50, 100, 200], "L": [124]}[order]
    assert pixels[:, 0, 0].tolist() == wanted
    array = np.asarray(image, np.float32).transpose(2, 0, 1)
    floats, _ = fit(array, Fit((4, 4)), order)
    assert floats[:, 0, 0].tolist() == pytest.approx(wanted, abs=0.6)


def test_an_array_is_resized_without_rounding_to_whole_pixels():
    ramp = np.linspace(0, 1, 8, dtype=np.float32)[None, None].repeat(8, 1)
    pixels, _ = fit(ramp, Fit((4, 4)), "L")
    assert 0 < float(pixels.max()) < 1
    assert len(pixels.unique()) == 4


def test_a_bicubic_overshoot_is_cut_to_the_range_of_pixels():
    edge = np.zeros((1, 8, 8), np.float32)
    edge[..., 4:] = 255
    pixels, _ = fit(edge, Fit((32, 32), interpolation="bicubic"), "L")
    assert float(pixels.min()) == 0
    assert float(pixels.max()) == 255


@given(sizes, sizes, fits.filter(lambda to: to.interpolation == "bilinear"))
def test_an_image_too_large_to_resize_as_a_whole_is_fitted_the_same(height, width, to):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sidelight.predictors.fit._MOST_PIXELS", 0)
        pixels, _ = fit(picture(height, width), to)
    wanted, _ = fit(picture(height, width), to)
    assert float((pixels - wanted).abs().max()) <= 2  # of 255: PIL rounds between its two passes


def test_a_very_long_image_is_not_resized_as_a_whole():
    pixels, where = fit(Image.new("RGB", (60_000, 1), (9, 9, 9)), Fit((224, 224), 256))
    assert where.resized == (256, 256 * 60_000)
    assert bool((pixels == 9).all())


def slow_unfit(values: np.ndarray, where: Geometry) -> np.ndarray:
    """Pixel by pixel, in plain loops: a triangle as wide as a map pixel, or as an input pixel where that is wider."""
    (height, width), (h, w) = where.source, where.size
    sy, sx = where.resized[0] / height, where.resized[1] / width
    top, left = where.offset
    y0, y1 = max(0, -top), min(h, where.resized[0] - top)
    x0, x1 = max(0, -left), min(w, where.resized[1] - left)
    out = np.full((height, width), np.nan)
    for i in range(height):
        for j in range(width):
            cy, cx = (i + 0.5) * sy - top, (j + 0.5) * sx - left
            if not (y0 <= cy < y1 and x0 <= cx < x1):
                continue
            cy, cx = min(max(cy, y0 + 0.5), y1 - 0.5), min(max(cx, x0 + 0.5), x1 - 0.5)
            total = weight = 0.0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    t = max(0, 1 - abs(y + 0.5 - cy) / max(sy, 1)) * max(0, 1 - abs(x + 0.5 - cx) / max(sx, 1))
                    total, weight = total + t * values[y, x], weight + t
            out[i, j] = total / weight
    return out


@given(
    st.integers(1, 14),
    st.integers(1, 14),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.none() | st.integers(1, 12),
)
def test_unfit_equals_the_slow_reference_with_nan_outside_the_crop(height, width, size, resize):
    where = geometry((height, width), Fit(size, resize))
    values = np.random.default_rng(0).normal(size=size)
    wanted = slow_unfit(values, where)
    got = unfit(torch.from_numpy(values), where).numpy()
    if np.isnan(wanted).all():  # no input pixel has its centre in the crop: the nearest one shows it
        assert np.isfinite(got).sum() >= 1
    else:
        np.testing.assert_allclose(got, wanted, atol=1e-9)


@given(sizes, sizes, fits)
def test_a_flat_map_stays_flat_and_something_is_always_shown(height, width, to):
    where = geometry((height, width), to)
    back = unfit(torch.full((2, *to.size), 3.25), where)
    assert back.shape == (2, height, width)
    shown = back[~back.isnan()]
    assert len(shown) >= 2
    assert torch.allclose(shown, torch.tensor(3.25))


def test_the_border_outside_a_centre_crop_is_nan():
    where = geometry((100, 140), Fit((224, 224), 256))
    back = unfit(torch.ones(224, 224), where)
    cropped = (~back.isnan()).sum(0), (~back.isnan()).sum(1)
    assert (int(cropped[0].max()), int(cropped[1].max())) == (88, 88)  # 224/256 of the shorter side, 100
    assert back[:, :20].isnan().all()
    assert back[:6].isnan().all()


def test_a_peak_comes_back_to_the_pixel_that_made_it():
    height, width = 300, 200
    image = np.zeros((1, height, width), np.float32)
    image[0, 170, 60] = 255
    pixels, where = fit(image, Fit((224, 224), 256), "L")
    back = unfit(pixels[0].double(), where)
    peak = int(back.nan_to_num(-1).argmax())
    assert math.dist(divmod(peak, width), (170, 60)) <= 1.5
