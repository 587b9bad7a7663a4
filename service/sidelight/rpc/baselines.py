"""`Baseline` messages to the domain and back."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from google.protobuf.message import Message
from sidelight_proto.v1 import types_pb2

from sidelight.core import registry
from sidelight.core.baseline import (
    Baseline,
    Blur,
    Constant,
    FeatureBaseline,
    FeatureMean,
    FeatureZero,
    FromSegments,
    Histogram,
    ImageMean,
    ImageMedian,
    ModelMean,
    Neutral,
    Noise,
    Picture,
    RandomColour,
    ReferenceMean,
    default_sigma,
)
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, Input
from sidelight.core.predictor import ModelSpec
from sidelight.core.registry import Method
from sidelight.predictors.fit import fit
from sidelight.rpc.images import decode_image

MAX_IMAGE_BYTES = 2 << 20  # of all images of a baseline: the answer echoes them, and has to fit into one message
MAX_REFERENCES = 64
MIN_BASELINES, MAX_BASELINES = 2, 64  # of a distribution
AT_LAYER = ("feature_zero", "feature_mean", "neutral")
NO_ONE_INPUT = (*AT_LAYER, "distribution")


def check_baseline(message: types_pb2.Baseline, method: Method) -> None:
    """Raises InvalidRequest for a kind that `method` cannot take, or for more images than an answer can echo."""
    kind = message.WhichOneof("kind")
    if kind == "distribution" and not method.apart:
        able = ", ".join(m.name for m in registry.methods().values() if m.apart)
        raise InvalidRequest("baseline.distribution", f"is for {able}; {method.name} takes one baseline")
    if kind in AT_LAYER and "gradient" not in method.needs:
        able = ", ".join(m.name for m in registry.methods().values() if "gradient" in m.needs) or "no method here"
        raise InvalidRequest(
            f"baseline.{kind}",
            f"is for methods that take gradients ({able}); {method.name} needs one that is an input itself",
        )
    if kind is not None and (size := sum(map(len, _encoded(message)))) > MAX_IMAGE_BYTES:
        field = "baseline.image.image" if kind == "image" else f"baseline.{kind}"
        raise InvalidRequest(
            field, f"at most {MAX_IMAGE_BYTES} bytes of images, not {size}; they are fitted to the model anyway"
        )


def asked_baseline(message: types_pb2.Baseline, method: Method, params: Any, modality: str) -> types_pb2.Baseline:
    """The baseline that is asked for; where there is none, `method`'s own for inputs of this modality, in full."""
    own = () if message.WhichOneof("kind") else method.baseline(params, modality)
    if not own:
        return message
    several = [_said(one) for one in own]
    return several[0] if len(several) == 1 else types_pb2.Baseline(distribution={"baselines": several})


def _said(baseline: Baseline) -> types_pb2.Baseline:
    """The message of a baseline that is an input made without images."""
    given = {name: value for name, value in vars(baseline).items() if value is not None}
    return types_pb2.Baseline(**{_NAMES[type(baseline)]: given})


def _encoded(message: types_pb2.Baseline) -> Iterator[bytes]:
    """The encoded images in the message."""
    yield message.image.image
    yield from message.reference_mean.images
    yield from message.feature_mean.images
    for one in message.distribution.baselines:
        yield from _encoded(one)


@contextmanager
def _of(place: int) -> Iterator[None]:
    """Name the baseline of a distribution that an error is about."""
    try:
        yield
    except InvalidRequest as error:
        field = error.field.replace("baseline", f"baseline.distribution.baselines[{place}]", 1)
        raise InvalidRequest(field, error.mend) from error


