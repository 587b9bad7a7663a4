"""Which layers are meant, what the input and its baselines come to there, and whether the layers are a cut."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from sidelight.core.ask import INPUT, Activation
from sidelight.core.errors import InvalidRequest, Unknown, Unsupported
from sidelight.core.fold import First, Out
from sidelight.core.inputs import ImageInput, Input, encode
from sidelight.core.job import Job
from sidelight.core.predictor import Twin
from sidelight.core.sweep import Placement, Plan, Rows, Stopped, Sweep
from sidelight.path.line import Features
from sidelight.path.options import Options
from sidelight.path.positions import positional


@dataclass(frozen=True, eq=False)
class Seen:
    """What the model made of one input: features by layer, and its outputs, where a forward was needed for them."""

    features: Features
    y: torch.Tensor | None  # [1, K]


def twin_of(job: Job) -> Twin:
    """Raises Unsupported where the model has no differentiable twin."""
    if job.twin is None:
        name = job.model.name
        raise Unsupported("NO_TWIN", name, f"model {name} has no differentiable twin here: configure one for gradients")
    return job.twin


def resolve(job: Job, options: Options) -> tuple[str, ...]:
    """The names of the layers. Raises InvalidRequest."""
    twin = twin_of(job)
    image = isinstance(job.input, ImageInput)
    if not options.layers:
        if options.last:
            return (_last_positional(job, options),)
        if image:
            return (INPUT,)
        if not twin.embedding:
            raise InvalidRequest(options.field("layers"), "name one: the twin does not say where its embeddings are")
        return (twin.embedding,)
    known = {layer.name for layer in twin.layers} | ({INPUT} if image else set())
    for name in options.layers:
        if name not in known:
            if name == INPUT:
                raise InvalidRequest(options.field("layers"), "words and ids have no gradient; name an embedding layer")
            raise InvalidRequest(options.field("layers"), str(Unknown("layer", name, known)))
    return options.layers


def _last_positional(job: Job, options: Options) -> str:
    """The last layer with positions: a cut, where there is one. Raises InvalidRequest where none has any."""
    able = [layer for layer in twin_of(job).layers if positional(job.input, layer.name, layer.shape)]
    chosen = [layer for layer in able if layer.cut] or able
    if not chosen:
        raise InvalidRequest(
            options.field("layers"), f"name one: no layer of model {job.model.name} is known to have positions"
        )
    return chosen[-1].name


def see(job: Job, layers: tuple[str, ...], inputs: Mapping[str, tuple[Input, bool]]) -> Plan[dict[str, Seen]]:
    """Features of inputs by name, or of their baselines where the flag says so; all that need a forward in one go."""
    inner = tuple(layer for layer in layers if layer != INPUT)
    seen: dict[str, Out] = {}
    if inner:
        sweeps = tuple(_activation(job, inner, x, baseline) for x, baseline in inputs.values())
        answers = yield sweeps
        for name, folded in zip(inputs, answers, strict=True):
            if not folded.rows:
                raise Stopped(folded.stop)
            seen[name] = folded.value
    found = {}
    for name, (x, baseline) in inputs.items():
        features = {
            layer: own(x, baseline) if layer == INPUT else seen[name][f"a.{layer}"][0].double().cpu()
            for layer in layers
        }
        found[name] = Seen(features, seen[name]["y"].double().cpu() if inner else None)
    return found


def own(x: Input, baseline: bool) -> torch.Tensor:
    """An image, or its baseline, as the model takes it, in float64."""
    assert isinstance(x, ImageInput)
    return encode(x.baseline if baseline else x.pixels, x.space).double()


def _activation(job: Job, layers: tuple[str, ...], x: Input, baseline: bool) -> Sweep[Out]:
    keep = torch.zeros((1, *x.shape)) if baseline else torch.ones((1, *x.shape))

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        return x.blend(keep.to(on.device), on), None

    return Sweep(Activation(job.differentiable, layers), 1, render, First(), x.like)
