"""The rationales that a request asks for: by threshold, by share or by count."""

from typing import Any

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import Input, TextInput
from sidelight.core.job import Span
from sidelight.core.params import bounded
from sidelight.masks.options import Options
from sidelight.masks.spans import by_count, by_share, by_threshold

THRESHOLD = 0.5  # where nothing is asked for
WAYS = ("span_threshold", "span_share", "span_count")


def span_threshold() -> Any:
    """The parameter of this name, of every method that has rationales."""
    return bounded(
        None, low=0.0, high=1.0, what="rationales: runs of words with so large a mask; unset, as the next two: .5"
    )


def span_share() -> Any:
    """Likewise."""
    return bounded(
        None, low=0.0, high=1.0, open=True, what="rationales: so large a share of all words; unset: as above"
    )


def span_count() -> Any:
    """Likewise."""
    return bounded(None, low=1, high=1000, what="rationales: at most so many runs of words; unset: as above")


def rationale(x: Input, mask: torch.Tensor, options: Options) -> tuple[Span, ...]:
    """Spans of a text under a mask [n] of its words; of other inputs none."""
    if not isinstance(x, TextInput):
        return ()
    if options.span_share is not None:
        return by_share(mask, x.units, options.span_share)
    if options.span_count is not None:
        return by_count(mask, x.units, options.span_count)
    return by_threshold(mask, x.units, THRESHOLD if options.span_threshold is None else options.span_threshold)


def check_spans(x: Input, options: Options, method: str) -> None:
    """Raises InvalidRequest where rationales are asked for in two ways, or of what is no text."""
    asked = [name for name in WAYS if getattr(options, name) is not None]
    if len(asked) > 1:
        raise InvalidRequest(f"{method}.{asked[1]}", f"leave it out, or {asked[0]}: they say the same in two ways")
    if asked and not isinstance(x, TextInput):
        raise InvalidRequest(f"{method}.{asked[0]}", "of texts: rationales are words")
