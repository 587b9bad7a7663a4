"""Baselines that only a layer has: zero, the mean feature, and a point whose output says nothing.

zero      b = 0
mean      b_cp = mean_p z_cp, each channel c's mean over positions p: of the input, or of reference inputs
neutral   see `path/neutral.py`
"""

from collections.abc import Mapping, Sequence

import torch

from sidelight.core.ask import INPUT, Activation
from sidelight.core.baseline import FeatureMean, FeatureZero, Neutral
from sidelight.core.errors import InvalidRequest
from sidelight.core.fold import Fold, Out
from sidelight.core.inputs import ImageInput, Input, encode
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep, ask
from sidelight.path.line import Features, zero
from sidelight.path.neutral import neutral
from sidelight.path.positions import grid


def feature_baseline(job: Job, layers: Sequence[str], z: Features) -> Plan[Features]:
    """b by layer, [*A_l] float64, as `job.at_layer` has it; z are the input's own features.

    Raises InvalidRequest for a mean where there is nothing to average over, Unsupported where nothing neutral is found.
    """
    match job.at_layer:
        case FeatureZero():
            return zero(z)
        case FeatureMean(references=()):
            return {layer: _mean(job.input, layer, z[layer].double().unsqueeze(0)) for layer in layers}
        case FeatureMean(references=references):
            return (yield from _reference_means(job, layers, references))
        case Neutral():
            return (
                yield from neutral(job, {layer: _start(job.input, layer, z[layer].double()) for layer in layers}, z)
            )
    raise ValueError(f"{job.at_layer} is no baseline of a layer")


def channels(x: Input, layer: str, shape: tuple[int, ...]) -> int | None:
    """The axis of a layer's channels; None where it has no positions."""
    if isinstance(x, ImageInput):
        found = grid(x, layer, shape)
        return None if found is None else found.channels
    return 1 if len(shape) == 2 else None


def _mean(x: Input, layer: str, a: torch.Tensor) -> torch.Tensor:
    """Mean of a [k, *A_l] over inputs and positions, at every position: [*A_l]."""
    axis = channels(x, layer, tuple(a.shape[1:]))
    if axis is None:
        if len(a) > 1:
            return a.mean(0)
        raise InvalidRequest(
            "baseline.feature_mean",
            f"layer {layer} has no positions to average over: give reference images, at least two, or another baseline",
        )
    over = [0, *(1 + i for i in range(a.ndim - 1) if i != axis)]
    return a.mean(over, keepdim=True)[0].expand(a.shape[1:]).contiguous()


def _start(x: Input, layer: str, z: torch.Tensor) -> torch.Tensor:
    """Where the search for a neutral point starts: the mean feature; of a vector the mean of its numbers."""
    if channels(x, layer, tuple(z.shape)) is None:
        return z.mean().expand(z.shape).contiguous()
    return _mean(x, layer, z.unsqueeze(0))


class _Sum(Fold[tuple[Mapping[str, torch.Tensor], int]]):
    """Sum over rows of the activations at each layer, [*A_l] float64, and how many there were."""

    def __init__(self, layers: Sequence[str]) -> None:
        self.sums: dict[str, torch.Tensor] = dict.fromkeys(layers, torch.zeros((), dtype=torch.float64))
        self.rows = 0

    def add(self, rows: range, memo: None, out: Out) -> None:
        for layer in self.sums:
            self.sums[layer] = self.sums[layer] + out[f"a.{layer}"].double().sum(0).cpu()
        self.rows += len(rows)

    def value(self) -> tuple[Mapping[str, torch.Tensor], int]:
        return self.sums, self.rows


def _reference_means(job: Job, layers: Sequence[str], references: Sequence[torch.Tensor]) -> Plan[Features]:
    x = job.input
    assert isinstance(x, ImageInput)  # the protocol takes reference images for image models only
    encoded = torch.stack([encode(pixels.double(), x.space) for pixels in references])  # [R, *input]
    inside = tuple(layer for layer in layers if layer != INPUT)
    found = {INPUT: _mean(x, INPUT, encoded)} if INPUT in layers else {}
    if inside:

        def render(rows: range, on: Placement) -> tuple[Rows, None]:
            return {x.name: encoded[rows.start : rows.stop].to(on.device, on.dtype)}, None

        sweep = Sweep(
            Activation(job.differentiable, inside), len(references), render, _Sum(inside), x.like, counts=False
        )
        folded = yield from ask(sweep)
        if folded.rows < len(references):
            raise Stopped(folded.stop)  # the mean of some of them is another baseline
        sums, rows = folded.value
        for layer in inside:
            mean = (sums[layer] / rows).unsqueeze(0)
            axis = channels(x, layer, tuple(mean.shape[1:]))
            found[layer] = mean[0] if axis is None else _mean(x, layer, mean)
    return found
