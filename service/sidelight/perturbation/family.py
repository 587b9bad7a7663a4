"""Methods that are combinations and nothing else: a function from parameters to a combination, registered by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sidelight.core.job import Job, Saliency
from sidelight.core.params import array, bounded, choice
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.perturbation.combination import Combination, check, cost
from sidelight.perturbation.options import Segmentation
from sidelight.perturbation.perturb import perturb
from sidelight.perturbation.segmenters import MAX_SEGMENTS

Combine = Callable[[Any], Combination]


@dataclass(frozen=True, eq=False)
class Segmented:
    """The parameters that all combinations have."""

    segmentation: Segmentation = choice(
        Segmentation.AUTO, what="how the input is cut; auto: the method's own for images, word for text, token for ids"
    )
    segments: int = bounded(49, low=2, high=MAX_SEGMENTS, what="about how many segments; a grid takes a square number")
    labels: torch.Tensor | None = array(what="the label map of segmentation labels, [height, width]")


def family(name: str, *, params: type, paper: str) -> Callable[[Combine], Combine]:
    """Register `combine(params)` as the method `name`; its docstring is the method's."""

    def register(combine: Combine) -> Combine:
        def plan(job: Job, p: Any) -> Plan[Saliency]:
            return perturb(job, combine(p))

        plan.__doc__ = combine.__doc__
        method(
            name,
            params=params,
            paper=paper,
            needs=("forward",),
            cost=lambda p, x: cost(combine(p), x),
            check=lambda p, job: check(combine(p), job),
            segmented=True,
        )(plan)
        return combine

    return register
