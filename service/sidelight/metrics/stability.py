"""Stability: how far maps of the same explanation agree when only the random draws differ.

Over the map itself and those of `repeats` further runs, each with draws of its own, the means over all pairs of

    Spearman's rank correlation   (equal values share their mean rank)
    cosine similarity

1 is perfect agreement; a method that draws nothing has it. With unit vectors u_i (the maps over their norms, or the
ranks centred and over theirs) the mean of <u_i, u_j> over pairs is (|sum_i u_i|^2 - n) / (n (n - 1)): no loop over
pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import bounded
from sidelight.core.sweep import Plan, Stop, Stopped, together


@dataclass(frozen=True)
class StabilityParams:
    repeats: int = bounded(2, low=1, high=32, what="further runs of the method")


@metric(
    "stability",
    params=StabilityParams,
    paper="Spearman, 1904",
    needs=("rerun",),
    reruns=lambda p: p.repeats,
)
def stability(subject: Subject, p: StabilityParams) -> Plan[Measure]:
    """Agreement of the map with maps of the same method under other random draws."""
    if subject.rerun is None:
        raise InvalidRequest("metrics.stability", "needs the method to run again: ask for it with an explanation")
    streams = [subject.job.stream.child(f"stability.{i}") for i in range(p.repeats)]
    again = yield from together(*(spared(subject.rerun(stream)) for stream in streams))
    maps = [subject.maps, *(saliency.maps for saliency in again)]
    return Measure({"spearman": agreement(maps, centred_ranks), "cosine": agreement(maps, lambda v: v)})


def spared(plan: Plan) -> Plan:
    """The same plan with sweeps that spend nobody's budget. Raises Stopped where one was cut short from outside."""
    try:
        wanted = next(plan)
        while True:
            if isinstance(wanted, tuple):
                answer = yield tuple(replace(s, counts=False) for s in wanted)
            else:
                answer = yield replace(wanted, counts=False)
            for folded in answer if isinstance(answer, tuple) else (answer,):
                if folded.stop not in (Stop.COMPLETE, Stop.ENOUGH):
                    raise Stopped(folded.stop)  # a map of fewer rows would count as unstable
            wanted = plan.send(answer)
    except StopIteration as end:
        return end.value
    finally:
        plan.close()


def agreement(maps: list[torch.Tensor], feature: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Mean over pairs of maps [T, *shape] of the cosine of their features, [T] float64."""
    total = torch.zeros((), dtype=torch.float64)
    for a in maps:
        v = feature(a.flatten(1).double())
        norm = v.norm(dim=1, keepdim=True)
        if not norm.all():
            t = int((norm == 0).nonzero()[0, 0])
            raise InvalidRequest(
                "metrics.stability",
                f"a map of target {t} has the same value everywhere, and agrees with nothing: explain another target",
            )
        total = total + v / norm
    n = len(maps)
    return ((total.square().sum(1) - n) / (n * (n - 1))).clamp(-1, 1)


def centred_ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks [T, U] of values [T, U] minus their mean; equal values share the mean of their ranks."""
    return torch.stack([_ranks(v) for v in values]) - (values.shape[1] - 1) / 2


def _ranks(v: torch.Tensor) -> torch.Tensor:
    _, which, count = v.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0) - 1
    return (last - (count - 1) / 2.0)[which].double()
