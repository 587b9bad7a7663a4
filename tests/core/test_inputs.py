import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sidelight.core.baseline import Blur, Constant, ImageMean, ModelMean, Noise, Picture
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, TextInput, TokenInput, words
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement

SPACES = {
    "rgb": PixelSpace("RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "nhwc": PixelSpace("RGB", 1.0, (127.0,), (128.0,), "NHWC"),
    "bgr": PixelSpace("BGR", 1.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0)),
    "uint8": PixelSpace("RGB", 1.0, (0.0,), (1.0,), "NHWC", integer=True),
}


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32))
def test_blending_encoded_rows_equals_encoding_blended_pixels(name, seed):
    space = SPACES[name]
    u = [torch.from_numpy(Stream(seed).child(n).uniform(range(3), 30)).view(3, 5, 6).float() for n in "xbk"]
    x, b, keep = u[0] * 255, u[1] * 255, u[2][:2]
    got = ImageInput("x", x, b, space).blend(keep, Placement())["x"].double()
    mixed = b.double() + keep.double().unsqueeze(1) * (x.double() - b.double())
    mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (space.mean, space.std))
    want = (mixed * space.scale - mean) / std
    want = want.permute(0, 2, 3, 1) if space.layout == "NHWC" else want
    if space.integer:
        assert got.frac().abs().max() == 0 and (got - want).abs().max() <= 0.5001
    else:
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_are_made_in_the_dtype_and_layout_that_the_model_takes(dtype, channels_last):
    x = ImageInput("x", torch.rand(3, 8, 9) * 255, torch.zeros(3, 8, 9), SPACES["rgb"])
    rows = x.blend(torch.rand(4, 8, 9), Placement(dtype=dtype, channels_last=channels_last))["x"]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert rows.dtype is dtype and rows.shape == (4, 3, 8, 9) and rows.is_contiguous(memory_format=layout)


def test_a_full_mask_is_the_input_and_an_empty_one_the_baseline():
    x, b = torch.rand(3, 4, 4) * 255, torch.rand(3, 4, 4) * 255
    rows = ImageInput("x", x, b, PixelSpace()).blend(
        torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 4, 4), Placement()
    )
    torch.testing.assert_close(rows["x"], torch.stack([x, b]))


def test_words_keep_their_offsets_in_any_script():
    text = "Don't stop — naïve 東京 cafés, 3.5!"
    units = words(text)
    assert [text[u.begin : u.end] for u in units] == [
        "Don't", "stop", "—", "naïve", "東京", "cafés", ",", "3", ".", "5", "!",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("replacement", "keep", "expected"),
    [
        ("", [1, 1, 1], "a good  film"),
        ("", [1, 0, 1], "a  film"),
        ("", [0, 1, 1], " good  film"),
        ("", [0, 0, 0], ""),
        ("[MASK]", [1, 0, 1], "a [MASK]  film"),
    ],
)
def test_masked_words_are_left_out_or_replaced(replacement, keep, expected):
    text = "a good  film"
    x = TextInput("text", text, words(text), replacement)
    assert x.blend(torch.tensor([keep], dtype=torch.float32), Placement())["text"] == [expected]


def test_masked_tokens_show_the_replacement():
    x = TokenInput("ids", torch.tensor([5, 6, 7]), replacement=103)
    assert x.blend(torch.tensor([[1.0, 0.0, 1.0]]), Placement())["ids"].tolist() == [[5, 103, 7]]


def test_baselines_are_what_they_say():
    x, space, stream = torch.rand(3, 32, 40) * 255, SPACES["bgr"], Stream(4)
    assert ModelMean().image(x, space, stream)[:, 3, 3].tolist() == [104.0, 117.0, 123.0]
    assert Constant((1.0, 2.0, 3.0)).image(x, space, stream)[:, 0, 0].tolist() == [3.0, 2.0, 1.0]  # given as RGB
    assert Constant((9.0,)).image(x, space, stream).unique().tolist() == [9.0]
    torch.testing.assert_close(ImageMean().image(x, space, stream)[:, 1, 1], x.mean((1, 2)))
    assert Picture(x).image(x, space, stream) is x
    noise = Noise(100.0, 20.0).image(x, space, stream)
    assert noise.equal(Noise(100.0, 20.0).image(x, space, stream))
    assert abs(noise.mean() - 100) < 2 and abs(noise.std() - 20) < 2
    flat = torch.full((3, 32, 40), 77.0)
    torch.testing.assert_close(Blur(5.0).image(flat, space, stream), flat)


def test_a_blurred_point_is_a_gaussian_of_the_sigma_asked_for():
    x = torch.zeros(1, 81, 81, dtype=torch.float64)
    x[0, 40, 40] = 1.0
    y = Blur(4.0).image(x, PixelSpace(), Stream(0))[0]
    at = torch.arange(81, dtype=torch.float64) - 40
    assert y.sum().item() == pytest.approx(1.0, abs=1e-9)
    assert (y.sum(0) * at**2).sum().item() == pytest.approx(16.0, rel=0.01)


@pytest.mark.parametrize(
    ("baseline", "field"),
    [
        (Constant((1.0, 2.0)), "baseline.constant.value"),
        (Constant((300.0,)), "baseline.constant.value"),
        (Constant((float("nan"),)), "baseline.constant.value"),
        (Blur(0.0), "baseline.blur.sigma"),
        (Blur(float("nan")), "baseline.blur.sigma"),
        (Blur(1e-46), "baseline.blur.sigma"),
        (Blur(5.0), "baseline.blur.sigma"),
        (Picture(torch.zeros(3, 8, 9)), "baseline.image"),
        (Noise(sd=0.0), "baseline.noise"),
    ],
)
def test_a_baseline_that_makes_no_sense_names_its_field(baseline, field):
    with pytest.raises(InvalidRequest) as refused:
        baseline.image(torch.rand(3, 8, 8), PixelSpace(), Stream(0))
    assert refused.value.field == field
