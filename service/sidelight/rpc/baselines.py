"""`Baseline` messages to the domain and back."""

import math
from collections.abc import Callable, Sequence

from google.protobuf.message import Message
from sidelight_proto.v1 import types_pb2

from sidelight.core.baseline import (
    Baseline,
    Blur,
    Constant,
    FromSegments,
    Histogram,
    ImageMean,
    ImageMedian,
    ModelMean,
    Noise,
    Picture,
    RandomColour,
    default_sigma,
)
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, Input
from sidelight.core.predictor import ModelSpec
from sidelight.predictors.fit import fit
from sidelight.rpc.images import decode_image

MAX_IMAGE_BYTES = 2 << 20  # the answer echoes it, and has to fit into one message


def decode_baseline(message: types_pb2.Baseline, spec: ModelSpec, max_pixels: int) -> Baseline:
    """The baseline of an image; absent means the documented default. Raises InvalidRequest."""
    kind = message.WhichOneof("kind") or "model_mean"
    if kind == "image":
        if len(message.image.image) > MAX_IMAGE_BYTES:
            raise InvalidRequest(
                "baseline.image.image", f"at most {MAX_IMAGE_BYTES} bytes; it is fitted to the model anyway"
            )
        picture = decode_image(message.image.image, max_pixels, "baseline.image.image")
        return Picture(fit(picture.pixels, spec.fit, spec.pixels.order)[0])
    if kind not in _KINDS:
        raise InvalidRequest(
            f"baseline.{kind}", f"model {spec.name} takes images; one of {', '.join([*_KINDS, 'image'])}"
        )
    baseline = _KINDS[kind](message)
    for field, value in getattr(message, kind).ListFields():
        numbers = value if field.name == "value" else [value]
        if not all(math.isfinite(v) for v in numbers):
            raise InvalidRequest(f"baseline.{kind}.{field.name}", "finite numbers")
    return baseline


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


def resolved_baseline(message: types_pb2.Baseline, inputs: Sequence[Input]) -> types_pb2.Baseline:
    """The baseline for these models' inputs with its defaults filled in, for the answer."""
    if not isinstance(inputs[0], ImageInput):
        return types_pb2.Baseline(text={"replacement": message.text.replacement})
    resolved = types_pb2.Baseline()
    resolved.CopyFrom(message)
    if message.WhichOneof("kind") is None:
        resolved.model_mean.SetInParent()
    if message.HasField("noise"):
        default = Noise()
        resolved.noise.mean = message.noise.mean if message.noise.HasField("mean") else default.mean
        resolved.noise.sd = message.noise.sd if message.noise.HasField("sd") else default.sd
    sigmas = {default_sigma(x.shape) for x in inputs}
    if message.HasField("blur") and not message.blur.HasField("sigma") and len(sigmas) == 1:
        resolved.blur.sigma = sigmas.pop()
    return resolved
