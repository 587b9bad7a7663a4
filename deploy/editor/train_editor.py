"""Train the demo's editor on drawn lesions, or measure the one that ships (run by `make train-demo-editor`).

    python deploy/editor/train_editor.py                # about half an hour; writes pix2pix/ and text_to_image/
    python deploy/editor/train_editor.py --keep-vae     # the same on the autoencoder and text encoder that are there
    python deploy/editor/train_editor.py --measure      # what the model card says

First the autoencoder, then both denoisers and the text encoder together. Nothing but `lesions.py` is learnt from.
"""

import argparse
import copy
import dataclasses
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import lesions
import measure
import networks
import numpy as np
import torch
from lesions import PROPERTIES, Lesion
from networks import Parts
from torch import nn

SOURCES, EDITS = 4000, 3  # lesions, and edits of each
BATCH_VAE, BATCH_EDITS, BATCH_PICTURES = 16, 40, 20
STEPS_VAE, STEPS = 1300, 1900
CROP, WHOLE = 32, 0.85  # the autoencoder sees crops of so many pixels for this share of its steps, then whole pictures
RATE_VAE, RATE = 0.02, 0.01  # of matrices, at their highest
RATE_REST = 0.1  # of all else, as a share of that
KL = 3e-4  # weight of a latent's divergence from a standard normal, against a mean absolute error of pixels in [-1, 1]
UNTOLD, UNSEEN, NEITHER = 0.15, 0.05, 0.07  # shares of edits trained without instruction, image, both
UNCAPTIONED = 0.12  # share of pictures trained without a caption
DECAY = 0.997  # of the running mean of the weights, which is what is saved
SAVE_EVERY = 400


@dataclass(frozen=True, eq=False)
class Pairs:
    """Edits with their instruction, and every picture with its caption; an empty text is number 0."""

    texts: list[str]
    pictures: torch.Tensor  # [P, 3, 64, 64] uint8
    captions: torch.Tensor  # [P] numbers of texts
    source: torch.Tensor  # [E] numbers of pictures
    target: torch.Tensor  # [E] likewise
    instruction: torch.Tensor  # [E] numbers of texts


def pairs(sources: int, rng: np.random.Generator) -> Pairs:
    """Lesions with edits of each. The strength goes a share u^2 of the way to its end, u uniform.

    Small changes are the common ones, so that guidance has to be raised to ask for a whole one.
    """
    texts: dict[str, int] = {"": 0}
    drawn: list[Lesion] = []
    edits: list[tuple[int, int, int]] = []
    for _ in range(sources):
        lesion = lesions.sample(rng)
        drawn.append(lesion)
        number = len(drawn) - 1
        for name, more in _choices(lesion, rng):
            end, start, way = float(more), getattr(lesion, name), rng.random() ** 2
            words = lesions.instruction(lesion, name, more)
            drawn.append(lesions.at(lesion, name, start + way * (end - start)))
            edits.append((number, len(drawn) - 1, texts.setdefault(words, len(texts))))
    pictures = torch.from_numpy(np.stack([lesions.draw(lesion) for lesion in drawn])).permute(0, 3, 1, 2)
    captions = torch.tensor([texts.setdefault(lesions.caption(lesion), len(texts)) for lesion in drawn])
    source, target, instruction = torch.tensor(edits).unbind(1)
    return Pairs(list(texts), pictures.contiguous(), captions, source, target, instruction)


def _choices(lesion: Lesion, rng: np.random.Generator) -> list[tuple[str, bool]]:
    """Edits that make sense of this lesion: what is there is not added, what is not there not removed."""
    able = [(name, True) for name in PROPERTIES if name not in ("patch", "hairs", "ruler") or not getattr(lesion, name)]
    able += [(name, False) for name in ("darkness", "hue")] + [("patch", False)] * bool(lesion.patch)
    able += [("patch", True)] * (2 * (not lesion.patch))  # six instructions, by colour and side
    return [able[i] for i in rng.choice(len(able), EDITS, replace=False)]


