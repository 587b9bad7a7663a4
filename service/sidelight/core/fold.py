"""Folds: streaming accumulators of a sweep's answers. The engine adds tiles in row order, from one thread at a time."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch

A = TypeVar("A")
Out = Mapping[str, torch.Tensor]


class Fold(Generic[A]):
    """Base of folds. Accumulate in float64 and keep only what the answer needs: never N rows of pixels."""

    def add(self, rows: range, memo: Any, out: Out) -> None:
        """Take the answers `out` (first axis: row) of `rows`; `memo` is what `render` kept for them."""
        raise NotImplementedError

    def value(self) -> A:
        """The answer over the rows added so far (at least one)."""
        raise NotImplementedError

    def preview(self) -> torch.Tensor | None:
        """The answer so far, where a prefix of the rows is meaningful: [target, ...]; else None."""
        return None

    def progress(self) -> float | None:
        """The statistic that `enough` compares with the tolerance, where there is one."""
        return None

    def enough(self) -> bool:
        """Whether more rows are not needed. Tested after each tile in row order, so it never depends on load."""
        return False


class Collect(Fold[torch.Tensor]):
    """All rows of one output, on the CPU in float64: for sweeps of a few rows."""

    def __init__(self, name: str = "y") -> None:
        self.name = name
        self.parts: list[torch.Tensor] = []

    def add(self, rows: range, memo: Any, out: Out) -> None:
        self.parts.append(out[self.name].double().cpu())

    def value(self) -> torch.Tensor:
        return torch.cat(self.parts)


class First(Fold[Out]):
    """What one row was answered with, as it came."""

    def add(self, rows: range, memo: Any, out: Out) -> None:
        self.out = out

    def value(self) -> Out:
        return self.out
