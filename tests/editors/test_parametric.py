"""Every change against its formula in numpy's float64, colorsys or Pillow."""

import colorsys
import io
import math

import numpy as np
import pytest
import torch
from editor_cases import SIZE, canvas, edited, photo, pixels
from PIL import Image
from sidelight.core.errors import InvalidRequest
from sidelight.core.params import build
from sidelight.core.stream import Stream
from sidelight.editors.changes import JPEG_ERROR, LAWS, Change
from sidelight.editors.parametric import ParametricParams

PHOTO = photo()
X = PHOTO.numpy().astype(np.float64)  # [3, H, W]
STREAM = Stream(5, "property")


def made(change, strengths, x=PHOTO, stream=STREAM, **params):
    """Frames [k, 3, H, W] as numpy's integers."""
    prepared = pixels().prepare(ParametricParams(change, **params), canvas(x), stream)
    return edited(pixels(), prepared, strengths).numpy().astype(int)


def rounded(frame, real):
    """Whether a frame is these numbers, cut to 0..255 and rounded; a half may go either way."""
    return np.abs(frame - np.clip(real, 0, 255)).max() <= 0.5 + 1e-3


def photograph(x=PHOTO):
    return Image.fromarray(x.permute(1, 2, 0).numpy())


def planes(image):
    return np.asarray(image).transpose(2, 0, 1).astype(int)


def test_brightness_adds_levels():
    for s, frame in zip((-30.0, 7.25, 90.0), made(Change.BRIGHTNESS, [-30.0, 7.25, 90.0]), strict=True):
        assert rounded(frame, X + s)


def test_halves_go_up_so_that_half_a_level_moves_every_pixel_alike():
    x = PHOTO.clamp(0, 254)
    assert (made(Change.BRIGHTNESS, [0.5], x)[0] == x.numpy() + 1).all()
    assert (made(Change.BRIGHTNESS, [-0.5], x)[0] == x.numpy()).all()


def test_contrast_is_a_factor_about_mid_grey():
    for s, frame in zip((0.0, 0.3, 1.7), made(Change.CONTRAST, [0.0, 0.3, 1.7]), strict=True):
        assert rounded(frame, 127.5 + s * (X - 127.5))


def test_saturation_is_a_factor_about_each_pixels_luma():
    luma = 0.299 * X[0] + 0.587 * X[1] + 0.114 * X[2]
    for s, frame in zip((0.0, 0.4, 2.0), made(Change.SATURATION, [0.0, 0.4, 2.0]), strict=True):
        assert rounded(frame, luma + s * (X - luma))
    assert np.ptp(made(Change.SATURATION, [0.0])[0], axis=0).max() == 0  # grey


def test_hue_is_turned_as_colorsys_turns_it():
    strengths = [-75.0, 10.0, 200.0]
    for s, frame in zip(strengths, made(Change.HUE, strengths), strict=True):
        for y, x in np.ndindex(*SIZE):
            h, saturation, value = colorsys.rgb_to_hsv(*X[:, y, x] / 255)
            turned = colorsys.hsv_to_rgb((h + s / 360) % 1, saturation, value)
            assert rounded(frame[:, y, x], 255 * np.array(turned)), (s, y, x)


def test_a_third_of_a_turn_of_hue_moves_the_channels_on_and_greys_have_none():
    assert (made(Change.HUE, [120.0])[0] == X[[2, 0, 1]]).all()  # red becomes green
    assert (made(Change.HUE, [360.0, -360.0]) == X).all()
    grey = PHOTO[:1].repeat(3, 1, 1)
    assert (made(Change.HUE, [77.0], grey)[0] == grey.numpy()).all()


def gaussian(x, sd):
    """Along both axes, borders repeated, the kernel of 4 sd in sum 1."""
    r = math.ceil(4 * sd)
    kernel = np.exp(-0.5 * (np.arange(-r, r + 1) / sd) ** 2)
    kernel /= kernel.sum()
    for axis in (1, 2):
        wide = np.pad(x, [(r, r) if a == axis else (0, 0) for a in range(3)], mode="edge")
        x = np.apply_along_axis(np.convolve, axis, wide, kernel, "valid")
    return x


def test_blur_is_a_gaussian_of_each_rows_own_width():
    frames = made(Change.BLUR, [0.0, 0.4, 2.5, 12.0])
    assert (frames[0] == X).all()
    for sd, frame in zip((0.4, 2.5, 12.0), frames[1:], strict=True):
        assert rounded(frame, gaussian(X, sd))
    flat = torch.full((3, *SIZE), 201, dtype=torch.uint8)
    assert (made(Change.BLUR, [50.0], flat) == 201).all()  # its kernel is wider than the image


