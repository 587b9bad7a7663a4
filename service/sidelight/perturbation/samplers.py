"""Which units each row keeps: Z in {0, 1}^(N x M), drawn by row from counter-based streams."""

from dataclasses import dataclass

import torch

from sidelight.core.stream import Stream


@dataclass(frozen=True)
class Bernoulli:
    """Every unit is kept with probability `keep`, independently: rows are i.i.d., so a block is one row."""

    stream: Stream
    units: int
    keep: float

    def draw(self, rows: range) -> torch.Tensor:
        """Z [k, M] float32."""
        return torch.from_numpy(self.stream.uniform(rows, self.units) < self.keep).float()
