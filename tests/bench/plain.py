"""The least that an explanation of so many rows can cost: the network's own forward pass of them, ready-made."""

import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from build_models import network
from sidelight.process import keep_freed_memory

from bench.report import in_turn

ROWS, SIDE = 256, 224
ENDS = 2  # the input and the baseline, which every explanation asks for as well
TRIED = 64  # rows for each batch size that is tried


class Forward:
    """The plain forward pass of ready-made rows, channels last."""

    def __init__(self, dtype: torch.dtype, batch: int = 0) -> None:
        """Batches of `batch` rows; 0: of the size that is fastest here."""
        self.net = network().eval().to(dtype=dtype, memory_format=torch.channels_last)
        self._rows = torch.randn(ROWS + ENDS, 3, SIDE, SIDE).to(dtype).contiguous(memory_format=torch.channels_last)
        self.batch = batch or self._fastest()

    def _fastest(self) -> int:
        seconds = {}
        for self.batch in (4, 8, 16):
            seconds[self.batch] = in_turn(self.of(TRIED), lambda: None, 3)[0]
        return min(seconds, key=seconds.get)

    def of(self, rows: int) -> Callable[[], None]:
        """The pass of so many rows, at most `ROWS + ENDS`."""
        batches = self._rows[:rows].split(self.batch)

        @torch.inference_mode()
        def run() -> None:
            for batch in batches:
                self.net(batch)

        return run


forward = functools.cache(Forward)


class Kept:
    """The same in float32 and in a process of its own, whose allocator keeps freed memory as the service's does."""

    def __init__(self, batch: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._process, self._batch = ProcessPoolExecutor(1, context, keep_freed_memory), batch

    def of(self, rows: int) -> Callable[[], None]:
        return lambda: self._process.submit(_run, self._batch, rows).result()

    def close(self) -> None:
        self._process.shutdown()


def _run(batch: int, rows: int) -> None:
    forward(torch.float32, batch).of(rows)()
