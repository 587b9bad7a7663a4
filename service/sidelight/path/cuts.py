"""Cuts: whether everything that reaches the output passes through the layers.

With the layers' values held fixed, another input must give the same output. What passes by them otherwise is

    E_cut = g(b) - f(x')

g(b) the output with b at the layers and the rest of the input x, x' the input whose features b are.
"""

import torch

from sidelight.core.ask import INPUT, Forward
from sidelight.core.errors import Unsupported
from sidelight.core.fold import Collect
from sidelight.core.job import Job
from sidelight.core.predictor import Twin
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep
from sidelight.path.gradients import like
from sidelight.path.layers import twin_of
from sidelight.path.line import Features
from sidelight.path.options import Options

SAME = 1e-4  # largest difference, over the largest output, that counts as none: batches change the last digits


def cut(job: Job, z: Features, options: Options) -> Plan[tuple[bool, int]]:
    """Whether the layers of `z` are a cut, and the rows that it took to tell.

    Raises Unsupported for those that are none, unless `allow_partial_cut`.
    """
    twin = twin_of(job)
    single = {layer.name: layer.cut for layer in twin.layers}
    rows = 0
    if INPUT in z or any(single[layer] for layer in z):
        whole = True
    elif len(z) == 1:
        whole = False
    else:
        whole, rows = (yield from _measured(job, z)), 2
    if not whole and not options.allow_partial_cut:
        raise Unsupported("NOT_A_CUT", ", ".join(z), refusal(twin, tuple(z), options))
    return whole, rows


def _measured(job: Job, z: Features) -> Plan[bool]:
    """Whether the output stays where the input becomes its baseline and the layers keep their values."""
    keep = (1.0, 0.0)

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        kept = torch.tensor([keep[row] for row in rows], device=on.device).view(-1, *[1] * len(job.input.shape))
        columns = dict(job.input.blend(kept.expand(-1, *job.input.shape), on))
        held = {f"a.{n}": a.to(on.device, on.dtype).expand(len(rows), *a.shape) for n, a in z.items()}
        return {**columns, **held}, None

    folded = yield Sweep(Forward(job.differentiable, tuple(z)), 2, render, Collect("y"), like(job.input, z))
    if folded.rows < 2:
        raise Stopped(folded.stop)
    y = folded.value.flatten(1)
    return bool((y[0] - y[1]).abs().max() <= SAME * y.abs().max())


def refusal(twin: Twin, layers: tuple[str, ...], options: Options) -> str:
    """Why the layers will not do, by name of what passes by them, and which would."""
    names = [layer.name for layer in twin.layers]
    first = min(names.index(layer) for layer in layers)
    last = max(names.index(layer) for layer in layers)
    before = [layer.name for layer in twin.layers[:first] if layer.cut]
    after = [layer.name for layer in twin.layers[last + 1 :] if layer.cut]
    passing = f"the output of {before[-1]}" if before else "the input"
    would = [*before[-2:], *after[:2]]
    mend = f"name {' or '.join(would)}, or further layers" if would else "name further layers"
    whose = f"layer {layers[0]} is" if len(layers) == 1 else f"layers {', '.join(layers)} together are"
    accept = "set" if options.takes_partial_cuts else "ask path_attribution and set"
    return (
        f"{whose} no cut: {passing} reaches the output past {'it' if len(layers) == 1 else 'them'}. {mend} that "
        f"together are a cut, or {accept} allow_partial_cut to be told what passes by"
    )
