"""The demo's text classifier: as accurate as its card says, and the same network wherever it runs."""

import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import sentiment_data
import sentiment_network
import torch
import train
import tritonclient.grpc
from sentiment_network import CHANGES, LABELS, MAX_TOKENS, sentiment, token_ids, tokenizer, untrained
from server import VENV, TritonServer
from sidelight.predictors import networks

MODELS = VENV.parent / "models"
TEXTS = ["A dull film.", "", "What a wonderful, gorgeous and moving film!", "naïve — “déjà vu” 😀", "so long " * 600]


@pytest.fixture(scope="module")
def client(triton_venv: Path, tmp_path_factory: pytest.TempPathFactory):
    log = tmp_path_factory.mktemp("triton") / "log"
    with TritonServer([MODELS], triton_venv, log=log) as triton:
        yield tritonclient.grpc.InferenceServerClient(triton.grpc)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return sentiment()


def infer(client, model: str, name: str, datatype: str, x: np.ndarray) -> np.ndarray:
    tensor = tritonclient.grpc.InferInput(name, x.shape, datatype)
    tensor.set_data_from_numpy(x)
    return client.infer(model, [tensor]).as_numpy("logits")


def of_texts(client, texts) -> np.ndarray:
    """Logits [n, 2] of Triton for texts, or for their bytes."""
    rows = [text if isinstance(text, bytes) else text.encode() for text in texts]
    starts = range(0, len(rows), 50)
    parts = [np.array(rows[i : i + 50], np.object_).reshape(-1, 1) for i in starts]
    return np.concatenate([infer(client, "sentiment", "text", "BYTES", part) for part in parts])


def sample() -> list[tuple[float, str]]:
    """Ratings and texts of the held-out snippets that ship."""
    lines = (line.split("\t") for line in train.SAMPLE.read_text(encoding="utf-8").splitlines())
    return [(float(rating), text) for rating, text in lines]


def test_the_sample_is_of_the_part_that_is_never_trained_on():
    snippets = sample()
    assert len(snippets) == train.SAMPLED
    assert {sentiment_data.part(sentiment_data.plain(text)) for _, text in snippets} == {"held_out"}


def test_the_served_model_tells_four_of_five_held_out_snippets(client):
    ratings, texts = zip(*sample(), strict=True)
    told, positive = of_texts(client, texts).argmax(1) == LABELS.index("positive"), np.array(ratings) > 0
    shares = (told == positive)[positive].mean(), (told == positive)[~positive].mean()
    assert (told == positive).mean() >= 0.8
    assert np.mean(shares) >= 0.8


def test_triton_onnxruntime_and_torch_agree(client, network):
    ids = token_ids(tokenizer(), TEXTS)
    assert ids.shape == (len(TEXTS), MAX_TOKENS)
    with torch.no_grad():
        wanted = network(ids).numpy()
    session = onnxruntime.InferenceSession(str(MODELS / "sentiment" / "1" / "model.onnx"))
    np.testing.assert_allclose(session.run(["logits"], {"ids": ids.numpy()})[0], wanted, atol=1e-4)
    np.testing.assert_allclose(of_texts(client, TEXTS), wanted, atol=1e-4)
    np.testing.assert_allclose(infer(client, "sentiment_tokens", "ids", "INT64", ids.numpy()), wanted, atol=1e-4)


def test_a_token_that_is_not_there_changes_nothing_wherever_it_stands(network):
    ids = token_ids(tokenizer(), TEXTS[:1])
    longer = torch.nn.functional.pad(ids, (0, 7))
    with torch.no_grad():
        torch.testing.assert_close(network(longer), network(ids), rtol=0, atol=1e-5)
        assert network(torch.zeros(1, 5, dtype=torch.int64)).isfinite().all()


def test_a_row_is_answered_alike_alone_and_beside_a_longer_one(client):
    np.testing.assert_allclose(of_texts(client, TEXTS)[0], of_texts(client, TEXTS[:1])[0], atol=1e-4)


