"""What tokens stand for: as a module says itself, or derived from the fast tokenizer that it carries."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sidelight.core.predictor import Unit
from sidelight.predictors.tokenizing import Tokens, tokens_of
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = ["Crème-brûlée wasn’t a joy 😀", "the music is wonderfully joyful", "naïve  Übermut…\n\tsehr schön 👩‍👩‍👧"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece(longest=None):
    """As BERT's: accents stay, [CLS] and [SEP] around, at most `longest` tokens."""
    characters = sorted({c for text in TEXTS for c in text if not c.isspace()})
    tokens = [*SPECIALS, *characters, *(f"##{c}" for c in characters), "wonder", "##ful", "##ly", "music"]
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(SPECIALS)
    ids = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    if longest:
        made.enable_truncation(longest)
    return made


def bytelevel():
    """As RoBERTa's: bytes, so that one character may be several tokens."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    names = ["<s>", "</s>", "<pad>", "<unk>", "<mask>"]
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=300, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    ))  # fmt: skip
    ids = [(name, made.token_to_id(name)) for name in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    return made


def transformers(longest=1000):
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIALS, strict=True))
    named = {f"{key}_token": name for key, name in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=wordpiece(), model_max_length=longest, **named)


FAST = {"wordpiece": wordpiece(), "bytelevel": bytelevel(), "transformers": transformers()}


def told(tokenizer, **more):
    return tokens_of(SimpleNamespace(tokenizer=tokenizer, **more), text=True)


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_at_the_characters_of_the_text_and_special_tokens_at_none(name, text):
    found = told(FAST[name])
    pieces, ids = found.pieces(text), found.ids(text)
    assert len(pieces) == len(ids) and all(isinstance(p, Unit) for p in pieces)
    assert pieces[0].begin == pieces[0].end and pieces[-1].begin == pieces[-1].end
    covered = {i for p in pieces for i in range(p.begin, p.end)}
    assert {i for i, c in enumerate(text) if not c.isspace()} <= covered <= set(range(len(text)))


@pytest.mark.parametrize("name", ["wordpiece", "transformers"])
def test_a_piece_is_the_token_that_it_stands_for(name):
    found = told(FAST[name])
    text, vocabulary = "wonderfully music Q", wordpiece()
    tokens = ["[CLS]", "wonder", "##ful", "##ly", "music", "[UNK]", "[SEP]"]
    assert [vocabulary.id_to_token(i) for i in found.ids(text)] == tokens
    assert [text[p.begin : p.end] for p in found.pieces(text)] == ["", "wonder", "ful", "ly", "music", "Q", ""]


def test_a_character_of_several_bytes_is_each_of_its_tokens():
    found = told(FAST["bytelevel"])
    pieces = [p for p in found.pieces("a🜁b") if p.end > p.begin]
    assert pieces.count(Unit(1, 2)) > 1


@given(st.text(max_size=30))
@settings(deadline=None, max_examples=50)
def test_pieces_of_any_text_lie_in_it_in_order(text):
    for tokenizer in FAST.values():
        found = told(tokenizer)
        pieces = [p for p in found.pieces(text) if p.end > p.begin]
        assert all(0 <= p.begin < p.end <= len(text) for p in pieces)
        assert pieces == sorted(pieces, key=lambda p: (p.begin, p.end))


def test_what_a_tokenizer_cuts_is_cut():
    for tokenizer in (wordpiece(5), transformers(5)):
        found = told(tokenizer)
        assert len(found.ids(TEXTS[1])) == len(found.pieces(TEXTS[1])) == 5
        assert found.pieces(TEXTS[1])[-1].begin == found.pieces(TEXTS[1])[-1].end  # its end is not what is cut


@pytest.mark.parametrize("name", FAST)
def test_blank_padding_and_special_tokens_are_known_by_their_names(name):
    found, id_of = told(FAST[name]), (bytelevel() if name == "bytelevel" else wordpiece()).token_to_id
    mask, pad, *ends = (
        ("<mask>", "<pad>", "<s>", "</s>") if name == "bytelevel" else ("[MASK]", "[PAD]", "[CLS]", "[SEP]")
    )
    assert (found.blank, found.pad) == (id_of(mask), id_of(pad))
    assert found.specials == {id_of(pad), *map(id_of, ends)}  # [UNK] is a word that it does not know, [MASK] any


def test_what_the_module_says_itself_goes_before_what_its_tokenizer_does():
    own = {"pieces": lambda text: [(0, 1)], "ids": lambda text: (5,), "blank": 7, "pad": None, "specials": (9,)}
    found = told(FAST["wordpiece"], **own)
    assert found.pieces("x") == (Unit(0, 1),) and found.ids("x") == (5,)
    assert (found.blank, found.pad, found.specials) == (7, None, frozenset({9}))
    assert tokens_of(SimpleNamespace(**own), text=True) == Tokens(found.pieces, found.ids, 7, None, frozenset({9}))


def test_a_model_of_token_ids_has_no_pieces_and_one_that_tells_nothing_has_nothing():
    found = tokens_of(SimpleNamespace(tokenizer=FAST["wordpiece"]), text=False)
    assert found.pieces is None and found.ids is None and found.pad is not None
    assert tokens_of(SimpleNamespace(), text=True) == Tokens()
    assert tokens_of(SimpleNamespace(ids=lambda text: ()), text=True).ids is None  # ids without pieces are no use


def test_a_slow_tokenizer_is_passed_over():
    assert told(SimpleNamespace(is_fast=False, mask_token_id=3)) == Tokens()
