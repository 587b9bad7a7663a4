"""What a process asks of the C library and of oneMKL before it computes: memory kept, and sums in one order."""

import ctypes
import platform

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT, MAPPED = 512 << 20, 64 << 20  # bytes

# oneMKL, asked before torch is imported for sums whose order no number of rows or threads decides, at the same speed:
# products over long sums are else shared out between threads where there are few rows, and a row comes out otherwise
# than among more. Rows that must come out the same to the last bit then need no padding (predictors/exact.py).
SAME_SUMS = "MKL_CBWR", "AUTO,STRICT"


def keep_freed_memory() -> None:
    """For a process that runs networks on the CPU, before its threads start; elsewhere it would only hold on to memory.

    Does nothing where the C library is another.

    By default every thread has an arena of its own, which goes back to the kernel whenever a pass over a network has
    freed its activations, and comes back zeroed, page by page, in the next: a quarter of the time of a pass on a CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((M_ARENA_MAX, 1), (M_TRIM_THRESHOLD, KEPT), (M_MMAP_THRESHOLD, MAPPED)):
        libc.mallopt(parameter, value)
