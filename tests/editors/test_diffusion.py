"""Editors on diffusers' components: what the library's own pipelines make, for many rows at once."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import diffusers
import transformers
from sidelight.core.editor import Canvas, find
from sidelight.core.errors import Cancelled, InvalidRequest
from sidelight.core.stream import Stream
from sidelight.core.sweep import Shared
from sidelight.editors import ledits as ledits_module
from sidelight.editors.instruct_pix2pix import InstructPix2PixParams
from sidelight.editors.latent_diffusion import KEPT
from sidelight.editors.ledits import LeditsParams
from sidelight.editors.pipeline_folder import SCHEDULERS as SUPPORTED
from sidelight.editors.sdedit import SdeditParams
from sidelight.loading import ONE_BY_ONE
from small_pipelines import LATENTS, SIDE, TOKENS, WIDTH, ddim, instruct_pix2pix, text_to_image

LEVELS = 1  # of 255, that a frame may differ from the library's, or from what it is alone
EDITED = InstructPix2PixParams(prompt="abc", negative_prompt="z", image_guidance=1.5, steps=4)
NOISED = SdeditParams(prompt="abc", negative_prompt="z", guidance=3.0, steps=6)
INVERTED = LeditsParams(prompt="abc", threshold=0.6, skip=0.25, steps=5)
STRENGTHS = (0.0, 1.0, 1.5, 4.0, 7.5)
SCHEDULERS = {
    "ddim": ddim(),
    "ddim-v": ddim(prediction_type="v_prediction"),
    "pndm": diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
    "euler": diffusers.EulerDiscreteScheduler(steps_offset=1),
    "dpm++": diffusers.DPMSolverMultistepScheduler(),
    "heun": diffusers.HeunDiscreteScheduler(),
}


def picture(seed=0, size=(SIDE, SIDE)):
    pixels = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Canvas(pixels, hashlib.sha256(pixels.numpy().tobytes()).hexdigest())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of a kind of editor, with a scheduler."""
    made = {}

    def folder(kind, scheduler="ddim"):
        if (kind, scheduler) not in made:
            save = instruct_pix2pix if kind == "instruct_pix2pix" else text_to_image
            made[kind, scheduler] = save(tmp_path_factory.mktemp(kind), SCHEDULERS[scheduler])
        return made[kind, scheduler]

    return folder


@pytest.fixture(scope="module")
def editors(folders):
    """An editor of a kind, with a scheduler; one for all tests."""
    made = {}

    def editor(kind, scheduler="ddim"):
        if (kind, scheduler) not in made:
            made[kind, scheduler] = find(kind).make(name=kind, model=str(folders(kind, scheduler)))
        return made[kind, scheduler]

    return editor


def frames(editor, params, strengths, canvas=None, stream=None):
    prepared = editor.prepare(params, canvas or picture(), stream or Stream(1))
    return editor.edit(prepared.ask, [prepared.rows(strengths, editor.placement)], lambda: True)


def levels(a, b):
    """Largest difference."""
    return (a.int() - b.int()).abs().max().item()


def as_levels(images):
    """The library's arrays [1, H, W, 3] in [0, 1] as a frame."""
    return torch.from_numpy(images[0]).permute(2, 0, 1).mul(255).round().byte()


