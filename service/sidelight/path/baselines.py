"""Baselines that only a layer has: zero, the mean feature, and a point whose output says nothing.

zero      b = 0
mean      b_cp = mean_p z_cp, each channel c's mean over positions p: of the input, or of reference inputs
neutral   see `path/neutral.py`
"""

from collections.abc import Mapping, Sequence

import torch

from sidelight.core.ask import INPUT, Activation
from sidelight.core.baseline import FeatureMean, FeatureZero, Neutral
from sidelight.core.fold import Fold, Out
from sidelight.core.inputs import ImageInput, encode
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep, ask
from sidelight.path.line import Features, zero
from sidelight.path.neutral import neutral
from sidelight.path.positions import Grids


def feature_baseline(job: Job, where: Grids, z: Features) -> Plan[Features]:
    """b by layer, [*A_l] float64, as `job.at_layer` has it; z are the input's own features, at these positions.

    Raises Unsupported where nothing neutral is found.
    """
    match job.at_layer:
        case FeatureZero():
            return zero(z)
        case FeatureMean(references=()):
            return _means(where, z)
        case FeatureMean(references=references):
            return (yield from _reference_means(job, where, references))
        case Neutral():
            return (yield from neutral(job, _means(where, z), z))
    raise ValueError(f"{job.at_layer} is no baseline of a layer")


def _means(where: Grids, features: Features) -> Features:
    """Means over positions, at every position."""
    found = {}
    for layer, a in features.items():
        over = [axis for axis in range(a.ndim) if axis != where[layer].channels]
        found[layer] = a.double().mean(over, keepdim=True).expand(a.shape).contiguous()
    return found


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


def _reference_means(job: Job, where: Grids, references: Sequence[torch.Tensor]) -> Plan[Features]:
    x = job.input
    assert isinstance(x, ImageInput)  # the protocol takes reference images for image models only
    encoded = torch.stack([encode(pixels.double(), x.space) for pixels in references])  # [R, *input]
    inside = tuple(layer for layer in where if layer != INPUT)
    found = {INPUT: encoded.mean(0)} if INPUT in where else {}
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
        found |= {layer: total / rows for layer, total in sums.items()}
    return _means(where, found)