def _several(message: types_pb2.Baseline) -> Sequence[types_pb2.Baseline]:
    """The baselines of a distribution."""
    several = message.distribution.baselines
    if not MIN_BASELINES <= len(several) <= MAX_BASELINES:
        raise InvalidRequest(
            "baseline.distribution.baselines", f"{MIN_BASELINES} to {MAX_BASELINES} of them, not {len(several)}"
        )
    for place, one in enumerate(several):
        with _of(place):
            kind = one.WhichOneof("kind")
            if kind is None:
                raise InvalidRequest("baseline", "set its kind")
            if kind in (*NO_ONE_INPUT, "segment_mean", "inpainting"):
                raise InvalidRequest(f"baseline.{kind}", "is none of several; they are inputs of the model, one each")
    return several


def image_inputs(
    message: types_pb2.Baseline, spec: ModelSpec, make: Callable[[Baseline, str], ImageInput], max_pixels: int
) -> tuple[tuple[ImageInput, ...], FeatureBaseline | None]:
    """The input over each of its baselines, which `make(baseline, name of its draws)` lays it over.

    And the baseline that only a layer has; the input lies over the default then. Raises InvalidRequest.
    """
    kind = message.WhichOneof("kind")
    if kind in AT_LAYER:
        x = make(ModelMean(), "")
        at_layer = feature_baseline(message, spec, max_pixels)
        for pixels in getattr(at_layer, "references", ()):
            if pixels.shape != x.pixels.shape:
                height, width = x.shape
                raise InvalidRequest(
                    "baseline.feature_mean.images", f"images of {width} x {height} pixels, as the input"
                )
        return (x,), at_layer
    if kind != "distribution":
        return (make(decode_baseline(message, spec, max_pixels), ""),), None
    made = []
    for place, one in enumerate(_several(message)):
        with _of(place):
            made.append(make(decode_baseline(one, spec, max_pixels), f"baselines.{place}"))
    return tuple(made), None


def replacements(message: types_pb2.Baseline, spec: ModelSpec) -> tuple[tuple[str, ...], FeatureBaseline | None]:
    """What stands where a word or token was, once for each baseline; and the baseline that only a layer has.

    Raises InvalidRequest.
    """
    kind = message.WhichOneof("kind")
    if kind in AT_LAYER:
        if message.feature_mean.images:
            raise InvalidRequest(
                "baseline.feature_mean.images", f"model {spec.name} takes text: leave them out for its own mean"
            )
        return ("",), feature_baseline(message, spec, 0)
    if kind != "distribution":
        return (_replacement(message, spec),), None
    found = []
    for place, one in enumerate(_several(message)):
        with _of(place):
            found.append(_replacement(one, spec))
    return tuple(found), None


def _replacement(message: types_pb2.Baseline, spec: ModelSpec) -> str:
    kind = message.WhichOneof("kind")
    if kind not in (None, "text"):
        able = ", ".join(NO_ONE_INPUT)
        raise InvalidRequest(
            f"baseline.{kind}",
            f"model {spec.name} takes text, whose baseline is baseline.text, or along a path of gradients {able}",
        )
    if spec.modality != "tokens":
        return message.text.replacement
    replacement = message.text.replacement or "0"
    most = (spec.vocabulary or 2**31) - 1
    if not (replacement.isascii() and replacement.isdecimal() and int(replacement) <= most):
        raise InvalidRequest("baseline.text.replacement", f"a token id in 0..{most}, not {replacement!r}")
    return replacement


def feature_baseline(message: types_pb2.Baseline, spec: ModelSpec, max_pixels: int) -> FeatureBaseline:
    """The baseline of a kind that only a layer has."""
    kinds: dict[str, Callable[[], FeatureBaseline]] = {
        "feature_zero": FeatureZero,
        "feature_mean": lambda: FeatureMean(
            _references(message.feature_mean.images, "baseline.feature_mean.images", spec, max_pixels)
        ),
        "neutral": Neutral,
    }
    return kinds[message.WhichOneof("kind")]()


