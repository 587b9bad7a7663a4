"""SDEdit: the image is noised, and denoised again under a prompt (Meng et al., ICLR 2022, arXiv 2108.01073).

    x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) n        t the time at the share `strength` of the schedule, x_0 the mode of
                                                 what the autoencoder makes of the image
    e   = (1 - g) e(0) + g e(T)                  from there down to 0

The strength is how far the image is noised, in whole steps: int(steps * strength) of them are denoised, as in
diffusers' image-to-image pipeline. Below one step the frame is the image as the autoencoder gives it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sidelight.core.ask import Edit
from sidelight.core.editor import Canvas, Prepared, Scale, editor
from sidelight.core.params import array, bounded, text
from sidelight.core.stream import Stream
from sidelight.core.sweep import Rows
from sidelight.editors.denoising import Branch, denoised, guided
from sidelight.editors.diffusion import PROMPT, UNBOUNDED, DiffusionEditor, seed, seeds_of
from sidelight.editors.latent_diffusion import Alive, column_of, needed, strengths_of

needed("diffusers", "transformers")


@dataclass(frozen=True)
class SdeditParams:
    editor: str = text(most=128, what="the configured editor; empty: the only one of this kind")
    prompt: str = text(most=PROMPT, what="what the image is to become")
    negative_prompt: str = text(most=PROMPT, what="what to avoid; empty: nothing")
    prompt_embeds: torch.Tensor | None = array(what="[tokens, width] in place of a prompt")
    negative_prompt_embeds: torch.Tensor | None = array(what="[tokens, width] in place of a negative prompt")
    guidance: float = bounded(7.5, low=0.0, high=100.0, what="g, guidance scale of the prompt")
    steps: int = bounded(50, low=1, high=1000, what="denoising steps at full strength")


@editor("sdedit", params=SdeditParams, paper="Meng et al., ICLR 2022", weights=True)
class Sdedit(DiffusionEditor):
    """A prompt to a diffusion model that starts from the noised image; the strength is the share of noise."""

    image_channels = 0

    def scale(self, params: SdeditParams, canvas: Canvas) -> Scale:
        return Scale(
            "noising strength", low=0.0, high=1.0, first=0.05, last=1.0, count=20, neutral=0.0, error=UNBOUNDED
        )

    def prepare(self, params: SdeditParams, canvas: Canvas, stream: Stream) -> Prepared:
        size = self.model.size(canvas)
        self.schedule(params.steps)
        same = {
            **self.texts(params),
            "image": self.model.image(canvas, size),
            "noise": self.model.noise(stream.child("noise"), size),
            "seed": seed(stream.child("steps")),
        }
        ask = Edit(self.name, size, params.steps)
        return self.prepared(ask, self.scale(params, canvas), same, {"guidance": params.guidance})

    def edit(self, ask: Edit, tiles: Sequence[Rows], alive: Alive) -> torch.Tensor:
        model = self.model
        schedule = self.schedule(ask.steps)
        g = column_of(tiles, "guidance", model.device)
        clean = model.spread(tiles, "image", model.encoded_image) * model.vae.config.scaling_factor
        told, untold = (model.spread(tiles, name, model.encoded_text) for name in ("text", "untold"))
        noise = model.spread(tiles, "noise", model.uploaded)[:, 0]
        left = [int(ask.steps * s) for s in strengths_of(tiles)]
        # PNDM has one time more than steps: of no steps nothing is left whatever the scheduler.
        begins = [schedule.order * (ask.steps - n) if n else len(schedule.times) for n in left]
        noised = [schedule.noised(clean[k : k + 1], noise[k : k + 1], begin) for k, begin in enumerate(begins)]
        drawing = seeds_of(tiles)
        latents = denoised(
            schedule,
            torch.cat(noised),
            begins,
            guided(model, (Branch(1 - g, untold), Branch(g, told))),
            lambda i, places: schedule.drawing([drawing[p] for p in places.tolist()], i),
            alive,
        )
        return model.frames(latents, alive)