@pytest.mark.parametrize(("change", "questions"), [(Change.BLUR, 2 * 40), (Change.JPEG, 3)])
def test_what_takes_long_asks_between_its_steps_whether_anybody_waits(change, questions):
    prepared, asked = pixels().prepare(ParametricParams(change), canvas(PHOTO), STREAM), []
    rows = prepared.rows([10.0] * 3, pixels().placement)
    pixels().edit(prepared.ask, [rows], lambda: asked.append(1) or True)
    assert len(asked) > questions


def test_noise_is_one_field_at_rising_strength():
    x = torch.full((3, 60, 70), 128, dtype=torch.uint8)
    small, large = made(Change.NOISE, [10.0, 20.0], x) - 128
    assert np.abs(2 * small - large).max() <= 1.5  # of what was rounded
    assert abs(small.mean()) < 0.3 and abs(small.std() - 10) < 0.3
    assert np.abs(np.corrcoef(small.reshape(3, -1)) - np.eye(3)).max() < 0.06  # each channel has its own
    (other,) = made(Change.NOISE, [10.0], x, stream=Stream(6, "property")) - 128
    assert abs(np.corrcoef(other.ravel(), small.ravel())[0, 1]) < 0.05


def test_jpeg_is_pillows_at_100_minus_the_strength():
    for s, frame in zip((0.0, 24.6, 99.0), made(Change.JPEG, [0.0, 24.6, 99.0]), strict=True):
        file = io.BytesIO()
        photograph().save(file, "JPEG", quality=round(100 - s), subsampling="4:4:4")
        assert (frame == planes(Image.open(file))).all()


