"""Tiles into batches: the tiles' rows are copied once, straight to where the model reads them, and padded."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.sweep import Placement, Rows, Shared

TILE_ROWS = 8


@dataclass(frozen=True)
class Batching:
    """The batch shapes of a model: few, so that a kernel is chosen, compiled and warmed once for each."""

    buckets: tuple[int, ...]  # ascending

    @classmethod
    def upto(cls, rows: int) -> "Batching":
        """Powers of two, and `rows`: padding at most doubles the work of a last, partial batch."""
        powers = (1 << i for i in range(rows.bit_length()))
        return cls(tuple(sorted({*(p for p in powers if p <= rows), rows})))

    def at_most(self, rows: int) -> "Batching":
        """The same without larger batches."""
        return Batching(tuple(size for size in self.buckets if size <= rows))

    @property
    def rows(self) -> int:
        """Rows of the largest batch."""
        return self.buckets[-1]

    def padded(self, rows: int, exact: bool) -> int:
        """The shape to send `rows` in. exact: always the largest."""
        return self.rows if exact else next(bucket for bucket in self.buckets if bucket >= rows)

    def chunks(self, rows: int) -> list[range]:
        """`rows` in runs of at most the largest batch."""
        return [range(at, min(at + self.rows, rows)) for at in range(0, rows, self.rows)]


def column(tiles: Sequence[Rows], name: str) -> list[torch.Tensor]:
    """The tiles' parts of a tensor column."""
    parts = [tile.get(name) for tile in tiles]
    for part in parts:
        if not isinstance(part, torch.Tensor):
            raise _wrong(name, part, "a tensor")
    return parts  # type: ignore[return-value]


def texts(tiles: Sequence[Rows], name: str) -> list[str]:
    """A text column, row by row."""
    for tile in tiles:
        if name not in tile or isinstance(tile[name], torch.Tensor | Shared):
            raise _wrong(name, tile.get(name), "texts")
    return [text for tile in tiles for text in tile[name]]  # type: ignore[union-attr]


def _wrong(name: str, part: object, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"input.{name}", f"{wanted}, not {'nothing' if part is None else type(part).__name__}")


def lay(parts: Sequence[torch.Tensor], rows: int, on: Placement, dtype: torch.dtype) -> torch.Tensor:
    """The parts' rows as the model reads them, in one tensor filled up to `rows`; a single part itself if it is so."""
    first = parts[0]
    layout = on.layout(first.dim())
    here = (first.device, first.dtype) == (on.device, dtype) and first.is_contiguous(memory_format=layout)
    if len(parts) == 1 and len(first) == rows and here and not first.is_inference():
        return first  # no copy
    x = torch.empty((rows, *first.shape[1:]), dtype=dtype, device=on.device, memory_format=layout)
    fill(x, parts)
    return x


def fill(out: torch.Tensor, parts: Sequence[torch.Tensor]) -> None:
    """Copy the rows of `parts` into `out` [n, ...], converting where they differ; the last row fills up the rest."""
    at = 0
    for part in parts:
        out[at : at + len(part)].copy_(part, non_blocking=out.device.type == "cuda")
        at += len(part)
    if at < len(out):
        out[at:].copy_(parts[-1][-1:].expand_as(out[at:]))
