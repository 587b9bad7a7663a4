"""The demo's model as Triton serves it: the real network, its card and its labels agree with one another."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import server
import skimage.data
import tritonclient.grpc
from PIL import Image
from server import VENV, TritonServer

CARD = Path(server.__file__).parent / "cards" / "efficientnet_lite0.toml"
CATS = {"tabby", "tiger cat", "Egyptian cat"}


@pytest.fixture(scope="module")
def client(triton_venv: Path, tmp_path_factory: pytest.TempPathFactory):
    log = tmp_path_factory.mktemp("triton") / "log"
    with TritonServer([VENV.parent / "models"], triton_venv, log=log) as triton:
        yield tritonclient.grpc.InferenceServerClient(triton.grpc)


def prepared(photo: Image.Image, card: dict) -> np.ndarray:
    """The photo as the card says, written out: [1,3,224,224]."""
    shorter, crop = card["resize"], card["crop"]
    ratio = shorter / min(photo.size)
    photo = photo.resize((round(photo.width * ratio), round(photo.height * ratio)), Image.Resampling.BICUBIC)
    left, top = (photo.width - crop) // 2, (photo.height - crop) // 2
    x = np.asarray(photo.crop((left, top, left + crop, top + crop))) * card["scale"]
    return ((x - card["mean"]) / card["std"]).transpose(2, 0, 1)[None].astype(np.float32)


def infer(client, x: np.ndarray, **options) -> np.ndarray:
    tensor = tritonclient.grpc.InferInput("image", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    return client.infer("efficientnet_lite0", [tensor], **options).as_numpy("logits")


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    return prepared(Image.fromarray(skimage.data.chelsea()), tomllib.loads(CARD.read_text())["input"])


def test_the_cat_photo_is_a_cat(client, cat):
    labels = (CARD.parent / tomllib.loads(CARD.read_text())["output"]["labels"]).read_text().splitlines()
    assert len(labels) == len(set(labels)) == 1000
    (logits,) = infer(client, cat)
    assert {labels[k] for k in logits.argsort()[-3:]} == CATS


def test_the_output_is_logits_as_the_card_says(client, cat):
    (logits,) = infer(client, cat)
    assert logits.min() < 0
    assert tomllib.loads(CARD.read_text())["output"]["kind"] == "logits"


def test_a_row_is_answered_alike_alone_and_in_a_batch_at_either_priority(client, cat):
    noise = np.random.default_rng(0).normal(size=(6, 3, 224, 224)).astype(np.float32)
    batch = np.concatenate([noise, cat])
    alone = infer(client, cat)[0]
    for priority in (1, 2):
        np.testing.assert_allclose(infer(client, batch, priority=priority)[-1], alone, atol=1e-4)
