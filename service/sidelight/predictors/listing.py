"""The layers of a torch module: which there are, what they give, and which are cuts.

A layer is a named submodule that is called exactly once in a pass and gives one tensor of numbers with a batch axis, or
a tuple or dataclass that begins with one (transformer blocks). It is a cut if, with its output held at what another
input gives, the model's output is that of the other input too: then no path from input to output passes it by. Where
the outputs of the two are the same anyway (saturated ones), nothing is known to be a cut.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sidelight.core.errors import Unknown
from sidelight.core.predictor import Layer
from sidelight.predictors.layers import captured, first_tensor, hooked, replaced

SAME = 1e-5  # difference over the largest output that rounding may make
CUTS_AT_ONCE = 15  # layers that are tried in one pass, a row each

Run = Callable[[Any], torch.Tensor]  # rows -> outputs [k, ...] of the module


@dataclass(frozen=True)
class Samples:
    """Rows to find layers with: two inputs, as different as can be, but alike in shape."""

    one: Any  # rows of the first input
    other: Any  # rows, another number of them, and of another size where sizes vary
    pair: Callable[[int], Any] | None  # pair(n): the first input, then the second n times; None: rows come one by one
    second: Any = None  # the second input; where rows come one by one


@dataclass(frozen=True)
class Listing:
    """What was found of a module."""

    layers: tuple[Layer, ...]  # in the order in which they run
    elements: Mapping[str, int]  # of what all modules give from this one on, a row: what a pass from there has to keep
    begun: Mapping[str, int]  # when each submodule's first call begins, in the order of calls
    ended: Mapping[str, int]  # when its last ends

    repeated: frozenset[str]  # called more than once

    def before(self, names: Collection[str]) -> tuple[str, ...]:
        """Submodules that are through when the first of `names` begins, but for those inside others of them."""
        begins = min(self.begun[name] for name in names)
        through = {name for name, end in self.ended.items() if end < begins}
        return tuple(name for name in through if not any(_inside(name, other) for other in through))

    def since(self, name: str) -> tuple[str, ...]:
        """Submodules that begin with `name` or later, in that order."""
        return tuple(sorted((n for n, at in self.begun.items() if at >= self.begun[name]), key=self.begun.__getitem__))


def _inside(name: str, other: str) -> bool:
    return name.startswith(other + ".")


@dataclass(frozen=True)
class _Call:
    name: str
    began: int
    ended: int
    shape: tuple[int, ...] | None  # of the tensor of numbers that it gives


def listed(module: nn.Module, run: Run, samples: Samples, only: Sequence[str] | None = None) -> Listing:
    """The layers of `module` as it is used by `run`; only: names to look at.

    Raises Unknown for a name in `only` that is no layer.
    """
    one, other = samples.one, samples.other
    first, second = _calls(module, run, one), _calls(module, run, other)
    called = Counter(call.name for call in first)
    found: list[tuple[str, tuple[int, ...]]] = []
    later = {call.name: call for call in second}
    for call in first:
        again = later.get(call.name)
        if called[call.name] > 1 or again is None or call.shape is None or again.shape is None:
            continue
        shape = _shape(call.shape, again.shape, len(one), len(other))
        if shape is not None:
            found.append((call.name, shape))
    elements: dict[str, int] = {}
    total = 0
    leaves = {name for name, part in module.named_modules() if not any(True for _ in part.children())}
    for call in reversed(first):
        if call.shape is not None and call.name in leaves:
            total += math.prod(call.shape) // len(one)
        elements[call.name] = max(total, 1)
    if only is not None:
        known = [name for name, _ in found]
        for name in only:
            if name not in known:
                raise Unknown("layer", name, known)
        found = [(name, shape) for name, shape in found if name in only]
    names = [name for name, _ in found]
    cuts = _cuts(module, run, samples.pair, names) if samples.pair else _cuts_alone(module, run, samples, names)
    begun = {call.name: call.began for call in sorted(first, key=lambda call: -call.began)}
    ended = {call.name: call.ended for call in first}
    repeated = frozenset(name for name, times in called.items() if times > 1)
    layers = tuple(Layer(name, shape, name in cuts) for name, shape in found)
    return Listing(layers, elements, begun, ended, repeated)


def _calls(module: nn.Module, run: Run, rows: Any) -> list[_Call]:
    """The calls of submodules, in the order in which they end."""
    calls: list[_Call] = []
    ticks = itertools.count()
    open_calls: dict[str, list[int]] = {}

    def noting(name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        def begin(part: nn.Module, args: object) -> None:
            open_calls.setdefault(name, []).append(next(ticks))

        def end(part: nn.Module, args: object, y: Any) -> None:
            t = first_tensor(y)
            shape = None if t is None or not t.is_floating_point() else tuple(t.shape)
            calls.append(_Call(name, open_calls[name].pop(), next(ticks), shape))

        return begin, end

    with torch.no_grad(), ExitStack() as hooks:
        for name, part in module.named_modules():
            if name:
                begin, end = noting(name)
                hooks.callback(part.register_forward_pre_hook(begin).remove)
                hooks.callback(part.register_forward_hook(end).remove)
        run(rows)
    return calls


def _shape(a: tuple[int, ...], b: tuple[int, ...], rows: int, others: int) -> tuple[int, ...] | None:
    """Without the batch axis, -1 where it varies; None where the first axis is not the row."""
    if len(a) < 2 or len(a) != len(b) or (a[0], b[0]) != (rows, others):
        return None
    return tuple(x if x == y else -1 for x, y in zip(a[1:], b[1:], strict=True))


def _cuts(module: nn.Module, run: Run, pair: Callable[[int], Any], names: Sequence[str]) -> set[str]:
    """Those of `names` that, held at what the first row gives, make the second input's output that of the first."""
    found = set()
    for at in range(0, len(names), CUTS_AT_ONCE):
        chunk = names[at : at + CUTS_AT_ONCE]

        def holding(row: int) -> Callable[[torch.Tensor], torch.Tensor]:
            def hold(y: torch.Tensor) -> torch.Tensor:
                y = y.clone()
                y[row] = y[0]
                return y

            return hold

        with torch.no_grad(), hooked(module, {name: holding(i) for i, name in enumerate(chunk, 1)}):
            y = run(pair(len(chunk) + 1))
        same = like_first(y)
        if same[-1]:  # held nowhere, and no different
            return set()
        found |= {name for i, name in enumerate(chunk, 1) if same[i]}
    return found


def _cuts_alone(module: nn.Module, run: Run, samples: Samples, names: Sequence[str]) -> set[str]:
    """The same for a module that takes one row at a time."""
    found = set()
    with torch.no_grad():
        with captured(module, names) as seen:
            y = run(samples.one)[:1]
        if like_first(torch.cat([y, run(samples.second)[:1]]))[1]:
            return set()
        for name in names:
            with replaced(module, {name: seen[name]}):
                if like_first(torch.cat([y, run(samples.second)[:1]]))[1]:
                    found.add(name)
    return found


def like_first(y: torch.Tensor) -> torch.Tensor:
    """[k] bool: which of the outputs y [k, ...] are the first, but for rounding."""
    y = y.double().flatten(1)
    return (y - y[:1]).abs().amax(1) <= SAME * y[0].abs().max()
