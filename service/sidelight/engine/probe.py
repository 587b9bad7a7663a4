"""What holds for a model here, measured before it is offered: same answer alone, among neighbours and again."""

import torch

from sidelight.core.ask import Forward, Model
from sidelight.core.errors import NonFinite
from sidelight.core.fold import Collect
from sidelight.core.inputs import Input
from sidelight.core.predictor import Probe
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Plan, Rows, Sweep, ask
from sidelight.core.target import OutputKind, outputs


def probe(model: Model, x: Input, kind: OutputKind, batch_rows: int, seed: int = 0) -> Plan[Probe]:
    """Ask randomly masked rows of `x`: one alone, then two batches, twice.

    What comes first pays for a cold start; the later batches outweigh it in the lane's measured rate.
    """
    stream = Stream(seed, "probe")
    size = 1
    for n in x.shape:
        size *= n

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        keep = torch.from_numpy(stream.uniform(rows, size)).float().view(-1, *x.shape).to(on.device)
        return x.blend(keep, on), None

    def sweep(rows: int) -> Sweep[torch.Tensor]:
        return Sweep(Forward(model), rows, render, Collect("y"), x.like)

    alone = (yield from ask(sweep(1))).value
    first = (yield from ask(sweep(2 * batch_rows))).value
    again = (yield from ask(sweep(2 * batch_rows))).value
    if not first.isfinite().all():
        raise NonFinite(model.name)
    top = max(first.abs().max().item(), 1e-12)
    return Probe(
        neighbour_gap=(alone[0] - first[0]).abs().max().item() / top,
        repeat_gap=(again - first).abs().max().item() / top,
        classes=outputs(first, kind).shape[1],
    )
