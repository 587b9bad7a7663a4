"""Which number is explained: classes of the output vector, read through a link, or cosine similarity to references."""

from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F

from sidelight.core.errors import InvalidRequest, Unsupported


class OutputKind(Enum):
    """What the model's output vector is, as its card says."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    SIGMOID = "sigmoid"  # one probability, of class 1; scored as the pair (1 - p, p)
    AS_SERVED = "as_served"  # no card: nothing is known


class Link(Enum):
    """How a class is read off the output vector."""

    AS_SERVED = "as_served"
    LOGIT = "logit"
    PROBABILITY = "probability"
    LOG_PROBABILITY = "log_probability"
    LOG_COMPLEMENT = "log_complement"
    SIGMOID = "sigmoid"
    LOG_SIGMOID = "log_sigmoid"
    LOG_SIGMOID_COMPLEMENT = "log_sigmoid_complement"
    COSINE = "cosine"


def _log_complement_of_logits(y: torch.Tensor) -> torch.Tensor:
    """log(1 - softmax(y)) [k, K]. Only the top class can be near 1: there, logsumexp over the others loses no digit."""
    log_p = y.log_softmax(1)
    top = log_p.argmax(1, keepdim=True)
    others = log_p.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True)
    # Its own p is taken out before: the derivative of log(1 - p) at p = 1 times a weight of 0 would be NaN.
    return torch.log1p(-log_p.exp().scatter(1, top, 0.0)).scatter(1, top, others)


_LOGITS = {
    Link.LOG_COMPLEMENT: _log_complement_of_logits,
    Link.LOGIT: lambda y: y,
    Link.PROBABILITY: lambda y: y.softmax(1),
    Link.LOG_PROBABILITY: lambda y: y.log_softmax(1),
    Link.SIGMOID: torch.sigmoid,
    Link.LOG_SIGMOID: F.logsigmoid,
    Link.LOG_SIGMOID_COMPLEMENT: lambda y: F.logsigmoid(-y),
}
_PROBABILITIES = {
    Link.PROBABILITY: lambda p: p,
    Link.LOG_PROBABILITY: torch.log,
    Link.LOG_COMPLEMENT: lambda p: torch.log1p(-p),
}
LINKS = {
    OutputKind.LOGITS: _LOGITS,
    OutputKind.PROBABILITIES: _PROBABILITIES,
    OutputKind.SIGMOID: _PROBABILITIES,
    OutputKind.AS_SERVED: {},
}
NATURAL = {
    OutputKind.LOGITS: Link.LOGIT,
    OutputKind.PROBABILITIES: Link.PROBABILITY,
    OutputKind.SIGMOID: Link.PROBABILITY,
    OutputKind.AS_SERVED: Link.AS_SERVED,
}


def outputs(y: torch.Tensor, kind: OutputKind) -> torch.Tensor:
    """The output vector [k, K] in float64: flattened, a single sigmoid spread to the pair (1 - p, p)."""
    y = y.flatten(1).double()
    return torch.cat([1 - y, y], 1) if kind is OutputKind.SIGMOID else y


def weighed(y: torch.Tensor, kind: OutputKind, link: Link, w: torch.Tensor) -> torch.Tensor:
    """Scores [k] of output vectors y [k, K] (as `outputs` has them) under weights w [k, K]; differentiable in y.

    s = sum_k w_k L(y)_k; for the cosine L(y) = y / |y|, and w is the mean of the normalised references.
    """
    if link is Link.COSINE:
        return (F.normalize(y, dim=1) * w).sum(1)
    if kind in (OutputKind.PROBABILITIES, OutputKind.SIGMOID):
        y = torch.where(w == 0, 0.5, y)  # entry by entry: the log of a probability 0 that nobody asks for is no NaN
    return ((y if link is Link.AS_SERVED else LINKS[kind][link](y)) * w).sum(1)


def class_values(y: torch.Tensor, kind: OutputKind) -> torch.Tensor:
    """What each class of y [k, K] (as `outputs` has them) is told as: its probability where the card tells outputs."""
    return y.softmax(1) if kind is OutputKind.LOGITS else y


def resolve_link(link: Link | None, kind: OutputKind) -> Link:
    """The link to use. Raises InvalidRequest for one that cannot be had from outputs of this kind."""
    if link is None:
        return NATURAL[kind]
    if link in (Link.AS_SERVED, Link.COSINE) or link in LINKS[kind]:
        return link
    if kind is OutputKind.AS_SERVED:
        raise InvalidRequest(
            "target.link", f"{link.value} needs to know what the outputs are: say it in the model card's output.kind"
        )
    can = ", ".join(known.value for known in LINKS[kind])
    raise InvalidRequest("target.link", f"{link.value} cannot be had from {kind.value}; one of {can} can")


@dataclass(frozen=True)
class Target:
    """T numbers read off an output vector: one for each class (minus the mean of `contrast`), or of cosines one for
    each class that references describe, the mean over them.
    """

    kind: OutputKind
    link: Link
    classes: tuple[int, ...] = ()
    contrast: tuple[int, ...] = ()
    references: torch.Tensor | None = None  # [R, K], for Link.COSINE
    groups: tuple[int, ...] = ()  # [R]: the class that each describes, all of 0..T-1 among them; (): the same

    @property
    def count(self) -> int:
        """T."""
        return max(self.groups, default=0) + 1 if self.link is Link.COSINE else len(self.classes)

    @property
    def scale(self) -> str:
        """The scale of the explained number in words."""
        natural = NATURAL[self.kind].value if self.link is Link.AS_SERVED else self.link.value
        return natural if not self.contrast else f"{natural} difference"

    def score(self, y: torch.Tensor) -> torch.Tensor:
        """Scores [k, T] in float64 of outputs y [k, ...]. Raises Unsupported where one is not finite."""
        s = self._score(outputs(y, self.kind))
        if not s.isfinite().all():
            raise Unsupported(
                "NON_FINITE_SCORE",
                "target.link",
                f"the {self.link.value} of an output is not finite (a probability of exactly 0 or 1): "
                "explain the probability or, where the model serves logits, the logit",
            )
        return s

    def _score(self, y: torch.Tensor) -> torch.Tensor:
        if self.references is not None:
            return F.normalize(y, dim=1) @ self.weights(y.shape[1]).to(y).T
        s = y if self.link is Link.AS_SERVED else LINKS[self.kind][self.link](y)
        picked = s[:, list(self.classes)]
        return picked - s[:, list(self.contrast)].mean(1, keepdim=True) if self.contrast else picked

    def weights(self, length: int) -> torch.Tensor:
        """[T, K] float64 of which `weighed` makes the scores, for an output vector of K = `length` numbers."""
        if self.references is not None:
            # The mean of cosines is the product with the mean of the normalised references.
            member = F.one_hot(torch.tensor(self.groups or [0] * len(self.references))).double()  # [R, T]
            return (member / member.sum(0)).T @ F.normalize(self.references.double(), dim=1)
        w = torch.zeros(len(self.classes), length, dtype=torch.float64)
        w[range(len(self.classes)), list(self.classes)] = 1
        for c in self.contrast:
            w[:, c] -= 1 / len(self.contrast)
        return w
