"""Optimised masks to messages: how each was come by, and what it is worth."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from sidelight_proto.v1 import types_pb2

from sidelight.core.inputs import TextInput
from sidelight.core.job import HALF, Job, Optimised
from sidelight.rpc.tensors import encode_tensor

TERMS = 5  # kept, removed, size, sigma, variation


def encode_optimised(o: Optimised, *, features: bool) -> types_pb2.OptimisedMask:
    """With w and sigma of each cell, if `features`."""
    message = types_pb2.OptimisedMask(
        terms=[encode_tensor(name, torch.tensor(curve), ("step",)) for name, curve in o.terms.items()],
        objective=o.objective,
        kept=o.kept,
        removed=o.removed,
        mean=o.mean,
        step=o.step,
        settled=o.settled,
        gradient_free=o.gradient_free,
        rationales=[types_pb2.Rationale(begin=s.begin, end=s.end, score=s.score) for s in o.spans],
    )
    if features:
        axes = ("height", "width") if o.w.ndim == 2 else ("unit",)
        message.w.CopyFrom(encode_tensor("w", o.w, axes))
        message.sigma.CopyFrom(encode_tensor("sigma", o.sigma, axes))
    return message


def optimised_bytes(job: Job, params: Any, *, features: bool) -> int:
    """Bytes of the tensors of one target's mask, at most: every term over all steps, and its cells."""
    if not optimises(params):
        return 0
    steps = params.steps if hasattr(params, "steps") else params.generations
    cells = math.prod(math.ceil(n / getattr(params, "cell", 1)) for n in job.input.shape)
    return 4 * (TERMS * steps + 2 * cells * features)


def unsettled(o: Optimised, params: Any) -> bool:
    """Whether a rule was to stop it, and did not."""
    rule = getattr(params, "rule", None)
    return not o.settled and (rule is None or rule.value != "never")


def optimised_warnings(o: Optimised, job: Job, params: Any) -> Iterator[str]:
    """What to doubt about a mask."""
    if not o.gradient_free and _cut(job):
        yield (
            "the text is longer than the model takes: the mask is of overlapping windows of it, its p and q are means "
            "over them, and the served model sees the first alone"
        )
    if unsettled(o, params):
        steps = max(map(len, o.terms.values()), default=0)
        yield f"the mask had not settled after {steps} steps: it may keep more than it needs"
    if isinstance(job.input, TextInput) and not o.gradient_free and o.mean > HALF:
        sigma, words = o.sigma.median().item(), len(job.input.units)
        if 2 * sigma > words:
            yield (
                f"the mask keeps more than half of the text: with sigma at {sigma:.1f} words all {words} go together. "
                "The preset is the paper's, for documents: with sigma_weight 0 and sigma 1 few words are told apart"
            )


def _cut(job: Job) -> bool:
    """Whether a text goes on behind the last token that the model takes."""
    x, twin = job.input, job.twin
    if not isinstance(x, TextInput) or twin is None or twin.pieces is None:
        return False
    return x.units[-1].begin >= max(piece.end for piece in twin.pieces(x.text))


def optimises(params: Any) -> bool:
    """Whether these are parameters of a method whose maps are optimised masks."""
    return hasattr(params, "size_weight")
