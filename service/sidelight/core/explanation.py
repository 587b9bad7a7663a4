"""The outer plan of every explanation: resolve the target on the unperturbed input, run the method, sum up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from sidelight.core.agreement import asked, disagrees, gap
from sidelight.core.ask import Forward
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.fold import Collect
from sidelight.core.inputs import ImageInput, Input, TextInput, TokenInput
from sidelight.core.job import Account, Job, Result, Saliency
from sidelight.core.metric import Measure, Metric, Subject
from sidelight.core.registry import Method
from sidelight.core.stream import Stream
from sidelight.core.sweep import Meter, Placement, Plan, Render, Rows, Stop, Stopped, Sweep, ask, metered, together
from sidelight.core.target import Target


@dataclass(frozen=True)
class Explanation:
    """What one model's explanation came to."""

    job: Job  # with the target resolved
    result: Result
    outputs: torch.Tensor  # [2, K] float64: on the input and on the baseline; [1, K] of methods that need none
    instance: torch.Tensor  # [T], scores on the input
    baseline: torch.Tensor  # [T], scores on the baseline; of methods that need none those on the input once more
    rows_done: int  # of the method
    stop: Stop
    evaluations: int  # every forward counted
    edits: int
    measures: tuple[Measure | str, ...] = ()  # of the metrics asked for, in their order, or why there is none
    twin_gap: float | None = None  # of the twin from the served model on input and baseline, where it was asked

    @property
    def converged(self) -> bool:
        """Whether the tolerance asked for was reached, or every row done where none was asked for."""
        if accounts := _accounts(self.result):
            return self.stop in (Stop.ENOUGH, Stop.COMPLETE) and all(first.converged for first, *_ in accounts)
        return self.stop is Stop.ENOUGH or (self.stop is Stop.COMPLETE and self.job.tolerance is None)


def endpoints(x: Input, *, last: bool = False) -> Callable[[range, Placement], tuple[Rows, None]]:
    """Render of two rows: the input, and its baseline; of the last one alone."""
    masks = torch.ones((2, *x.shape))
    masks[1] = 0
    masks = masks[last:]
    return lambda rows, on: (x.blend(masks[rows.start : rows.stop].to(on.device), on), None)


def original(x: Input) -> Render:
    """Render of one row: the input, bit by bit as an edit that changes nothing is."""
    if isinstance(x, ImageInput):
        return lambda rows, on: (x.encoded(x.pixels.unsqueeze(0), on), None)
    return lambda rows, on: (x.blend(torch.ones((1, *x.shape), device=on.device), on), None)


def _looked_at(x: Input, baseline: bool) -> tuple[Render, int]:
    """Render, and its rows: the input, and its baseline where the method has one."""
    return (endpoints(x), 2) if baseline else (original(x), 1)


def ends(job: Job, *, baseline: bool = True) -> Plan[torch.Tensor]:
    """Outputs [2, K] float64 on the input and on its baseline, or [1, K]; their rows spend nobody's budget."""
    render, rows = _looked_at(job.input, baseline)
    folded = yield from ask(Sweep(Forward(job.model), rows, render, Collect("y"), job.input.like, counts=False))
    return folded.value


def checked_ends(job: Job, *, baseline: bool = True) -> Plan[tuple[torch.Tensor, float]]:
    """`ends`, once the twin was found to agree with the served model there, and how far it is.

    Raises Unsupported, with the numbers, where it does not.
    """
    served = replace(job.model, variant="")
    both = (served, job.differentiable)
    (y,), other, *several = yield from together(
        asked((served,), *_looked_at(job.input, baseline), job.input.like),
        _twin_ends(job, baseline=baseline),
        *(asked(both, endpoints(x, last=True), 1, x.like) for x in job.others),
    )
    found = _gap(job, y, other)
    for b, twins_b in several:
        found = max(found, _gap(job, torch.cat([y[:1], b]), torch.cat([other[:1], twins_b])))
    return (other[: len(y)] if job.model.variant else y), found


def _twin_ends(job: Job, *, baseline: bool = True) -> Plan[torch.Tensor]:
    """Outputs of the twin on the input and its baseline; of a text also on its tokens, as gradients are taken."""
    if job.twin is None:
        raise Unsupported("NO_TWIN", job.model.name, f"model {job.model.name} has no verified differentiable twin")
    model, x = job.differentiable, job.input
    plans = [asked((model,), *_looked_at(x, baseline), x.like)]
    if isinstance(x, TextInput) and job.twin.ids is not None:
        tokens = TokenInput(x.name, torch.tensor(job.twin.ids(x.text), dtype=torch.int64))
        plans.append(asked((model,), endpoints(tokens), 1, tokens.like))
    answers = yield from together(*plans)
    return torch.cat([y for (y,) in answers])


