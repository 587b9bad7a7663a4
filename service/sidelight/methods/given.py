"""No method: a map that the caller has already, from wherever, so that its quality can be measured."""

from dataclasses import dataclass

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.job import Job, Saliency
from sidelight.core.params import array
from sidelight.core.registry import method
from sidelight.core.sweep import Plan


@dataclass(frozen=True, eq=False)
class GivenParams:
    map: torch.Tensor | None = array(what="the map, of the model's input's size or of the image's as it was sent")


def check(p: GivenParams, job: Job) -> None:
    """Raises InvalidRequest where there is no map."""
    if p.map is None:
        raise InvalidRequest("given.map", "the map that is to be measured")
    if list(p.map.shape) != list(job.input.shape):
        raise InvalidRequest("given.map.shape", f"{list(job.input.shape)}, not {list(p.map.shape)}")


@method("given", params=GivenParams, paper="the caller's own", needs=(), cost=lambda p, x: 0, check=check)
def given(job: Job, p: GivenParams) -> Plan[Saliency]:
    """The caller's own map, for `metrics` to measure."""
    yield from ()
    maps = p.map.double()  # type: ignore[union-attr]  # checked
    return Saliency(maps.expand(job.target.count, *maps.shape).clone())
