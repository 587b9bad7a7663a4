import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sidelight.core.baseline import (
    Blur,
    Constant,
    Histogram,
    ImageMean,
    ImageMedian,
    ModelMean,
    Noise,
    Picture,
    RandomColour,
)
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, TextInput, TokenInput, sentences, words
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


@pytest.mark.parametrize("on", [Placement(), Placement(dtype=torch.float16, channels_last=True)])
@pytest.mark.parametrize("name", SPACES)
def test_other_pixels_are_encoded_as_the_inputs_own(name, on):
    x, other = torch.rand(3, 5, 6) * 255, torch.rand(2, 3, 5, 6) * 255
    got = ImageInput("x", x, x, SPACES[name]).encoded(other, on)["x"]
    for pixels, row in zip(other, got, strict=True):
        own = ImageInput("x", pixels, pixels, SPACES[name]).blend(torch.ones(1, 5, 6), on)["x"]
        assert row.dtype is own.dtype and torch.equal(row, own[0])
        assert got.is_contiguous(memory_format=on.layout(4)) or SPACES[name].integer


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
    ("text", "expected"),
    [
        (
            "un cafe\u0301 d'e\u0301te\u0301.",
            ["un", "cafe\u0301", "d'e\u0301te\u0301", "."],
        ),  # letters with accents of their own
        ("हिन्दी अच्छी है।", ["हिन्दी", "अच्छी", "है", "।"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("می\u200cخواهم، نه", ["می\u200cخواهم", "،", "نه"]),  # held together by a joiner of no width
        ("co\u00adoperate 1\ufe0f\u20e3", ["co\u00adoperate", "1\ufe0f\u20e3"]),
        ("👩\u200d👩\u200d👧 👍🏽❤\ufe0f 🇩🇪🇫🇷!", ["👩\u200d👩\u200d👧", "👍🏽", "❤\ufe0f", "🇩🇪", "🇫🇷", "!"]),
        ("a\u200bb \u200d \u0301", ["a", "\u200b", "b", "\u200d", "\u0301"]),  # a space of no width parts words
        ("one\r\ntwo\u2028three", ["one", "two", "three"]),
        (" \r\n\u00a0", []),
    ],
)
def test_words_are_never_cut_within_what_a_reader_sees_as_one_character(text, expected):
    assert [text[u.begin : u.end] for u in words(text)] == expected


@pytest.mark.parametrize("piece", ["a\u0301", "\u200d", "👩\u200d", "a'", "!\u0301", "🇩"])
def test_words_take_time_in_proportion_to_the_text(piece):
    assert len(words(piece * 100_000)) >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It was good! Was it? Yes, it was.", ["It was good!", "Was it?", "Yes, it was."]),
        ("  Pi is 3.5, v1.2.\tSee www.example.org. ", ["Pi is 3.5, v1.2.", "See www.example.org."]),
        ("Fruit, e.g. apples, is good", ["Fruit, e.g. apples, is good"]),
        ("Well… perhaps. No?! Yes!!!", ["Well… perhaps.", "No?!", "Yes!!!"]),
        ('"Stop!" he said. (Really.) "Why?" She left.', ['"Stop!" he said.', "(Really.)", '"Why?"', "She left."]),
        ("A title\nThe first line.\r\n\r\n  the second", ["A title", "The first line.", "the second"]),
        ("東京は晴れ。「本当？」はい。", ["東京は晴れ。", "「本当？」", "はい。"]),
        ("यह अच्छा है। हाँ। هل هذا جيد؟ نعم.", ["यह अच्छा है।", "हाँ।", "هل هذا جيد؟", "نعم."]),
        ("No end", ["No end"]),
        ("...", ["..."]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_sentences_end_at_terminal_marks_and_line_breaks(text, expected):
    assert [text[u.begin : u.end] for u in sentences(text)] == expected


@given(st.text(alphabet="aB3 .!?。\n\r\"')\u2028\u00a0é…", max_size=60))
def test_sentences_hold_every_character_but_the_space_around_them_in_order(text):
    units = sentences(text)
    assert "".join("".join(text[u.begin : u.end].split()) for u in units) == "".join(text.split())
    assert all(a.end <= b.begin for a, b in itertools.pairwise(units))
    assert all(text[u.begin : u.end] == text[u.begin : u.end].strip() != "" for u in units)


@pytest.mark.parametrize("piece", [".", ".' ", "a.b", ". \n", '.""""', "。", "   ."])
def test_sentences_take_time_in_proportion_to_the_text(piece):
    assert len(sentences(piece * (200_000 // len(piece)))) >= 1  # minutes, were a run of marks tried from every start


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


def test_the_median_colour_is_that_of_each_channel():
    x = torch.tensor([[[9.0, 1.0, 2.0], [250.0, 3.0, 0.0]], [[5.0, 5.0, 5.0], [7.0, 7.0, 0.0]]])
    median = ImageMedian().image(x, PixelSpace(), Stream(0))
    assert median.shape == x.shape and median[0].unique().tolist() == [2.0] and median[1].unique().tolist() == [5.0]
    odd = torch.rand(3, 31, 33) * 255
    assert torch.equal(ImageMedian().image(odd, PixelSpace(), Stream(0))[:, 7, 7], odd.flatten(1).quantile(0.5, 1))


def test_histogram_draws_whole_colours_of_the_image_as_often_as_they_occur():
    x = torch.zeros(3, 60, 80)
    x[:, :15] = torch.tensor([200.0, 100.0, 50.0]).view(3, 1, 1)  # a quarter of the image
    drawn = Histogram().image(x, PixelSpace(), Stream(4))
    colours, counts = drawn.flatten(1).unique(dim=1, return_counts=True)
    assert colours.T.tolist() == [[0, 0, 0], [200, 100, 50]]
    assert abs(counts[1] / 4800 - 0.25) < 4 * (0.25 * 0.75 / 4800) ** 0.5
    assert drawn.equal(Histogram().image(x, PixelSpace(), Stream(4)))
    assert not drawn.equal(Histogram().image(x, PixelSpace(), Stream(5)))
    assert not drawn.equal(x)  # drawn by pixel, not left where they were


def test_a_random_colour_is_one_and_the_same_whatever_the_order_of_the_channels():
    x = torch.rand(3, 8, 9)
    rgb, bgr = (RandomColour().image(x, SPACES[s], Stream(4)) for s in ("rgb", "bgr"))
    assert rgb.shape == x.shape and len(rgb.flatten(1).unique(dim=1).T) == 1
    assert rgb.flip(0).equal(bgr)
    assert len(RandomColour().image(x[:1], PixelSpace("L"), Stream(4)).unique()) == 1
    many = torch.stack([RandomColour().image(x, SPACES["rgb"], Stream(seed))[:, 0, 0] for seed in range(600)])
    assert many.min() >= 0 and many.max() <= 255
    assert (many.mean(0) - 127.5).abs().max() < 4 * 255 / (12 * 600) ** 0.5  # uniform, channel by channel
    assert torch.corrcoef(many.T).triu(1).abs().max() < 0.17


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
