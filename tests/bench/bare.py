"""Work without the service around it, for what that costs."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from sidelight.process import keep_freed_memory


class Bare:
    """A function in a process of its own, whose allocator keeps freed memory as the service's does."""

    def __init__(self, run: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, context, keep_freed_memory)
        self._work = partial(run, *arguments)

    def __call__(self) -> None:
        self._process.submit(self._work).result()

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.shutdown()
