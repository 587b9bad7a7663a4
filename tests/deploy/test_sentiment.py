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
def test_the_service_can_hold_it_as_a_module(factory, network):
    module = networks.from_factory(factory, {}, torch.device("cpu")).module
    with torch.no_grad():
        torch.testing.assert_close(module(token_ids(tokenizer(), TEXTS)), network(token_ids(tokenizer(), TEXTS)))


@pytest.fixture(scope="module")
def reading() -> torch.nn.Module:
    return networks.from_factory(f"{sentiment_network.__file__}:reading", {}, torch.device("cpu")).module


def test_the_network_that_reads_gives_texts_and_ids_what_the_served_one_gives_them(client, reading, network):
    ids = token_ids(tokenizer(), TEXTS)
    with torch.no_grad():
        np.testing.assert_allclose(reading(TEXTS).numpy(), of_texts(client, TEXTS), atol=1e-4)
        torch.testing.assert_close(reading(ids), network(ids), rtol=0, atol=0)
        torch.testing.assert_close(reading([TEXTS[0]]), reading(torch.tensor([reading.ids(TEXTS[0])])), rtol=0, atol=0)
    assert networks.weights_digest(reading) == networks.weights_digest(network)


@torch.no_grad()
def test_what_is_put_in_place_of_its_embeddings_decides_and_its_ids_only_which_tokens_are_there(reading):
    good, bad = (torch.tensor([reading.ids(f"A {word} film.")]) for word in ("wonderful", "dreadful"))
    layer, given = reading.get_submodule(reading.embedding), []
    substitute = layer.weight[good]
    with layer.register_forward_hook(lambda *_: given.append(1) or substitute):
        torch.testing.assert_close(reading(bad), reading(good), rtol=0, atol=0)
        assert len(given) == 2  # once a pass
        with_gap = bad.clone()
        with_gap[0, 2] = sentiment_network.PAD
        assert (reading(with_gap) - reading(bad)).abs().max() > 0.1
    assert reading(good).argmax() == 1 and reading(bad).argmax() == 0


def test_each_token_has_its_characters_and_special_ones_have_none(reading):
    text = "Crème-brûlée 😀 isn't un\u0301usual"
    pieces, ids = reading.pieces(text), reading.ids(text)
    assert len(pieces) == len(ids) and {pieces[0], pieces[-1]} == {(0, 0)}
    shown = [text[begin:end] for begin, end in pieces[1:-1]]
    assert shown[:5] == ["Cr", "ème", "-", "br", "ûlé"] and "😀" in shown and "'" in shown
    assert "".join(shown) == text.replace(" ", "")
    assert all(i not in reading.specials for i in ids[1:-1]) and {ids[0], ids[-1]} < reading.specials
    assert tokenizer().id_to_token(reading.blank) == "[MASK]"


def test_a_text_too_long_for_the_network_has_as_many_pieces_as_it_reads(reading):
    assert len(reading.pieces(TEXTS[-1])) == len(reading.ids(TEXTS[-1])) == MAX_TOKENS


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
