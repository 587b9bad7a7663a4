"""Networks for benchmarks, made by the service from this file."""

import torch


class Free(torch.nn.Module):
    """Mean colour: a model that costs next to nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, ::8, ::8].mean((2, 3))


def free() -> torch.nn.Module:
    return Free()
