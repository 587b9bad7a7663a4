"""Batches in which a row comes out the same to the last bit as in the largest one, found by trial.

An operation may add up a row's numbers in another order where there are more rows or fewer; in which order depends on
the shapes alone, so random rows show whether two shapes agree. On CPUs the culprits are mostly matrix products, which
take rows in groups and those that are left over otherwise: in a classifier's head, say, which has one row for each of
the batch. Its rows are filled up, which costs next to nothing, and those of the network can stay as few as they are.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sidelight.predictors.batching import Batching

GROUP = 8  # rows: at least as many as matrix products take at once, on the CPUs that we know of
NOISE = 0.1  # of the spread of the values that are tried
REMEMBERED = 1000  # kinds of rows


@dataclass(frozen=True)
class Laid:
    """Rows as a network takes them: its input, what is put in the place of layers' outputs, and weights."""

    x: torch.Tensor | list[str]
    values: Mapping[str, torch.Tensor]
    w: torch.Tensor | None = None

    def part(self, rows: slice) -> "Laid":
        """Some of them."""
        w = None if self.w is None else self.w[rows]
        return Laid(self.x[rows], {name: value[rows] for name, value in self.values.items()}, w)

    def like(self, rows: int) -> "Laid":
        """So many in their likeness, no two of them the same where they hold numbers."""
        generator = torch.Generator().manual_seed(0)

        def varied(t: torch.Tensor) -> torch.Tensor:
            made = _laid_as(t, t[torch.arange(rows, device=t.device) % len(t)])
            if not t.is_floating_point():
                return made
            noise = torch.randn(made.shape, generator=generator, dtype=t.dtype).to(t.device)
            return made.add_(noise, alpha=NOISE * float(t.std(correction=0)) or NOISE)

        x = varied(self.x) if isinstance(self.x, torch.Tensor) else [self.x[i % len(self.x)] for i in range(rows)]
        values = {name: varied(value) for name, value in self.values.items()}
        return Laid(x, values, None if self.w is None else varied(self.w))

    def flipped(self) -> "Laid":
        """The last first."""
        x = _laid_as(self.x, self.x.flip(0)) if isinstance(self.x, torch.Tensor) else self.x[::-1]
        values = {name: _laid_as(value, value.flip(0)) for name, value in self.values.items()}
        return Laid(x, values, None if self.w is None else self.w.flip(0))


def _laid_as(t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The rows in the memory layout of `t`."""
    last = t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last)
    return rows.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


@dataclass(frozen=True)
class Form:
    """The number of rows that a batch is padded to, and the linear layers that get theirs filled up."""

    rows: int
    filled: frozenset[str] = frozenset()


Run = Callable[[Laid, Form], Mapping[str, torch.Tensor]]


class Forms:
    """The leanest form for so many rows of a kind, looked for when padding has cost as much as the search will."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, int], Form] = {}
        self._padding: dict[tuple[Any, int], int] = {}  # rows that were padding, so far

    def of(self, kind: Any, rows: int, batching: Batching, likeness: Callable[[], Laid], trial: "Trial") -> Form:
        """For `rows` of at most `batching.rows`. `likeness` gives rows of this kind to try."""
        most, key = batching.rows, (kind, rows)
        if rows == most or key in self._found:
            return self._found.get(key, Form(most))
        self._padding[key] = self._padding.get(key, 0) + most - rows
        if self._padding[key] < most + rows:
            return Form(most)
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        sizes = (rows, *(size for size in batching.buckets if rows < size < most))
        self._found[key] = trial.leanest(likeness().like(most), sizes)
        del self._padding[key]
        return self._found[key]


@dataclass(frozen=True)
class Trial:
    """Runs rows of a module in several forms, and compares what comes out."""

    module: nn.Module
    run: Run

    def leanest(self, rows: Laid, sizes: Collection[int]) -> Form:
        """The first of the sizes in which rows come out as in all of them together; else these."""
        most = Form(len(rows.x))
        whole = self.run(rows, most)
        for size in sizes:
            # The other way round: neither where a row stands nor what is beside it may matter.
            some = rows.part(slice(most.rows - size, most.rows)).flipped()
            with filled_up(self.module, None) as seen:
                out = self.run(some, Form(size))
            if all(torch.equal(out[name].flip(0), whole[name][most.rows - size :]) for name in whole):
                return Form(size, frozenset(seen))
        return most

    def steady(self, rows: Laid, sizes: Collection[int]) -> int:
        """The largest of the sizes in which it does not matter where a row stands and what is beside it; else 1."""
        for size in sorted(sizes, reverse=True):
            some, form = rows.like(size), Form(size)
            one, other = self.run(some, form), self.run(some.flipped(), form)
            if all(torch.equal(one[name], other[name].flip(0)) for name in one):
                return size
        return 1


@contextmanager
def filled_up(module: nn.Module, names: Collection[str] | None) -> Iterator[set[str]]:
    """Inside, linear layers of the module (None: all) get rows filled up with zeros to a multiple of `GROUP`.

    Gives the names of those that were.
    """
    seen: set[str] = set()
    with ExitStack() as attachments:
        for name, part in module.named_modules() if names is None else ((n, module.get_submodule(n)) for n in names):
            if isinstance(part, nn.Linear):
                before, after = _hooks(name, seen)
                attachments.callback(part.register_forward_pre_hook(before).remove)
                attachments.callback(part.register_forward_hook(after).remove)
        yield seen


def _hooks(name: str, seen: set[str]) -> tuple[Callable, Callable]:
    cut: list[torch.Size] = []  # axes before the last, of the call under way

    def before(part: nn.Module, args: tuple) -> tuple | None:
        x = args[0] if args else None
        if not isinstance(x, torch.Tensor) or not (missing := -x.shape[:-1].numel() % GROUP):
            return None
        seen.add(name)
        cut.append(x.shape[:-1])
        return (nn.functional.pad(x.reshape(-1, x.shape[-1]), (0, 0, 0, missing)), *args[1:])

    def after(part: nn.Module, args: object, y: torch.Tensor) -> torch.Tensor:
        if not cut:
            return y
        axes = cut.pop()
        return y[: axes.numel()].view(*axes, -1)

    return before, after
