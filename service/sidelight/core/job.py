"""What a method is given, and what it gives back."""

from dataclasses import dataclass
from typing import Any

import torch

from sidelight.core.ask import Model
from sidelight.core.inputs import Input
from sidelight.core.stream import Stream
from sidelight.core.target import Target


@dataclass(frozen=True)
class Job:
    """One explanation of one model: the input with its baseline, the target, and the randomness to use."""

    model: Model
    input: Input
    target: Target
    stream: Stream
    tolerance: float | None = None  # of the relative standard error; None: all rows
    ends: torch.Tensor | None = None  # [2, K] outputs on the input and on the baseline, once they are known


@dataclass(frozen=True, eq=False)
class Segments:
    """Scores of the segments of an image."""

    labels: torch.Tensor  # [H, W] int64, 0..M-1
    scores: torch.Tensor  # [T, M] float64
    standard_error: torch.Tensor | None = None  # [T, M]


@dataclass(frozen=True)
class Saliency:
    """Attribution maps, one for each of T targets."""

    maps: torch.Tensor  # [T, *input.shape] float64
    standard_error: torch.Tensor | None = None  # the same shape
    relative_error: tuple[float, ...] | None = None  # [T], 95th percentile of SE / (max - min)
    segments: Segments | None = None  # scores by unit, where units are not the map's own positions
    job: Job | None = None  # as the method changed it: a baseline that depends on its segments


Result = Saliency | Any
