"""Text and token ids as the twin takes them along a path: over a baseline of as many tokens, special ones kept.

An interpolation b + a (z - b) of token embeddings needs b [L, D] for the same L tokens. So the baseline that a text
or token ids induce has every ordinary token replaced, and none left out:

    text     by the tokens of `baseline.text.replacement`, in turn where it has several; without one by the token
             that the twin calls blank. [MASK] is where it has one: the network learnt it as "some word or other"
    tokens   by the id `baseline.text.replacement`
"""

import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import torch

from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import Input, TextInput, TokenInput
from sidelight.core.job import Job
from sidelight.core.predictor import Twin, Unit
from sidelight.core.sweep import Placement, Rows


@dataclass(frozen=True, eq=False)
class PairedTokens:
    """Token ids [L] int64 and a baseline of as many; a row has the ids where its mask [L] is at least 1/2."""

    name: str
    ids: torch.Tensor
    blank: torch.Tensor
    unlike: torch.Tensor  # as many others, none of which is the same but the special ones
    origin: TextInput | TokenInput  # over whose positions maps are

    @property
    def shape(self) -> tuple[int]:
        return (len(self.ids),)

    @property
    def like(self) -> Hashable:
        return ("tokens", *self.ids.shape)

    @property
    def words(self) -> str:
        """What the baseline is."""
        kept = " but special ones" if len(self.blank.unique()) > 1 else ""
        if isinstance(self.origin, TokenInput):
            return f"every token{kept} replaced by id {self.origin.replacement}"
        by = f'"{self.origin.replacement}"' if self.origin.replacement else "the blank one ([MASK] or its like)"
        return f"every token{kept} replaced by {by}"

    def blend(self, keep: torch.Tensor, on: Placement) -> Rows:
        ids, blank = self.ids.to(on.device), self.blank.to(on.device)
        return {self.name: torch.where(keep.to(on.device) >= 0.5, ids, blank)}


def at_twin(x: Input, twin: Twin, blanked: bool = True) -> Input:
    """The input as the twin takes it: masks of a text or of token ids are by token then, [L].

    blanked: whether its baseline is asked for, which a text may have none of. Raises Unsupported for a text where the
    twin does not tell its tokens.
    """
    if isinstance(x, TextInput):
        return _text(x, twin, blanked)
    if isinstance(x, TokenInput):
        ordinary = torch.tensor([i not in twin.specials for i in x.ids.tolist()])
        blank = torch.where(ordinary, x.replacement, x.ids)
        return PairedTokens(x.name, x.ids, blank, _unlike(x.ids, ordinary, twin), x)
    return x


def on_twin(job: Job, twin: Twin) -> Job:
    """The same job with its inputs as the twin takes them."""
    blanked = job.at_layer is None
    others = tuple(at_twin(x, twin, blanked) for x in job.others)
    return replace(job, input=at_twin(job.input, twin, blanked), others=others)


def tells_tokens(twin: Twin) -> Callable[[str], tuple[Unit, ...]]:
    """The characters of each token of a text. Raises Unsupported where the twin does not tell its tokens."""
    if twin.ids is None or twin.pieces is None:
        raise Unsupported(
            "NO_PIECES",
            "twin",
            "the twin does not tell the tokens of a text: its module needs a fast tokenizer as its attribute "
            "`tokenizer`, or functions `pieces(text)` and `ids(text)`",
        )
    return twin.pieces


def _text(x: TextInput, twin: Twin, blanked: bool) -> PairedTokens:
    tells_tokens(twin)
    ids, ordinary = _ids(x.text, twin)
    unlike = _unlike(ids, ordinary, twin)
    if not blanked:
        return PairedTokens(x.name, ids, unlike, unlike, x)
    blank = ids.clone()
    if x.replacement:
        found, kept = _ids(x.replacement, twin)
        put = found[kept]
        if not len(put):
            raise InvalidRequest("baseline.text.replacement", f"a text that has tokens, not {x.replacement!r}")
    elif twin.blank is not None:
        put = torch.tensor([twin.blank])
    else:
        raise InvalidRequest("baseline.text.replacement", "a text: the twin names no token that stands for any")
    at = ordinary.nonzero().flatten()
    blank[at] = put[torch.arange(len(at)) % len(put)]
    return PairedTokens(x.name, ids, blank, unlike, x)


def _unlike(ids: torch.Tensor, ordinary: torch.Tensor, twin: Twin) -> torch.Tensor:
    """For each ordinary token the nearest ordinary id below its own, which every vocabulary has, or else above it."""
    reserved = {*twin.specials, twin.pad}

    def other(i: int) -> int:
        candidates = itertools.chain(range(i - 1, -1, -1), itertools.count(i + 1))
        return next(j for j in candidates if j not in reserved)

    found = [other(i) if free else i for i, free in zip(ids.tolist(), ordinary.tolist(), strict=True)]
    return torch.tensor(found, dtype=ids.dtype)


def _ids(text: str, twin: Twin) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [L] of a text, and which of them are ordinary tokens [L]: those that stand for characters."""
    assert twin.ids is not None and twin.pieces is not None  # asked before
    ordinary = torch.tensor([p.end > p.begin for p in twin.pieces(text)], dtype=torch.bool)
    return torch.tensor(twin.ids(text), dtype=torch.int64), ordinary
