"""Mass in the mask, or relevance mass accuracy (Arras, Osman & Samek, Information Fusion 2022).

The share of a map's positive relevance R+ that lies in the true region G:

    mass = sum_{u in G} R+(u) / sum_u R+(u)

Zero of the map counts as "not relevant", so a map with an offset (RISE's, the mean score) has a mass near the region's
share of the input; that share is given beside it.
"""

from dataclasses import dataclass

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import array
from sidelight.core.sweep import Plan
from sidelight.metrics.truth import region

MASK = "metrics.mass_in_mask.mask"


@dataclass(frozen=True, eq=False)
class MassInMaskParams:
    mask: torch.Tensor | None = array(what="the true region, of the map's shape")


@metric(
    "mass_in_mask",
    params=MassInMaskParams,
    paper="Arras et al., Information Fusion 2022",
    needs=("mask",),
    check=lambda p, x: region(p.mask, x.shape, MASK),
)
def mass_in_mask(subject: Subject, p: MassInMaskParams) -> Plan[Measure]:
    """Share of the map's positive relevance that lies in the true region."""
    yield from ()  # there is nothing to ask
    inside = region(p.mask, subject.job.input.shape, MASK).flatten().double()
    relevance = subject.maps.flatten(1).double().clamp(min=0)  # [T, U]
    total = relevance.sum(1)
    if not (total > 0).all():
        t = int((total <= 0).nonzero()[0])
        raise InvalidRequest(
            "metrics.mass_in_mask",
            f"the map of target {t} has no positive relevance to take a share of: ask for pointing_game instead, "
            "which needs only a ranking, or explain another target",
        )
    area = inside.mean().expand_as(total)
    return Measure({"mass": relevance @ inside / total, "area": area})
