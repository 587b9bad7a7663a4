"""Words by the tokens of real fast tokenizers, whole texts and windows: byte pairs, pieces of words, unigrams."""

from types import SimpleNamespace

import pytest
import torch
from sidelight.core.inputs import TextInput, words
from sidelight.core.predictor import Twin
from sidelight.masks.windows import windows
from sidelight.path.positions import shares
from sidelight.predictors.tokenizing import tokens_of
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = {
    "accents of their own": "un cafe\u0301 d'e\u0301te\u0301, Crème-brûlée",
    "pictures with joiners": "a 👩\u200d👩\u200d👧\u200d👦 👍🏽❤\ufe0f ok 🇩🇪! and so on",
    "lines": "one\r\ntwo\r\n\r\nthree \t four",
    "right to left": "שָׁלוֹם עולם, مرحبا بالعالم",
    "joiners in a word": "می\u200cخواهم بروم",
    "wider than it was": "\N{LATIN SMALL LIGATURE FI}ne ½ Ａｂｃ İstanbul ß",
    "nothing to see": "\ufeffa\u200bb \u200d x",
    "vowel signs": "हिन्दी अच्छी है।",
    "a word that no window holds": "so " + "é" * 40 + " and on it goes",
    "space that no window holds": " " * 30 + "far" + " " * 40 + "and away",
    "two characters of several tokens at a cut": ". 👩\u200d👩\u200d👧 👍🏽❤\ufe0f ok",
}
TEXTS["all together"] = " ".join(TEXTS.values())
BEGIN, END, MASK, PADDING, UNKNOWN = NAMES = ["<s>", "</s>", "<mask>", "<pad>", "<unk>"]
SIZES = {"vocab_size": 320, "special_tokens": NAMES, "show_progress": False}


def bytes_of(trim):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(["the fox and so on"], trainers.BpeTrainer(initial_alphabet=alphabet, **SIZES))
    made.post_processor = processors.RobertaProcessing((END, 1), (BEGIN, 0), trim_offsets=trim, add_prefix_space=False)
    return made


def framed(made, trainer):
    made.train_from_iterator(TEXTS.values(), trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, 0), (END, 1)]
    )
    return made


def pieces_of_words():
    made = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return framed(made, trainers.WordPieceTrainer(**SIZES))


def unigrams():
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    return framed(made, trainers.UnigramTrainer(unk_token=UNKNOWN, **SIZES))


TOKENIZERS = {
    "bytes, space apart": bytes_of(True), "bytes": bytes_of(False), "pieces": pieces_of_words(), "unigrams": unigrams(),
}  # fmt: skip


def twin(tokenizer, longest=None):
    made = Tokenizer.from_str(TOKENIZERS[tokenizer].to_str())
    if longest:
        made.enable_truncation(longest)
    found = tokens_of(SimpleNamespace(tokenizer=made), text=True)
    return Twin((), "", 1e-3, ids=found.ids, pieces=found.pieces, blank=found.blank, specials=found.specials)


@pytest.mark.parametrize("longest", [None, 16])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_word_that_has_tokens_has_them_in_some_window_and_no_token_is_masked_but_as_a_part_of_words(
    tokenizer, text, longest
):
    x, whole = TextInput("x", text, words(text)), twin(tokenizer)
    found = windows((x,), twin(tokenizer, longest))
    read = set()
    for window in found:
        of_words = window.share.sum(0)
        torch.testing.assert_close(of_words, (of_words > 0).double())
        assert torch.equal(window.blanks[0] != window.ids, of_words > 0)
        assert len(window.words) and (longest is None or len(window.ids) <= longest)
        read |= {j for j in window.words if window.share[j - window.words.start].sum() > 0}
    assert read == set(shares(x.units, whole.pieces(text)).sum(1).nonzero().flatten().tolist())
    assert longest or len(found) == 1
