import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from sidelight import methods
from sidelight.core.ask import Local, Model
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.local import works
from sidelight.core.predictor import PixelSpace
from sidelight.core.registry import find, load
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.core.target import Link, OutputKind, Target
from sidelight.perturbation.options import Segmentation
from sidelight.perturbation.segmenters import MAX_SEGMENTS, segment, superpixels
from skimage import data
from skimage.measure import label
from skimage.transform import resize

KINDS = ["slic", "felzenszwalb", "quickshift", "watershed"]


@cache
def photo(name, size=(160, 200)):
    image = getattr(data, name)()
    image = image if image.ndim == 3 else image[..., None]
    return np.round(resize(image, size, anti_aliasing=True) * 255).astype(np.uint8)


def pieces(labels):
    return len(np.unique(labels))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "camera"])
@pytest.mark.parametrize("wanted", [10, 49, 300])
def test_a_photo_falls_into_about_as_many_segments_as_wanted_numbered_without_gaps(kind, name, wanted):
    labels = superpixels(photo(name), kind, wanted)
    assert labels.shape == (160, 200) and labels.dtype == np.int64
    assert np.unique(labels).tolist() == list(range(int(labels.max()) + 1))
    assert 0.7 * wanted <= pieces(labels) <= 1.35 * wanted


@pytest.mark.parametrize("kind", KINDS)
def test_segments_follow_the_image(kind):
    """Colours differ less within segments than within the cells of a grid of as many."""
    image = photo("astronaut")
    labels = superpixels(image, kind, 49)
    rows, columns = (np.arange(n) * 7 // n for n in image.shape[:2])
    assert within(image, labels) < 0.8 * within(image, rows[:, None] * 7 + columns)


def within(image, labels):
    sizes = np.bincount(labels.ravel())
    means = np.stack([np.bincount(labels.ravel(), weights=c.ravel()) / sizes for c in np.moveaxis(image, 2, 0)], -1)
    return ((image - means[labels]) ** 2).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_is_cut_alike_in_any_process(kind):
    columns = {"pixels": photo("coffee", (60, 70))[None], "kind": [kind], "segments": [20]}
    first = segment(columns)["labels"]
    assert np.array_equal(segment(columns)["labels"], first)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert np.array_equal(pool.submit(works()["segment"], columns).result()["labels"], first)


def test_rows_are_cut_each_by_its_own_kind_and_number():
    pixels = np.stack([photo("coffee", (60, 70)), photo("rocket", (60, 70))])
    labels = segment({"pixels": pixels, "kind": ["slic", "watershed"], "segments": [9, 25]})["labels"]
    assert np.array_equal(labels[0], superpixels(pixels[0], "slic", 9))
    assert np.array_equal(labels[1], superpixels(pixels[1], "watershed", 25))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 3), (2, 3, 1), (1, 40, 3), (40, 1, 3), (5, 90, 1), (30, 30, 3)])
@pytest.mark.parametrize("wanted", [1, 2, 5, 49, MAX_SEGMENTS])
def test_tiny_narrow_grey_and_constant_images_survive(kind, shape, wanted):
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for pixels in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), noise):
        labels = superpixels(pixels, kind, wanted)
        assert labels.shape == shape[:2] and labels.min() == 0
        assert pieces(labels) == labels.max() + 1 <= MAX_SEGMENTS


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_never_more_segments_than_may_be(kind):
    noise = np.random.default_rng(1).integers(0, 256, (150, 150, 3)).astype(np.uint8)
    assert pieces(superpixels(noise, kind, MAX_SEGMENTS)) <= MAX_SEGMENTS
    assert MAX_SEGMENTS / 2 < pieces(superpixels(photo("coffee"), kind, MAX_SEGMENTS)) <= MAX_SEGMENTS


@pytest.mark.parametrize("kind", KINDS)
def test_two_segments_are_never_answered_by_one_on_a_photo(kind):
    assert 2 <= pieces(superpixels(photo("astronaut"), kind, 2)) <= 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_image_is_cut_at_its_own_size_within_a_bounded_effort(kind):
    large = np.kron(photo("coffee", (160, 240)), np.ones((5, 5, 1), np.uint8))
    labels = superpixels(large, kind, 60)
    assert labels.shape == (800, 1200) and 40 <= pieces(labels) <= 80


def test_slic_segments_are_in_one_piece_each():
    labels = superpixels(photo("astronaut"), "slic", 49)
    assert label(labels + 1, connectivity=1).max() == pieces(labels)


def test_a_colour_edge_of_one_brightness_is_found():
    """Red beside a green of the same lightness: a segmenter that saw grey would miss the border."""
    image = np.zeros((60, 60, 3), np.uint8)
    image[:, :33, 0] = 255
    image[:, 33:, 1] = 138  # both of lightness about 53 in CIELAB
    for kind in ("slic", "quickshift", "felzenszwalb"):
        labels = superpixels(image, kind, 4)
        assert not set(np.unique(labels[:, :30])) & set(np.unique(labels[:, 36:])), kind


@pytest.mark.parametrize(("kind", "wanted", "word"), [("voronoi", 10, "kind"), ("slic", 0, "segments"),
                                                      ("slic", MAX_SEGMENTS + 1, "segments")])  # fmt: skip
def test_what_cannot_be_had_is_refused(kind, wanted, word):
    with pytest.raises(ValueError, match=word):
        superpixels(photo("coffee", (60, 70)), kind, wanted)


def test_a_process_that_only_cuts_never_loads_torch():
    modules = "sidelight.perturbation.segmenters, sidelight.perturbation.replacement"
    lines = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=60)


def test_a_model_that_takes_blue_first_is_shown_the_same_segments():
    """Colour distances weigh red, green and blue differently."""
    load(methods)
    occlusion, colours, seen = find("occlusion"), torch.rand(3, 12, 12) * 255, []
    for order, pixels in (("RGB", colours), ("BGR", colours.flip(0))):
        x = ImageInput("x", pixels, torch.zeros_like(pixels), PixelSpace(order))
        job = Job(Model("m", "1"), x, Target(OutputKind.LOGITS, Link.LOGIT, (0,)), Stream(0))
        sweep = next(occlusion.plan(job, occlusion.params(segmentation=Segmentation.SLIC)))
        assert isinstance(sweep.ask, Local)
        seen.append(sweep.render(range(1), Placement())[0]["pixels"])
    np.testing.assert_array_equal(*seen)
