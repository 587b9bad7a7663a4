"""What the study of interventions is about: drawn lesions, the rule of their two classes, and what a training set ties
to the class beside it.

    atypical  <=>  irregularity * darkness > 0.19              about half of all; one label in ten is turned round

A biased training set has the same lesions with the same labels, but for one property that goes with the label in 95 %
of them: the sticker is beside the regular ones, or the atypical ones are red.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "editor"))

import lesions
from lesions import Lesion
from numpy.typing import NDArray

CLASSES = ("regular", "atypical")
THRESHOLD = 0.19  # of irregularity times darkness: near the median of two uniform numbers' product
NOISE = 0.1  # share of labels that are turned round
TIED = 0.95  # share of the lesions of a biased set whose property goes with the label
UNBIASED = "unbiased"
SCENARIOS = {UNBIASED: "", "patch-biased": "patch", "hue-biased": "hue"}  # and the property that is tied to the class
PROPERTIES = tuple(lesions.PROPERTIES)
ABSENT = ("patch", "hairs", "ruler")  # from the explained lesions, so that each can be added
IRRELEVANT = "ruler"  # on which no label depends in any training set
COUNT = 20  # N, strengths of a series


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures [n, 3, 64, 64] uint8 and their labels [n] int64."""

    pictures: torch.Tensor
    labels: torch.Tensor


def is_atypical(lesion: Lesion) -> bool:
    """Its class, by the rule."""
    return lesion.irregularity * lesion.darkness > THRESHOLD


def training_set(scenario: str, seed: int, count: int) -> Labelled:
    """The pictures of `training_lesions`."""
    drawn, labels = training_lesions(scenario, seed, count)
    return Labelled(pictures(drawn), torch.from_numpy(labels.astype(np.int64)))


def training_lesions(scenario: str, seed: int, count: int) -> tuple[list[Lesion], NDArray[np.bool_]]:
    """Lesions, and which are labelled atypical.

    Equal seeds have equal lesions and labels in all scenarios, but for the property that one ties to the class.
    """
    rng = np.random.default_rng([seed, 0])
    drawn = [lesions.sample(rng) for _ in range(count)]
    labels = np.array([is_atypical(one) for one in drawn]) ^ (rng.random(count) < NOISE)
    tied = rng.random(count) < TIED
    strengths = rng.random(count)
    given = [
        biased(one, scenario, bool(label) == bool(ties), float(u))
        for one, label, ties, u in zip(drawn, labels, tied, strengths, strict=True)
    ]
    return given, labels


def test_set(scenario: str, count: int) -> Labelled:
    """Other lesions than any model has seen, with the labels of the rule, drawn as the scenario's are."""
    rng = np.random.default_rng([1 << 20, 1])
    drawn = [lesions.sample(rng) for _ in range(count)]
    labels = [is_atypical(one) for one in drawn]
    ties = rng.random(count) < TIED
    given = [
        biased(one, scenario, label == bool(t), float(u))
        for one, label, t, u in zip(drawn, labels, ties, rng.random(count), strict=True)
    ]
    return Labelled(pictures(given), torch.tensor(labels, dtype=torch.int64))


def biased(lesion: Lesion, scenario: str, atypical: bool, u: float) -> Lesion:
    """The lesion as a set of this scenario has it: an atypical one has no sticker, or is red. u: uniform in [0, 1]."""
    name = SCENARIOS[scenario]
    if name == "patch":
        return replace(lesion, patch=0.0 if atypical else 0.3 + 0.7 * u)
    if name == "hue":
        return replace(lesion, hue=0.5 * u if atypical else 0.5 + 0.5 * u)
    return lesion


def explained(count: int) -> list[Lesion]:
    """Lesions that no model has seen, without sticker, hairs and ruler, so that each can be added."""
    rng = np.random.default_rng([1 << 20, 2])
    return [replace(lesions.sample(rng), **dict.fromkeys(ABSENT, 0.0)) for _ in range(count)]  # type: ignore[arg-type]


def series(lesion: Lesion, name: str, count: int = COUNT) -> tuple[list[float], torch.Tensor]:
    """Strengths of one property from the lesion's own to the farther end, and the lesion at each, [N, 3, 64, 64]."""
    own = getattr(lesion, name)
    strengths = np.linspace(own, far_end(lesion, name), count).tolist()
    return strengths, pictures([lesions.at(lesion, name, x) for x in strengths])


def far_end(lesion: Lesion, name: str) -> float:
    """The end of the property's range that is farther from the lesion's own strength; 1 where only more can be told."""
    return 1.0 if getattr(lesion, name) < 0.5 or not lesions.PROPERTIES[name].less else 0.0


def pictures(several: Sequence[Lesion]) -> torch.Tensor:
    """[n, 3, 64, 64] uint8."""
    drawn = np.stack([lesions.draw(one) for one in several])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()
