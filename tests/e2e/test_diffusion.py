"""Interventions by the diffusion editors that ship, on the demo's classifier: a real service, asked over gRPC."""

import time
from types import SimpleNamespace

import live
import numpy as np
import pytest
from metrics import total

pytest.importorskip("diffusers")

import lesions
import networks
import torch
from sidelight_client import Client, Interventional, InvalidRequest, gradual
from transformers import CLIPTextModel, CLIPTokenizer

MODEL, LESION = live.demo.LESION_MODEL, live.demo.LESION
PATCH, RULER = live.demo.PROPERTIES.values()
CAPTION = lesions.caption(lesions.at(LESION, "patch", 1.0))
KINDS = {"instruct_pix2pix": networks.PIX2PIX, "sdedit": networks.TEXT_TO_IMAGE, "ledits": networks.TEXT_TO_IMAGE}
READY_SECONDS = 120


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """The classifier of lesions inside a service that has an editor of each kind with weights, all made at once."""
    config = (
        f'[[models]]\ncard = "{live.CARDS / MODEL}.toml"\n[models.embedded]\nfactory = "{live.demo.TWINS[MODEL]}"\n'
    )
    config += "".join(f'[[editors]]\nkind = "{kind}"\nmodel = "{folder}"\n' for kind, folder in KINDS.items())
    with live.service(tmp_path_factory.mktemp("diffusion"), config) as service, Client(service.grpc) as client:
        ends = time.monotonic() + READY_SECONDS
        while waiting := [e for e in client.catalogue().editors if e.name in KINDS and not e.available]:
            assert time.monotonic() < ends, waiting
            time.sleep(0.1)
        yield SimpleNamespace(service=service, client=client)


def ask(up, *properties):
    picture = lesions.draw(LESION)
    return up.client.explain(
        picture, model=MODEL, method=Interventional(properties=properties, frames=9), link="probability", seed=1,
        deadline=250,
    )  # fmt: skip


def instructed(prompt="", count=5, **more):
    options = {"first": 0, "last": 3, "count": count, "steps": 8, **more}
    return gradual("instruct_pix2pix", **({"prompt": prompt} if prompt else {}), **options)


def pictures(found) -> np.ndarray:
    return np.stack([np.asarray(frame.image.convert("RGB"), np.int16) for frame in found.frames])


def test_a_patch_that_a_diffusion_model_adds_turns_the_biased_answer_and_a_ruler_does_not(up):
    answer = ask(up, instructed(PATCH, name="patch"), instructed(RULER, name="ruler"))
    patch, ruler = (result.intervention for result in answer.results)
    assert answer.best.target.name == "atypical" and answer.best.value > 0.9
    assert [patch.class_name(k) for k in patch.top[[0, -1]]] == ["atypical", "regular"] and patch.flips == 1
    assert ruler.flips == 0 and patch.score > 20 * ruler.score
    assert patch.editor == "instruct_pix2pix" and len(patch.editor_digest) == 64
    # The sticker is where the instruction says, and the rest stays.
    change = np.abs(pictures(patch)[-1] - pictures(patch)[0]).mean(-1)
    stuck = lesions.sticker(LESION) > 0.9
    assert change[stuck].mean() > 20 and change[lesions.sticker(LESION) == 0].mean() < 4
    assert np.abs(pictures(ruler)[-1] - pictures(ruler)[0]).mean(-1)[-8:].mean() > 10


@torch.no_grad()
def test_embeddings_in_place_of_a_prompt_give_the_frames_of_the_prompt_that_they_encode(up):
    encoder = CLIPTextModel.from_pretrained(networks.PIX2PIX / "text_encoder", torch_dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(networks.PIX2PIX / "tokenizer")
    ids = torch.tensor([tokenizer(text, padding="max_length").input_ids for text in (PATCH, RULER)])
    encoded = encoder(ids).last_hidden_state.numpy()
    told = ask(up, instructed(PATCH, count=4)).best
    given, other = (ask(up, instructed(count=4, prompt_embeds=x)).best for x in encoded)
    assert given.edits == 4  # and not the frames that were remembered
    assert np.abs(pictures(given.intervention) - pictures(told.intervention)).max() <= 1
    np.testing.assert_allclose(given.intervention.outputs, told.intervention.outputs, atol=1e-3)
    assert np.abs(pictures(other.intervention) - pictures(told.intervention)).max() > 20


def test_the_same_series_again_costs_no_edit_and_tells_the_same(up):
    first, again = (ask(up, instructed("add hairs", count=3)).best for _ in range(2))
    assert (first.edits, again.edits) == (3, 0)
    np.testing.assert_array_equal(first.intervention.outputs, again.intervention.outputs)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("sdedit", {"first": 0.0, "last": 0.6, "guidance": 3.0, "steps": 10}),
        ("ledits", {"first": 0.0, "last": 8.0, "threshold": 0.8, "steps": 10}),
    ],
)
def test_a_caption_moves_the_picture_further_the_stronger_it_is(up, kind, options):
    found = ask(up, gradual(kind, prompt=CAPTION, count=3, **options)).best.intervention
    assert found.editor == kind
    assert found.distance[0] < 5 < found.distance[-1]  # levels of 255; the autoencoder alone is off by about 3
    assert (np.diff(found.distance) > 0).all()


def test_edits_are_counted_timed_and_their_editors_said_to_be_ready(up):
    metrics, labels = up.service.metrics, {"editor": "instruct_pix2pix"}
    names = ("sidelight_image_edits_total", "sidelight_edit_batch_seconds_count", "sidelight_property_gradient_count")
    before = [total(metrics, name) for name in names]
    ask(up, instructed("make the lesion darker", count=3))
    edits, batches, scores = (total(metrics, name) - x for name, x in zip(names, before, strict=True))
    assert edits == 3 and 1 <= batches <= 3 and scores == 1
    assert total(metrics, "sidelight_edit_batch_seconds_count", code="OK", **labels) >= batches
    assert [total(metrics, "sidelight_editor_ready", editor=kind) for kind in KINDS] == [1, 1, 1]


def test_a_prompt_of_more_tokens_than_the_editor_takes_is_refused_by_its_field(up):
    with pytest.raises(InvalidRequest, match=r"prompt.*24 tokens"):
        ask(up, instructed("add a ruler " * 20))
