"""Image files in all their modes, and files that are none."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import encoded, pixels
from PIL import Image
from sidelight.core.errors import InvalidRequest
from sidelight.rpc.images import decode_image

LIMIT = 1_000_000


def decoded(data: bytes, limit: int = LIMIT):
    return decode_image(data, limit, "input.image")


def rgb(data: bytes) -> np.ndarray:
    return np.asarray(decoded(data).photo)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_give_back_their_pixels(form):
    image = pixels(5, 7)
    assert (rgb(encoded(image, form)) == image).all()


def test_webp_and_jpeg_and_gif_are_read():
    flat = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    for form, options in (("WEBP", {"lossless": True}), ("JPEG", {"quality": 95}), ("GIF", {})):
        assert np.abs(rgb(encoded(flat, form, **options)).astype(int) - flat).max() <= 3, form


def test_grey_and_bilevel_become_three_equal_channels():
    grey = pixels()[:, :, 0]
    assert (rgb(encoded(Image.fromarray(grey))) == grey[:, :, None]).all()
    bits = Image.fromarray(grey > 127)
    assert set(np.unique(rgb(encoded(bits)))) == {0, 255}


def test_a_palette_is_looked_up():
    image = Image.fromarray(pixels()).quantize(16)
    assert (rgb(encoded(image)) == np.asarray(image.convert("RGB"))).all()


def test_alpha_is_laid_over_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    image.putpixel((1, 0), (100, 0, 0, 128))
    left, right = rgb(encoded(image))[0]
    assert left.tolist() == [255, 255, 255]
    assert np.abs(right.astype(int) - [177, 127, 127]).max() <= 1


def test_a_transparent_palette_entry_is_white():
    image = Image.new("P", (1, 1))
    image.putpalette([9, 9, 9])
    assert rgb(encoded(image, transparency=0)).tolist() == [[[255, 255, 255]]]


def test_sixteen_bits_are_scaled_and_keep_their_precision():
    grey = np.array([[0, 257, 300, 65535]], np.uint16)
    found = decoded(encoded(Image.fromarray(grey))).pixels
    assert found.shape == (1, 1, 4)
    np.testing.assert_allclose(found[0, 0], [0, 1, 300 / 257, 255], rtol=1e-6)


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan: red
    red, green, blue = rgb(encoded(image, "TIFF"))[4, 4]
    assert red > 200
    assert max(green, blue) < 60


def test_exif_rotation_is_applied():
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    found = decoded(encoded(image, exif=exif))
    assert found.size == (4, 2)  # height, width
    assert np.asarray(found.photo)[0, 1].tolist() == [255, 255, 255]


def test_the_first_frame_of_an_animation_is_explained_and_that_is_said():
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert "several frames" in decoded(data).warnings[0]
    assert rgb(data)[0, 0].tolist() == [254, 0, 0] or rgb(data)[0, 0].tolist() == [255, 0, 0]


def test_one_pixel_is_an_image():
    assert decoded(encoded(pixels(1, 1))).size == (1, 1)


def huge_png(width: int, height: int) -> bytes:
    """A small file that claims to be huge: its pixels are zeros, compressed a thousandfold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


WRONG = {
    "empty": (b"", "empty"),
    "not an image": (b"GIF is what I say I am", "no image"),
    "truncated jpeg": (encoded(pixels(64, 64), "JPEG")[:-200], "does not decode"),
    "truncated png": (encoded(pixels(64, 64))[:-2000], "does not decode"),
    "20000 x 20000": (huge_png(20_000, 20_000), "at most 1000000 pixels"),
    "more than 2^31 pixels": (huge_png(2**20, 2**20), "at most 1000000 pixels"),
    "a format that is not taken": (encoded(pixels(), "PPM"), "no image"),
    "32 bit numbers": (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "32-bit"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_will_not_do_is_refused_by_field_with_a_reason(name):
    data, reason = WRONG[name]
    with pytest.raises(InvalidRequest, match=reason) as refused:
        decoded(data)
    assert refused.value.field == "input.image"


def test_size_is_judged_before_a_pixel_is_decoded():
    # Decoding this would fail with another message: the data end after a few bytes.
    with pytest.raises(InvalidRequest, match="20000x20000"):
        decoded(huge_png(20_000, 20_000))
    with pytest.raises(InvalidRequest, match="does not decode"):
        decoded(huge_png(100, 100))


FILES = [encoded(pixels(9, 9), form) for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")] + [
    encoded(Image.fromarray(pixels(9, 9)).quantize(4), "TIFF", compression="tiff_lzw")
]


@settings(max_examples=300)
@given(file=st.sampled_from(FILES), at=st.floats(0, 1), noise=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_a_damaged_file_is_read_or_refused_and_never_anything_else(file, at, noise, cut):
    start = int(at * (len(file) - 1))
    damaged = file[:start] + noise + (b"" if cut else file[start + len(noise) :])
    try:
        found = decode_image(damaged, LIMIT, "input.image")
    except InvalidRequest:
        return
    assert found.photo.size == found.size[::-1]
