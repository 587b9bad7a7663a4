"""Text and token ids as the twin takes them: a baseline of as many tokens, special ones kept."""

from dataclasses import replace

import pytest
import torch
from reading import BEGIN, BLANK, END, Reader, twin_of
from sidelight.core.ask import Model
from sidelight.core.baseline import FeatureZero
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import TextInput, TokenInput, words
from sidelight.core.job import Job
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement
from sidelight.core.target import Link, OutputKind, Target
from sidelight.path.tokens import at_twin, on_twin

TEXT = "Crème-brûlée wasn’t a joy 😀"
reader = Reader()
twin = twin_of(reader)


def text_input(replacement=""):
    return TextInput("text", TEXT, words(TEXT), replacement)


def ends(x, twin=twin):
    """Ids of the input and of its baseline."""
    paired = at_twin(x, twin)
    masks = torch.tensor([[1.0], [0.0]]).expand(2, *paired.shape)
    rows = paired.blend(masks, Placement())[x.name]
    assert rows.dtype == torch.int64
    return rows[0].tolist(), rows[1].tolist()


def test_a_text_goes_as_its_own_tokens_over_as_many_blank_ones():
    ids, blank = ends(text_input())
    assert tuple(ids) == reader.ids(TEXT)
    assert blank == [BEGIN, *[BLANK] * (len(ids) - 2), END]


def test_replacement_tokens_take_turns_and_their_own_special_ones_stay_out():
    ids, blank = ends(text_input("nothing"))
    put = list(reader.ids("nothing")[1:-1])
    assert len(put) == 3
    assert blank == [BEGIN, *[put[i % 3] for i in range(len(ids) - 2)], END]


def test_of_token_ids_the_special_ones_are_kept():
    x = TokenInput("ids", torch.tensor([BEGIN, 7, 9, END, 0]), 5)
    assert ends(x) == ([BEGIN, 7, 9, END, 0], [BEGIN, 5, 5, END, 0])
    assert ends(x, replace(twin, specials=frozenset()))[1] == [5] * 5


def test_the_baseline_is_said_in_words():
    assert at_twin(text_input("so"), twin).words == 'every token but special ones replaced by "so"'
    assert "[MASK]" in at_twin(text_input(), twin).words
    x = TokenInput("ids", torch.tensor([7, 9]), 5)
    assert at_twin(x, twin).words == "every token replaced by id 5"


def test_rows_of_different_token_counts_share_no_batch():
    likes = {at_twin(TextInput("text", t, words(t)), twin).like for t in ("one", "two", "three more words")}
    assert len(likes) == 2


def test_a_module_that_tells_no_tokens_is_refused_with_what_it_lacks():
    with pytest.raises(Unsupported, match=r"pieces\(text\).*ids\(text\)"):
        at_twin(text_input(), replace(twin, ids=None))
    with pytest.raises(InvalidRequest, match=r"baseline\.text\.replacement"):
        at_twin(text_input(), replace(twin, blank=None))
    with pytest.raises(InvalidRequest, match="has tokens"):
        at_twin(text_input("  "), twin)


def test_an_image_or_any_other_input_stays_itself():
    x = object()
    assert at_twin(x, twin) is x


def test_an_unlike_text_has_other_ordinary_tokens_everywhere_and_the_same_special_ones():
    for x in (text_input(), TokenInput("ids", torch.tensor([BEGIN, 4, 9, END, 0]), 5)):
        paired = at_twin(x, twin)
        same = paired.unlike == paired.ids
        assert same.tolist() == [i in twin.specials for i in paired.ids.tolist()]
        assert not set(paired.unlike[~same].tolist()) & twin.specials


def test_a_baseline_of_the_layer_needs_no_token_that_stands_for_any():
    bare = replace(twin, blank=None)
    target = Target(OutputKind.LOGITS, Link.LOGIT, (0,))
    job = Job(Model("m", "1"), text_input(), target, Stream(0), twin=bare)
    with pytest.raises(InvalidRequest):
        on_twin(job, bare)
    paired = on_twin(replace(job, at_layer=FeatureZero()), bare).input
    assert tuple(paired.ids.tolist()) == reader.ids(TEXT)


def test_what_is_unlike_a_text_differs_in_every_ordinary_token_and_is_never_a_special_one():
    ids = torch.tensor([BEGIN, END + 1, 9, END])  # the nearest below the second are special
    x = at_twin(TokenInput("ids", ids, 5), replace(twin, pad=0))
    same = x.unlike == ids
    assert same.tolist() == [i in twin.specials for i in ids.tolist()]
    assert not {*x.unlike[~same].tolist()} & {*twin.specials, 0}
