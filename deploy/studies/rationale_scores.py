"""What maps are worth by the service's own metrics: one row of numbers for each method."""

from collections.abc import Mapping
from typing import Any

import rationale_maps
import sidelight.metrics
import torch
from sidelight.core import metric, params, registry
from sidelight.core.errors import InvalidRequest
from sidelight.core.job import Job
from sidelight.core.metric import Measure, Subject
from sidelight.core.predictor import Unit
from sidelight.core.sweep import Plan, together

registry.load(sidelight.metrics)

AGREEMENT = ("auc_pr", "token_f1", "span_iou_f1")
AT_HALF = ("token_f1", "span_iou_f1", "chosen")  # of masks alone: only their scale has a middle
FAITHFULNESS = ("sufficiency", "comprehensiveness")
OF_TEXTS = (*AGREEMENT, *(f"{name}_at_half" for name in AT_HALF), "given", *FAITHFULNESS)
OF_PHOTOS = ("mass", "area", "srg")

Row = dict[str, float | str]


def of_text(job: Job, maps: Mapping[str, torch.Tensor], spans: tuple[Unit, ...]) -> Plan[dict[str, Row]]:
    """By method. As many words are chosen as people marked; of masks also those of at least 1/2."""
    rows = yield from together(
        *(_text(Subject(job, m), spans, name == rationale_maps.MASK) for name, m in maps.items())
    )
    return dict(zip(maps, rows, strict=True))


def _text(subject: Subject, spans: tuple[Unit, ...], mask: bool) -> Plan[Row]:
    agreement, *faithful = yield from together(
        measured(subject, "rationale", spans=spans), *(measured(subject, name) for name in FAITHFULNESS)
    )
    at_half: Row = dict.fromkeys(AT_HALF, "")
    if mask:
        at_half = numbers((yield from measured(subject, "rationale", spans=spans, threshold=0.5)))
    return {
        **{key: value for key, value in numbers(agreement).items() if key in OF_TEXTS},
        **{f"{name}_at_half": at_half[name] for name in AT_HALF},
        **{name: value for one in faithful for name, value in numbers(one).items()},
    }


def of_photo(job: Job, maps: Mapping[str, torch.Tensor], region: torch.Tensor) -> Plan[dict[str, Row]]:
    """By method."""
    rows = yield from together(*(_photo(job, name, m, region) for name, m in maps.items()))
    return dict(zip(maps, rows, strict=True))


def _photo(job: Job, name: str, m: torch.Tensor, region: torch.Tensor) -> Plan[Row]:
    # The zero of a RISE map is no score at all; its least value is what says "not relevant".
    relevance = m - m.min() if name == "rise" else m
    gain = yield from measured(Subject(job, m), "srg")
    try:
        mass = numbers((yield from measured(Subject(job, relevance), "mass_in_mask", mask=region)))
    except InvalidRequest:  # nothing in the map is positive: it has no mass, and says nothing of where the object is
        mass = {"mass": "", "area": float(region.double().mean())}
    return mass | numbers(gain)


def measured(subject: Subject, name: str, **chosen: Any) -> Plan[Measure]:
    """By the metric of that name."""
    found = metric.find(name)
    p: Any = params.build(found.params, chosen, f"metrics.{name}")
    found.check(p, subject.job.input)
    return (yield from found.plan(subject, p))


def numbers(measure: Measure) -> Row:
    """Of the only target."""
    return {name: float(value) for name, value in measure.values.items()}
