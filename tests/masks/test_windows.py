"""Long texts as overlapping windows: every word is in one, and in the overlap two share the pull of the evidence."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import BEGIN, BLANK, END, PAD, Reader, twin_of
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import ImageInput, TextInput, TokenInput, words
from sidelight.core.predictor import PixelSpace, Unit
from sidelight.masks.windows import windows

reader = Reader()


def cut(longest):
    """A twin whose tokenizer gives at most so many tokens, special ones counted."""
    return replace(
        twin_of(reader),
        pieces=lambda text: (*twin_of(reader).pieces(text)[:-1][: longest - 1], twin_of(reader).pieces("")[-1]),
        ids=lambda text: (*reader.ids(text)[:-1][: longest - 1], END),
        pad=PAD,
    )


def of(text, longest=10**6, replacement=""):
    x = TextInput("x", text, words(text), replacement)
    return x, windows((x,), cut(longest))


def ordinary(window):
    return int((window.share.sum(0) > 0).sum())


def test_a_text_that_the_model_takes_is_one_window_of_its_own_tokens_over_as_many_blank_ones():
    text = "Crème-brûlée wasn’t a joy 😀"
    x, (window,) = of(text)
    assert window.ids.tolist() == list(reader.ids(text))
    assert window.blanks.tolist() == [[BEGIN, *[BLANK] * (len(window.ids) - 2), END]]
    assert window.words == range(len(x.units))
    assert window.share.sum(0).tolist() == [0, *[1] * (len(window.ids) - 2), 0]


def test_all_pieces_of_a_word_have_its_lambda():
    text = "unforgettable joy"
    _, (window,) = of(text)
    by_token = window.spread(torch.tensor([[0.25, 0.75]], dtype=torch.float64))
    assert by_token.tolist() == [[0, *[0.25] * 5, 0.75, 0]]


def test_tokens_of_no_word_keep_their_own_embedding():
    text = "one two"
    twin = twin_of(reader)
    space = replace(
        twin,
        pieces=lambda t: (*twin.pieces(t)[:2], Unit(3, 4), *twin.pieces(t)[2:]),
        ids=lambda t: (*reader.ids(t)[:2], 9, *reader.ids(t)[2:]),
    )
    (window,) = windows((TextInput("x", text, words(text)),), space)
    assert window.blanks.tolist() == [[BEGIN, BLANK, 9, BLANK, END]]


def test_each_window_begins_at_a_word_100_tokens_or_some_more_before_the_last_one_ends():
    text = " ".join(["word", "another", "a"] * 150)
    x, found = of(text, 202)
    assert len(found) > 3
    for before, after in pairwise(found):
        both = range(after.words.start, before.words.stop)
        shared = int((before.share[both.start - before.words.start :].sum(0) > 0).sum())
        assert 100 <= shared <= 103
        first = x.units[after.words.start]
        assert after.ids[1].item() == reader.ids(text[first.begin :])[1]


@given(
    st.lists(st.sampled_from(["a", "bcd", "efghij", "ö", "klmnopqrstu", "😀", ",", "\u200d"]), min_size=1, max_size=40)
)
@settings(deadline=None, max_examples=60)
def test_every_word_is_whole_in_some_window(parts):
    x, found = of(" ".join(parts), 14)  # a word has up to 4 tokens, a window 12
    n = len(x.units)
    if n:
        assert {j for w in found for j in w.words} == set(range(n))
        for j, unit in enumerate(x.units):
            tokens = len(reader.ids(x.word(unit))) - 2
            assert max(float(w.share[j - w.words.start].sum()) for w in found if j in w.words) == tokens
    assert all(len(w.ids) <= 14 and ordinary(w) <= 12 for w in found)


def test_a_word_that_no_window_can_hold_is_cut_and_what_follows_it_is_read():
    text = "so " + "x" * 200 + " and on it goes"
    x, found = of(text, 14)
    assert {j for w in found for j in w.words} == set(range(len(x.units)))


def test_what_a_tokenizer_leaves_out_at_the_end_needs_no_window():
    x = TextInput("x", "one two \u200d", words("one two \u200d"))
    twin = twin_of(reader)
    leaving = replace(
        twin,
        pieces=lambda t: twin.pieces(t.replace("\u200d", " ")),
        ids=lambda t: reader.ids(t.replace("\u200d", " ")),
    )
    (window,) = windows((x,), leaving)
    assert len(x.units) == 3 and window.words == range(2)


def test_baselines_of_a_distribution_stand_side_by_side_and_blank_may_be_the_padding():
    x = TextInput("x", "one two", words("one two"), "so")
    (window,) = windows((x, replace(x, replacement="no")), twin_of(reader))
    assert window.blanks.tolist() == [[BEGIN, *[reader.ids(r)[1]] * 2, END] for r in ("so", "no")]
    (window,) = windows((replace(x, replacement=""),), replace(twin_of(reader), blank=None, pad=PAD))
    assert window.blanks.tolist() == [[BEGIN, PAD, PAD, END]]
    with pytest.raises(InvalidRequest, match=r"baseline\.text\.replacement"):
        windows((replace(x, replacement=""),), replace(twin_of(reader), blank=None, pad=None))


def test_token_ids_are_one_window_whose_units_are_tokens_and_special_ones_keep_their_own():
    x = TokenInput("x", torch.tensor([BEGIN, 7, 9, END]), BLANK)
    (window,) = windows((x,), twin_of(reader))
    assert window.words == range(4) and window.blanks.tolist() == [[BEGIN, BLANK, BLANK, END]]
    assert window.spread(torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)).tolist() == [[0, 0.2, 0.3, 0]]


def test_what_tells_no_tokens_is_refused_with_what_it_lacks():
    x = TextInput("x", "one", words("one"))
    with pytest.raises(Unsupported, match=r"tokenizer.*pieces\(text\).*ids\(text\)"):
        windows((x,), replace(twin_of(reader), pieces=None))
    pixels = torch.zeros(1, 2, 2)
    with pytest.raises(Unsupported, match="ImageInput has no tokens"):
        windows((ImageInput("x", pixels, pixels, PixelSpace()),), twin_of(reader))
