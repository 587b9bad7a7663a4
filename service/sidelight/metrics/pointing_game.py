"""The pointing game (Zhang et al., IJCV 2018): whether the map's maximum lies in the true region.

A hit is a maximum inside the region, or within `tolerance` pixels of it (15 in the paper). Where several units share
the maximum, the value is the share of them that hit: what a draw among them would score on average.
"""

import math
from dataclasses import dataclass

import torch

from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import array, bounded
from sidelight.core.sweep import Plan
from sidelight.metrics.truth import region

MASK = "metrics.pointing_game.mask"


@dataclass(frozen=True, eq=False)
class PointingGameParams:
    mask: torch.Tensor | None = array(what="the true region, of the map's shape")
    tolerance: int = bounded(0, low=0, high=100, what="distance from the region that still hits, in units of the map")


@metric(
    "pointing_game",
    params=PointingGameParams,
    paper="Zhang et al., IJCV 2018",
    needs=("mask",),
    check=lambda p, x: region(p.mask, x.shape, MASK),
)
def pointing_game(subject: Subject, p: PointingGameParams) -> Plan[Measure]:
    """Whether the map's maximum lies in the true region: 1 or 0, or the share of several maxima that do."""
    yield from ()  # there is nothing to ask
    hit = widened(region(p.mask, subject.job.input.shape, MASK), p.tolerance).flatten()
    maps = subject.maps.flatten(1)
    top = (maps == maps.amax(1, keepdim=True)).double()  # [T, U]
    return Measure({"hit": (top * hit).sum(1) / top.sum(1)})


def widened(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """The mask [H, W] or [U] and all that lies within `radius` of it."""
    m = mask if mask.dim() == 2 else mask.unsqueeze(0)
    out = m.clone()
    height = len(m)
    for dy in range(-min(radius, height - 1), min(radius, height - 1) + 1):
        reach = math.isqrt(radius * radius - dy * dy)
        row = m[max(0, -dy) : height - max(0, dy)].float().unsqueeze(1)
        wide = torch.nn.functional.max_pool1d(row, 2 * reach + 1, stride=1, padding=reach).squeeze(1).bool()
        out[max(0, dy) : height + min(0, dy)] |= wide
    return out.view(mask.shape)
