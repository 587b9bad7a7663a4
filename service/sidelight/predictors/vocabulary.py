"""How many token ids a network knows: an id beyond them fails on a CPU, and on a GPU takes the process with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_IDS = (1, 2, 3, 2)  # every vocabulary has these; tables of positions and segments are asked for others


def vocabulary(
    run: Callable[[torch.Tensor], Any], rows: int, length: int, dtype: torch.dtype, device: torch.device
) -> int:
    """The rows of the smallest table that `run` looks token ids [rows, length] up in; 0 where it uses none."""
    ids = torch.tensor(_IDS, dtype=dtype, device=device).repeat(rows, -(-length // len(_IDS)))[:, :length]
    with torch.no_grad(), _Tables(ids) as seen:
        run(ids)
    return min(seen.sizes, default=0)


class _Tables(TorchDispatchMode):
    """Notes the tables in which the rows of `ids` are looked up: also those of functional calls and of scripts."""

    def __init__(self, ids: torch.Tensor) -> None:
        super().__init__()
        self.ids = ids
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func is torch.ops.aten.embedding.default:
            table, asked = args[:2]
            if asked.numel() == self.ids.numel() and bool((asked.flatten() == self.ids.flatten()).all()):
                self.sizes.append(len(table))
        return func(*args, **(kwargs or {}))
