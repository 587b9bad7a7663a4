"""What every attribution of a request stands on: the features of the input and of its baselines, at layers that cut."""

from dataclasses import dataclass

import torch

from sidelight.core.ask import INPUT
from sidelight.core.baseline import FeatureMean, FeatureZero, Neutral
from sidelight.core.inputs import Input
from sidelight.core.job import Job
from sidelight.core.sweep import Meter, Plan, metered
from sidelight.path.baselines import channels, feature_baseline
from sidelight.path.cuts import cut
from sidelight.path.layers import resolve, see, twin_of
from sidelight.path.line import Features
from sidelight.path.options import Options
from sidelight.path.positions import check
from sidelight.path.tokens import PairedTokens

AT_LAYER = {
    FeatureZero: "b = 0",
    FeatureMean: "b the mean of each channel",
    Neutral: "b where the output says nothing, searched for from the mean feature",
}
PASSING = "; no cut: what passes by keeps the input's values"
NO_INPUT = ", and no input has these features, to compare with"


@dataclass(frozen=True, eq=False)
class Scene:
    """M baselines against one input."""

    z: Features
    b: tuple[Features, ...]  # M
    place: str  # "at layer4", or "" for the input
    besides: str  # what is to be said of layers that are no cut
    baseline: str  # in words
    whole: bool  # whether the layers are a cut
    past: torch.Tensor | None  # [M, T] f(x') of the M baselines, where a layer's are induced
    channels: dict[str, int]  # the axis of each layer's features that is no position
    rows: int  # evaluations that it took


def enter(job: Job, options: Options) -> Plan[Scene]:
    """Find the layers, the features there, and whether they are a cut. Raises what will not do."""
    twin, layers = twin_of(job), resolve(job, options)
    inputs: dict[str, tuple[Input, bool]] = {"x": (job.input, False)}
    if job.at_layer is None:
        inputs |= {f"b{m}": (x, True) for m, x in enumerate((job.input, *job.others))}
    seen = yield from see(job, layers, inputs)
    z = seen.pop("x").features
    check(job.input, {layer: tuple(a.shape) for layer, a in z.items()}, twin, options.field("layers"))
    whole, rows = yield from cut(job, z, options)
    if any(layer != INPUT for layer in layers):
        rows += len(inputs)
    past = None
    if job.at_layer is None:
        b = tuple(s.features for s in seen.values())
        if all(s.y is not None for s in seen.values()):
            past = torch.cat([job.target.score(s.y) for s in seen.values() if s.y is not None])
    else:
        b = ((yield from metered(feature_baseline(job, layers, z), spent := Meter())),)
        rows += spent.rows.total()
    place = "" if layers == (INPUT,) else f"at {', '.join(layers)}"
    words = _words(job, place, len(b))
    if not whole and past is None:
        words += NO_INPUT
    axes = {layer: channels(job.input, layer, tuple(a.shape)) for layer, a in z.items()}
    known = {layer: axis for layer, axis in axes.items() if axis is not None}  # all of them, as was checked
    return Scene(z, b, place, "" if whole else PASSING, words, whole, past, known, rows)


def _words(job: Job, place: str, count: int) -> str:
    if job.at_layer is not None:
        return f"{AT_LAYER[type(job.at_layer)]} {place}".rstrip()
    if isinstance(job.input, PairedTokens) and count == 1:
        return f"b = h(x') {place}, x' with {job.input.words}"
    one = f"b = h(x') {place}, x' the baseline of the request" if place else "b = x', the baseline of the request"
    return one if count == 1 else f"the mean over {count} baselines, {one}"
