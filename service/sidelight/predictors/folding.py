"""Batch norms folded into the convolutions before them: the same function in fewer passes over memory."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

SAME = 1e-4  # largest difference over the largest output that rounding may make
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Folded:
    """A copy of a module whose batch norms pass on what they get, since the convolutions before them do their work."""

    module: nn.Module
    changed: frozenset[str]  # names of submodules whose outputs are no longer those of the original


class _Tracer(fx.Tracer):
    """Writes a module's forward down, by forwards put on its own submodules.

    `trace` as inherited puts its wrapper on the class `nn.Module`, and so in the way of every network that another
    thread runs meanwhile. A subclass of a convolution is kept whole, with what its own forward does (padding, say).
    """

    def graph_of(self, module: nn.Module) -> fx.Graph:
        """Only to be read: tensors that the module holds stand in it without their names."""
        self.root, self.graph = module, fx.Graph()
        whole = {name: m for name, m in module.named_modules() if name and self.is_leaf_module(m, name)}
        try:
            for name, part in whole.items():
                part.forward = self._recorded(name)
            y = module(self.create_proxy("placeholder", "x", (), {}))
            self.create_node("output", "output", (self.create_arg(y),), {})
        finally:
            for part in whole.values():
                part.__dict__.pop("forward", None)
        return self.graph

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*_CONVOLUTIONS, *_NORMS)) or super().is_leaf_module(m, module_qualified_name)

    def create_arg(self, a: Any) -> Any:
        return self.create_node("get_attr", "held", (), {}) if isinstance(a, torch.Tensor) else super().create_arg(a)

    def _recorded(self, name: str) -> Callable[..., fx.Proxy]:
        return lambda *args, **options: self.create_proxy("call_module", name, args, options)


def folded(module: nn.Module, x: torch.Tensor) -> Folded | None:
    """A copy of the module, for eval mode, that answers `x` alike; None where there is nothing to fold.

    None as well where its forward cannot be written down as a graph: symbolic tracing refuses control flow that depends
    on data, so what it accepts is the whole function.
    """
    try:
        made = _folded(copy.deepcopy(module))
        if made is None:
            return None
        with torch.no_grad():
            a, b = module(x), made.module(x)
    except Exception:  # noqa: BLE001 - somebody else's network may raise anything; it then runs as it is
        return None
    if not isinstance(a, torch.Tensor) or a.shape != b.shape:
        return None
    return made if bool((a - b).abs().max() <= SAME * a.abs().max()) else None


def _folded(module: nn.Module) -> Folded | None:
    """`module` itself, changed: its graph is only read, so that its submodules stay what they are."""
    graph = _Tracer().graph_of(module)
    parts = dict(module.named_modules())
    calls = [node.target for node in graph.nodes if node.op == "call_module"]
    done = set()
    for node in graph.nodes:
        if node.op != "call_module" or type(parts[node.target]) not in _NORMS:  # a subclass may do more
            continue
        before = node.all_input_nodes[0]
        if before.op != "call_module" or not isinstance(parts[before.target], _CONVOLUTIONS):
            continue
        if len(before.users) > 1 or max(calls.count(before.target), calls.count(node.target)) > 1:
            continue  # its unnormed output is wanted too, or the module is used twice
        _put(module, before.target, fuse_conv_bn_eval(parts[before.target], parts[node.target]))
        _put(module, node.target, nn.Identity().eval())
        done |= {before.target, *_around(before.target, node.target)}
    return Folded(module, frozenset(done)) if done else None


def _around(convolution: str, norm: str) -> set[str]:
    """The modules that the convolution is in and its norm is not: they too give what has yet to be normed."""
    parents = itertools.accumulate(convolution.split(".")[:-1], lambda a, b: f"{a}.{b}")
    return {name for name in parents if not norm.startswith(f"{name}.")}


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, part)
