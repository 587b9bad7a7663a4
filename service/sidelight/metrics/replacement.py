"""What stands where a metric hides a part of the input: stated, and apart from the baseline that made the map."""

from enum import Enum
from functools import singledispatch
from typing import Any

from sidelight.core.baseline import Baseline, Blur, ImageMean, ModelMean
from sidelight.core.inputs import ImageInput, Input
from sidelight.core.job import Job


class Replacement(Enum):
    """What an image is occluded with. Text shows the request's own replacement whatever is chosen."""

    IMAGE_MEAN = "image_mean"
    BLUR = "blur"
    MODEL_MEAN = "model_mean"
    REQUEST = "request"


_BASELINES: dict[Replacement, Baseline] = {
    Replacement.IMAGE_MEAN: ImageMean(),
    Replacement.BLUR: Blur(),
    Replacement.MODEL_MEAN: ModelMean(),
}


@singledispatch
def against(x: Any, replacement: Replacement, job: Job) -> tuple[Input, Replacement]:
    """The input `x` of `job` over what `replacement` says, and which replacement that came to."""
    return x, Replacement.REQUEST


@against.register
def _(x: ImageInput, replacement: Replacement, job: Job) -> tuple[Input, Replacement]:
    if replacement is Replacement.REQUEST:
        return x, replacement
    baseline = _BASELINES[replacement].image(x.pixels, x.space, job.stream)
    return ImageInput(x.name, x.pixels, baseline, x.space), replacement