def _gap(job: Job, y: torch.Tensor, other: torch.Tensor) -> float:
    """How far the twin's ends are from y [1 or 2, K], the served model's. Raises Unsupported where that is too far."""
    assert job.twin is not None  # it has answered
    if y.shape[1] != other.shape[1]:
        name = job.model.name
        raise Unsupported("TWIN_DISAGREES", name, f"the twin of {name} answers {other.shape[1]} numbers")
    found = gap(torch.cat([y, y[:1]])[: len(other)], other, job.twin.tolerance)
    if not found.near:
        baseline = f" and {'a' if job.others else 'its'} baseline" if len(y) > 1 else ""
        raise disagrees(job.model, found, f"the input{baseline}")
    return found.largest


def explain(
    job: Job,
    resolve: Callable[[torch.Tensor], Target],
    method: Method,
    params: Any,
    max_evaluations: int | None = None,
    metrics: Sequence[tuple[Metric, Any]] = (),
) -> Plan[Explanation]:
    """Run `method` on `job`, its target resolved by `resolve(y [1, K])` on the unperturbed input; measure the maps.

    `max_evaluations` bounds the method's own rows; the endpoints' and the metrics' come on top.
    """
    meter = Meter(max_evaluations)
    twin_gap = None
    checked = "gradient" in method.needs or bool(job.model.variant)
    if checked:
        y, twin_gap = yield from metered(checked_ends(job, baseline=method.maps), meter)
    else:
        y = yield from metered(ends(job, baseline=method.maps), meter)
    job = replace(job, target=resolve(y[:1]), ends=y, most=max_evaluations)
    result = yield from metered(method.plan(job, params), meter)
    if result.job is not None:
        job, y = result.job, y if result.job.ends is None else result.job.ends
    rows_done, stop = meter.rows_done, meter.stop
    if stop is Stop.COMPLETE and _adapted(result):
        stop = Stop.ENOUGH
    measures: tuple[Measure | str, ...] = ()
    if metrics:
        rerun = partial(_again, job, method, params, rows_done) if method.needs else None
        subject = Subject(job, result.maps, rerun)
        plans = [_measured(metric, chosen, subject, checked) for metric, chosen in metrics]
        measures = yield from metered(together(*plans), unbounded := Meter())
        meter.rows.update(unbounded.rows)
    evaluations = sum(n for kind, n in meter.rows.items() if kind in ("forward", "gradient", "activation"))
    scores = job.target.score(y)
    edits = meter.rows["edit"]
    return Explanation(job, result, y, scores[0], scores[-1], rows_done, stop, evaluations, edits, measures, twin_gap)


def _measured(metric: Metric, params: Any, subject: Subject, checked: bool) -> Plan[Measure | str]:
    """What the metric finds, or why it finds nothing: the map is worth having all the same.

    checked: whether the twin was found to agree with the served model on this input.
    """
    try:
        if "twin" in metric.needs and not checked:
            job = subject.job
            assert job.ends is not None  # known since before the method ran
            _gap(job, job.ends, (yield from _twin_ends(job)))
        return (yield from metric.plan(subject, params))
    except InvalidRequest as error:
        return error.mend
    except Unsupported as error:
        return str(error)
    except Stopped:
        return "the deadline came first"


def _accounts(result: Result) -> tuple[tuple[Account, ...], ...]:
    """[T][attributions], of results that have any."""
    return result.accounts if isinstance(result, Saliency) else ()


def _adapted(result: Result) -> bool:
    """Whether a tolerance decided how many rows there were, and was met."""
    accounts = _accounts(result)
    return bool(accounts) and all(first.residual is not None and first.converged for first, *_ in accounts)


def _again(job: Job, method: Method, params: Any, rows: int, stream: Stream, variant: str = "") -> Plan[Saliency]:
    """The same explanation with other draws and as many rows; of a variant of the model where one is named."""
    gradients = "gradient" in method.needs
    # The tolerance of rules along paths says where nodes are, and of another model they are elsewhere.
    job = replace(job, stream=stream, tolerance=job.tolerance if gradients else None)
    if variant:
        job = replace(job, model=replace(job.model, variant=variant))
        job = replace(job, ends=(yield from ends(job)))
    meter = Meter(None if variant and gradients else rows)
    return (yield from metered(method.plan(job, params), meter))
