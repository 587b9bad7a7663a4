"""The drawn lesions, and the small pipelines that ship: what diffusers loads, and what our editors make of them."""

import dataclasses
import hashlib
import itertools

import lesions
import numpy as np
import pytest
import safetensors
import torch

pytest.importorskip("diffusers")

import diffusers
import measure
import networks
from sidelight.core.editor import Canvas, find
from sidelight.core.stream import Stream
from sidelight.editors.instruct_pix2pix import InstructPix2PixParams
from sidelight.editors.sdedit import SdeditParams

PLAIN = lesions.Lesion(seed=4)


def canvas(lesion):
    picture = lesions.draw(lesion)
    pixels = torch.from_numpy(picture).permute(2, 0, 1).contiguous()
    return Canvas(pixels, hashlib.sha256(picture.tobytes()).hexdigest())


def difference(a, b):
    """[H, W], in levels, the sum over colours."""
    return np.abs(lesions.draw(a).astype(int) - lesions.draw(b)).sum(-1)


# -- drawn lesions -----------------------------------------------------------------------------------------------------


def test_a_picture_is_decided_by_its_lesion():
    rng = np.random.default_rng(0)
    drawn = [lesions.sample(rng) for _ in range(20)]
    again = np.random.default_rng(0)
    assert drawn == [lesions.sample(again) for _ in range(20)]
    pictures = [lesions.draw(x) for x in drawn]
    assert all(p.shape == (lesions.SIZE, lesions.SIZE, 3) and p.dtype == np.uint8 for p in pictures)
    assert all(np.array_equal(p, lesions.draw(x)) for p, x in zip(pictures, drawn, strict=True))
    assert len({p.tobytes() for p in pictures}) == 20


@pytest.mark.parametrize("name", lesions.PROPERTIES)
def test_a_property_changes_the_picture_gradually_and_leaves_the_rest(name):
    steps = [lesions.at(PLAIN, name, s) for s in np.linspace(0, 1, 11)]
    change = [difference(steps[0], x).mean() for x in steps]
    assert np.all(np.diff(change) > 0)
    assert max(difference(a, b).mean() for a, b in itertools.pairwise(steps)) < 0.4 * change[-1]
    region = measure._edited(PLAIN, name)
    assert difference(steps[0], steps[-1])[~region].max(initial=0) == 0 or name in ("size", "irregularity")


@pytest.mark.parametrize("name", lesions.PROPERTIES)
def test_what_is_measured_rises_with_the_drawn_strength(name):
    measured = [measure.MEASURES[name](PLAIN, lesions.draw(lesions.at(PLAIN, name, s))) for s in np.linspace(0, 1, 6)]
    assert np.all(np.diff(measured) > 0)


def test_instructions_and_captions_name_what_there_is():
    lesion = dataclasses.replace(PLAIN, patch=1.0, patch_colour="green", patch_side="right", ruler=1.0)
    assert lesions.instruction(lesion, "patch") == "add a green patch on the right"
    assert lesions.instruction(lesion, "patch", more=False) == "remove the patch"
    assert "a ruler" in lesions.caption(lesion) and "green patch on the right" in lesions.caption(lesion)
    assert "hairs" not in lesions.caption(lesion)


# -- the pipelines -----------------------------------------------------------------------------------------------------


def test_the_weights_are_safetensors_in_half_precision_and_small():
    files = [f for f in networks.FOLDER.rglob("*.safetensors") if not measure._linked(f)]
    assert 0 < sum(f.stat().st_size for f in files) <= 16e6
    assert not [f for f in networks.FOLDER.rglob("*") if f.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]
    for file in files:
        with safetensors.safe_open(file, "pt") as tensors:
            assert {str(tensors.get_slice(name).get_dtype()) for name in tensors.keys()} == {"F16"}  # noqa: SIM118


def test_diffusers_own_pipelines_load_them_and_make_what_our_editors_make():
    lesion, guidance = dataclasses.replace(PLAIN, patch_side="right"), 4.0
    made = find("instruct_pix2pix").make(name="demo", model=str(networks.PIX2PIX))
    params = InstructPix2PixParams(prompt=lesions.instruction(lesion, "patch"), steps=6)
    prepared = made.prepare(params, canvas(lesion), Stream(0))
    rows = prepared.rows([guidance], made.placement)
    pipe = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(
        networks.PIX2PIX, torch_dtype=torch.float32, low_cpu_mem_usage=False
    )
    theirs = pipe(
        params.prompt, canvas(lesion).pixels[None].float() / 255, params.steps, guidance, params.image_guidance,
        latents=rows["noise"].value.clone(), output_type="pt",
    ).images  # fmt: skip
    with torch.no_grad():
        ours = made.edit(prepared.ask, [rows], lambda: True)
    assert (ours.int() - theirs.mul(255).round().int()).abs().max() <= 1


def test_the_autoencoder_gives_pictures_back():
    made = find("sdedit").make(name="demo", model=str(networks.TEXT_TO_IMAGE))
    lesion = dataclasses.replace(PLAIN, patch=1.0, ruler=1.0, hairs=0.4)
    prepared = made.prepare(SdeditParams(prompt="lesion"), canvas(lesion), Stream(0))
    with torch.no_grad():
        (frame,) = made.edit(prepared.ask, [prepared.rows([0.0], made.placement)], lambda: True)
    assert (frame.int() - canvas(lesion).pixels).abs().float().mean() < 4


@pytest.mark.parametrize("name", ["patch", "darkness"])
def test_guidance_moves_what_the_instruction_names(name):
    start = lesions.at(PLAIN, name, 0.0 if name == "patch" else 0.4)
    found = measure.instructed(start, name, True)
    assert found.order > 0.8
    assert found.reached[0] < 0.3 < 0.4 < found.reached[-1]  # from little to most of what is drawn
    assert found.elsewhere.max() < 8
