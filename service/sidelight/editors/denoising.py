"""Denoising of many rows at once, each with its own guidance and its own first step.

A row has the latents that it would have alone: what a scheduler remembers of the steps before is kept apart for rows
that began together, and what it draws is drawn for each row by itself.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.editors.latent_diffusion import Alive, LatentDiffusion, check

Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]  # x [r, ...], t, places [r] -> e [r, ...]


class Schedule:
    """The times of a scheduler, in order."""

    def __init__(self, scheduler: Any, steps: int, device: torch.device) -> None:
        self._scheduler = copy.deepcopy(scheduler)
        self._scheduler.set_timesteps(steps, device=device)
        self.times: torch.Tensor = self._scheduler.timesteps
        self.order: int = self._scheduler.order  # times of one step
        self.sigma = self._scheduler.init_noise_sigma  # of the noise that a schedule begins with
        self._takes = inspect.signature(self._scheduler.step).parameters.keys()

    def fresh(self) -> Any:
        """A scheduler that has made no step, and finds its place by the time."""
        return copy.deepcopy(self._scheduler)

    def at(self, begin: int) -> Any:
        """A scheduler that begins with the time of this number."""
        made = self.fresh()
        if hasattr(made, "set_begin_index"):
            made.set_begin_index(begin)
        return made

    def noised(self, x: torch.Tensor, noise: torch.Tensor, begin: int) -> torch.Tensor:
        """Latents as they are before the time of this number; clean ones where there is no such time."""
        if begin >= len(self.times):
            return x
        return self.at(begin).add_noise(x, noise, self.times[begin].repeat(len(x)))

    def drawing(self, seeds: Sequence[int], i: int) -> dict[str, Any]:
        """For a scheduler that draws: generators of these rows at time i, the same from whatever time they began."""
        if "generator" not in self._takes:
            return {}
        return {"generator": [torch.Generator().manual_seed((seed + i) % 2**63) for seed in seeds]}


def schedule(scheduler: Any, steps: int, device: torch.device) -> Schedule:
    """The times of so many steps. Raises InvalidRequest where the scheduler has not so many."""
    most = scheduler.config.num_train_timesteps
    try:
        made = Schedule(scheduler, steps, device)
        if made.times.max() < most:
            return made
    except (ValueError, IndexError, ZeroDivisionError):  # schedulers say it in these ways
        pass
    raise InvalidRequest("steps", f"fewer: this pipeline was trained on {most} noise levels, too few for {steps} steps")


@dataclass(eq=False)
class _Together:
    """Rows that began at the same time."""

    begin: int
    places: torch.Tensor  # [r] of these rows in the batch
    x: torch.Tensor  # [r, C, h, w]
    scheduler: Any


def denoised(
    schedule: Schedule,
    x: torch.Tensor,
    begins: Sequence[int],
    predict: Predict,
    given: Callable[[int, torch.Tensor], Mapping[str, Any]],
    alive: Alive,
) -> torch.Tensor:
    """Latents [k, C, h, w] at the end of the schedule.

    x: each row's latents at its first time, `begins` the number of that. given: what else the scheduler's step takes,
    by the time's number and the rows' places. Raises Cancelled between two steps.
    """
    x = x.clone()
    together = []
    for begin in sorted(set(begins)):
        places = torch.tensor([k for k, at in enumerate(begins) if at == begin], device=x.device)
        together.append(_Together(begin, places, x[places], schedule.at(min(begin, len(schedule.times)))))
    for i, t in enumerate(schedule.times):
        begun = [rows for rows in together if rows.begin <= i]
        if not begun:
            continue
        check(alive)
        scaled = torch.cat([rows.scheduler.scale_model_input(rows.x, t) for rows in begun])
        e = predict(scaled, t, torch.cat([rows.places for rows in begun]))
        for rows, of_rows in zip(begun, e.split([len(rows.x) for rows in begun]), strict=True):
            more = given(i, rows.places)
            rows.x = rows.scheduler.step(of_rows, t, rows.x, return_dict=False, **more)[0]
    for rows in together:
        x[rows.places] = rows.x.to(x.dtype)
    return x


@dataclass(frozen=True, eq=False)
class Branch:
    """One of the predictions that guidance weighs: its weight [k], its text [k, tokens, width], its image latents."""

    weight: torch.Tensor
    text: torch.Tensor
    image: torch.Tensor | None = None  # [k, C, h, w], for networks that take one


def guided(model: LatentDiffusion, branches: Sequence[Branch]) -> Predict:
    """e = sum_b w_b e_b. A branch whose weight is 0 for a row is not computed for it."""
    weights = [branch.weight.tolist() for branch in branches]

    def predict(x: torch.Tensor, t: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        rows = places.tolist()
        needed = [torch.tensor([i for i, r in enumerate(rows) if w[r]], device=x.device).long() for w in weights]
        latents, texts = [], []
        for branch, here in zip(branches, needed, strict=True):
            at = places[here]
            latents.append(x[here] if branch.image is None else torch.cat([x[here], branch.image[at]], 1))
            texts.append(branch.text[at])
        predicted = model.predicted(torch.cat(latents), t, torch.cat(texts))
        e = torch.zeros_like(x)
        for branch, here, part in zip(branches, needed, predicted.split([len(n) for n in needed]), strict=True):
            e.index_add_(0, here, branch.weight[places[here]].view(-1, 1, 1, 1) * part)
        return e

    return predict
