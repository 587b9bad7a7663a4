"""Model cards: every mistake names the file and the field, and says what would do."""

from pathlib import Path

import pytest
from sidelight.core.target import OutputKind
from sidelight.predictors.card import CardError, Redirection, read_card

CARDS = Path(__file__).parents[2] / "deploy" / "triton" / "cards"
GOOD = """
model = "m"
kind = "image"
[input]
name = "x"
resize = 256
crop = [200, 224]
interpolation = "bicubic"
layout = "NHWC"
channel_order = "BGR"
scale = 0.5
mean = [1, 2.5, 3]
std = 2
[output]
name = "y"
kind = "probabilities"
labels = ["cat", "dog"]
[explanation]
url = "other:8001"
tolerance = 0.01
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "card.toml"
    path.write_text(text)
    return path


def test_a_full_card_is_read_as_it_is_written(tmp_path):
    card = read_card(written(tmp_path, GOOD))
    assert (card.model, card.kind, card.input, card.output, card.carded) == ("m", "image", "x", "y", True)
    assert (card.resize, card.crop, card.interpolation, card.layout, card.order) == (
        256,
        (200, 224),
        "bicubic",
        "NHWC",
        "BGR",
    )
    assert (card.scale, card.mean, card.std) == (0.5, (1.0, 2.5, 3.0), (2.0,))
    assert (card.output_kind, card.labels) == (OutputKind.PROBABILITIES, ("cat", "dog"))
    assert card.explanation == Redirection(url="other:8001", tolerance=0.01)


def test_a_card_of_two_lines_is_enough(tmp_path):
    card = read_card(written(tmp_path, 'model = "m"\nkind = "text"\n'))
    assert (card.output_kind, card.labels, card.explanation) == (OutputKind.AS_SERVED, (), None)


def test_labels_are_read_relative_to_the_card(tmp_path):
    (tmp_path / "labels.txt").write_text("Katze\nHündin\n", encoding="utf-8")
    card = read_card(written(tmp_path, 'model = "m"\nkind = "image"\n[output]\nlabels = "labels.txt"\n'))
    assert card.labels == ("Katze", "Hündin")


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.toml")), ids=lambda p: p.stem)
def test_the_cards_that_ship_are_valid(path):
    assert read_card(path).model == path.stem


MISTAKES = [
    # what is written instead of what, the field named, a word of the mend
    ('model = "m"', "", "model", "required"),
    ('kind = "image"', "", "kind", "required"),
    ('model = "m"', 'model = ""', "model", "not empty"),
    ('model = "m"', "model = 3", "model", "text"),
    ('kind = "image"', 'kind = "picture"', "kind", "image, text, tokens"),
    ('kind = "image"', 'kind = "text"', "input.resize", "leave it out"),
    ('kind = "image"', 'kind = "image"\nresize = 3', "resize", "no such field; there is model, kind"),
    ("[input]", "[inputs]", "inputs", "no such field"),
    ("[input]\n", "[[input]]\n", "input", "a table"),
    ("resize = 256", "resise = 256", "input.resise", "no such field; there is name, resize"),
    ("resize = 256", "resize = 0", "input.resize", "1..65536"),
    ("resize = 256", "resize = 256.0", "input.resize", "whole number"),
    ("resize = 256", "resize = true", "input.resize", "whole number"),
    ("crop = [200, 224]", "crop = [1, 2, 3]", "input.crop", "[height, width]"),
    ("crop = [200, 224]", "crop = [200, -1]", "input.crop", "1..65536"),
    ('"bicubic"', '"cubic"', "input.interpolation", "bilinear"),
    ('"NHWC"', '"CHW"', "input.layout", "NCHW, NHWC"),
    ('"BGR"', '"GBR"', "input.channel_order", "RGB, BGR, L"),
    ("scale = 0.5", "scale = 0", "input.scale", "other than zero"),
    ("scale = 0.5", "scale = nan", "input.scale", "finite"),
    ("scale = 0.5", 'scale = "1/255"', "input.scale", "finite number"),
    ("mean = [1, 2.5, 3]", "mean = [1, 2]", "input.mean", "1 or 3 numbers, not 2"),
    ("mean = [1, 2.5, 3]", "mean = []", "input.mean", "one for each channel"),
    ("mean = [1, 2.5, 3]", 'mean = ["a"]', "input.mean", "finite number"),
    ("std = 2", "std = [1, 0, 1]", "input.std", "other than zero"),
    ("std = 2", "std = [1, 1]", "input.std", "1 or 3 numbers"),
    ('"BGR"', '"L"', "input.mean", "1 numbers, not 3"),
    ('"probabilities"', '"softmax"', "output.kind", "logits, probabilities, sigmoid"),
    ('labels = ["cat", "dog"]', "labels = []", "output.labels", "file name"),
    ('labels = ["cat", "dog"]', "labels = [1, 2]", "output.labels", "list of texts"),
    ('labels = ["cat", "dog"]', 'labels = "nowhere.txt"', "output.labels", "nowhere.txt"),
    ('labels = ["cat", "dog"]', 'labels = "blank.txt"', "output.labels", "line 2 is blank"),
    ('labels = ["cat", "dog"]', 'labels = "empty.txt"', "output.labels", "one label a line"),
    ('labels = ["cat", "dog"]', 'labels = "latin.txt"', "output.labels", "UTF-8"),
    ("tolerance = 0.01", "tolerance = 0", "explanation.tolerance", "above zero"),
    ('url = "other:8001"', "", "explanation", "a url, a model, or both"),
    ('url = "other:8001"', 'uri = "other:8001"', "explanation.uri", "no such field"),
    ('model = "m"', 'model = "m', "card", "TOML"),
]


@pytest.mark.parametrize(("old", "new", "field", "mend"), MISTAKES)
def test_a_mistake_names_the_file_the_field_and_the_mend(tmp_path, old, new, field, mend):
    (tmp_path / "blank.txt").write_text("cat\n\ndog\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("Hündin\n".encode("latin-1"))
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert caught.value.field == field
    assert mend in caught.value.mend
    assert str(path) in str(caught.value)


def test_a_card_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CardError, match=r"nowhere\.toml"):
        read_card(tmp_path / "nowhere.toml")