def train_vae(parts: Parts, pictures: torch.Tensor, rng: torch.Generator) -> None:
    """The mean absolute error of pixels, and a little of the usual divergence."""
    vae = parts.vae.to(memory_format=torch.channels_last)
    for step, rate in _steps("autoencoder", STEPS_VAE, RATE_VAE, [vae]):
        batch = pictures[torch.randint(len(pictures), (BATCH_VAE,), generator=rng)]
        if step < WHOLE * STEPS_VAE:
            down, right = torch.randint(lesions.SIZE - CROP + 1, (2,), generator=rng).tolist()
            batch = batch[:, :, down : down + CROP, right : right + CROP]
        x = normalised(batch).contiguous(memory_format=torch.channels_last)
        latent = vae.encode(x).latent_dist
        noise = torch.randn(latent.mean.shape, generator=rng)
        error = (vae.decode(latent.mean + latent.std * noise).sample - x).abs().mean()
        rate(error + KL * latent.kl().mean() / latent.mean[0].numel(), f"error {error.item():.4f}")
    vae.eval().requires_grad_(False)


@torch.no_grad()
def encoded(parts: Parts, pictures: torch.Tensor) -> torch.Tensor:
    """Latents [P, 6, 16, 16], unscaled; the autoencoder's own scale is set so that they are of unit variance."""
    latents = torch.cat([parts.vae.encode(normalised(part)).latent_dist.mode() for part in pictures.split(64)])
    parts.vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    return latents.contiguous()


def train_denoisers(parts: Parts, data: Pairs, latents: torch.Tensor, rng: torch.Generator) -> Parts:
    """Both denoisers and the text encoder; returns the running means of their weights.

    Without an instruction the target is the image itself: the difference between the predictions with and without
    one is then the whole edit, which is what guidance multiplies.
    """
    scale = parts.vae.config.scaling_factor
    ids = parts.tokenizer(data.texts, padding="max_length", return_tensors="pt").input_ids
    levels = networks.scheduler("v_prediction").alphas_cumprod
    modules = [parts.text_encoder, parts.edits, parts.pictures]
    means = copy.deepcopy(modules)
    for step, rate in _steps("denoisers", STEPS, RATE, modules):
        edit = torch.randint(len(data.source), (BATCH_EDITS,), generator=rng)
        picture = torch.randint(len(latents), (BATCH_PICTURES,), generator=rng)
        told, seen, target = data.instruction[edit], latents[data.source[edit]], latents[data.target[edit]]
        drop = torch.rand(BATCH_EDITS, generator=rng)
        silent = (drop < UNTOLD) | (drop >= 1 - NEITHER)
        blind = (drop >= UNTOLD) & (drop < UNTOLD + UNSEEN) | (drop >= 1 - NEITHER)
        target = torch.where((silent & ~blind)[:, None, None, None], seen, target)
        told, seen = told.masked_fill(silent, 0), seen * ~blind[:, None, None, None]
        captioned = data.captions[picture].masked_fill(torch.rand(BATCH_PICTURES, generator=rng) < UNCAPTIONED, 0)

        unique, place = torch.unique(torch.cat([told, captioned]), return_inverse=True)
        words = parts.text_encoder(ids[unique]).last_hidden_state[place]
        x, t, noise, a = _noised(target * scale, levels, rng)
        v = a.sqrt() * noise - (1 - a).sqrt() * target * scale
        changed = parts.edits(torch.cat([x, seen], 1), t, words[:BATCH_EDITS]).sample
        x, t, noise, _ = _noised(latents[picture] * scale, levels, rng)
        drawn = parts.pictures(x, t, words[BATCH_EDITS:]).sample
        losses = nn.functional.mse_loss(changed, v), nn.functional.mse_loss(drawn, noise)
        rate(losses[0] + losses[1], f"edits {losses[0].item():.4f}, pictures {losses[1].item():.4f}")
        _follow(means, modules, min(DECAY, (1 + step) / (10 + step)))
        if step % SAVE_EVERY == 0:
            networks.save(_with(copy.deepcopy(parts), copy.deepcopy(means)))
    return _with(parts, means)


