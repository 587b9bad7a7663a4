"""Log evidence for and against every class of an output vector: what masks are optimised for.

p is the softmax (class-discriminative), the sigmoid of the logit (class-indicative) or .9 and .1 of them, as Brinner &
Zarriess, arXiv 2508.11388, have it. From logits both logarithms are exact, however near p is to 0 or 1. Where there are
only probabilities, or a mixture of them, they are squeezed first, .99999 p + 5e-6, as the authors' code does.
"""

from enum import Enum

import torch

from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.target import LINKS, Link, OutputKind, Target, weighed

SHARE = 0.9  # of the softmax in the mixture


class Evidence(Enum):
    """What p is, of a model that serves logits."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    MIXED = "mixed"


def evidence(y: torch.Tensor, kind: OutputKind, of: Evidence) -> torch.Tensor:
    """log p and log(1 - p), side by side [k, 2K], of output vectors y [k, K] as `outputs` has them; differentiable."""
    if kind is OutputKind.LOGITS and of is not Evidence.MIXED:
        logits = LINKS[kind]
        if of is Evidence.SOFTMAX:
            return torch.cat([logits[Link.LOG_PROBABILITY](y), logits[Link.LOG_COMPLEMENT](y)], 1)
        return torch.cat([logits[Link.LOG_SIGMOID](y), logits[Link.LOG_SIGMOID_COMPLEMENT](y)], 1)
    p = SHARE * y.softmax(1) + (1 - SHARE) * y.sigmoid() if kind is OutputKind.LOGITS else y
    squeezed = 0.99999 * p + 5e-6
    return torch.cat([squeezed.log(), torch.log1p(-squeezed)], 1)


def read(y: torch.Tensor, kind: OutputKind, link: Link | Evidence, w: torch.Tensor) -> torch.Tensor:
    """Scores [k] of output vectors y [k, K] under weights w [k, K], of evidence [k, 2K]; differentiable in y."""
    if isinstance(link, Link):
        return weighed(y, kind, link, w)
    return (evidence(y, kind, link) * w).sum(1)


def check_evidence(target: Target, of: Evidence, field: str) -> None:
    """Raises InvalidRequest or Unsupported where a target has no evidence of this form."""
    if target.link is Link.COSINE or target.contrast:
        raise InvalidRequest("target", "classes, without contrast: it is their evidence that a mask keeps or removes")
    if target.kind is OutputKind.AS_SERVED:
        raise Unsupported(
            "OUTPUT_UNKNOWN", "target", "nothing says what the outputs are: say it in the model card's output.kind"
        )
    if target.kind is not OutputKind.LOGITS and of is not Evidence.SOFTMAX:
        raise InvalidRequest(field, f"softmax: {of.value} needs logits, and this model serves {target.kind.value}")
