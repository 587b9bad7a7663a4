"""A text as windows that the model can take whole, each beginning about 100 tokens before the last one ends.

A tokenizer cuts what is longer than its network takes. Behind the cut the text is read again from the beginning of a
word that is at least `OVERLAP` tokens before it, until every word that has tokens is in some window.

The authors optimise a mask for each window and cross-fade the masks where windows overlap. Here windows share one
lambda a word: they agree where they overlap from the first step on, and what is minimised is the stated mean over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sidelight.core.errors import Unsupported
from sidelight.core.inputs import Input, TextInput, TokenInput
from sidelight.core.predictor import Twin, Unit
from sidelight.path.positions import shares
from sidelight.path.tokens import PairedTokens, at_twin, tells_tokens

OVERLAP = 100  # tokens


@dataclass(frozen=True, eq=False)
class Window:
    """Tokens of a stretch of the input, and what the words there have of each."""

    ids: torch.Tensor  # [L] int64
    blanks: torch.Tensor  # [M, L] int64, of the M baselines; those of special tokens and of no word's are `ids`
    words: range  # of the input's units
    share: torch.Tensor  # [len(words), L] float64; columns add up to 1, or to 0 where the token is no word's

    def spread(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks [T, n] over all words by token, [T, L]: the pieces of a word share its lambda."""
        return masks[:, self.words.start : self.words.stop] @ self.share


def windows(inputs: Sequence[Input], twin: Twin) -> tuple[Window, ...]:
    """Those of one input over its M baselines; token ids are one. Raises Unsupported where the twin tells no tokens."""
    twin = replace(twin, blank=twin.pad if twin.blank is None else twin.blank)
    first = inputs[0]
    if isinstance(first, TextInput):
        texts = [x for x in inputs if isinstance(x, TextInput)]
        found = [_of_text(texts, begin, pieces, twin) for begin, pieces in _stretches(first, twin)]
        return tuple(w for w in found if w.words) or (found[0],)  # one of spaces alone would say nothing of any word
    if isinstance(first, TokenInput):
        return (_of_ids([_tokens(x, twin) for x in inputs], twin),)
    raise Unsupported("NO_TOKENS", "input", f"{type(first).__name__} has no tokens to mask")


def _stretches(x: TextInput, twin: Twin) -> list[tuple[int, tuple[Unit, ...]]]:
    """Where each window begins, a character, and the pieces of its tokens, from there."""
    begin, reach, most = 0, -1, 0
    found: list[tuple[int, tuple[Unit, ...]]] = []
    while True:
        pieces = tells_tokens(twin)(x.text[begin:])
        end = begin + max((p.end for p in pieces), default=0)
        if end > reach:
            found.append((begin, pieces))
        elif len(pieces) < most:  # it was not cut, and has nothing new: what is left has no tokens
            return found
        reach, most = max(reach, end), max(most, len(pieces))
        after = _next(x, begin, pieces) if reach < x.units[-1].end else None
        if after is None:
            return found
        begin = after


def _next(x: TextInput, begin: int, pieces: Sequence[Unit]) -> int | None:
    """The beginning of a word behind `begin`: the last that has enough tokens from there on, else the first."""
    ordinary = [p for p in pieces if p.end > p.begin]
    later = [unit.begin for unit in x.units if unit.begin > begin]
    if not ordinary:
        return min(later, default=None)
    place = begin + ordinary[-min(OVERLAP, -(-len(ordinary) // 2))].begin
    return max((at for at in later if at <= place), default=min(later, default=None))


def _of_text(texts: Sequence[TextInput], begin: int, pieces: Sequence[Unit], twin: Twin) -> Window:
    first = texts[0]
    units = [Unit(u.begin - begin, u.end - begin) for u in first.units]
    whole = shares(units, pieces)  # [n, L]
    present = whole.sum(1).nonzero().flatten().tolist()
    words = range(present[0], present[-1] + 1) if present else range(0)
    paired = [at_twin(replace(x, text=x.text[begin:]), twin) for x in texts]
    return _window([p for p in paired if isinstance(p, PairedTokens)], words, whole[words.start : words.stop])


def _of_ids(paired: Sequence[PairedTokens], twin: Twin) -> Window:
    ordinary = [i not in twin.specials for i in paired[0].ids.tolist()]
    return _window(paired, range(len(ordinary)), torch.diag(torch.tensor(ordinary, dtype=torch.float64)))


def _window(paired: Sequence[PairedTokens], words: range, share: torch.Tensor) -> Window:
    ids = paired[0].ids
    return Window(ids, torch.where(share.sum(0) > 0, torch.stack([p.blank for p in paired]), ids), words, share)


def _tokens(x: Input, twin: Twin) -> PairedTokens:
    paired = at_twin(x, twin)
    assert isinstance(paired, PairedTokens)
    return paired
