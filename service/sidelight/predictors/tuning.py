"""Which dtype, memory layout and batch size a network runs fastest with here. Measured, since no rule holds: on one
CPU channels-last float32 takes a third of the time and bfloat16 a tenth, on another bfloat16 takes ten times as long.
"""

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from sidelight.core.sweep import Placement
from sidelight.predictors.folding import folded

GAIN = 0.95  # share of the time that something less plain must stay under to be chosen
ROUNDS = 3
TRIAL_ROWS = 4
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCHES = {"cpu": (4, 8, 16), "cuda": (16, 32, 64, 128)}
# A backward pass keeps what the forward pass makes. On a CPU the larger is the plainer: six rows are then one batch.
BACKWARD_BATCHES = {"cpu": (8, 4), "cuda": (8, 16, 32, 64)}
SLOW = 10.0  # times as long as the best: not tried again


@dataclass(frozen=True)
class Tuned:
    """A module in the form that was chosen, and how rows should be placed for it."""

    module: torch.nn.Module
    placement: Placement
    precision: str
    folded: frozenset[str] = frozenset()  # its submodules whose outputs are not those of the network


def placed(module: torch.nn.Module, on: Placement) -> torch.nn.Module:
    """A copy of the module in a placement's dtype and memory layout."""
    layout = torch.channels_last if on.channels_last else torch.contiguous_format
    return copy.deepcopy(module).to(device=on.device, dtype=on.dtype, memory_format=layout)  # type: ignore[call-overload]


def tune(
    module: torch.nn.Module,
    rows: Callable[[int, Placement], torch.Tensor],
    device: torch.device,
    precision: str,
    channels_last: bool | None,
    *,
    backward: bool = False,
) -> Tuned:
    """The fastest of the forms that are allowed. precision "auto", channels_last None: measured.

    backward: with the gradient of its rows.

    rows(n, placement) makes n rows to try. A form in which the network does not run, or answers with NaN, is out;
    raises RuntimeError where none is left.
    """
    half = ("bfloat16", "float16") if device.type == "cuda" else ("bfloat16",)
    names = ("float32", *half) if precision == "auto" else (precision,)
    layouts = (False, True) if channels_last is None else (channels_last,)
    plain = next(iter(module.parameters()), torch.empty(0)).dtype
    fused = folded(module, rows(TRIAL_ROWS, Placement(device, plain)))
    changed = fused.changed if fused else frozenset()
    module = fused.module if fused else module
    forms = []
    for name, last in itertools.product(names, layouts):
        on = Placement(device, DTYPES[name], last)
        forms.append(Tuned(placed(module, on), on, name, changed))
    if len(forms) == 1:
        return forms[0]
    times = measure([Trial(form.module, rows(TRIAL_ROWS, form.placement), backward) for form in forms])
    best = 0
    for i, seconds in enumerate(times):
        if seconds < times[best] * GAIN:
            best = i
    if times[best] == math.inf:
        raise RuntimeError("it ran in no form that was tried, or answered with numbers that are not finite")
    return forms[best]


def best_batch(
    forward: Callable, rows: Callable[[int], torch.Tensor], device: torch.device, *, backward: bool = False
) -> int:
    """The batch size with the least time a row; one that comes first unless another gains much."""
    sizes = (BACKWARD_BATCHES if backward else BATCHES)[device.type]
    times = measure([Trial(forward, rows(size), backward) for size in sizes])
    each = [seconds / size for seconds, size in zip(times, sizes, strict=True)]
    best = 0
    for i, seconds in enumerate(each):
        if seconds < each[best] * GAIN:
            best = i
    return sizes[best]


@dataclass(frozen=True)
class Trial:
    """Something to measure: a network on some rows."""

    forward: Callable
    x: torch.Tensor
    backward: bool = False  # whether the gradient of x is wanted as well


def measure(trials: Sequence[Trial]) -> list[float]:
    """Seconds of a run of each, the best of some; infinity where it fails or its answer is not finite.

    In turns, so that a machine that is busy for a moment is slow for all of them.
    """
    _seconds(trials[0])  # what the first run in a process costs is nobody's
    best = [_seconds(trial) for trial in trials]  # also warms each up
    finite = [i for i, seconds in enumerate(best) if seconds < min(best) * SLOW]
    for turn, i in itertools.product(range(ROUNDS), finite):
        seconds = _seconds(trials[i])
        best[i] = seconds if turn == 0 else min(best[i], seconds)
    return best


def _seconds(trial: Trial) -> float:
    try:
        with torch.set_grad_enabled(trial.backward):
            x = trial.x.detach().requires_grad_() if trial.backward else trial.x
            _wait(x)
            began = time.perf_counter()
            y = trial.forward(x.clone() if trial.backward else x)  # a leaf must not be changed in place
            if trial.backward:
                torch.autograd.grad([t.sum() for t in _tensors(y)], x)
            _wait(x)
            seconds = time.perf_counter() - began
            return seconds if all(bool(torch.isfinite(t).all()) for t in _tensors(y)) else math.inf
    except (RuntimeError, MemoryError):  # an operator without this dtype, or no room
        return math.inf


def _tensors(y: object) -> list[torch.Tensor]:
    values = [y] if isinstance(y, torch.Tensor) else y.values() if isinstance(y, dict) else y
    return [value for value in values if isinstance(value, torch.Tensor)] if isinstance(values, Iterable) else []


def _wait(x: torch.Tensor) -> None:
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
