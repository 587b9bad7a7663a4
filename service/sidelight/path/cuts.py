"""Cuts: whether everything that reaches the output passes through the layers.

With the layers' values held fixed, another input must give the same output. What passes by them otherwise is

    E_cut = g(b) - f(x')

g(b) the output with b at the layers and the rest of the input x, x' the input whose features b are.
"""

from dataclasses import replace

import torch

from sidelight.core.ask import INPUT, Forward
from sidelight.core.errors import Unsupported
from sidelight.core.fold import Collect
from sidelight.core.inputs import ImageInput, Input
from sidelight.core.job import Job
from sidelight.core.predictor import Twin
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep
from sidelight.path.gradients import like
from sidelight.path.layers import twin_of
from sidelight.path.line import Features
from sidelight.path.options import Options
from sidelight.path.tokens import PairedTokens

HELD = 1e-4  # largest difference over the largest output where layers hold it: rows of one batch, float32


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
        whole, rows = (yield from _measured(job, z)), 4
    if not whole and not options.allow_partial_cut:
        raise Unsupported("NOT_A_CUT", ", ".join(z), refusal(twin, tuple(z), options))
    return whole, rows


def _measured(job: Job, z: Features) -> Plan[bool]:
    """Whether another input leaves the output as it is while the layers keep their values.

    Those are z, and 0, since z may saturate the output. The other input is no baseline: that may be the input itself.
    """
    x = _unlike(job.input)
    inputs, held = (1.0, 0.0, 1.0, 0.0), (1.0, 1.0, 0.0, 0.0)

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        def shares(values: tuple[float, ...], axes: int) -> torch.Tensor:
            own = values[rows.start : rows.stop]
            return torch.tensor(own, dtype=on.dtype, device=on.device).view(-1, *[1] * axes)

        columns = dict(x.blend(shares(inputs, len(x.shape)).expand(-1, *x.shape), on))
        return columns | {f"a.{n}": shares(held, a.ndim) * a.to(on.device, on.dtype) for n, a in z.items()}, None

    model = Forward(job.differentiable, tuple(z), exact=True)
    folded = yield Sweep(model, len(held), render, Collect("y"), like(job.input, z))
    if folded.rows < len(held):
        raise Stopped(folded.stop)
    y = folded.value.flatten(1).view(2, 2, -1)  # held, input
    return bool(((y[:, 0] - y[:, 1]).abs().amax(1) <= HELD * y.abs().amax((1, 2))).all())


def _unlike(x: Input) -> Input:
    """The input over one that has no pixel and no token, but special ones, in common with it."""
    if isinstance(x, ImageInput):
        return replace(x, baseline=torch.where(x.pixels < 127.5, 255.0, 0.0).to(x.pixels))
    assert isinstance(x, PairedTokens)  # as twins take texts and token ids
    return replace(x, blank=x.unlike)


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
