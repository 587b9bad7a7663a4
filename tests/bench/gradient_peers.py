"""Gradients along a path: by the bare network, and by captum, which is handed the network in our layout."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from build_models import network
from captum.attr import IntegratedGradients, LayerIntegratedGradients
from sidelight.process import keep_freed_memory

from bench.handed import Handed
from bench.memory import Memory, forget_peak, peak
from bench.report import in_turn

CLASS, STEPS = 282, 50
LAYER = "_blocks.10"
BATCHES = (2, 4, 8, 16)
TRIED = 32  # rows for each batch size that is tried


def frozen() -> torch.nn.Module:
    """The network, channels last, without gradients of its weights."""
    return network().eval().requires_grad_(False).to(memory_format=torch.channels_last)


class Backward:
    """Forward and backward pass of ready-made rows, to the input or, by a hook, to a layer; nothing else."""

    def __init__(self, layer: str = "") -> None:
        self.net, self.layer = frozen(), layer
        self.x = torch.randn(TRIED, 3, 224, 224).contiguous(memory_format=torch.channels_last)
        self.batch = 0
        seconds = {}
        for self.batch in BATCHES:
            seconds[self.batch] = in_turn(self.of(TRIED), lambda: None, 3)[0]
        self.batch = min(seconds, key=seconds.get)

    def of(self, rows: int) -> Callable[[], None]:
        """The passes of so many rows."""

        def run() -> None:
            for at in range(0, rows, self.batch):
                self._once(self.x[: min(self.batch, rows - at)])

        return run

    def _once(self, x: torch.Tensor) -> None:
        if not self.layer:
            x = x.detach().requires_grad_()
            torch.autograd.grad(self.net(x)[:, CLASS].sum(), x)
            return
        seen = []
        part = self.net.get_submodule(self.layer)
        hook = part.register_forward_hook(lambda m, i, y: seen.append(y.detach().requires_grad_()) or seen[0])
        with torch.enable_grad():
            y = self.net(x)
        hook.remove()
        torch.autograd.grad(y[:, CLASS].sum(), seen[0])


@dataclass(frozen=True)
class Captum:
    """Integrated Gradients of one input; `batch` None: all steps at once, as it does when nothing is said."""

    net: torch.nn.Module
    layer: str = ""
    batch: int | None = None

    def __call__(self, inputs: int = 1) -> None:
        x = torch.from_numpy(Handed(self.net, 1).image).permute(2, 0, 1).unsqueeze(0)
        part = self.net.get_submodule(self.layer) if self.layer else None
        method = LayerIntegratedGradients(self.net, part) if part else IntegratedGradients(self.net)
        for _ in range(inputs):
            method.attribute(x, 0, CLASS, n_steps=STEPS, method="gausslegendre", internal_batch_size=self.batch)


def memory_of(layer: str, batch: int | None) -> Memory:
    """Of one explanation by captum in a process of its own that has run a pass."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_memory_of, layer, batch).result()


def _memory_of(layer: str, batch: int | None) -> Memory:
    keep_freed_memory()  # as the service does
    net = frozen()
    x = torch.zeros(4, 3, 224, 224).requires_grad_()
    torch.autograd.grad(net(x).sum(), x)
    before = forget_peak(os.getpid())
    Captum(net, layer, batch)()
    return Memory(before, peak(os.getpid()))
