"""The photos' part of the study of rationales: which photos' class is of their object, and the rows of one photo."""

from collections.abc import Sequence

import rationale_maps
import rationale_scores
import torch
from laboratory import Laboratory, opened
from rationale_photos import Masked
from rationale_scores import Row
from sidelight.core.ask import Forward
from sidelight.core.fold import Collect
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Plan, Rows, Sweep, ask
from sidelight.core.target import Link

SEED = 1
SURE = 0.3  # probability of the class
LEFT = 0.5  # of its probability that a class keeps at most without its object


def needing(lab: Laboratory, photos: Sequence[Masked], count: int | None) -> tuple[list[Masked], int]:
    """The first `count` whose class is sure and needs the object, and how many were looked at.

    People marked objects, and the network names one class: of another thing, as it may be, the mask is no truth.
    """
    chosen: list[Masked] = []
    for at, masked in enumerate(photos):
        if count is not None and len(chosen) == count:
            return chosen, at
        plan = without(lab.job(masked.photo.image, SEED), masked.region(lab.spec.fit))
        ((_, (whole, hidden)),) = lab.results([(None, plan)])
        chosen += [masked] if whole >= SURE and hidden <= LEFT * whole else []
    return chosen, len(photos)


def without(job: Job, region: torch.Tensor) -> Plan[tuple[float, float]]:
    """The probability of the image's class, on the image and with its object in the colour of the baseline."""
    (job,), _ = yield from opened(job, Link.PROBABILITY)
    keep = torch.stack([torch.ones(region.shape), (~region).float()])

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        return job.input.blend(keep[rows.start : rows.stop].to(on.device), on), None

    folded = yield from ask(Sweep(Forward(job.model), 2, render, Collect("y"), job.input.like))
    whole, hidden = job.target.score(folded.value)[:, 0].tolist()
    return whole, hidden


def rows(job: Job, region: torch.Tensor, labels: Sequence[str], samples: int, steps: int) -> Plan[dict[str, Row]]:
    """The rows of one photo, by method, but for what says which they are. region: where the object is, [H, W] bool."""
    (job,), y = yield from opened(job, Link.PROBABILITY)
    maps = yield from rationale_maps.of_photo(job, samples, steps)
    found = yield from rationale_scores.of_photo(job, maps, region)
    about: Row = {"class": labels[job.target.classes[0]], "probability": float(job.target.score(y)[0])}
    return {name: about | row for name, row in found.items()}
