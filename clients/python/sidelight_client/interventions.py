"""What gradual interventions on one property did to one explained number (Penzel & Denzler, arXiv 2503.05424)."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message
from PIL import Image
from sidelight_proto.v1 import types_pb2

from sidelight_client import pictures


@dataclass(frozen=True)
class Significance:
    """A permutation test of the score against the same outputs in random order: it says ordered, not large."""

    permutations: int  # K
    p_value: float  # (1 + count) / (1 + K)
    p_value_raw: float  # count / K
    p_value_corrected: float  # over the properties of the request
    significant: bool  # whether that is below the level asked for
    null_mean: float  # of the scores of permuted outputs
    null_low: float  # their quantile at .005
    null_high: float  # their quantile at .995


@dataclass(frozen=True)
class Dependence:
    """Another statistic of outputs against strengths, with its permutation p-value."""

    value: float
    p_value: float


@dataclass(frozen=True, eq=False)
class ClassCurve:
    """A class that is among the top somewhere along the series, and its output at each strength."""

    index: int
    label: str
    values: np.ndarray  # float64 [n]

    @property
    def name(self) -> str:
        """The label, or the index where the model has no labels."""
        return self.label or f"class {self.index}"


@dataclass(frozen=True)
class Frame:
    """An edited image that is shown: its place in the series, its strength, and a PNG."""

    index: int
    strength: float
    png: bytes

    @property
    def image(self) -> Image.Image:
        """The picture, decoded."""
        return pictures.opened(self.png)


@dataclass(frozen=True, eq=False)
class Intervention:
    """do(X := x) for rising x, and y = F(do(X := x)):  S = mean |g|,  g the central differences of y.

    S depends on N: of a monotone series it is about |y_end - y_0| / N, so compare it only at equal N. `total_variation`
    does not. The p-value says that y is ordered along the series, not that the effect is large.
    """

    property: str
    editor: str
    editor_digest: str  # of its weights; empty where it has none
    unit: str  # of the strengths
    count: int  # N
    strengths: np.ndarray  # float64 [n], those that were evaluated
    outputs: np.ndarray  # float64 [n], y
    score: float  # S
    score_with_original: float  # the same with the unedited input in front
    estimated: bool  # whether S is of an interpolation, since the grid was not fully evaluated
    total_variation: float  # sum of |y_{i+1} - y_i|
    signed_mean: float  # mean g
    gradient: float | None  # mean |dy/dx|, in the property's own unit
    reconstruction_shift: float  # y_0 minus y of the unedited input: the editor's doing, not the property's
    significance: Significance | None
    dependence: Mapping[str, Dependence]
    flips: int  # how often the top class changes along the series
    flips_at: float | None  # the first strength at which it is not the unedited input's
    top: np.ndarray  # int64 [n], the top class at each strength
    classes: tuple[ClassCurve, ...]
    distance: np.ndarray  # float64 [n], mean absolute difference of pixels from the unedited image, 0..255
    similarity: np.ndarray  # float64 [n], structural similarity with it
    frames: tuple[Frame, ...]
    saved: int  # strengths of the grid that adaptive sampling left out

    @classmethod
    def decode(cls, told: types_pb2.Intervention, name: str, frames: Sequence[types_pb2.Frame]) -> "Intervention":
        """From the protocol; `frames` are those of the first result of its model and property."""
        test = told.significance
        return cls(
            property=name,
            editor=told.editor,
            editor_digest=told.editor_digest,
            unit=told.unit,
            count=told.count,
            strengths=np.array(told.strengths, np.float64),
            outputs=np.array(told.outputs, np.float64),
            score=told.score,
            score_with_original=told.score_with_original,
            estimated=told.estimated,
            total_variation=told.total_variation,
            signed_mean=told.signed_mean,
            gradient=_optional(told, "gradient"),
            reconstruction_shift=told.reconstruction_shift,
            significance=Significance(
                test.permutations, test.p_value, test.p_value_raw, test.p_value_corrected, test.significant,
                test.null_mean, test.null_low, test.null_high,
            ) if told.HasField("significance") else None,
            dependence={d.name: Dependence(d.value, d.p_value) for d in told.dependence},
            flips=told.flips,
            flips_at=_optional(told, "flips_at"),
            top=np.array(told.top, np.int64),
            classes=tuple(ClassCurve(c.index, c.label, np.array(c.values, np.float64)) for c in told.classes),
            distance=np.array(told.pixel_distance, np.float64),
            similarity=np.array(told.structural_similarity, np.float64),
            frames=tuple(Frame(f.index, f.strength, f.png) for f in frames),
            saved=told.strengths_saved,
        )  # fmt: skip

    def class_name(self, index: int) -> str:
        """In words, of a class that is among the top somewhere along the series."""
        return next((c.name for c in self.classes if c.index == index), f"class {index}")

    def rows(self) -> list[dict[str, Any]]:
        """One for each strength: the series as a table."""
        return [
            {
                "strength": float(self.strengths[i]),
                "output": float(self.outputs[i]),
                "top_class": self.class_name(int(self.top[i])),
                "pixel_distance": float(self.distance[i]),
                "structural_similarity": float(self.similarity[i]),
                **{f"class {c.name}": float(c.values[i]) for c in self.classes},
            }
            for i in range(len(self.strengths))
        ]

    def csv(self) -> str:
        """The same, separated by commas."""
        rows = self.rows()
        written = io.StringIO()
        table = csv.DictWriter(written, list(rows[0]) if rows else [], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        return written.getvalue()


def _optional(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None
