"""Metrics: numbers that say how good a map is. Registered beside their definition, as methods are; plans as well."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from sidelight.core.errors import InvalidRequest, Unknown
from sidelight.core.inputs import Input
from sidelight.core.job import Job, Saliency
from sidelight.core.stream import Stream
from sidelight.core.sweep import Plan


class Rerun(Protocol):
    """Explains the same again."""

    def __call__(self, stream: Stream, variant: str = "") -> Plan[Saliency]:
        """With these draws, and on a variant of the model where one is named."""


@dataclass(frozen=True)
class Subject:
    """What is measured: maps [T, *input.shape] of the job's T targets, by whatever method.

    The job is the one that was explained, its target resolved. `rerun` explains it again with the same parameters and
    budget; None where only a map was given.
    """

    job: Job
    maps: torch.Tensor
    rerun: Rerun | None = None

    def __post_init__(self) -> None:
        shape = (self.job.target.count, *self.job.input.shape)
        if tuple(self.maps.shape) != shape:
            raise InvalidRequest("maps", f"numbers of shape {list(shape)}, not {list(self.maps.shape)}")
        if not self.maps.isfinite().all():
            raise InvalidRequest("maps", "finite numbers only: a map with NaN or infinity has no ranking")


@dataclass(frozen=True)
class Measure:
    """What a metric found for each of T targets."""

    values: Mapping[str, torch.Tensor]  # by name, [T] float64, finite
    curves: Mapping[str, torch.Tensor] = field(default_factory=dict)  # by name, [T, K+1] float64; point k at share k/K
    replacement: str = ""  # what stood where the input was hidden; empty for a metric that hides nothing


@dataclass(frozen=True)
class Metric:
    """A quality metric: a plan over a subject and its parameters."""

    name: str
    plan: Callable[[Subject, Any], Plan[Measure]]
    params: type
    paper: str
    needs: tuple[str, ...]  # kinds of ask; ground truth: "mask", "spans"; "rerun": a method that can run again; "twin"
    cost: Callable[[Any, tuple[int, ...], int], int]  # rows, of parameters, a map's shape and T; reruns come on top
    reruns: Callable[[Any], int]  # how often the method runs again
    check: Callable[[Any, Input], object]  # raises InvalidRequest for parameters that cannot do for this input
    summary: str


_METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    params: type,
    paper: str,
    needs: tuple[str, ...],
    cost: Callable[[Any, tuple[int, ...], int], int] = lambda p, shape, targets: 0,
    reruns: Callable[[Any], int] = lambda p: 0,
    check: Callable[[Any, Input], object] = lambda p, x: None,
) -> Callable:
    """Register a plan as the metric `name`."""

    def register(plan: Callable[[Subject, Any], Plan[Measure]]) -> Callable[[Subject, Any], Plan[Measure]]:
        summary = (plan.__doc__ or "").strip().splitlines()[0]
        _METRICS[name] = Metric(name, plan, params, paper, needs, cost, reruns, check, summary)
        return plan

    return register


def metrics() -> dict[str, Metric]:
    """All metrics by name."""
    return dict(_METRICS)


def find(name: str) -> Metric:
    """The metric `name`. Raises Unknown."""
    if name not in _METRICS:
        raise Unknown("metric", name, _METRICS)
    return _METRICS[name]
