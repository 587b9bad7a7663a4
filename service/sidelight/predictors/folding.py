"""Batch norms folded into the convolutions before them: the same function in fewer passes over memory."""

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

SAME = 1e-4  # largest difference over the largest output that rounding may make
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Tracer(fx.Tracer):
    """Keeps a subclass of a convolution whole, with what its own forward does (padding, say)."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*_CONVOLUTIONS, *_NORMS)) or super().is_leaf_module(m, module_qualified_name)


def folded(module: nn.Module, x: torch.Tensor) -> nn.Module | None:
    """A copy of the module, in eval mode, that answers `x` alike; None where there is nothing to fold.

    None as well where its forward cannot be written down as a graph: symbolic tracing refuses control flow that depends
    on data, so what it accepts is the whole function.
    """
    try:
        made = _folded(copy.deepcopy(module))
        if made is None:
            return None
        with torch.inference_mode():
            a, b = module(x), made(x)
    except Exception:  # noqa: BLE001 - somebody else's network may raise anything; it then runs as it is
        return None
    if not isinstance(a, torch.Tensor) or a.shape != b.shape:
        return None
    return made if bool((a - b).abs().max() <= SAME * a.abs().max()) else None


def _folded(module: nn.Module) -> nn.Module | None:
    graph = _Tracer().trace(module)
    made = fx.GraphModule(module, graph)
    parts = dict(made.named_modules())
    calls = [node.target for node in graph.nodes if node.op == "call_module"]
    pairs = 0
    for node in list(graph.nodes):
        if node.op != "call_module" or not isinstance(parts[node.target], _NORMS):
            continue
        before = node.args[0]
        if before.op != "call_module" or not isinstance(parts[before.target], _CONVOLUTIONS):
            continue
        if len(before.users) > 1 or max(calls.count(before.target), calls.count(node.target)) > 1:
            continue  # its unnormed output is wanted too, or the module is used twice
        parent, _, name = before.target.rpartition(".")
        setattr(made.get_submodule(parent), name, fuse_conv_bn_eval(parts[before.target], parts[node.target]))
        node.replace_all_uses_with(before)
        graph.erase_node(node)
        pairs += 1
    if not pairs:
        return None
    made.delete_all_unused_submodules()
    made.recompile()
    return made.eval()
