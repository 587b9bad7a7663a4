"""Quality of maps by the service's own metrics; maps that rank pixels alike are measured once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sidelight.core.job import Job
from sidelight.core.metric import Subject
from sidelight.core.sweep import Plan, together
from sidelight.metrics.insertion import InsertionParams, insertion
from sidelight.metrics.paths import area, rows_of, turns
from sidelight.metrics.srg import SrgParams, srg

STEPS = 9  # the 10 points of Grund Pihlgren & Framling, both ends included
ROWS = rows_of(2, STEPS, (STEPS,), 1) + rows_of(1, STEPS, (STEPS,), 1)  # that one map takes


@dataclass(frozen=True)
class Quality:
    """Of one map, on the scale of the explained score."""

    srg: float
    lif: float
    mif: float
    insertion: float
    deletion: float


def measured(job: Job, maps: Sequence[torch.Tensor]) -> Plan[list[Quality]]:
    """Quality of each map [1, H, W] of `job`.

    Hidden pixels show the image's mean; what insertion shows appears out of the image's blur. Deletion hides the same
    pixels in the same steps as SRG's most relevant first, so its area is that curve's.
    """
    ranks = [_ranking(m) for m in maps]
    first = {rank: i for i, rank in reversed(list(enumerate(ranks)))}
    plans = [_one(Subject(job, maps[i])) for i in first.values()]
    found = dict(zip(first, (yield from together(*plans)), strict=True))
    return [found[rank] for rank in ranks]


def _one(subject: Subject) -> Plan[Quality]:
    both = yield from together(srg(subject, SrgParams(steps=STEPS)), insertion(subject, InsertionParams(steps=STEPS)))
    gain, shown = both
    values = {name: float(v) for name, v in gain.values.items()}
    return Quality(
        values["srg"], values["lif"], values["mif"],
        float(shown.values["auc"]), float(area(gain.curves["mif"])),
    )  # fmt: skip


def _ranking(maps: torch.Tensor) -> bytes:
    """Equal for maps that every metric here takes for the same: ties break differently in the two directions."""
    return torch.cat([turns(maps, most_first) for most_first in (False, True)]).numpy().tobytes()
