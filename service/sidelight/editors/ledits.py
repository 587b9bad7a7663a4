"""LEDITS++: the image is inverted, then denoised under an edit (Brack et al., CVPR 2024, arXiv 2311.16711).

Inversion (edit-friendly, Huberman-Spiegelglas et al., CVPR 2024): x_t are drawn independently of each other, and
z_t = (x_{t-1} - mu_t(x_t)) / sigma_t are what the scheduler would have had to draw to go from one to the next, so that
denoising with them gives the image back. Then, with these z_t,

    e = e(0) + s M * d,    d = +-[e(T) - e(0)],    M = 1 where sum_c |d_c| is at least its own quantile `threshold`

The strength is s. Masks from cross-attention, which the paper has besides, are left out: this is diffusers' pipeline
with use_cross_attn_mask and use_intersect_mask off. Steps are those that are performed: of steps (1 + skip), the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sidelight.core.ask import Edit
from sidelight.core.editor import Canvas, Prepared, Scale, editor
from sidelight.core.params import array, bounded, text
from sidelight.core.stream import Stream
from sidelight.core.sweep import Rows
from sidelight.editors.denoising import Schedule, denoised, schedule
from sidelight.editors.diffusion import PROMPT, UNBOUNDED, DiffusionEditor
from sidelight.editors.latent_diffusion import Alive, LatentDiffusion, check, column_of, needed, rows_of, shared_of

needed("diffusers", "transformers")


@dataclass(frozen=True)
class LeditsParams:
    editor: str = text(most=128, what="the configured editor; empty: the only one of this kind")
    prompt: str = text(most=PROMPT, what="what to add, or to remove")
    reverse: bool = bounded(False, low=False, high=True, what="remove it instead")
    prompt_embeds: torch.Tensor | None = array(what="[tokens, width] in place of a prompt")
    threshold: float = bounded(0.9, low=0.0, high=1.0, what="share of all values that the edit leaves alone")
    skip: float = bounded(0.15, low=0.0, high=1.0, what="share of further steps that are skipped at the noisy end")
    steps: int = bounded(30, low=1, high=1000, what="denoising steps")


@editor("ledits", params=LeditsParams, paper="Brack et al., CVPR 2024", weights=True)
class Ledits(DiffusionEditor):
    """A prompt to a diffusion model that starts from the inverted image; the strength is the edit's guidance scale."""

    image_channels = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._scheduler, self._eta = _drawing(self.model.scheduler)

    def scale(self, params: LeditsParams, canvas: Canvas) -> Scale:
        return Scale(
            "edit guidance scale", low=0.0, high=100.0, first=0.0, last=10.0, count=20, neutral=0.0, error=UNBOUNDED
        )

    def prepare(self, params: LeditsParams, canvas: Canvas, stream: Stream) -> Prepared:
        size = self.model.size(canvas)
        same = {
            **self.texts(params),
            "image": self.model.image(canvas, size),
            "noise": self.model.noise(stream.child("inversion"), size, rows=params.steps),
        }
        numbers = {"sign": -1.0 if params.reverse else 1.0, "threshold": params.threshold}
        ask = Edit(self.name, size, params.steps)
        self._schedule(params.steps, params.skip)
        return self.prepared(ask, self.scale(params, canvas), same, numbers | {"skip": params.skip}, like=params.skip)

    def edit(self, ask: Edit, tiles: Sequence[Rows], alive: Alive) -> torch.Tensor:
        model = self.model
        times = self._schedule(ask.steps, tiles[0]["skip"][0].item())  # type: ignore[index, union-attr]
        begin = len(times.times) - ask.steps
        found = [(rows_of(tile), self._inverted(tile, times, begin, alive)) for tile in tiles]
        inverted = torch.cat([x.expand(k, *x.shape) for k, x in found])  # [k, 1 + steps, C, h, w]
        s, sign, threshold = (column_of(tiles, name, model.device) for name in ("strength", "sign", "threshold"))
        told, untold = (model.spread(tiles, name, model.encoded_text) for name in ("text", "untold"))

        def predict(x: torch.Tensor, t: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
            edited = s[places].nonzero()[:, 0]
            at = places[edited]
            both = model.predicted(torch.cat([x, x[edited]]), t, torch.cat([untold[places], told[at]]))
            e, changed = both.split([len(x), len(edited)])
            d = (s[at] * sign[at]).view(-1, 1, 1, 1) * (changed - e[edited])
            return e.index_add(0, edited, d * masks(d, threshold[at]))

        latents = denoised(
            times,
            inverted[:, 0] * times.sigma,
            [begin] * len(inverted),
            predict,
            lambda i, places: {"variance_noise": inverted[places, 1 + i - begin], **self._eta},
            alive,
        )
        return model.frames(latents, alive)

    def _schedule(self, steps: int, skip: float) -> Schedule:
        """The times of steps (1 + skip) steps. Raises InvalidRequest where the pipeline has not so many."""
        return schedule(self._scheduler, int(steps * (1 + skip)), self.model.device)

    def _inverted(self, tile: Rows, times: Schedule, begin: int, alive: Alive) -> torch.Tensor:
        """Latents to begin with, and what is drawn at each step: [1 + steps, C, h, w]. Once for a sequence."""
        model = self.model
        image, noise = shared_of(tile, "image"), shared_of(tile, "noise")
        key = ("inverted", image.key, noise.key, len(times.times))

        def made() -> torch.Tensor:
            clean = model.encoded_image(image) * model.vae.config.scaling_factor
            drawn = noise.value.to(model.device)
            untold = model.encoded_text(model.text("", None, "prompt"))
            return _inversion(model, times.fresh(), times.times[begin:], clean, drawn, untold, alive)

        return model.kept(key, made)


def masks(d: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Where each d [k, C, h, w] is at least its own quantile [k], by the sum of |d| over channels: [k, 1, h, w]."""
    size = d.abs().sum(1)  # [k, h, w]
    ordered = size.flatten(1).sort(1).values
    place = threshold * (ordered.shape[1] - 1)
    low, high = (ordered.gather(1, p.long()[:, None]) for p in (place.floor(), place.ceil()))
    quantile = torch.lerp(low, high, (place - place.floor())[:, None])
    return (size >= quantile[..., None]).to(d.dtype)[:, None]


def _drawing(scheduler: Any) -> tuple[Any, dict[str, float]]:
    """A scheduler whose steps draw, of the same noise levels, and what a step takes besides.

    DDIM with eta = 1 where the pipeline has DDIM, else the second-order SDE of DPM-Solver++.

    Raises ValueError where the network does not predict noise.
    """
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    config = scheduler.config
    if config.get("prediction_type", "epsilon") != "epsilon":
        raise ValueError(f"LEDITS++ needs a pipeline that predicts noise, not {config['prediction_type']}")
    settings = {"timestep_spacing": "leading", "steps_offset": 1}
    if isinstance(scheduler, DDIMScheduler):
        return DDIMScheduler.from_config(config, clip_sample=False, **settings), {"eta": 1.0}
    settings |= {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
    return DPMSolverMultistepScheduler.from_config(config, **settings), {}


def _inversion(
    model: LatentDiffusion,
    scheduler: Any,
    times: torch.Tensor,
    clean: torch.Tensor,
    noise: torch.Tensor,
    untold: torch.Tensor,
    alive: Alive,
) -> torch.Tensor:
    """x_T and the z_t of the steps from there: [1 + steps, C, h, w].

    clean: x_0 [C, h, w]; noise: [steps, C, h, w], that of the last time first.
    """
    from diffusers.pipelines.ledits_pp.pipeline_leditspp_stable_diffusion import compute_noise

    drawn = [scheduler.add_noise(clean, n, t[None]) for n, t in zip(noise, reversed(times), strict=True)]
    found = [drawn[-1]]
    x = drawn[-1]
    for t, wanted in zip(times, [*reversed(drawn[:-1]), clean], strict=True):
        check(alive)
        e = model.predicted(x[None], t, untold[None])
        z, reached = compute_noise(scheduler, wanted[None], x[None], t, e, 1.0)
        found.append(z.expand_as(reached)[0])  # one zero where nothing is drawn
        x = reached[0]  # as denoising will have it
    return torch.stack(found)
