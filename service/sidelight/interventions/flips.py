"""Where the top class changes along a series."""

import torch


def flips(top: torch.Tensor) -> int:
    """How often neighbours in `top` [n] differ."""
    return int((top[1:] != top[:-1]).sum())


def first_flip(top: torch.Tensor, original: int) -> int | None:
    """The first place of `top` [n] that is not the top class of the unedited input; None: there is none."""
    away = (top != original).nonzero()
    return int(away[0]) if len(away) else None
