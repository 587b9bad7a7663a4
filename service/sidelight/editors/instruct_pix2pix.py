"""InstructPix2Pix: an instruction changes an image (Brooks, Holynski & Efros, CVPR 2023, arXiv 2211.09800).

    e = e(0,0) + s_T [e(I,T) - e(I,0)] + s_I [e(I,0) - e(0,0)]
      = (1 - s_I) e(0,0) + (s_I - s_T) e(I,0) + s_T e(I,T)

e(I,T) is the denoiser's prediction for the image I and the instruction T, 0 stands for none. The strength is s_T; s_I
and the noise stay as they are along a sequence, which is what makes it gradual (Penzel & Denzler, arXiv 2503.05424).
diffusers' own pipeline leaves guidance out at s_T <= 1; here the equation holds for every s_T.
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
from sidelight.editors.diffusion import PROMPT, DiffusionEditor, seed, seeds_of
from sidelight.editors.latent_diffusion import Alive, column_of, needed

needed("diffusers", "transformers")


@dataclass(frozen=True)
class InstructPix2PixParams:
    editor: str = text(most=128, what="the configured editor; empty: the only one of this kind")
    prompt: str = text(most=PROMPT, what="what to change, an instruction")
    negative_prompt: str = text(most=PROMPT, what="what to avoid; empty: nothing")
    prompt_embeds: torch.Tensor | None = array(what="[tokens, width] in place of a prompt")
    negative_prompt_embeds: torch.Tensor | None = array(what="[tokens, width] in place of a negative prompt")
    image_guidance: float = bounded(1.5, low=0.0, high=100.0, what="s_I, guidance scale of the image")
    steps: int = bounded(20, low=1, high=1000, what="denoising steps")


@editor("instruct_pix2pix", params=InstructPix2PixParams, paper="Brooks et al., CVPR 2023", weights=True)
class InstructPix2Pix(DiffusionEditor):
    """An instruction to a diffusion model; the strength is its guidance scale."""

    image_channels = 1

    def scale(self, params: InstructPix2PixParams, canvas: Canvas) -> Scale:
        return Scale("guidance scale", low=0.0, high=100.0, first=1.0, last=12.5, count=20)

    def prepare(self, params: InstructPix2PixParams, canvas: Canvas, stream: Stream) -> Prepared:
        size = self.model.size(canvas)
        self.schedule(params.steps)
        same = {
            **self.texts(params),
            "image": self.model.image(canvas, size),
            "noise": self.model.noise(stream.child("noise"), size),
            "seed": seed(stream.child("steps")),
        }
        numbers = {"image_guidance": params.image_guidance}
        return self.prepared(Edit(self.name, size, params.steps), self.scale(params, canvas), same, numbers)

    def edit(self, ask: Edit, tiles: Sequence[Rows], alive: Alive) -> torch.Tensor:
        model = self.model
        schedule = self.schedule(ask.steps)
        s_T, s_I = (column_of(tiles, name, model.device) for name in ("strength", "image_guidance"))
        image = model.spread(tiles, "image", model.encoded_image)  # [k, C, h, w]
        told, untold = (model.spread(tiles, name, model.encoded_text) for name in ("text", "untold"))
        noise = model.spread(tiles, "noise", model.uploaded)[:, 0]
        branches = (
            Branch(1 - s_I, untold, torch.zeros_like(image)),  # e(0,0)
            Branch(s_I - s_T, untold, image),  # e(I,0)
            Branch(s_T, told, image),  # e(I,T)
        )
        drawing = seeds_of(tiles)
        latents = denoised(
            schedule,
            noise * schedule.sigma,
            [0] * len(noise),
            guided(model, branches),
            lambda i, places: schedule.drawing([drawing[p] for p in places.tolist()], i),
            alive,
        )
        return model.frames(latents, alive)
