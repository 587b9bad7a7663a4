"""The outer plan of every explanation: resolve the target on the unperturbed input, run the method, sum up."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from sidelight.core.ask import Forward
from sidelight.core.fold import Collect
from sidelight.core.inputs import Input
from sidelight.core.job import Job, Result
from sidelight.core.registry import Method
from sidelight.core.sweep import Meter, Placement, Plan, Rows, Stop, Sweep, ask, metered
from sidelight.core.target import Target


@dataclass(frozen=True)
class Explanation:
    """What one model's explanation came to."""

    job: Job  # with the target resolved
    result: Result
    outputs: torch.Tensor  # [2, K] float64: on the input and on the baseline
    instance: torch.Tensor  # [T], scores on the input
    baseline: torch.Tensor  # [T], scores on the baseline
    rows_done: int  # of the method
    stop: Stop
    evaluations: int  # every forward counted
    edits: int

    @property
    def converged(self) -> bool:
        """Whether the tolerance asked for was reached, or every row done where none was asked for."""
        return self.stop is Stop.ENOUGH or (self.stop is Stop.COMPLETE and self.job.tolerance is None)


def endpoints(x: Input) -> Callable[[range, Placement], tuple[Rows, None]]:
    """Render of two rows: the input, and its baseline."""
    masks = torch.ones((2, *x.shape))
    masks[1] = 0
    return lambda rows, on: (x.blend(masks[rows.start : rows.stop].to(on.device), on), None)


def explain(
    job: Job,
    resolve: Callable[[torch.Tensor], Target],
    method: Method,
    params: Any,
    max_evaluations: int | None = None,
) -> Plan[Explanation]:
    """Run `method` on `job`, its target resolved by `resolve(y [1, K])` on the unperturbed input.

    `max_evaluations` bounds the method's own rows; the two of the endpoints come on top.
    """
    meter = Meter(max_evaluations)
    sweep = Sweep(Forward(job.model), 2, endpoints(job.input), Collect("y"), job.input.like, counts=False)
    folded = yield from metered(ask(sweep), meter)
    y = folded.value
    job = replace(job, target=resolve(y[:1]))
    result = yield from metered(method.plan(job, params), meter)
    scores = job.target.score(y)
    evaluations = sum(n for kind, n in meter.rows.items() if kind in ("forward", "gradient", "activation"))
    return Explanation(
        job, result, y, scores[0], scores[1], meter.rows_done, meter.stop, evaluations, meter.rows["edit"]
    )
