"""What the editors on a latent diffusion model have in common."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from sidelight.core.ask import Edit
from sidelight.core.editor import Prepared, Scale
from sidelight.core.errors import InvalidRequest
from sidelight.core.stream import Stream
from sidelight.core.sweep import Column, Placement, Rows, Shared
from sidelight.editors.denoising import Schedule, schedule
from sidelight.editors.latent_diffusion import LatentDiffusion, rows_of, shared_of

PROMPT = 2000  # characters
BATCH_ROWS = 16
UNBOUNDED = 255.0  # levels that an autoencoder may lose: how many depends on the image, and the answer tells them
VERSION = "1"  # of the arithmetic, a part of every frame's key


class DiffusionEditor:
    """An editor with the pipeline in `model`, a folder or a repository of the Hugging Face hub.

    precision: float32, bfloat16, float16, or auto: float16 on a GPU. batch_rows: None for 16. Raises ValueError.
    """

    image_channels: ClassVar[int]  # the network's inputs besides the noisy latents, in images

    def __init__(
        self,
        *,
        name: str,
        model: str,
        device: torch.device | str = "cpu",
        precision: str = "auto",
        batch_rows: int | None = None,
    ) -> None:
        self.model = LatentDiffusion(model, device, precision, image_channels=self.image_channels)
        self.name, self.digest = name, self.model.digest
        self.lane = f"diffusion-{self.model.device}"  # not the models': a batch here takes seconds to minutes
        self.placement, self.batch_rows = self.model.placement, batch_rows or BATCH_ROWS

    def schedule(self, steps: int) -> Schedule:
        """The times of so many steps. Raises InvalidRequest where the pipeline has not so many."""
        return schedule(self.model.scheduler, steps, self.model.device)

    def texts(self, params: Any) -> dict[str, Shared]:
        """The prompt's column and that of the text without it. Raises InvalidRequest."""
        if not params.prompt and params.prompt_embeds is None:
            raise InvalidRequest("prompt", "has to be given, or prompt_embeds in its place")
        told = self.model.text(params.prompt, params.prompt_embeds, "prompt")
        other = self.model.text(
            getattr(params, "negative_prompt", ""), getattr(params, "negative_prompt_embeds", None), "negative_prompt"
        )
        if len(told.value) != len(other.value):
            field = "prompt_embeds" if params.prompt_embeds is not None else "negative_prompt_embeds"
            raise InvalidRequest(
                field, f"as many tokens for both prompts (a text has {self.model.tokens}), not {len(told.value)} and "
                f"{len(other.value)}",
            )  # fmt: skip
        return {"text": told, "untold": other}

    def prepared(
        self,
        ask: Edit,
        scale: Scale,
        same: Mapping[str, Shared],
        numbers: Mapping[str, float],
        like: Hashable = (),
    ) -> Prepared:
        """A sequence of these shared columns, and of these numbers in every row. Size and steps are in the ask."""
        decides = (
            VERSION, type(self).__name__, self.digest, self.model.precision, ask.size, ask.steps,
            sorted((name, str(column.key)) for name, column in same.items()), sorted(numbers.items()), like,
        )  # fmt: skip
        key = hashlib.sha256(repr(decides).encode()).hexdigest()

        def rows(strengths: Sequence[float], on: Placement) -> Rows:
            scale.check(strengths)
            columns: dict[str, Column] = {**same, "strength": torch.tensor(strengths, dtype=torch.float64)}
            of_each = {n: torch.full((len(strengths),), x, dtype=torch.float64) for n, x in numbers.items()}
            return columns | of_each

        tokens = len(same["text"].value)
        return Prepared(ask, (tokens, like), rows, f"{self.name}:{key}", (ask.size[0], ask.size[1]))

    def close(self) -> None:
        self.model.close()


def seed(stream: Stream) -> Shared:
    """Of what a scheduler draws, if it draws: one for the sequence."""
    value = int(stream.words(range(1), 1)[0, 0] >> 1)
    return Shared(("seed", value), torch.tensor(value))


def seeds_of(tiles: Sequence[Rows]) -> list[int]:
    """The seed of each row."""
    return [seed for tile in tiles for seed in [int(shared_of(tile, "seed").value)] * rows_of(tile)]
