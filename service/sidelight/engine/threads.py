"""Which threads may spread an operation over the cores: those that run networks, and no other.

OpenMP keeps a team of threads for every thread that has ever asked for one, and once all teams together outnumber the
cores it no longer lets them spin between operations: a network's pass then takes half as long again. So of the threads
that live long only a lane's worker has a team; work that wants one for a while gets a thread that ends with it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
CORES = torch.get_num_threads()  # before any thread changes it: torch keeps the last number set for those to come


def spread() -> None:
    """Let this thread use all cores."""
    _use(CORES)


def alone() -> None:
    """Keep this thread's operations on its own core."""
    _use(1)


def _use(threads: int) -> None:
    torch.get_num_threads()  # a thread's first question resets it to the last number set anywhere
    torch.set_num_threads(threads)


async def briefly(work: Callable[[], T]) -> T:
    """`work()` in a thread of its own that may use all cores, off the event loop."""
    thread = ThreadPoolExecutor(1, "briefly", spread)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    finally:
        thread.shutdown(wait=False)
