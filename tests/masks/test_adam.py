"""The optimiser is torch's."""

import pytest
import torch
from sidelight.masks.adam import Adam


@pytest.mark.parametrize(("decay", "theirs"), [(0.0, torch.optim.Adam), (0.01, torch.optim.AdamW)])
def test_it_takes_the_steps_of_torch(decay, theirs):
    torch.manual_seed(0)
    start = torch.randn(50, dtype=torch.float64)
    ours, other = start.clone().requires_grad_(), start.clone().requires_grad_()
    a, b = Adam([ours], 0.03, decay), theirs([other], lr=0.03)
    for _ in range(200):
        for x in (ours, other):
            x.grad = None
            (x.sin() * x.square() + 1e-6 * x).sum().backward()
        a.step()
        b.step()
    assert torch.allclose(ours, other, rtol=1e-9, atol=1e-12)
    assert (ours - start).abs().min() > 1e-3
    assert ours.grad is None
