"""What the tokens of a network stand for, as its module says: itself, or by the fast tokenizer that it carries.

pieces(text)   characters (begin, end) of each token; of special ones none
ids(text)      the id of each token; the module takes ids [n, L] too
blank          id of the token that stands for no particular one: [MASK]
pad            id of the token that is not there, wherever it stands: [PAD]
specials       ids that no baseline replaces: [CLS], [SEP], [PAD]
tokenizer      a `tokenizers.Tokenizer`, or a fast tokenizer of transformers: says what the module does not
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidelight.core.errors import ModelFailed
from sidelight.core.predictor import Unit

BLANKS, PADS, UNKNOWN = ("[MASK]", "<mask>"), ("[PAD]", "<pad>"), ("[UNK]", "<unk>")


@dataclass(frozen=True)
class Tokens:
    """As the fields of the same names in `Twin`."""

    pieces: Callable[[str], tuple[Unit, ...]] | None = None
    ids: Callable[[str], tuple[int, ...]] | None = None
    blank: int | None = None
    pad: int | None = None
    specials: frozenset[int] = frozenset()


def tokens_of(module: object, *, text: bool) -> Tokens:
    """What a module says of its tokens; pieces and ids only of a model that takes texts.

    A tokenizer that tells no characters (a slow one of transformers) is no use: it is passed over.
    """
    derived = _derived(getattr(module, "tokenizer", None))
    offered, ids = getattr(module, "pieces", None), getattr(module, "ids", None)
    pieces = _Units(offered) if callable(offered) else derived.pieces
    if not text or pieces is None:
        pieces, ids = None, None
    elif not callable(ids):
        ids = derived.ids
    return Tokens(
        pieces,
        ids,
        blank=_id(getattr(module, "blank", derived.blank)),
        pad=_id(getattr(module, "pad", derived.pad)),
        specials=frozenset(getattr(module, "specials", derived.specials)),
    )


def guarded(tokens: Tokens, model: str) -> Tokens:
    """The same for several threads, one text at a time: a fast tokenizer refuses a second. Raises ModelFailed."""
    turn = threading.Lock()

    def told(function: Callable[[str], Sequence[Any]], text: str) -> tuple[Any, ...]:
        try:
            with turn:
                return tuple(function(text))
        except Exception as error:  # somebody else's code may raise anything, and only its request must fail
            raise ModelFailed(model, f"its tokens of a text: {type(error).__name__}: {error}") from error

    def ids(text: str) -> tuple[int, ...]:
        found, pieces = told(tokens.ids, text), told(tokens.pieces, text)  # type: ignore[arg-type]
        if len(found) != len(pieces):
            raise ModelFailed(model, f"it tells {len(found)} ids of a text, and {len(pieces)} pieces")
        return found

    return replace(
        tokens,
        pieces=tokens.pieces and (lambda text: told(tokens.pieces, text)),  # type: ignore[arg-type]
        ids=tokens.ids and ids,
    )


@dataclass(frozen=True)
class _Units:
    """A factory's `pieces`, in the domain's words."""

    pieces: Callable[[str], Sequence[tuple[int, int]]]

    def __call__(self, text: str) -> tuple[Unit, ...]:
        return tuple(Unit(begin, end) for begin, end in self.pieces(text))


def _id(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _derived(tokenizer: Any) -> Tokens:
    if getattr(tokenizer, "is_fast", False):
        return _of_transformers(tokenizer)
    if hasattr(tokenizer, "encode") and hasattr(tokenizer, "get_added_tokens_decoder"):
        return _of_tokenizers(tokenizer)
    return Tokens()


def _of_tokenizers(tokenizer: Any) -> Tokens:
    """Of a `tokenizers.Tokenizer`; how much of a text it takes is its own `truncation`."""
    special = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    padding = tokenizer.padding or {}
    return Tokens(
        _Units(lambda text: tokenizer.encode(text).offsets),
        lambda text: tuple(tokenizer.encode(text).ids),
        blank=_named(special, BLANKS),
        pad=padding.get("pad_id", _named(special, PADS)),
        specials=frozenset(i for name, i in special.items() if name not in BLANKS + UNKNOWN),
    )


def _of_transformers(tokenizer: Any) -> Tokens:
    """Of a fast tokenizer of transformers; how much of a text it takes is its `model_max_length`."""

    def encoded(text: str) -> Any:
        return tokenizer(text, truncation=True, return_offsets_mapping=True)

    ordinary = {tokenizer.mask_token_id, tokenizer.unk_token_id}
    return Tokens(
        _Units(lambda text: encoded(text)["offset_mapping"]),
        lambda text: tuple(encoded(text)["input_ids"]),
        blank=tokenizer.mask_token_id,
        pad=tokenizer.pad_token_id,
        specials=frozenset(tokenizer.all_special_ids) - ordinary,
    )


def _named(ids: dict[str, int], names: Sequence[str]) -> int | None:
    return next((ids[name] for name in names if name in ids), None)