def decode_baseline(message: types_pb2.Baseline, spec: ModelSpec, max_pixels: int) -> Baseline:
    """One baseline of an image; absent means the documented default. Raises InvalidRequest."""
    kind = message.WhichOneof("kind") or "model_mean"
    if kind == "image":
        (pixels,) = _references([message.image.image], "baseline.image.image", spec, max_pixels)
        return Picture(pixels)
    if kind == "reference_mean":
        path = "baseline.reference_mean.images"
        if not message.reference_mean.images:
            raise InvalidRequest(path, "at least one encoded image")
        return ReferenceMean(_references(message.reference_mean.images, path, spec, max_pixels))
    if kind not in _KINDS:
        able = ", ".join([*_KINDS, "image", "reference_mean", *NO_ONE_INPUT])
        raise InvalidRequest(f"baseline.{kind}", f"model {spec.name} takes images; one of {able}")
    baseline = _KINDS[kind](message)
    for field, value in getattr(message, kind).ListFields():
        numbers = value if field.name == "value" else [value]
        if not all(math.isfinite(v) for v in numbers):
            raise InvalidRequest(f"baseline.{kind}.{field.name}", "finite numbers")
    return baseline


def _references(images: Sequence[bytes], path: str, spec: ModelSpec, max_pixels: int) -> tuple[torch.Tensor, ...]:
    """Encoded images as pixels [C, H, W], fitted to the model."""
    if len(images) > MAX_REFERENCES:
        raise InvalidRequest(path, f"at most {MAX_REFERENCES}, not {len(images)}")
    names = [path] if path.endswith(".image") else [f"{path}[{i}]" for i in range(len(images))]
    pictures = (decode_image(data, max_pixels, name) for data, name in zip(images, names, strict=True))
    return tuple(fit(picture.pixels, spec.fit, spec.pixels.order)[0] for picture in pictures)


def _given(message: Message, *names: str) -> dict[str, float]:
    return {name: getattr(message, name) for name in names if message.HasField(name)}


_KINDS: dict[str, Callable[[types_pb2.Baseline], Baseline]] = {
    "model_mean": lambda m: ModelMean(),
    "constant": lambda m: Constant(tuple(m.constant.value)),
    "image_mean": lambda m: ImageMean(),
    "blur": lambda m: Blur(**_given(m.blur, "sigma")),
    "noise": lambda m: Noise(**_given(m.noise, "mean", "sd")),
    "image_median": lambda m: ImageMedian(),
    "histogram": lambda m: Histogram(),
    "random_colour": lambda m: RandomColour(),
    "segment_mean": lambda m: FromSegments("segment_mean"),
    "inpainting": lambda m: FromSegments("inpainting"),
}


_NAMES: dict[type, str] = {
    ModelMean: "model_mean",
    Constant: "constant",
    ImageMean: "image_mean",
    Blur: "blur",
    Noise: "noise",
    ImageMedian: "image_median",
    Histogram: "histogram",
    RandomColour: "random_colour",
}


def resolved_baseline(message: types_pb2.Baseline, inputs: Sequence[Input]) -> types_pb2.Baseline:
    """The baseline for these models' inputs with its defaults filled in, for the answer."""
    kind = message.WhichOneof("kind")
    if kind not in NO_ONE_INPUT and not isinstance(inputs[0], ImageInput):
        return types_pb2.Baseline(text={"replacement": message.text.replacement})
    resolved = types_pb2.Baseline()
    resolved.CopyFrom(message)
    if kind is None:
        resolved.model_mean.SetInParent()
    if kind == "distribution":
        for one in resolved.distribution.baselines:
            one.CopyFrom(resolved_baseline(one, inputs))
    if message.HasField("noise"):
        default = Noise()
        resolved.noise.mean = message.noise.mean if message.noise.HasField("mean") else default.mean
        resolved.noise.sd = message.noise.sd if message.noise.HasField("sd") else default.sd
    sigmas = {default_sigma(x.shape) for x in inputs}
    if message.HasField("blur") and not message.blur.HasField("sigma") and len(sigmas) == 1:
        resolved.blur.sigma = sigmas.pop()
    return resolved
