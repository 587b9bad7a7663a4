"""Ten versions of a model over one sweep of edits in one request, against ten runs of a version each.

The versions are the epochs of a classifier of drawn lesions, as a study of training dynamics has them (Penzel &
Denzler, arXiv 2503.05424); the edits are those of the diffusion editor that ships. Separate runs have no frames of each
other: they draw other noise. What ten requests of the same noise cost, whose frames the service keeps, is told beside.
"""

import functools
import hashlib
import io
import itertools
import statistics
from pathlib import Path

import lesions
import pytest
import torch
from live import service
from PIL import Image
from sidelight_client import Client, Interventional, gradual

pytest.importorskip("diffusers")

import intervention_domain as domain
import networks
from intervention_training import MEAN, SCALE, SD, Recipe, network_of, normalised, train
from sidelight.core.editor import Canvas
from sidelight.core.stream import Stream
from sidelight.editors.instruct_pix2pix import InstructPix2Pix, InstructPix2PixParams

from bench.bare import Bare
from bench.report import ratio, report, turns

VERSIONS, STRENGTHS, STEPS, ROUNDS = 10, 20, 10, 2
FIRST, LAST = 1.0, 10.0  # guidance, of which the editor learnt the lower part
PROMPT = "add a blue patch on the left"
RECIPE = Recipe("patch-biased", "resnet", seed=0, lesions=320, epochs=VERSIONS)
NAMES = [f"epoch-{i + 1}" for i in range(VERSIONS)]
CARD = f"""
model = "lesions"
kind = "image"
input = {{ crop = {lesions.SIZE}, layout = "NCHW", scale = {SCALE}, mean = {MEAN}, std = {SD} }}
output = {{ kind = "logits", labels = {list(domain.CLASSES)} }}
"""
BOUND = 0.2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The classifier after each epoch as TorchScript, and its card."""
    folder = tmp_path_factory.mktemp("versions")
    _, *epochs = train(RECIPE, domain.training_set(RECIPE.scenario, RECIPE.seed, RECIPE.lesions))
    for name, weights in zip(NAMES, epochs, strict=True):
        network = network_of(RECIPE.architecture, weights)
        torch.jit.trace(network, torch.zeros(2, 3, lesions.SIZE, lesions.SIZE)).save(folder / f"{name}.pt")
    (folder / "card.toml").write_text(CARD)
    return folder


def config(folder: Path) -> str:
    """All versions inside the service, and the editor."""
    models = (
        f'[[models]]\nname = "{name}"\ncard = "{folder}/card.toml"\nbatch_rows = 32\n'
        f'embedded = {{ torchscript = "{folder}/{name}.pt" }}\n'
        for name in NAMES
    )
    return f'{"".join(models)}[[editors]]\nkind = "instruct_pix2pix"\nmodel = "{networks.PIX2PIX}"\n'


def ask(client: Client, models: list[str], seed: int) -> dict[str, object]:
    """The response of each model."""
    changed = gradual(
        "instruct_pix2pix", prompt=PROMPT, steps=STEPS, image_guidance=1.5, first=FIRST, last=LAST, count=STRENGTHS
    )
    method = Interventional(properties=[changed])
    answer = client.explain(picture(), model=models, method=method, target=1, link="probability", seed=seed)
    return {result.model: result.intervention.outputs for result in answer.results}


@functools.cache
def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(lesions.draw(lesions.Lesion(seed=3))).save(file, "PNG")
    return file.getvalue()


@functools.cache
def editor() -> InstructPix2Pix:
    return InstructPix2Pix(name="bare", model=str(networks.PIX2PIX), device="cpu", precision="float32")


@functools.cache
def versions(folder: Path) -> list[torch.nn.Module]:
    return [torch.jit.load(folder / f"{name}.pt") for name in NAMES]


@torch.no_grad()
def edits_and_passes(folder: Path) -> None:
    """The sweep in the editor's own batches, and of every version the pass of its frames and the input."""
    pixels = domain.pictures([lesions.Lesion(seed=3)])
    canvas = Canvas(pixels[0], hashlib.sha256(pixels.numpy().tobytes()).hexdigest())
    params = InstructPix2PixParams(prompt=PROMPT, image_guidance=1.5, steps=STEPS)
    editor().model.forget()
    prepared = editor().prepare(params, canvas, Stream(0))
    strengths = torch.linspace(FIRST, LAST, STRENGTHS).split(editor().batch_rows)
    tiles = (prepared.rows(part.tolist(), editor().placement) for part in strengths)
    frames = [editor().edit(prepared.ask, [tile], lambda: True) for tile in tiles]
    x = normalised(torch.cat([pixels, *frames]))
    for version in versions(folder):
        version(x).softmax(1)


@pytest.mark.slow
def test_ten_versions_in_one_request_against_ten_separate_runs(folder, tmp_path):
    seeds = itertools.count()
    asked = []

    with (
        service(tmp_path, config(folder)) as running,
        Client(running.grpc) as client,
        Bare(edits_and_passes, folder) as bare,
    ):

        def one() -> None:
            asked.append((seed := next(seeds), ask(client, NAMES, seed)))

        def separate() -> None:
            for name in NAMES:
                ask(client, [name], next(seeds))

        def remembered() -> None:
            seed = next(seeds)
            for name in NAMES:
                ask(client, [name], seed)

        seconds = turns((one, separate, remembered, bare), ROUNDS)
        seed, together = asked[-1]
        for name in NAMES:
            assert (ask(client, [name], seed)[name] == together[name]).all(), "not what the version has alone"
    report(
        "ten_versions", ratio(seconds, 0, 1), BOUND,
        "seconds of ten versions of a model over one sweep of edits in one request, over ten requests of one each",
        f"ten epochs of the study's residual network inside the service, the demo's InstructPix2Pix at 64 x 64, "
        f"{STRENGTHS} strengths of {STEPS} steps, new noise for each request, so that none finds another's frames; "
        "run in turn, median of ratios",
        seconds=statistics.median(s[0] for s in seconds), over_bare_edits_and_passes=ratio(seconds, 0, 3),
        with_frames_kept_over_separate=ratio(seconds, 2, 1),
    )  # fmt: skip
