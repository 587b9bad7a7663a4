"""Adam (Kingma & Ba, ICLR 2015), with decoupled weight decay (Loshchilov & Hutter, ICLR 2019) where there is some.

    m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
    x = (1 - r d) x - r m / (1 - b1^n) / (sqrt(v / (1 - b2^n)) + e)               step n, rate r, decay d

As torch.optim has it, whose first use loads torch's compiler: more than a second, and 70 MB for as long as we run.
"""

import math
from collections.abc import Sequence

import torch

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Moves leaves along their `grad`, in place."""

    def __init__(self, leaves: Sequence[torch.Tensor], rate: float, decay: float = 0.0) -> None:
        self._rate, self._decay, self._step = rate, decay, 0
        self._leaves = tuple((leaf, torch.zeros_like(leaf), torch.zeros_like(leaf)) for leaf in leaves)

    @torch.no_grad()
    def step(self) -> None:
        """One step; the gradients are used up."""
        self._step += 1
        rate = self._rate / (1 - BETA_1**self._step)
        root = math.sqrt(1 - BETA_2**self._step)
        for x, m, v in self._leaves:
            g, x.grad = x.grad, None
            assert g is not None
            m.lerp_(g, 1 - BETA_1)
            v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
            if self._decay:
                x.mul_(1 - self._rate * self._decay)
            x.addcdiv_(m, (v.sqrt() / root).add_(EPSILON), value=-rate)