# -- the library's own pipelines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_row_of_instruct_pix2pix_is_what_the_library_makes(scheduler, folders, editors):
    editor, canvas = editors("instruct_pix2pix", scheduler), picture()
    pipe = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(folders("instruct_pix2pix", scheduler))
    pipe.set_progress_bar_config(disable=True)
    strengths = [1.2, 3.0, 7.5]  # the library guides above 1 only
    prepared = editor.prepare(EDITED, canvas, Stream(1))
    rows = prepared.rows(strengths, editor.placement)
    ours = editor.edit(prepared.ask, [rows], lambda: True)
    for frame, strength in zip(ours, strengths, strict=True):
        theirs = pipe(
            EDITED.prompt, canvas.pixels[None].float() / 255, num_inference_steps=EDITED.steps, guidance_scale=strength,
            image_guidance_scale=EDITED.image_guidance, negative_prompt=EDITED.negative_prompt,
            latents=rows["noise"].value.clone(), output_type="np",
        )  # fmt: skip
        assert levels(frame, as_levels(theirs.images)) <= LEVELS
    assert levels(ours[0], ours[2]) > 10 * LEVELS  # they are not all the same


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_row_of_sdedit_is_what_the_library_makes(scheduler, folders, editors):
    editor, canvas = editors("sdedit", scheduler), picture()
    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(folders("sdedit", scheduler))
    pipe.set_progress_bar_config(disable=True)
    strengths = [0.2, 0.5, 0.8, 1.0]  # of 6 steps 4.8 are 4
    prepared = editor.prepare(NOISED, canvas, Stream(1))
    rows = prepared.rows(strengths, editor.placement)
    ours = editor.edit(prepared.ask, [rows], lambda: True)
    drawn = torch.Generator().manual_seed(3)
    noise = torch.randn(1, LATENTS, SIDE // 2, SIDE // 2, generator=drawn)
    given = {**rows, "noise": Shared("noise of the library", noise)}
    ours = editor.edit(prepared.ask, [given], lambda: True)
    x0 = editor.model.encoded_image(rows["image"])[None]  # the library draws from the encoder's distribution
    for frame, strength in zip(ours, strengths, strict=True):
        theirs = pipe(
            NOISED.prompt, x0 * pipe.vae.config.scaling_factor, strength, num_inference_steps=NOISED.steps,
            guidance_scale=NOISED.guidance, negative_prompt=NOISED.negative_prompt,
            generator=torch.Generator().manual_seed(3), output_type="np",
        )  # fmt: skip
        assert levels(frame, as_levels(theirs.images)) <= LEVELS
    assert levels(ours[0], ours[3]) > 10 * LEVELS


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_below_one_step_of_noise_the_image_is_given_back(scheduler, editors):
    editor = editors("sdedit", scheduler)
    latents = editor.model.encoded_image(editor.model.image(picture(), (SIDE, SIDE)))
    rebuilt = editor.model.frames(latents[None] * editor.model.vae.config.scaling_factor, lambda: True)
    for frame in frames(editor, NOISED, [0.0, 0.99 / NOISED.steps]):
        assert levels(frame, rebuilt[0]) <= LEVELS


class Ddim(diffusers.DDIMScheduler):
    """Takes times as the library's LEDITS++ gives them, which are no whole numbers."""

    def add_noise(self, original_samples, noise, timesteps):
        return super().add_noise(original_samples, noise, timesteps.long())


@pytest.mark.parametrize(
    ("scheduler", "reverse", "steps", "skip"),
    [
        ("ddim", False, 5, 0.25),
        ("ddim", True, 5, 0.35),  # 6.75 steps are 6
        ("dpm++", False, 5, 0.25),
        ("dpm++", True, 5, 0.25),
        ("euler", False, 5, 0.25),
        ("ddim", False, 10, 0.7),  # 10 * 1.7 is 17 in double precision, and less in single
    ],
)
def test_every_row_of_ledits_is_what_the_library_makes(scheduler, reverse, steps, skip, folders, editors):
    editor, canvas = editors("ledits", scheduler), picture()
    pipe = diffusers.LEditsPPPipelineStableDiffusion.from_pretrained(folders("ledits", scheduler))
    if scheduler == "dpm++":  # of which the library takes one kind only
        pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
            pipe.scheduler.config, algorithm_type="sde-dpmsolver++", solver_order=2
        )
    if scheduler == "ddim":
        pipe.scheduler = Ddim.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    params = dataclasses.replace(INVERTED, reverse=reverse, steps=steps, skip=skip)
    strengths = [0.0, 2.0, 8.0]
    prepared = editor.prepare(params, canvas, Stream(1))
    rows = prepared.rows(strengths, editor.placement)
    drawn = torch.Generator().manual_seed(3)
    noise = torch.cat([torch.randn(1, LATENTS, SIDE // 2, SIDE // 2, generator=drawn) for _ in range(params.steps)])
    ours = editor.edit(prepared.ask, [{**rows, "noise": Shared("of the library", noise)}], lambda: True)
    pipe.invert(
        canvas.pixels[None].float() / 255, num_inversion_steps=params.steps, skip=params.skip,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    for frame, strength in zip(ours, strengths, strict=True):
        theirs = pipe(
            editing_prompt=params.prompt, edit_guidance_scale=strength, edit_threshold=params.threshold,
            reverse_editing_direction=reverse, use_cross_attn_mask=False, use_intersect_mask=False, output_type="np",
        )  # fmt: skip
        assert levels(frame, as_levels(theirs.images)) <= LEVELS
    assert levels(ours[0], ours[2]) > 10 * LEVELS


def test_ledits_gives_the_image_back_where_nothing_is_edited(editors):
    editor = editors("ledits")
    (frame,) = frames(editor, INVERTED, [0.0])
    latents = editor.model.encoded_image(editor.model.image(picture(), (SIDE, SIDE)))
    rebuilt = editor.model.frames(latents[None] * editor.model.vae.config.scaling_factor, lambda: True)
    assert levels(frame, rebuilt[0]) <= LEVELS


def test_masks_leave_alone_the_share_below_the_quantile():
    d = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    kept = ledits_module.masks(d, torch.tensor([0.25, 0.9])).flatten(1).mean(1)
    assert kept.tolist() == pytest.approx([0.75, 0.1], abs=0.011)
    size = d.abs().sum(1).flatten(1)
    edited = ledits_module.masks(d, torch.tensor([0.9, 0.9]))[0].flatten() > 0
    assert torch.equal(edited, size[0] >= size[0].quantile(0.9))


# -- batches -----------------------------------------------------------------------------------------------------------

KINDS = {
    "instruct_pix2pix": (EDITED, STRENGTHS),
    "sdedit": (NOISED, (0.0, 0.1, 0.5, 0.7, 1.0)),
    "ledits": (INVERTED, (0.0, 1.0, 4.0)),
}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_a_batched_sweep_is_what_its_rows_are_alone(kind, editors):
    params, strengths = KINDS[kind]
    together = frames(editors(kind), params, strengths)
    alone = torch.cat([frames(editors(kind), params, [s]) for s in strengths])
    assert levels(together, alone) <= LEVELS


@kinds
def test_rows_of_two_requests_share_a_batch_and_leave_each_other_alone(kind, editors):
    editor, (params, strengths) = editors(kind), KINDS[kind]
    other = dataclasses.replace(params, prompt="xyz")
    one, two = editor.prepare(params, picture(), Stream(1)), editor.prepare(other, picture(7), Stream(2))
    assert (one.ask, one.like) == (two.ask, two.like)
    tiles = [two.rows(strengths[:2], editor.placement), one.rows(strengths, editor.placement)]
    both = editor.edit(one.ask, tiles, lambda: True)
    assert levels(both[2:], frames(editor, params, strengths)) <= LEVELS
    assert levels(both[:2], frames(editor, other, strengths[:2], picture(7), Stream(2))) <= LEVELS


@kinds
def test_strength_prompt_seed_and_image_decide_a_frame(kind, editors):
    editor, (params, strengths) = editors(kind), KINDS[kind]
    strong = strengths[-1:]
    frame = frames(editor, params, strong)
    assert levels(frame, frames(editor, params, strong)) == 0
    assert levels(frame, frames(editor, dataclasses.replace(params, prompt="xyz"), strong)) > LEVELS
    assert levels(frame, frames(editor, params, strong, picture(7))) > LEVELS
    assert levels(frame, frames(editor, params, strong, stream=Stream(2))) > LEVELS


def test_the_key_holds_all_that_decides_a_frame(editors):
    editor = editors("instruct_pix2pix")
    keys = [
        editor.prepare(params, canvas, stream).key
        for params, canvas, stream in (
            (EDITED, picture(), Stream(1)),
            (dataclasses.replace(EDITED, prompt="xyz"), picture(), Stream(1)),
            (dataclasses.replace(EDITED, negative_prompt=""), picture(), Stream(1)),
            (dataclasses.replace(EDITED, image_guidance=2.0), picture(), Stream(1)),
            (dataclasses.replace(EDITED, steps=5), picture(), Stream(1)),
            (EDITED, picture(7), Stream(1)),
            (EDITED, picture(), Stream(2)),
        )
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == editor.prepare(EDITED, picture(), Stream(1)).key


def test_a_pipeline_is_not_read_while_another_network_is(tmp_path):
    folder = instruct_pix2pix(tmp_path / "pipeline")
    with ThreadPoolExecutor(1) as pool:
        with ONE_BY_ONE:
            made = pool.submit(find("instruct_pix2pix").make, name="a", model=str(folder))
            assert wait([made], 0.5).not_done
        made.result(60)


def test_a_scheduler_that_draws_draws_the_same_for_a_row_in_any_batch(tmp_path):
    folder = instruct_pix2pix(tmp_path, diffusers.EulerAncestralDiscreteScheduler(steps_offset=1))
    editor = find("instruct_pix2pix").make(name="a", model=str(folder))
    together = frames(editor, EDITED, STRENGTHS)
    alone = torch.cat([frames(editor, EDITED, [s]) for s in STRENGTHS])
    assert levels(together, alone) <= LEVELS
    assert levels(frames(editor, EDITED, [1.0]), frames(editor, EDITED, [1.0], stream=Stream(2))) > LEVELS


def test_what_is_drawn_is_the_sequences_own_and_another_at_every_step(tmp_path):
    folder = instruct_pix2pix(tmp_path, diffusers.EulerAncestralDiscreteScheduler(steps_offset=1))
    editor = find("instruct_pix2pix").make(name="a", model=str(folder))
    seeds = [
        int(editor.prepare(EDITED, picture(), Stream(n)).rows([1.0], editor.placement)["seed"].value) for n in (1, 1, 2)
    ]
    assert seeds[0] == seeds[1] != seeds[2]

    def drawn(seed, i):
        (generator,) = editor.schedule(4).drawing([seed], i)["generator"]
        return torch.randn(8, generator=generator)

    assert torch.equal(drawn(5, 2), drawn(5, 2))
    assert not torch.equal(drawn(5, 2), drawn(5, 3)) and not torch.equal(drawn(5, 2), drawn(9, 2))


def test_rows_that_skip_other_shares_of_an_inversion_share_no_batch(editors):
    editor = editors("ledits")
    one, other = (
        editor.prepare(dataclasses.replace(INVERTED, skip=skip), picture(), Stream(1)) for skip in (0.25, 0.5)
    )
    assert one.ask == other.ask and one.like != other.like


def test_the_key_holds_the_weights(folders, editors, tmp_path):
    folder = shutil.copytree(folders("instruct_pix2pix"), tmp_path / "a")
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    other = find("instruct_pix2pix").make(name="instruct_pix2pix", model=str(folder))
    keys = {editor.prepare(EDITED, picture(), Stream(1)).key for editor in (editors("instruct_pix2pix"), other)}
    assert len(keys) == 2


def test_frames_that_are_not_finite_are_an_error_and_no_picture(editors):
    latents = torch.full((1, LATENTS, SIDE // 2, SIDE // 2), torch.nan)
    with pytest.raises(FloatingPointError, match="float32"):
        editors("sdedit").model.frames(latents, lambda: True)


@pytest.mark.parametrize("name", SUPPORTED)
def test_every_scheduler_that_is_supported_makes_of_a_row_what_it_makes_of_it_alone(name, tmp_path):
    settings = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    folder = text_to_image(tmp_path, getattr(diffusers, name)(**settings))
    editor, strengths = find("sdedit").make(name="a", model=str(folder)), (0.5, 1.0)
    together = frames(editor, NOISED, strengths)
    assert torch.equal(together, frames(editor, NOISED, strengths))
    assert levels(together, torch.cat([frames(editor, NOISED, [s]) for s in strengths])) <= LEVELS
    assert levels(together[:1], together[1:]) > 10 * LEVELS


# -- what is saved -----------------------------------------------------------------------------------------------------


def rows_computed(editor, params, strengths):
    before = editor.model.unet_rows
    frames(editor, params, strengths)
    return editor.model.unet_rows - before


def test_branches_without_weight_are_not_computed(editors):
    editor, plain = editors("instruct_pix2pix"), dataclasses.replace(EDITED, image_guidance=1.0)
    steps = EDITED.steps
    assert rows_computed(editor, EDITED, [4.0]) == 3 * steps
    assert rows_computed(editor, EDITED, [0.0, 1.5, 4.0]) == (2 + 2 + 3) * steps
    assert rows_computed(editor, plain, [0.0, 1.0, 4.0]) == (1 + 1 + 2) * steps
    noised = editors("sdedit")
    assert rows_computed(noised, dataclasses.replace(NOISED, guidance=1.0), [0.0, 0.5, 1.0]) == 3 + 6
    inverting = editors("ledits")
    frames(inverting, INVERTED, [0.0])
    assert rows_computed(inverting, INVERTED, [0.0, 2.0]) == (1 + 2) * INVERTED.steps


def counted(monkeypatch, module, name="forward"):
    """Calls of a module, from now on."""
    calls, plain = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **options: calls.append(1) or plain(*args, **options))
    return calls


def test_texts_and_images_are_encoded_once_however_many_rows_and_batches(folders, monkeypatch):
    editor = find("instruct_pix2pix").make(name="a", model=str(folders("instruct_pix2pix")))
    texts, images = counted(monkeypatch, editor.model.text_encoder), counted(monkeypatch, editor.model.vae, "encode")
    for _ in range(2):
        frames(editor, EDITED, STRENGTHS)
    assert (len(texts), len(images)) == (2, 1)
    frames(editor, dataclasses.replace(EDITED, prompt="xyz"), STRENGTHS)
    assert (len(texts), len(images)) == (3, 1)


def test_encodings_are_kept_up_to_a_number_and_the_longest_unused_go_first(folders):
    model = find("sdedit").make(name="a", model=str(folders("sdedit"))).model
    made = []

    def asked(i):
        return model.kept(i, lambda: made.append(i) or torch.tensor(i))

    for i in range(KEPT):
        asked(i)
    asked(0)
    asked(KEPT)  # one too many: 1 goes, which was asked for longest ago
    before = len(made)
    asked(0)
    assert len(made) == before and asked(1) == 1 and len(made) == before + 1


def test_the_inversion_is_made_once_for_a_sequence(folders):
    editor = find("ledits").make(name="a", model=str(folders("ledits")))
    assert rows_computed(editor, INVERTED, [2.0]) == (1 + 2) * INVERTED.steps
    assert rows_computed(editor, INVERTED, [3.0]) == 2 * INVERTED.steps


@kinds
def test_nobody_waiting_ends_the_batch_at_the_next_step(kind, editors):
    editor, (params, strengths) = editors(kind), KINDS[kind]
    prepared = editor.prepare(params, picture(), Stream(1))
    left = iter([True, True, False])
    before = editor.model.unet_rows
    with pytest.raises(Cancelled):
        editor.edit(prepared.ask, [prepared.rows(strengths, editor.placement)], lambda: next(left))
    assert editor.model.unet_rows - before <= 2 * 3 * len(strengths)


# -- texts -------------------------------------------------------------------------------------------------------------


@kinds
def test_embeddings_in_place_of_a_prompt_make_the_same_frame(kind, editors):
    editor, (params, strengths) = editors(kind), KINDS[kind]
    embeds = editor.model.encoded_text(editor.model.text(params.prompt, None, "prompt"))
    given = dataclasses.replace(params, prompt="", prompt_embeds=embeds)
    assert torch.equal(frames(editor, given, strengths), frames(editor, params, strengths))


@kinds
def test_other_embeddings_of_the_same_shape_make_another_frame(kind, editors):
    editor, (params, strengths) = editors(kind), KINDS[kind]
    embeds = [torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    given = [dataclasses.replace(params, prompt="", prompt_embeds=e) for e in embeds]
    a, b = (frames(editor, params, strengths[-1:]) for params in given)
    assert levels(a, b) > LEVELS
    assert len({editor.prepare(params, picture(), Stream(1)).key for params in given}) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a" * (TOKENS + 1)}, "prompt"),
        ({"negative_prompt": "a" * (TOKENS + 1)}, "negative_prompt"),
        ({"prompt_embeds": torch.zeros(TOKENS, WIDTH)}, "prompt_embeds"),  # besides a prompt
        ({"prompt": "", "prompt_embeds": torch.zeros(TOKENS, WIDTH + 1)}, "prompt_embeds"),
        ({"prompt": "", "prompt_embeds": torch.zeros(1, TOKENS, WIDTH)}, "prompt_embeds"),
        ({"prompt": "", "prompt_embeds": torch.zeros(TOKENS + 1, WIDTH)}, "prompt_embeds"),  # unlike the other text
        ({"prompt": "", "prompt_embeds": torch.full((TOKENS, WIDTH), torch.nan)}, "prompt_embeds"),
        ({"prompt": "", "prompt_embeds": torch.zeros(TOKENS, WIDTH, dtype=torch.int64)}, "prompt_embeds"),
        ({"negative_prompt": "", "negative_prompt_embeds": torch.zeros(3, WIDTH)}, "negative_prompt_embeds"),
    ],
)
def test_texts_that_do_not_fit_are_refused_by_their_field(change, field, editors):
    with pytest.raises(InvalidRequest) as refused:
        editors("instruct_pix2pix").prepare(dataclasses.replace(EDITED, **change), picture(), Stream(1))
    assert refused.value.field == field


@kinds
@pytest.mark.parametrize("steps", [1000, 5000])
def test_more_steps_than_the_pipeline_has_are_refused(kind, steps, editors):
    params = dataclasses.replace(KINDS[kind][0], steps=steps)
    with pytest.raises(InvalidRequest, match="steps"):
        editors(kind).prepare(params, picture(), Stream(1))


def test_the_skipped_steps_of_an_inversion_count(editors):
    with pytest.raises(InvalidRequest, match="steps"):
        editors("ledits").prepare(dataclasses.replace(INVERTED, steps=900, skip=0.5), picture(), Stream(1))


def test_strengths_out_of_bounds_are_refused(editors):
    editor = editors("sdedit")
    with pytest.raises(InvalidRequest, match="strengths"):
        editor.prepare(NOISED, picture(), Stream(1)).rows([0.5, 1.5], editor.placement)


# -- images and folders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "made"), [((32, 32), (32, 32)), ((64, 64), (32, 32)), ((20, 50), (20, 52)), ((300, 100), (56, 20))]
)
def test_frames_keep_the_shape_of_the_image_at_the_size_that_the_model_knows(size, made, editors):
    editor, canvas = editors("instruct_pix2pix"), picture(size=size)
    prepared = editor.prepare(EDITED, canvas, Stream(1))
    assert prepared.size == made == tuple(prepared.ask.size)
    assert frames(editor, EDITED, [1.0], canvas).shape == (1, 3, *made)
    if size == made:
        assert torch.equal(prepared.rows([1.0], editor.placement)["image"].value, canvas.pixels)


@pytest.mark.parametrize("size", [(1, 400), (400, 1)])
def test_an_image_too_narrow_for_one_cell_is_refused_and_not_blown_up(size, editors):
    with pytest.raises(InvalidRequest, match="narrow"):
        editors("instruct_pix2pix").prepare(EDITED, picture(size=size), Stream(1))


def test_folders_that_will_not_do_are_refused_with_what_is_wrong(folders, tmp_path):
    make = find("instruct_pix2pix").make

    def broken(name, change, scheduler="ddim"):
        folder = shutil.copytree(folders("instruct_pix2pix", scheduler), tmp_path / name)
        change(folder)
        return {"name": "a", "model": str(folder)}

    def renamed(component, value):
        def change(folder):
            index = json.loads((folder / "model_index.json").read_text())
            (folder / "model_index.json").write_text(json.dumps(index | {component: value}))

        return change

    def settled(file, **settings):
        def change(folder):
            config = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps(config | settings))

        return change

    def pickled(folder):
        weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
        weights.rename(weights.with_suffix(".bin"))

    with pytest.raises(ValueError, match="no such folder"):
        make(name="a", model=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="no pipeline saved by diffusers"):
        make(**broken("index", lambda folder: (folder / "model_index.json").unlink()))
    with pytest.raises(ValueError, match="unet does not load"):
        make(**broken("pickle", pickled))
    with pytest.raises(ValueError, match="names no vae"):
        make(**broken("vae", renamed("vae", None)))
    with pytest.raises(ValueError, match="text_encoder is T5EncoderModel"):
        make(**broken("text", renamed("text_encoder", ["transformers", "T5EncoderModel"])))
    with pytest.raises(ValueError, match="UNet2DModel is none of"):
        make(**broken("scheduler", renamed("scheduler", ["diffusers", "UNet2DModel"])))
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler is none of DDIMScheduler, "):
        make(**broken("flow", renamed("scheduler", ["diffusers", "FlowMatchEulerDiscreteScheduler"])))
    with pytest.raises(ValueError, match="skip_prk_steps"):
        make(**broken("prk", settled("scheduler/scheduler_config.json", skip_prk_steps=False), "pndm"))
    with pytest.raises(ValueError, match="attention mask"):
        make(**broken("masked", settled("text_encoder/config.json", use_attention_mask=True)))
    with pytest.raises(ValueError, match="sample_size"):
        make(**broken("unsized", settled("unet/config.json", sample_size=None)))
    with pytest.raises(ValueError, match="tokenizer has no vocabulary"):
        make(**broken("wordless", lambda folder: [file.unlink() for file in (folder / "tokenizer").iterdir()]))
    with pytest.raises(ValueError, match="tokenizer does not load"):
        make(**broken("garbled", lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text("{}")))
    with pytest.raises(ValueError, match="another kind of editor"):
        make(name="a", model=str(folders("sdedit")))
    with pytest.raises(ValueError, match="predicts noise"):
        find("ledits").make(name="a", model=str(folders("sdedit", "ddim-v")))
    with pytest.raises(ValueError, match="precision"):
        make(name="a", model=str(folders("instruct_pix2pix")), precision="int8")


@pytest.mark.parametrize(
    "settings",
    [
        {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 48},
        {"num_class_embeds": 3},
    ],
)
def test_networks_that_want_more_than_time_and_text_are_refused_as_such(settings, tmp_path):
    """Stable Diffusion XL, upscalers: whatever the widths of their texts are."""
    folder = text_to_image(tmp_path, cross_attention_dim=WIDTH if "num_class_embeds" in settings else 24, **settings)
    with pytest.raises(ValueError, match="more than latents, time and text"):
        find("sdedit").make(name="a", model=str(folder))


def test_a_tokenizer_that_knows_no_limit_has_the_text_encoders(folders, tmp_path):
    folder = shutil.copytree(folders("instruct_pix2pix"), tmp_path / "a")
    for file in (folder / "tokenizer").glob("*config.json"):
        config = json.loads(file.read_text())
        config.pop("model_max_length", None)
        file.write_text(json.dumps(config))
    editor = find("instruct_pix2pix").make(name="a", model=str(folder))
    assert len(editor.model.text("abc", None, "prompt").value) == TOKENS
    with pytest.raises(InvalidRequest, match="prompt"):
        editor.model.text("a" * TOKENS, None, "prompt")


def test_loading_draws_no_progress_bar(folders, capfd):
    transformers.utils.logging.enable_progress_bar()
    find("instruct_pix2pix").make(name="a", model=str(folders("instruct_pix2pix")))
    assert capfd.readouterr().err == ""
    assert transformers.utils.logging.is_progress_bar_enabled()


def test_the_digest_is_of_the_weights(folders, tmp_path):
    folder = instruct_pix2pix(tmp_path / "same")
    make = find("instruct_pix2pix").make
    digest = make(name="a", model=str(folder)).digest
    assert digest == make(name="b", model=str(shutil.copytree(folder, tmp_path / "copy"))).digest
    index = folder / "scheduler" / "scheduler_config.json"
    index.write_text(index.read_text().replace("0.012", "0.013"))
    assert make(name="a", model=str(folder)).digest != digest


def test_half_precision_is_near_to_single(folders):
    make, folder = find("instruct_pix2pix").make, str(folders("instruct_pix2pix"))
    single, half = (make(name="a", model=folder, precision=p) for p in ("float32", "bfloat16"))
    a, b = (frames(editor, EDITED, [1.0]) for editor in (single, half))
    assert (a.float() - b.float()).abs().mean() < 5
    assert single.prepare(EDITED, picture(), Stream(1)).key != half.prepare(EDITED, picture(), Stream(1)).key


def test_importing_the_kinds_does_not_import_diffusers(in_fresh_python):
    in_fresh_python(
        "import sys; from sidelight import editors; from sidelight.core import editor, registry;"
        "registry.load(editors);"
        "assert {'instruct_pix2pix', 'sdedit', 'ledits'} <= editor.kinds().keys();"
        "assert not {'diffusers', 'transformers'} & sys.modules.keys()"
    )


@pytest.fixture
def in_fresh_python():
    def run(program):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=120)

    return run
