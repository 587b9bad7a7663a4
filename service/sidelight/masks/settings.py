"""From parameters, where None is the preset's, to options, and which of them go together."""

from dataclasses import fields, replace
from typing import Any, TypeVar

from sidelight.core.errors import InvalidRequest
from sidelight.core.evidence import Evidence, check_evidence
from sidelight.core.inputs import ImageInput, Input
from sidelight.core.job import Job
from sidelight.core.target import OutputKind
from sidelight.masks.options import PRESETS, Options, Preset
from sidelight.masks.rationale import check_spans

P = TypeVar("P")
OF_TEXTS = ("snap", "noise")


def preset_of(preset: Preset, image: bool) -> Preset:
    """The preset that is meant."""
    if preset is not Preset.AUTO:
        return preset
    return Preset.IMAGE_CNN if image else Preset.TEXT


def options_of(params: Any, x: Input, kind: OutputKind = OutputKind.LOGITS) -> Options:
    """The options of parameters for an input of a model with outputs of this kind."""
    chosen = PRESETS[preset_of(params.preset, isinstance(x, ImageInput))]
    known = {field.name for field in fields(Options)}
    given = {name: value for name, value in vars(params).items() if name in known and value is not None}
    if "evidence" not in given and kind is not OutputKind.LOGITS:
        given["evidence"] = Evidence.SOFTMAX  # of probabilities there is nothing else
    return replace(chosen, **given)


def settled(params: P, job: Job) -> P:
    """The parameters with the preset's in place of what was left out."""
    options = options_of(params, job.input, job.target.kind)
    preset = preset_of(params.preset, isinstance(job.input, ImageInput))  # type: ignore[attr-defined]
    left_out = {name: getattr(options, name) for name, value in vars(params).items() if value is None}
    return replace(params, **left_out, preset=preset)  # type: ignore[type-var]


def check(params: Any, job: Job, method: str) -> None:
    """Raises InvalidRequest naming the field, or Unsupported."""
    options, image = options_of(params, job.input, job.target.kind), isinstance(job.input, ImageInput)
    if preset_of(params.preset, image) is Preset.TEXT and image:
        raise InvalidRequest(f"{method}.preset", "image_cnn or image_vit: the model takes images")
    if params.preset in (Preset.IMAGE_CNN, Preset.IMAGE_VIT) and not image:
        raise InvalidRequest(f"{method}.preset", "text: the model takes no images")
    check_evidence(job.target, options.evidence, f"{method}.evidence")
    if job.at_layer is not None:
        raise InvalidRequest("baseline", "one that is an input itself: masks mix inputs, and no layer's features")
    if any(getattr(x, "from_segments", "") for x in (job.input, *job.others)):
        raise InvalidRequest("baseline", "one that is not made from segments: this method has none")
    if not options.sigma_low < options.sigma_high:
        raise InvalidRequest(f"{method}.sigma_high", f"above sigma_low, which is {options.sigma_low:g}")
    if not options.sigma_low <= options.sigma <= options.sigma_high:
        bounds = f"[{options.sigma_low:g}, {options.sigma_high:g}], between sigma_low and sigma_high"
        raise InvalidRequest(f"{method}.sigma", f"in {bounds}, not {options.sigma:g}")
    (_check_image if image else _check_text)(options, job.input, method)
    check_spans(job.input, options, method)


def _check_image(options: Options, x: Input, method: str) -> None:
    for name in OF_TEXTS:
        if getattr(options, name):
            raise InvalidRequest(f"{method}.{name}", "0: of words, and this is an image")
    if options.cell > min(x.shape):
        raise InvalidRequest(f"{method}.cell", f"at most {min(x.shape)}, the shorter side of the image")


def _check_text(options: Options, x: Input, method: str) -> None:
    if options.variation_weight:
        raise InvalidRequest(f"{method}.variation_weight", "0: of pixels, and this is a text")
    if options.cell != 1:
        raise InvalidRequest(f"{method}.cell", "1: of pixels, and this is a text")
