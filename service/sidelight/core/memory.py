"""Whether an error says that memory is full."""

import torch

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")


def is_full(error: BaseException) -> bool:
    """Whether there was no room, of the device or of the host; some allocators only say so in words."""
    full = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return full or any(sign in str(error).lower() for sign in _SIGNS)