def _noised(x: torch.Tensor, levels: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Noised latents, their times, the noise, and the share of x's variance in them, [k, 1, 1, 1]."""
    t = torch.randint(len(levels), (len(x),), generator=rng)
    noise = torch.randn(x.shape, generator=rng)
    a = levels[t][:, None, None, None]
    return a.sqrt() * x + (1 - a).sqrt() * noise, t, noise, a


@torch.no_grad()
def _follow(means: Iterable[nn.Module], modules: Iterable[nn.Module], decay: float) -> None:
    for mean, module in zip(means, modules, strict=True):
        torch._foreach_lerp_(list(mean.parameters()), list(module.parameters()), 1 - decay)


def _with(parts: Parts, modules: list[nn.Module]) -> Parts:
    text_encoder, edits, pictures = modules
    return dataclasses.replace(parts, text_encoder=text_encoder, edits=edits, pictures=pictures)


def _steps(what: str, steps: int, highest: float, modules: list[nn.Module]) -> Iterator[tuple[int, "_Step"]]:
    """Numbers from 1, each with what takes a loss one step down; the rate rises for a fiftieth, then falls to zero."""
    embeddings = {m.weight for module in modules for m in module.modules() if isinstance(m, nn.Embedding)}
    parameters = list(itertools.chain(*(module.parameters() for module in modules)))
    matrices = [p for p in parameters if p.dim() > 1 and p not in embeddings]
    rest = [p for p in parameters if p.dim() == 1 or p in embeddings]
    optimisers = [Muon(matrices, highest), torch.optim.AdamW(rest, highest * RATE_REST, (0.9, 0.95), weight_decay=0)]
    rates = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda n: min(1, 50 * (n + 1) / steps) * (1 - n / steps))
        for o in optimisers
    ]
    began = time.monotonic()
    for step in range(1, steps + 1):
        taken = _Step(parameters, optimisers)
        yield step, taken
        for rate in rates:
            rate.step()
        if step % 50 == 0:
            print(f"{what}, step {step} of {steps}: {taken.said}, {time.monotonic() - began:.0f} s", flush=True)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are brought to singular values near 1 (Jordan et al. 2024), by five Newton-Schulz steps.

    A kernel counts as a matrix of its output channels. In a trial 100 such steps did more for the autoencoder than 150
    of Adam.
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # there is never one
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p)).lerp_(p.grad, 1 - group["momentum"])
                x = p.grad.lerp(mean, group["momentum"]).flatten(1)
                tall = x.shape[0] > x.shape[1]
                x = (x.T if tall else x) / (x.norm() + 1e-7)
                for _ in range(5):
                    square = x @ x.T
                    x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
                scale = max(1.0, len(p) / p[0].numel()) ** 0.5
                p.add_((x.T if tall else x).reshape(p.shape), alpha=-group["lr"] * scale)


class _Step:
    def __init__(self, parameters: list[nn.Parameter], optimisers: list[torch.optim.Optimizer]) -> None:
        self.parameters, self.optimisers, self.said = parameters, optimisers, ""

    def __call__(self, loss: torch.Tensor, said: str) -> None:
        """One step down this loss; `said` is for the log."""
        if not math.isfinite(loss.item()):
            raise FloatingPointError("training diverged")
        for p in self.parameters:
            p.grad = None
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.said = said


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """Levels 0..255 as numbers in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def words() -> list[str]:
    """All words of instructions and captions."""
    rng = np.random.default_rng(0)
    drawn = [lesions.sample(rng) for _ in range(200)]
    told = [lesions.caption(lesion) for lesion in drawn]
    told += [
        p.more.format(colour=c, side=s) for p in PROPERTIES.values() for c in lesions.PATCHES for s in lesions.SIDES
    ]
    return " ".join([*told, *(p.less for p in PROPERTIES.values())]).split()


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the demo's editor, or measure it.")
    parser.add_argument("--measure", action="store_true", help="only measure the one that is there")
    parser.add_argument("--keep-vae", action="store_true", help="train only the denoisers")
    args = parser.parse_args()
    if not args.measure:
        torch.manual_seed(0)
        rng = torch.Generator().manual_seed(0)
        data = pairs(SOURCES, np.random.default_rng(1))
        print(f"{len(data.pictures)} pictures, {len(data.source)} edits, {len(data.texts)} texts", flush=True)
        parts = untrained = networks.untrained(words())
        if args.keep_vae:
            parts = dataclasses.replace(untrained, vae=networks.load().vae.requires_grad_(False))
        else:
            train_vae(parts, data.pictures, rng)
            networks.save(copy.deepcopy(parts))
        latents = encoded(parts, data.pictures)
        networks.save(train_denoisers(parts, data, latents, rng))
    measure.report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
