"""What path attributions attributed, of what there was to attribute."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message
from sidelight_proto.v1 import types_pb2

from sidelight_client.tensors import Chunks


@dataclass(frozen=True)
class Step:
    """A display step, what the map adds up to after it, and that minus the attribution target."""

    name: str
    result: float
    error: float


@dataclass(frozen=True, eq=False)
class Attribution:
    """One attribution of one target.

        T = g(z) - g(b)   `target`      R = sum of A   `result`      E = R - T   `error`

    (Cui & Fan, arXiv 2605.22417). Where an attribution has no finite baseline b there is no T, and so no E.
    """

    attribution: str  # its name, as in requests
    baseline: str  # b in words, implied where the attribution implies one
    rule: str  # the quadrature in words
    output: float  # g(z)
    baseline_output: float | None  # g(b), of several baselines their mean
    target: float | None
    result: float  # before any display step
    error: float | None
    error_relative: float | None  # |E| / |T|
    parts: Mapping[str, float]  # where E comes from; they add up to it
    steps: tuple[Step, ...]  # what was done for display
    residual: float | None  # sum over panels of |R - T| over the output's variation, of adaptive rules
    indicator: float | None  # estimated error of the map, L1 over L1
    converged: bool
    evaluations: int  # every forward counted, those shared with other attributions too
    features: Mapping[str, np.ndarray]  # A by layer, with `outputs` "features"
    map: np.ndarray | None  # as shown, [height, width] or [unit]; of comparisons

    @property
    def largest_part(self) -> tuple[str, float] | None:
        """The part of the error that is largest, and how much it is; None where there is none."""
        return max(self.parts.items(), key=lambda part: abs(part[1])) if any(self.parts.values()) else None

    @classmethod
    def decode(cls, told: types_pb2.AttributionResult, chunks: Chunks) -> "Attribution":
        """From the protocol. Raises ProtocolError where a tensor does not fit its description."""
        return cls(
            attribution=name_of(told.attribution),
            baseline=told.baseline,
            rule=told.rule,
            output=told.output_value,
            baseline_output=_optional(told, "baseline_output_value"),
            target=_optional(told, "target"),
            result=told.result,
            error=_optional(told, "error"),
            error_relative=_optional(told, "error_relative"),
            parts={part.name: part.value for part in told.parts},
            steps=tuple(Step(step.name, step.result, step.error) for step in told.steps),
            residual=_optional(told, "residual"),
            indicator=_optional(told, "indicator"),
            converged=told.converged,
            evaluations=told.evaluations,
            features={tensor.name: chunks.decode(tensor) for tensor in told.features},
            map=chunks.decode(told.map) if told.HasField("map") else None,
        )


def name_of(number: int) -> str:
    """As requests have it; a number of a later protocol is called by its number."""
    known = types_pb2.Attribution.DESCRIPTOR.values_by_number
    return known[number].name.removeprefix("ATTRIBUTION_").lower() if number in known else f"attribution {number}"


def _optional(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None
