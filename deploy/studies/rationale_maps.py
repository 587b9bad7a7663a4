"""Maps by the service's own methods, on one job: of texts [U], the words', and of photos [H, W]."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sidelight.methods
import torch
from sidelight.core import params, registry
from sidelight.core.inputs import ImageInput, TextInput
from sidelight.core.job import Job, Saliency
from sidelight.core.sweep import Plan, together
from sidelight.path.positions import shares
from sidelight.perturbation.options import Calculator, MapType, Sampler

registry.load(sidelight.methods)

MASK, RANDOM = "mask_optimisation", "random"
SUM, L1, L2 = (f"integrated_gradients, {form}" for form in ("sum", "L1", "L2"))
GRADIENTS = "integrated_gradients"
OF_TEXTS = (MASK, SUM, L1, L2, "lime", "kernel_shap", "shapley_sampling", "occlusion", RANDOM)
OF_PHOTOS = (MASK, "rise", GRADIENTS, "grad_cam", RANDOM)

Maps = dict[str, torch.Tensor]  # by method, [1, *shape] float64


def of_text(job: Job, samples: int, steps: int) -> Plan[Maps]:
    """The words' scores by every method of OF_TEXTS. `samples`: rows of each method that draws them."""
    drawn: Mapping[str, Any] = {"samples": samples}
    # Coalitions at a rate of their own are all sizes alike, as those that a random order passes: Shapley's definition.
    rate = {**drawn, "sampler": Sampler.RATE, "calculator": Calculator.SHAP, "map_type": MapType.PER_SEGMENT}
    found = yield from together(
        explained(job, MASK, steps=steps),
        explained(job, GRADIENTS),
        explained(job, "lime", **drawn),
        explained(job, "kernel_shap", **drawn),
        explained(job, "perturbation", **rate),
        explained(job, "occlusion"),
    )
    mask, gradients, *others = found
    names = (name for name in OF_TEXTS if name not in (MASK, SUM, L1, L2, RANDOM))
    return {
        MASK: mask.maps,
        **by_norm(job, gradients),
        **{name: one.maps for name, one in zip(names, others, strict=True)},
        RANDOM: random(job),
    }


def by_norm(job: Job, gradients: Saliency) -> Maps:
    """The words' scores, of attributions to the features of their tokens: the sum, and norms over the features.

    Of a word's tokens the norms are added up, as their sums are.
    """
    x, twin = job.input, job.twin
    assert isinstance(x, TextInput) and twin is not None and twin.pieces is not None
    (raw,) = gradients.accounts[0][0].raw.values()  # [L, D]
    share = shares(x.units, twin.pieces(x.text))  # [U, L]
    norms = {L1: raw.abs().sum(1), L2: raw.square().sum(1).sqrt()}
    return {SUM: gradients.maps, **{name: (share @ norm.double().cpu()).unsqueeze(0) for name, norm in norms.items()}}


def of_photo(job: Job, samples: int, steps: int) -> Plan[Maps]:
    """The pixels' scores by every method of OF_PHOTOS. `samples`: RISE's masks."""
    found = yield from together(
        explained(job, MASK, steps=steps),
        explained(job, "rise", masks=samples),
        explained(job, GRADIENTS),
        explained(job, "grad_cam"),
    )
    named = zip(OF_PHOTOS, (one.maps for one in found), strict=False)
    return {**dict(named), RANDOM: random(job)}


def explained(job: Job, name: str, **chosen: Any) -> Plan[Saliency]:
    """What the method answers, over its own default baseline where it has one, else the job's."""
    method = registry.find(name)
    p: Any = params.build(method.params, chosen, name)
    x = job.input
    own = method.baseline(p, "image") if isinstance(x, ImageInput) else ()
    if own and isinstance(x, ImageInput):
        first, *others = (replace(x, baseline=b.image(x.pixels, x.space, job.stream)) for b in own)
        job = replace(job, input=first, others=tuple(others))
    method.check(p, job)
    return (yield from method.plan(job, method.settle(p, job)))


def random(job: Job) -> torch.Tensor:
    """Uniform noise: what chance is worth."""
    drawn = job.stream.child(RANDOM).uniform(range(1), math.prod(job.input.shape))
    return torch.from_numpy(drawn).reshape(1, *job.input.shape)
