"""What gradual interventions came to (Penzel & Denzler, arXiv 2503.05424)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sidelight.core.editor import Frame
    from sidelight.core.job import Job


@dataclass(frozen=True)
class Significance:
    """A permutation test of the score: ordered, not large. Of frames that are the same as the one before each once."""

    permutations: int  # K; fewer than asked for where the deadline came between them
    p_value: float  # (1 + count) / (1 + K)
    p_value_raw: float  # count / K
    adjusted: float  # p_value, corrected over the properties of the request
    significant: bool  # adjusted below the level asked for
    null_mean: float  # m, of the scores of permuted outputs, with the unedited one among them where that was asked for
    null_low: float  # their quantiles at .005 and .995
    null_high: float


@dataclass(frozen=True)
class Dependence:
    """Another statistic of outputs against strengths, with its own permutation p-value (1 + count) / (1 + K)."""

    value: float  # NaN where it is not defined: the correlation of a constant
    p_value: float


@dataclass(frozen=True, eq=False)
class Effect:
    """What a property did to one explained number y."""

    outputs: torch.Tensor  # [n] float64: y at the strengths of its `Response`
    score: float  # S, mean |g_i| over the uniform grid, unit spacing
    score_with_original: float  # the same with the unedited input in front
    estimated: bool  # whether the grid was not fully evaluated: S is of a linear interpolation, and there is no p-value
    total_variation: float  # sum of |y_{i+1} - y_i|, free of the resolution
    signed_mean: float  # mean g_i
    gradient: float  # mean |dy/dx| over the grid, in the property's unit; NaN unless strengths rise or fall all along
    reconstruction_shift: float  # y_0 minus y of the unedited input
    significance: Significance | None  # also None where the deadline came before the first permutation
    dependence: Mapping[str, Dependence] = field(default_factory=dict)  # "pearson", "mutual_information"


@dataclass(frozen=True, eq=False)
class Response:
    """One property: the series of frames, what the model made of them, and the effect on each of T numbers."""

    name: str
    editor: str
    unit: str
    count: int  # N, of the uniform grid
    strengths: torch.Tensor  # [n] float64, those that were evaluated, in the series' order
    effects: tuple[Effect, ...]  # [T]
    classes: torch.Tensor  # [C] int64: those on top anywhere along the series, then the next; of cosine targets none
    curves: torch.Tensor  # [n, C] float64: their outputs (probabilities where the card tells what outputs are)
    top: torch.Tensor  # [n] int64: the top class at each strength; of cosine targets the most similar of the T
    flips: int  # how often it changes along the series, the unedited input in front not counted
    flips_at: float | None  # the first strength at which it is not the unedited input's
    distance: torch.Tensor  # [n] float64: mean absolute difference of pixels from the unedited image, 0..255
    similarity: torch.Tensor  # [n] float64: SSIM with it
    chosen: tuple[int, ...]  # places in the series of the frames that are shown
    frames: "tuple[Frame, ...]"  # these frames
    edits: int  # that were made for it in this request
    saved: int  # strengths of the grid that adaptive sampling left out
    repeated: int  # frames that are the same as the one before, which tests leave out


@dataclass(frozen=True, eq=False)
class Interventions:
    """The answer of an interventional method for one model."""

    responses: tuple[Response, ...]
    job: "Job | None" = None
