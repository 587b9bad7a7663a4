"""How far a stand-in's answers are from the served model's, and whether that is near enough."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from sidelight.core.ask import TWIN, Forward, Model
from sidelight.core.errors import Unsupported
from sidelight.core.fold import Collect
from sidelight.core.sweep import Placement, Plan, Render, Rows, Stopped, Sweep

VANISHING = 1e-2  # of the largest output of all rows: the least that a row's differences are relative to


@dataclass(frozen=True)
class Gap:
    """How far two answers to the same rows are apart."""

    largest: float  # difference over the row's largest output, of the worst row
    other_top: int  # rows with another top class, where the served model's margin exceeds the tolerance
    rows: int
    tolerance: float

    @property
    def near(self) -> bool:
        """Whether the stand-in may answer for the served model."""
        return self.largest <= self.tolerance and not self.other_top  # so that NaN is far


def gap(served: torch.Tensor, other: torch.Tensor, tolerance: float) -> Gap:
    """Of outputs [k, K] of the served model and of what stands in for it."""
    size = _size(served)
    largest = float(((served - other).abs().amax(1) / size).max())
    return Gap(largest, _other_top(served, other, tolerance * size), len(served), tolerance)


def _size(y: torch.Tensor) -> torch.Tensor:
    """[k]: what differences in each row are relative to, its largest output.

    Not a row's own where that cannot be its scale: a single output may pass through 0, and a row may vanish.
    """
    largest = y.abs().amax(1)
    most = largest.max().clamp(min=torch.finfo(y.dtype).tiny)
    return largest.clamp(min=float(most) * (1.0 if y.shape[1] == 1 else VANISHING))


def _other_top(a: torch.Tensor, b: torch.Tensor, margin: torch.Tensor) -> int:
    if a.shape[1] < 2:
        return 0
    first, second = a.topk(2, dim=1).values.T
    clear = first - second > margin
    return int((clear & (a.argmax(1) != b.argmax(1))).sum())


def asked(models: Sequence[Model], render: Render, size: int, like: Hashable = ()) -> Plan[tuple[torch.Tensor, ...]]:
    """Outputs [size, K] float64 of each of `models` on the same rows, which spend nobody's budget."""
    folded = yield tuple(Sweep(Forward(m), size, render, Collect("y"), like, counts=False) for m in models)
    for one in folded:
        if one.rows < size:
            raise Stopped(one.stop)
    return tuple(one.value for one in folded)


def on_probes(model: Model, probes: Rows, tolerance: float) -> Plan[Gap]:
    """The gap between a served model and its twin on `probes`, whatever it is."""

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        return {name: _cut(column, rows, on) for name, column in probes.items()}, None

    size = min(len(column) for column in probes.values())  # type: ignore[arg-type]
    twin = Model(model.name, model.version, TWIN)
    served, other = yield from asked((model, twin), render, size)
    if served.shape != other.shape:
        raise Unsupported(
            "TWIN_DISAGREES",
            model.name,
            f"the twin of {model.name} answers {other.shape[1]} numbers a row, the served model {served.shape[1]}",
        )
    return gap(served, other, tolerance)


def _cut(column: object, rows: range, on: Placement) -> torch.Tensor | list[str]:
    if not isinstance(column, torch.Tensor):
        return list(column)[rows.start : rows.stop]  # type: ignore[call-overload]
    part = column[rows.start : rows.stop].to(on.device)
    if not part.is_floating_point():
        return part.clone()
    # A copy in any case: a network that works in place would change the probes of the other one.
    return part.to(on.dtype).clone(memory_format=on.layout(part.dim()))


def disagrees(model: Model, found: Gap, on: str) -> Unsupported:
    """What to raise for a twin that is too far from the served model `on` some rows, in words."""
    return Unsupported(
        "TWIN_DISAGREES",
        model.name,
        f"the twin of {model.name} {model.version} differs from the served model on {on} by {found.largest:.3g} of the "
        f"largest output, {found.tolerance:g} is allowed, and its top class differs on {found.other_top} of "
        f"{found.rows} rows: give [models.twin] the weights that are served, or a wider tolerance",
    )