def test_token_rows_of_requests_that_differ_in_length_are_answered_as_alone(client, network):
    rows = [token_ids(tokenizer(), [" ".join(["so"] * n) + " wonderful"]).numpy() for n in range(1, 17)]
    with torch.no_grad():
        wanted = [network(torch.from_numpy(ids)).numpy() for ids in rows]
    with ThreadPoolExecutor(16) as pool:  # so that Triton has several to batch
        got = list(pool.map(lambda ids: infer(client, "sentiment_tokens", "ids", "INT64", ids), rows))
    np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_bytes_that_are_no_text_are_answered_all_the_same(client):
    assert np.isfinite(of_texts(client, [b"a \xff\xfe film"])).all()


def test_gradients_reach_the_words(network):
    ids = token_ids(tokenizer(), ["The music of this film is wonderful."])
    embeddings = network.encoder.get_input_embeddings()(ids).detach().requires_grad_()
    logits = network.from_embeddings(embeddings, ids != 0)
    torch.testing.assert_close(logits, network(ids))
    (gradient,) = torch.autograd.grad(logits[0, 1] - logits[0, 0], embeddings)
    assert gradient.isfinite().all() and gradient.norm(dim=-1).min() > 0


@pytest.mark.parametrize("factory", ["build_models:sentiment", f"{sentiment_network.__file__}:sentiment"])
def test_the_service_can_hold_it_as_a_module_and_as_a_function_of_texts(factory, network):
    module = networks.from_factory(factory, {}, torch.device("cpu")).module
    function = networks.from_factory(f"{sentiment_network.__file__}:of_texts", {}, torch.device("cpu")).forward
    with torch.no_grad():
        wanted = network(token_ids(tokenizer(), TEXTS))
        torch.testing.assert_close(module(token_ids(tokenizer(), TEXTS)), wanted)
        torch.testing.assert_close(function(TEXTS), wanted)


def test_what_training_saves_is_the_network_it_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHANGES", tmp_path / "changes.safetensors")
    torch.manual_seed(0)
    trained = untrained()
    changes = train.made_trainable(trained)
    for parameter in trained.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02)
    train.save(trained, changes)
    ids = token_ids(tokenizer(), TEXTS[:3])
    with torch.no_grad():
        torch.testing.assert_close(sentiment(train.CHANGES)(ids), trained(ids), rtol=0, atol=1e-3)
        assert (trained(ids) - untrained()(ids)).abs().max() > 0.05


def test_only_what_was_trained_ships():
    tensors = safetensors.torch.load_file(CHANGES)
    assert {key.split(".")[-1] for key in tensors} == {"weight", "bias", "up", "down"}
    assert all(key.startswith("head.") or int(key.split(".")[3]) >= train.FIRST_LAYER for key in tensors)
    assert CHANGES.stat().st_size < 1e6


def test_the_snippets_are_read_once_each_and_part_by_part(tmp_path):
    lines = [f"{i}\t{(-1) ** i * 0.5}\tFilm number {i} was so-so, é." for i in range(400)]
    lines += ["400\t0\tNeither good nor bad.", "401\t2\tFilm  NUMBER 7: was so so é!"]
    text, archive = "\r\n".join(lines).encode(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as inner:
        info = tarfile.TarInfo(sentiment_data.MEMBER)
        info.size = len(text)
        inner.addfile(info, io.BytesIO(text))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as outer:
        outer.writestr(sentiment_data.ARCHIVE, archive.getvalue())
    parts = sentiment_data.read(tmp_path / "data.zip")
    sizes = [len(part) for part in (parts.training, parts.validation, parts.held_out)]
    assert sum(sizes) == 400
    assert 50 < sizes[2] < 110 and 20 < sizes[1] < 65
    assert {s.positive for s in parts.training} == {True, False}