def test_jpegs_neutral_strength_is_off_by_no_more_than_is_published():
    coarse = torch.from_numpy(np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((5, 5)))).byte() * 255
    for seed in range(8):
        noise = torch.randint(0, 256, (3, 64, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        extremes = (noise > 127).byte() * 255
        for x in (noise, extremes, photo(seed, (64, 80)), torch.stack([coarse, 255 - coarse, coarse])):
            assert np.abs(made(Change.JPEG, [0.0], x)[0] - x.numpy()).max() <= JPEG_ERROR
    assert LAWS[Change.JPEG].scale.error == JPEG_ERROR


def test_rotation_is_counter_clockwise_about_the_centre():
    square = PHOTO[:, :, :24]
    quarter, half, full = made(Change.ROTATION, [90.0, 180.0, 360.0], square)
    assert (quarter == torch.rot90(square, 1, (1, 2)).numpy()).all()
    assert (half == square.flip(1, 2).numpy()).all()
    assert (full == square.numpy()).all()


def test_rotation_is_pillows_bilinear_where_nothing_comes_from_beyond_the_border():
    x = photo(1, (61, 81))
    turned = photograph(x).rotate(25, Image.Resampling.BILINEAR)
    inside = np.asarray(Image.new("L", (81, 61), 255).rotate(25, Image.Resampling.BILINEAR)) == 255
    difference = np.abs(made(Change.ROTATION, [25.0], x)[0] - planes(turned))[:, inside]
    assert inside.mean() > 0.5 and difference.max() <= 1


def test_scale_enlarges_about_the_centre():
    twice, same = made(Change.SCALE, [2.0, 1.0])
    (height, width), inner = SIZE, (slice(None), slice(2, -2), slice(2, -2))
    box = (width / 4, height / 4, width * 3 / 4, height * 3 / 4)
    enlarged = photograph().resize((width, height), Image.Resampling.BILINEAR, box=box)
    assert np.abs(twice - planes(enlarged))[inner].max() <= 1  # at its edge Pillow knows of nothing beyond the box
    assert (same == X).all()


def test_half_the_scale_shows_the_image_reflected_around_itself():
    flat = PHOTO[:, :1, :1].expand(3, *SIZE).clone()
    flat[:, :, : SIZE[1] // 2] = 10
    (half,) = made(Change.SCALE, [0.5], flat)
    right = flat[:, 0, -1].numpy()
    assert (half[:, 12, 25] == right).all() and (half[:, 12, 39] == right).all() and (half[:, 12, 0] == 10).all()


def test_translation_is_in_per_cent_along_its_angle_and_reflects_at_the_border():
    right, left = made(Change.TRANSLATION, [10.0, -10.0])  # of 40 columns
    assert (right[:, :, 4:] == X[:, :, :-4]).all()
    assert (right[:, :, :4] == X[:, :, 3::-1]).all()
    assert (left[:, :, :-4] == X[:, :, 4:]).all()
    (down,) = made(Change.TRANSLATION, [25.0], angle=90.0)  # of 24 rows
    assert (down[:, 6:] == X[:, :-6]).all()
    both = made(Change.TRANSLATION, [10.0], angle=45.0)[0]
    assert not (both == right).all() and not (both == down).all()


def test_an_overlay_is_blended_by_alpha_times_strength():
    image = photo(1, SIZE, 4)
    colour, alpha = image[:3].numpy().astype(float), image[3:].numpy() / 255
    for s, frame in zip((0.0, 0.35, 1.0), made(Change.OVERLAY, [0.0, 0.35, 1.0], image=image), strict=True):
        assert rounded(frame, X * (1 - s * alpha) + s * alpha * colour)


def test_a_mask_takes_the_place_of_alpha_and_without_either_an_overlay_is_opaque():
    image, mask = photo(1, SIZE, 4), photo(2, SIZE, 1)
    m, colour = mask.numpy() / 255, image[:3].numpy().astype(float)
    (masked,) = made(Change.OVERLAY, [0.5], image=image, mask=mask)
    assert rounded(masked, X * (1 - 0.5 * m) + 0.5 * m * colour)
    assert (made(Change.OVERLAY, [1.0], image=image[:3]) == colour).all()


def test_an_overlay_without_an_image_is_a_colour():
    m = photo(2, SIZE, 1)
    weight = 0.7 * m.numpy() / 255
    (frame,) = made(Change.OVERLAY, [0.7], mask=m, fill=(200.0, 10.0, 90.0))
    assert rounded(frame, X * (1 - weight) + weight * np.array([200.0, 10.0, 90.0])[:, None, None])
    assert (made(Change.OVERLAY, [1.0], fill=(33.0,)) == 33).all()
    assert (made(Change.OVERLAY, [1.0]) == 0).all()


@pytest.mark.parametrize("size", [(50, 33), (10, 14)])
def test_what_is_laid_over_is_fitted_as_pillow_resizes(size):
    image = photo(1, size)
    fitted = photograph(image).resize(SIZE[::-1], Image.Resampling.BILINEAR)
    assert np.abs(made(Change.CROSSFADE, [1.0], image=image)[0] - planes(fitted)).max() <= 1


def test_hidden_colours_do_not_seep_in_at_the_edge_of_an_overlay():
    image = torch.zeros((4, 48, 80), dtype=torch.uint8)
    image[0] = 255  # red where it is hidden
    image[:, :, 41:] = torch.tensor([0, 255, 0, 255], dtype=torch.uint8)[:, None, None]  # green where it lies
    white = torch.full((3, *SIZE), 255, dtype=torch.uint8)
    (frame,) = made(Change.OVERLAY, [1.0], white, image=image)
    assert (frame[1] == 255).all() and 0 < frame[0].min(0)[20] < 255  # red is only taken away


def test_a_cross_fade_is_a_weighted_mean_and_white_where_the_image_is_transparent():
    image = photo(3, SIZE, 4)
    colour, alpha = image[:3].numpy().astype(float), image[3:].numpy() / 255
    over_white = colour * alpha + 255 * (1 - alpha)
    for s, frame in zip((0.0, 0.6, 1.0), made(Change.CROSSFADE, [0.0, 0.6, 1.0], image=image), strict=True):
        assert rounded(frame, (1 - s) * X + s * over_white)


def test_every_default_series_begins_with_the_unedited_image():
    assert set(LAWS) == set(Change)
    for law in LAWS.values():
        assert law.scale.first == law.scale.neutral and law.scale.count == 100


IMAGE, MASK = photo(1), photo(2, SIZE, 1)
REFUSED = [
    ({}, "change"),
    ({"change": Change.BLUR, "image": IMAGE}, "image"),
    ({"change": Change.CROSSFADE}, "image"),
    ({"change": Change.CROSSFADE, "image": IMAGE, "mask": MASK}, "mask"),
    ({"change": Change.NOISE, "mask": MASK}, "mask"),
    ({"change": Change.OVERLAY, "image": IMAGE, "fill": (1.0,)}, "fill"),
    ({"change": Change.HUE, "fill": (1.0,)}, "fill"),
    ({"change": Change.OVERLAY, "fill": (1.0, 2.0)}, "fill"),
    ({"change": Change.ROTATION, "angle": 3.0}, "angle"),
]


@pytest.mark.parametrize(("given", "field"), REFUSED)
def test_parameters_that_are_missing_or_of_another_change_are_refused(given, field):
    with pytest.raises(InvalidRequest) as refused:
        pixels().prepare(ParametricParams(**given), canvas(PHOTO), STREAM)
    assert refused.value.field == field


def test_a_change_has_to_be_named_and_is_told_which_there_are():
    with pytest.raises(InvalidRequest, match=r"brightness.*crossfade"):
        pixels().scale(ParametricParams(), canvas(PHOTO))
    with pytest.raises(InvalidRequest, match=r"p\.change"):
        build(ParametricParams, {"change": "blur"}, "p")


def test_the_noise_of_a_series_does_not_decide_frames_without_noise():
    keys = [
        {pixels().prepare(ParametricParams(c), canvas(PHOTO), Stream(seed)).key for seed in (0, 1)}
        for c in (Change.BLUR, Change.NOISE)
    ]
    assert [len(k) for k in keys] == [1, 2]
