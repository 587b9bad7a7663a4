"""The rows of the study's tables: scores of properties by classifier, and how far saliency maps change."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import intervention_domain as domain
import lesions
import torch
from intervention_clinic import Classifier, Clinic, responses
from intervention_domain import CLASSES
from laboratory import opened
from lesions import Lesion
from rationale_maps import explained
from sidelight.core.effect import Response
from sidelight.core.explanation import ends
from sidelight.core.job import Job
from sidelight.core.sequence import Sequence as Edits
from sidelight.core.sweep import Plan, together
from sidelight.core.target import Link
from sidelight.perturbation.options import Segmentation

KEY = (
    "trained_on", "epochs", "scenario", "architecture", "seed", "epoch", "lesion", "property", "editor", "count",
)  # fmt: skip
VALUES = (
    "class", "probability", "score", "total_variation", "signed_mean", "p_value", "adjusted", "significant", "changed",
    "edits",
)  # fmt: skip
MAP_KEY = (
    "trained_on",
    "epochs",
    "scenario",
    "architecture",
    "seed",
    "epoch",
    "lesion",
    "property",
    "method",
    "samples",
)
MAP_VALUES = ("change",)

TASK = ("patch", "hue", "darkness", "ruler")  # properties of which maps are compared
METHODS = ("grad_cam", "integrated_gradients", "occlusion", "lime", "kernel_shap")
NODES, CELLS = 16, 64  # of Integrated Gradients; of the grid of the others, 8 x 8
Row = dict[str, Any]


def keys(
    classifiers: Sequence[Classifier], lesion: int, properties: Sequence[str], editor: str, count: int
) -> list[Row]:
    """Which rows the properties of one lesion have."""
    return [
        one.key | {"lesion": lesion, "property": name, "editor": editor, "count": count}
        for one in classifiers
        for name in properties
    ]


def scored(
    clinic: Clinic, classifiers: Sequence[Classifier], lesion: int, x: Lesion, edits: Sequence[Edits]
) -> Plan[list[Row]]:
    """A row for each classifier and property of lesion number `lesion`."""
    (pixels,) = domain.pictures([x])
    found = yield from responses(clinic, classifiers, pixels, edits)
    return [
        one.key | {"lesion": lesion, "property": r.name, "editor": r.editor, "count": r.count} | _told(r, label)
        for one, (label, several) in zip(classifiers, found, strict=True)
        for r in several
    ]


def _told(r: Response, label: int) -> Row:
    """label: the class of the unedited picture, whose probability is explained."""
    (effect,) = r.effects
    own = effect.outputs[0] - effect.reconstruction_shift
    s = effect.significance
    assert s is not None  # the whole grid was evaluated
    return {
        "class": CLASSES[label], "probability": float(own), "score": effect.score,
        "total_variation": effect.total_variation, "signed_mean": effect.signed_mean, "p_value": s.p_value,
        "adjusted": s.adjusted, "significant": int(s.significant), "changed": int(int(r.top[-1]) != label),
        "edits": r.edits,
    }  # fmt: skip


def map_keys(one: Classifier, lesion: int, samples: int) -> list[Row]:
    """Which rows the maps of one lesion have."""
    return [
        one.key | {"lesion": lesion, "property": name, "method": method, "samples": samples}
        for name in TASK
        for method in METHODS
    ]


def compared(clinic: Clinic, one: Classifier, lesion: int, x: Lesion, samples: int) -> Plan[list[Row]]:
    """Mean squared change of each method's map from the picture to the fully edited one, in the order of `map_keys`.

    The class is the classifier's own of the unedited picture. samples: rows of each method that draws them.
    """
    edited = domain.pictures([x, *(lesions.at(x, name, domain.far_end(x, name)) for name in TASK)])
    (first,), _ = yield from opened(clinic.job(one, edited[0]), Link.PROBABILITY)
    outputs = yield from together(*(ends(clinic.job(one, pixels)) for pixels in edited[1:]))
    others = [
        replace(clinic.job(one, pixels), target=first.target, ends=y)
        for pixels, y in zip(edited[1:], outputs, strict=True)
    ]
    unedited, *maps = yield from together(*(_maps(job, samples) for job in (first, *others)))
    changes = [float((a - b).square().mean()) for each in maps for a, b in zip(each, unedited, strict=True)]
    return [key | {"change": v} for key, v in zip(map_keys(one, lesion, samples), changes, strict=True)]


def _maps(job: Job, samples: int) -> Plan[list[torch.Tensor]]:
    grid: Row = {"segmentation": Segmentation.GRID, "segments": CELLS}
    found = yield from together(
        explained(job, "grad_cam"),
        explained(job, "integrated_gradients", nodes=NODES),
        explained(job, "occlusion", **grid),
        explained(job, "lime", samples=samples, **grid),
        explained(job, "kernel_shap", samples=samples, **grid),
    )
    return [one.maps for one in found]


def evaluations(samples: int) -> int:
    """About how many rows `compared` takes."""
    return (len(TASK) + 1) * (3 * NODES + CELLS + 2 * samples)
