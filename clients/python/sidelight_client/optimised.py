"""Masks found by optimisation: how each was come by, what it is worth, and the rationales of a text."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sidelight_proto.v1 import types_pb2

from sidelight_client.tensors import Chunks


@dataclass(frozen=True)
class Rationale:
    """A run of words that the mask keeps: characters [begin, end) of the text, and the mean of the mask over them."""

    text: str
    begin: int
    end: int
    score: float


@dataclass(frozen=True, eq=False)
class Optimised:
    """An optimised mask (Brinner & Zarriess, arXiv 2508.11388); the mask itself is the result's `map`.

    `terms` are those of the objective at each step, weight and sign included: "kept" -log p, "removed" -log(1 - q) or
    log q, "size", "sigma", "variation".
    """

    terms: Mapping[str, np.ndarray]  # float32 [step] by name
    objective: float  # of the mask, without the term of sigma
    kept: float  # p, of the class on the part that the mask keeps; of several baselines the mean
    removed: float  # q, of the class on the complement; likewise
    mean: float  # of the mask
    step: int  # whose mask it is, from 0
    settled: bool  # whether the rule stopped it, and not the last step, the budget or the deadline
    gradient_free: bool  # whether it was searched for without gradients
    w: np.ndarray | None  # of each cell, with `outputs` "features"
    sigma: np.ndarray | None  # of each cell, with `outputs` "features"

    @property
    def steps(self) -> int:
        """How many were done."""
        return max(map(len, self.terms.values()), default=0)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        cells = {"w": self.w, "sigma": self.sigma}
        terms = {f"terms.{name}": curve for name, curve in self.terms.items()}
        return terms | {name: values for name, values in cells.items() if values is not None}

    @classmethod
    def decode(cls, told: types_pb2.OptimisedMask, chunks: Chunks) -> "Optimised":
        """From the protocol. Raises ProtocolError where a tensor does not fit its description."""
        return cls(
            terms={tensor.name: chunks.decode(tensor) for tensor in told.terms},
            objective=told.objective,
            kept=told.kept,
            removed=told.removed,
            mean=told.mean,
            step=told.step,
            settled=told.settled,
            gradient_free=told.gradient_free,
            w=chunks.decode(told.w) if told.HasField("w") else None,
            sigma=chunks.decode(told.sigma) if told.HasField("sigma") else None,
        )
