"""One property as far as one model has been asked about it."""

from collections.abc import Sequence as Several
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from sidelight.core.editor import Frame
from sidelight.core.sequence import Sequence
from sidelight.core.sweep import Plan
from sidelight.core.target import Link, Target, class_values, outputs

SHOWN = 5  # classes of which curves are told, and those that are on top anywhere
MOST_SHOWN = 20


@dataclass(eq=False)
class Series:
    """Outputs by place on the grid of strengths, 0..N-1, and their frames."""

    sequence: Sequence
    target: Target
    outputs: dict[int, torch.Tensor] = field(default_factory=dict)  # [K] float64
    frames: dict[int, Frame] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """N."""
        return len(self.sequence.strengths)

    @property
    def places(self) -> NDArray[np.int64]:
        """[n]: where it was evaluated, in order."""
        return np.array(sorted(self.outputs), dtype=np.int64)

    @property
    def complete(self) -> bool:
        """Whether it was everywhere."""
        return len(self.outputs) == self.count

    @property
    def strengths(self) -> torch.Tensor:
        """[n] float64."""
        return torch.tensor(self.sequence.strengths, dtype=torch.float64)[torch.from_numpy(self.places)]

    @property
    def y(self) -> torch.Tensor:
        """Outputs [n, K]."""
        return torch.stack([self.outputs[i] for i in sorted(self.outputs)])

    @property
    def distinct(self) -> NDArray[np.int64]:
        """[m]: of the n evaluated, in order, those whose frame is not that of the one before."""
        frames = [self.frames[i] for i in self.places.tolist()]
        return np.array([i for i, x in enumerate(frames) if i == 0 or not torch.equal(x, frames[i - 1])], np.int64)

    def edited(self, places: Several[int]) -> Plan[None]:
        """Get the frames at these places; some stay missing where the deadline comes. Raises Stopped."""
        own, x = self.sequence.prepared.frames, self.sequence.strengths
        if own:  # a caller's series, in which a strength may come twice
            self.frames |= {i: own[i] for i in places}
        elif places:
            found = yield from self.sequence.frames([x[i] for i in places])
            self.frames |= {i: found[x[i]] for i in places if x[i] in found}

    def scores(self) -> NDArray[np.float64]:
        """[T, n]. Raises Unsupported where one is not finite."""
        return self.target.score(self.y).numpy().T

    def top(self) -> torch.Tensor:
        """[n] int64: the top class."""
        return ranked(self.y, self.target).argmax(1)

    def curves(self, original: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Classes [C] int64 and their values [n, C]: those on top anywhere, also of `original` [1, K], and the next.

        In the order of their largest values. None of a cosine target, whose outputs are no classes.
        """
        if self.target.link is Link.COSINE:
            return torch.zeros(0, dtype=torch.int64), torch.zeros(len(self.outputs), 0, dtype=torch.float64)
        values = ranked(torch.cat([self.y.flatten(1), original.flatten(1)]), self.target)
        peak = values.amax(0)
        peak[values.argmax(1)] += peak.max() - peak.min() + 1  # in front of those that are on top nowhere
        tops = len(values.argmax(1).unique())
        classes = peak.topk(min(max(SHOWN, tops), MOST_SHOWN, peak.numel())).indices
        return classes, values[:-1, classes]


def ranked(y: torch.Tensor, target: Target) -> torch.Tensor:
    """What the top class is the largest of, [k, C] of outputs y [k, ...]: of a cosine target the explained classes."""
    if target.link is Link.COSINE:
        return target.score(y)
    return class_values(outputs(y, target.kind), target.kind)
