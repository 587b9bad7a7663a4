"""A sweep of 100 guidance scales by the editor that ships, against diffusers' own pipeline called once for each.

That is how the paper's authors make a sequence (Penzel & Denzler, arXiv 2503.05424): one call a strength, one seed.
What is saved is told apart by making the sweep in three more ways, each of which saves one thing more than the one
before. Image guidance is 1, where one branch of three needs not be computed; 1 + 1e-6 has it computed.
"""

import dataclasses
import hashlib
import time

import lesions
import pytest
import torch

pytest.importorskip("diffusers")

import networks
from diffusers import StableDiffusionInstructPix2PixPipeline
from sidelight.core.editor import Canvas
from sidelight.core.stream import Stream
from sidelight.editors.instruct_pix2pix import InstructPix2Pix, InstructPix2PixParams

from bench.report import report

STRENGTHS = torch.linspace(1.01, 12.5, 100).tolist()
STEPS = 10
BOUND = 0.6
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PRECISION = "float16" if DEVICE == "cuda" else "float32"
PARAMS = InstructPix2PixParams(prompt="add a blue patch on the left", image_guidance=1.0, steps=STEPS)
ALL_BRANCHES = dataclasses.replace(PARAMS, image_guidance=1 + 1e-6)


@torch.no_grad()
def test_a_sweep_of_strengths_against_the_library_s_pipeline_called_for_each():
    editor = InstructPix2Pix(name="demo", model=str(networks.PIX2PIX), device=DEVICE, precision=PRECISION)
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        networks.PIX2PIX, torch_dtype=getattr(torch, PRECISION), low_cpu_mem_usage=False
    ).to(DEVICE)
    pipe.set_progress_bar_config(disable=True)
    pixels = torch.from_numpy(lesions.draw(lesions.Lesion(seed=3))).permute(2, 0, 1).contiguous()
    canvas = Canvas(pixels, hashlib.sha256(pixels.numpy().tobytes()).hexdigest())
    noise = editor.prepare(PARAMS, canvas, Stream(0)).rows([1.0], editor.placement)["noise"].value

    def theirs(strengths):
        made = [
            pipe(
                PARAMS.prompt, pixels[None].float() / 255, STEPS, guidance_scale=strength, image_guidance_scale=1.0,
                latents=noise.to(DEVICE, pipe.dtype), output_type="pt",
            ).images
            for strength in strengths
        ]  # fmt: skip
        return torch.cat(made).mul(255).round().byte().cpu()

    def ours(strengths, params=PARAMS, rows=editor.batch_rows, kept=True):
        prepared = editor.prepare(params, canvas, Stream(0))
        made = []
        for at in range(0, len(strengths), rows):
            if not kept:
                editor.model.forget()
            tile = prepared.rows(strengths[at : at + rows], editor.placement)
            made.append(editor.edit(prepared.ask, [tile], lambda: True).cpu())
        return torch.cat(made)

    off = (ours(STRENGTHS[::10]).int() - theirs(STRENGTHS[::10]).int()).abs().float()
    assert off.mean() < 1, "not the library's frames"
    ways = {
        "library": theirs,
        "alone": lambda s: ours(s, ALL_BRANCHES, rows=1, kept=False),
        "encoded once": lambda s: ours(s, ALL_BRANCHES, rows=1),
        "no idle branch": lambda s: ours(s, rows=1),
        "batched": ours,
    }
    seconds = {name: timed(way) for name, way in ways.items()}
    library, alone, encoded, busy, batched = seconds.values()
    report(
        "editor_sweep", batched / library, BOUND,
        "seconds of a sweep of 100 strengths, batched, over diffusers' pipeline called for each",
        f"the demo's InstructPix2Pix, 64 x 64, {STEPS} steps, {DEVICE}, {PRECISION}, batches of {editor.batch_rows}, "
        "image guidance 1; each way over the one before it: rows one by one with our own loop, texts and image encoded "
        "once, no branch computed that has no weight, batched",
        library_seconds=library, largest_difference=off.max().item(), own_loop=alone / library,
        encoded_once=encoded / alone, no_idle_branch=busy / encoded, batched=batched / busy,
    )  # fmt: skip


def timed(way):
    """Seconds of the sweep, after some of its strengths for warmth."""
    way(STRENGTHS[:16])
    began = time.perf_counter()
    way(STRENGTHS)  # its frames come to the host, so that it has ended
    return time.perf_counter() - began
