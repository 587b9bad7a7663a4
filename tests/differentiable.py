"""A torch module as the answerer of gradients, activations and substitutions, by the book: for plans run inline.

In the dtype of the module (float64, mostly), row by row independent, without any of the service's own predictors.
"""

import torch
from sidelight.core.ask import INPUT, Activation, Forward, Gradient
from sidelight.core.evidence import read
from sidelight.core.predictor import Layer
from sidelight.core.sweep import Placement
from sidelight.core.target import OutputKind, outputs

WIDE = Placement(dtype=torch.float64)  # for `inline(..., on=WIDE)`


def layers(module, x, cuts=()):
    """The layers of `module`, in the order in which they run on `x`; those named in `cuts` are called cuts."""
    found, hooks = [], []
    for name, part in module.named_modules():
        if name:
            hooks.append(part.register_forward_hook(
                lambda m, i, y, name=name: found.extend(
                    [Layer(name, tuple(y.shape[1:]), name in cuts)] if isinstance(y, torch.Tensor) else []
                )
            ))  # fmt: skip
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return tuple(found)


class Answers:
    """Call with an ask and its columns, as `inline` does. `counts` has the rows by kind of ask."""

    def __init__(self, module, name="x", kind=OutputKind.LOGITS):
        self.module, self.name, self.kind, self.counts = module, name, kind, {}

    def __call__(self, ask, columns):
        at = ask.at
        values = {layer: columns[f"a.{layer}"].double() for layer in at if not isinstance(ask, Activation)}
        x = values.get(INPUT, columns.get(self.name))
        x = x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        self.counts[ask.kind] = self.counts.get(ask.kind, 0) + len(x)
        if isinstance(ask, Forward):
            with torch.no_grad():
                return {"y": self.run(x, values)[0]}
        if isinstance(ask, Activation):
            with torch.no_grad():
                y, seen = self.run(x, {}, at)
            return {"y": y, **{f"a.{layer}": x if layer == INPUT else seen[layer] for layer in at}}
        assert isinstance(ask, Gradient)
        values = {layer: a.detach().clone().requires_grad_() for layer, a in values.items()}
        y, _ = self.run(values.get(INPUT, x), values)
        s = read(outputs(y, self.kind), self.kind, ask.link, columns["w"].double())
        grads = torch.autograd.grad(s.sum(), [values[layer] for layer in at], materialize_grads=True)
        return {"y": y.detach(), "s": s.detach(), **{f"g.{n}": g for n, g in zip(at, grads, strict=True)}}

    def run(self, x, values, wanted=()):
        seen, hooks = {}, []
        for layer in {*values, *wanted} - {INPUT}:

            def hook(module, inputs, y, layer=layer):
                seen[layer] = values.get(layer, y)
                return seen[layer]

            hooks.append(self.module.get_submodule(layer).register_forward_hook(hook))
        try:
            return self.module(x), seen
        finally:
            for h in hooks:
                h.remove()
