import numpy as np
import pytest
from sidelight.core.local import works
from sidelight.perturbation import replacement
from sidelight.perturbation.replacement import inpaint, inpainted, segment_mean


def picture(shape, seed=0, channels=3):
    return np.random.default_rng(seed).uniform(0, 255, (channels, *shape)).astype(np.float32)


def quarters(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((2 * y // shape[0]) * 2 + 2 * x // shape[1]).astype(np.int64)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_segment_shows_its_own_mean_colour(channels):
    x, labels = picture((9, 12), channels=channels), np.random.default_rng(1).integers(0, 5, (9, 12))
    got = segment_mean(x, labels)
    assert got.dtype == np.float32 and got.shape == x.shape
    for s in range(5):
        for c in range(channels):
            np.testing.assert_allclose(got[c][labels == s], x[c][labels == s].astype(np.float64).mean(), rtol=1e-6)


@pytest.mark.parametrize("blocks", [2**12, 30])
def test_a_filling_does_not_know_the_pixels_that_it_replaces(blocks, monkeypatch):
    monkeypatch.setattr(replacement, "MAX_UNKNOWNS", blocks)
    labels, x = quarters((40, 30)), picture((40, 30))
    filled = inpainted(x, labels)
    for s in range(4):
        other = np.where(labels == s, picture((40, 30), seed=9), x)
        np.testing.assert_array_equal(inpainted(other, labels)[:, labels == s], filled[:, labels == s])
        assert (inpainted(other, labels)[:, labels != s] != filled[:, labels != s]).any()


@pytest.mark.parametrize("blocks", [2**12, 30])
def test_a_filling_continues_a_slope_across_the_segment(blocks, monkeypatch):
    monkeypatch.setattr(replacement, "MAX_UNKNOWNS", blocks)
    y, x = np.mgrid[:48, :64]
    slope = np.stack([2.0 * x + y, 255 - 2.0 * x, 3.0 * y]).astype(np.float32)
    labels = np.zeros((48, 64), np.int64)
    labels[15:30, 20:42] = 1
    hole = np.where(labels == 1, np.float32(128), slope)
    miss = np.abs(inpainted(hole, labels) - slope)[:, labels == 1]
    assert miss.max() < (0.01 if blocks == 2**12 else 16)


def test_a_filling_stays_within_the_colours_around():
    labels = np.zeros((30, 30), np.int64)
    labels[8:20, 5:25] = 1
    x = np.where(labels == 1, np.float32(0), 100 + picture((30, 30)) / 10)
    inside = inpainted(x, labels)[:, labels == 1]
    assert inside.min() >= 100 and inside.max() <= 125.5


def test_an_image_of_one_colour_is_filled_with_that():
    x = np.full((3, 25, 31), 77.0, np.float32)
    np.testing.assert_allclose(inpainted(x, quarters((25, 31))), x, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (1, 40), (40, 3), (5, 5)])
def test_tiny_images_and_segments_of_one_pixel_are_filled(shape):
    x, size = picture(shape), shape[0] * shape[1]
    every_pixel, all_but_one = np.arange(size), (np.arange(size) > 0).astype(np.int64)
    for labels in (every_pixel, all_but_one):
        filled = inpainted(x, labels.reshape(shape))
        assert filled.shape == x.shape and np.isfinite(filled).all() and 0 <= filled.min() <= filled.max() <= 255
    for colour, channel in zip(x[:, 0, 0], filled.reshape(3, -1), strict=True):
        np.testing.assert_allclose(channel[1:], colour, rtol=1e-5)  # the one pixel that is known fills all others


def test_the_whole_image_has_nothing_to_be_filled_from():
    with pytest.raises(ValueError, match="at least two segments"):
        inpainted(picture((5, 5)), np.zeros((5, 5), np.int64))


def test_rows_are_filled_each_by_itself():
    x, labels = (
        np.stack([picture((12, 12)), picture((12, 12), 5)]),
        np.stack([quarters((12, 12)), quarters((12, 12)).T]),
    )
    got = works()["inpaint"]({"pixels": x, "labels": labels})["pixels"]
    assert works()["inpaint"] is inpaint and got.dtype == np.float32
    for n in range(2):
        np.testing.assert_array_equal(got[n], inpainted(x[n], labels[n]))
