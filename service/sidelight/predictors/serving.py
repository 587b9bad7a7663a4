"""Metadata, configuration and card put together: what a model takes and gives, checked against each other."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from sidelight.core.predictor import Fit, ModelSpec, PixelSpace, TensorSpec
from sidelight.core.target import OutputKind
from sidelight.predictors.card import Card
from sidelight.predictors.fit import CHANNELS

DTYPES = {
    "FP64": torch.float64,
    "FP32": torch.float32,
    "FP16": torch.float16,
    "UINT8": torch.uint8,
    "INT32": torch.int32,
    "INT64": torch.int64,
}
NONE: frozenset[str] = frozenset()
MODALITY_TYPES = {
    "image": ("FP32", "FP16", "FP64", "UINT8"),
    "text": ("BYTES",),
    "tokens": ("INT64", "INT32"),
}


@dataclass(frozen=True)
class Offered:
    """A model as its server describes it. Shapes are without the batch axis; -1 where a size varies."""

    name: str
    version: str
    platform: str
    inputs: Mapping[str, TensorSpec]
    optional: frozenset[str]  # inputs that may be left out
    outputs: Mapping[str, TensorSpec]
    layouts: Mapping[str, str]  # inputs whose configuration says NCHW or NHWC


def split_batch(datatype: str, shape: tuple[int, ...]) -> tuple[int | None, tuple[int, ...]]:
    """The batch axis's size (None: no such axis) and the rest, for tensors of which only the rank can tell."""
    if datatype == "BYTES" and shape == (-1,):
        return -1, ()
    ranks = {"BYTES": 2, "INT32": 2, "INT64": 2}
    return (None, shape) if len(shape) < ranks.get(datatype, 4) else (shape[0], shape[1:])


def describe(offered: Offered, card: Card) -> ModelSpec:
    """The specification. Raises CardError naming the card's field that is missing or contradicts the model."""
    source = _choose(offered.inputs, card.input, card, "input.name", offered.optional)
    given = _choose(offered.outputs, card.output, card, "output.name")
    if given.datatype not in DTYPES:
        raise card.error("output.name", f"an output of numbers; {given.name} is {given.datatype}")
    modality = card.kind or _modality(source, card)
    if source.datatype not in MODALITY_TYPES[modality]:
        can = " or ".join(MODALITY_TYPES[modality])
        raise card.error("kind", f"{modality} needs an input of {can}; {source.name} is {source.datatype}")
    spec = ModelSpec(
        offered.name, offered.version, modality, source, given, card.output_kind, platform=offered.platform,
        carded=card.carded,
    )  # fmt: skip
    if modality == "image":
        pixels = _pixels(source, card, offered.layouts.get(source.name))
        spec = replace(spec, pixels=pixels, fit=Fit(_size(source, pixels, card), card.resize, card.interpolation))
    return _with_classes(spec, card)


def row_shape(spec: ModelSpec) -> tuple[int, ...]:
    """The shape of one row of the input, with the sizes that the card fixes; -1 where it still varies."""
    if spec.modality != "image" or spec.fit.size is None:
        return spec.input.shape
    channels = len(spec.pixels.mean)
    return (channels, *spec.fit.size) if spec.pixels.layout == "NCHW" else (*spec.fit.size, channels)


def _choose(
    tensors: Mapping[str, TensorSpec],
    wanted: str | None,
    card: Card,
    field: str,
    optional: frozenset[str] = frozenset(),
) -> TensorSpec:
    """The one tensor of `tensors` that the card names, or that there is."""
    names = ", ".join(tensors) or "none"
    required = [name for name in tensors if name not in optional] or list(tensors)
    if wanted is not None and wanted not in tensors:
        raise card.error(field, f"one of the model's: {names}; not {wanted!r}")
    if wanted is None and len(required) != 1:
        raise card.error(field, f"say which of the model's is meant: {names}")
    chosen = required[0] if wanted is None else wanted
    if field == "input.name" and (others := [n for n in tensors if n not in optional and n != chosen]):
        raise card.error(field, f"the model also needs {', '.join(others)}, and only models of one input are explained")
    return tensors[chosen]


def _modality(source: TensorSpec, card: Card) -> str:
    if source.datatype in MODALITY_TYPES["text"]:
        return "text"
    if source.datatype in MODALITY_TYPES["tokens"] and len(source.shape) == 1:
        return "tokens"
    if source.datatype in MODALITY_TYPES["image"] and len(source.shape) == 3:
        return "image"
    shape = list(source.shape)
    raise card.error("kind", f"image, text or tokens: {source.name}, {source.datatype} {shape}, may be any")


def _pixels(source: TensorSpec, card: Card, configured: str | None) -> PixelSpace:
    shape = source.shape
    if len(shape) != 3:
        raise card.error("kind", f"an image model takes three axes; {source.name} has the shape {list(shape)}")
    channel_axis = {"NCHW": shape[0], "NHWC": shape[2]}
    fitting = [name for name, size in channel_axis.items() if size in (-1, *CHANNELS.values())]
    telling = [name for name in fitting if channel_axis[name] != -1] or fitting
    layout = card.layout or configured or (telling[0] if len(telling) == 1 else None)
    if layout is None:
        raise card.error("input.layout", f"NCHW or NHWC: it cannot be told from the shape {list(shape)}")
    if layout not in fitting:
        raise card.error("input.layout", f"{' or '.join(fitting) or 'one with 1 or 3 channels'} for {list(shape)}")
    channels = channel_axis[layout]
    order = card.order or ("L" if channels == 1 else "RGB")
    if channels not in (-1, CHANNELS[order]):
        raise card.error("input.channel_order", f"{'L' if channels == 1 else 'RGB or BGR'} for {channels} channels")
    integer = source.datatype == "UINT8"
    if integer and (card.scale, set(card.mean), set(card.std)) != (1.0, {0.0}, {1.0}):
        raise card.error("input.scale", "leave scale, mean and std out: the model takes whole pixels (UINT8)")
    mean, std = (_spread(v, CHANNELS[order], card, f"input.{k}") for k, v in (("mean", card.mean), ("std", card.std)))
    return PixelSpace(order, card.scale, mean, std, layout, integer)


def _spread(values: tuple[float, ...], channels: int, card: Card, field: str) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise card.error(field, f"1 or {channels} numbers, not {len(values)}")
    return values * channels if len(values) == 1 else values


def _size(source: TensorSpec, pixels: PixelSpace, card: Card) -> tuple[int, int]:
    served = source.shape[1:] if pixels.layout == "NCHW" else source.shape[:2]
    if card.crop is None:
        if -1 in served:
            raise card.error("input.crop", f"[height, width]: the model takes any size ({list(source.shape)})")
        return served[0], served[1]
    if any(own not in (-1, wanted) for own, wanted in zip(served, card.crop, strict=True)):
        raise card.error("input.crop", f"{list(served)}, the model's own size, not {list(card.crop)}")
    return card.crop


def _with_classes(spec: ModelSpec, card: Card) -> ModelSpec:
    """The length of the output vector as it is scored, with the labels for it."""
    length = 0 if -1 in spec.output.shape else math.prod(spec.output.shape)
    if spec.kind is OutputKind.SIGMOID:
        if length > 1:
            raise card.error("output.kind", f"logits or probabilities: sigmoid is for one number, not {length}")
        length = 2
    if length and len(card.labels) not in (0, length):
        raise card.error("output.labels", f"{length} labels, one for each class, not {len(card.labels)}")
    return replace(spec, classes=length or len(card.labels), labels=card.labels)
