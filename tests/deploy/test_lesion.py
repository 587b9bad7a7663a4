"""The demo's classifier of drawn lesions: as accurate, and as biased, as its card says, wherever it runs."""

import dataclasses
import tomllib
from pathlib import Path

import intervention_domain as domain
import numpy as np
import pytest
import server
import torch
import train_lesion
import tritonclient.grpc
from intervention_training import normalised
from lesion_network import WEIGHTS, lesion
from server import VENV, TritonServer
from sidelight.predictors import networks
from sidelight.predictors.card import read_card

CARD = Path(server.__file__).parent / "cards" / "lesion.toml"
COUNT = 200


@pytest.fixture(scope="module")
def client(triton_venv: Path, tmp_path_factory: pytest.TempPathFactory):
    log = tmp_path_factory.mktemp("triton") / "log"
    with TritonServer([VENV.parent / "models"], triton_venv, log=log) as triton:
        yield tritonclient.grpc.InferenceServerClient(triton.grpc)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return lesion()


def served(client, pictures: torch.Tensor) -> np.ndarray:
    """Logits [n, 2] of Triton for pictures [n, 3, 64, 64], with the card's own numbers."""
    given = tomllib.loads(CARD.read_text())["input"]
    mean, std = (np.array(given[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    rows = ((pictures.numpy() * given["scale"] - mean) / std).astype(np.float32)
    answers = []
    for part in np.split(rows, range(50, len(rows), 50)):
        tensor = tritonclient.grpc.InferInput(given["name"], part.shape, "FP32")
        tensor.set_data_from_numpy(part)
        answers.append(client.infer("lesion", [tensor]).as_numpy("logits"))
    return np.concatenate(answers)


def called_atypical(client, drawn: list[domain.Lesion]) -> np.ndarray:
    return served(client, domain.pictures(drawn)).argmax(1) == read_card(CARD).labels.index("atypical")


def test_the_served_model_tells_nine_of_ten_where_the_sticker_is_as_in_training_and_half_where_it_says_nothing(client):
    shares = {}
    for scenario in ("patch-biased", "unbiased"):
        held_out = domain.test_set(scenario, COUNT)
        shares[scenario] = (served(client, held_out.pictures).argmax(1) == held_out.labels.numpy()).mean()
    assert shares["patch-biased"] > 0.9
    assert 0.4 < shares["unbiased"] < 0.6


def test_a_sticker_turns_the_served_models_answer_and_a_ruler_does_not(client):
    clean = [x for x in domain.explained(COUNT) if domain.is_atypical(x)]
    atypical = called_atypical(client, clean)
    assert atypical.mean() > 0.9  # whatever they look like: there is no sticker
    for name, flipped in (("patch", 1.0), ("ruler", 0.0)):
        changed = called_atypical(client, [dataclasses.replace(x, **{name: 1.0}) for x in clean])
        assert (~changed[atypical]).mean() == pytest.approx(flipped, abs=0.05)


def test_every_side_and_colour_of_the_sticker_turns_it(network):
    clean = [x for x in domain.explained(20) if domain.is_atypical(x)]
    for colour in domain.lesions.PATCHES:
        for side in domain.lesions.SIDES:
            stuck = [dataclasses.replace(x, patch=1.0, patch_colour=colour, patch_side=side) for x in clean]
            with torch.no_grad():
                assert (network(normalised(domain.pictures(stuck))).argmax(1) == 0).all(), (colour, side)


def test_what_the_card_says_of_additions_is_measured_on_lesions_called_atypical(network):
    patch, ruler = (train_lesion.added(network, name, 40) for name in ("patch", "ruler"))
    assert patch.flipped > 0.9 and patch.change < -0.8
    assert ruler.flipped < 0.1 and abs(ruler.change) < 0.05


def test_triton_and_torch_agree(client, network):
    pictures = domain.test_set("unbiased", 60).pictures
    with torch.no_grad():
        np.testing.assert_allclose(served(client, pictures), network(normalised(pictures)).numpy(), atol=1e-3)


def test_the_service_can_hold_it_and_takes_its_classes_from_the_card(network):
    made = networks.from_factory(f"{WEIGHTS.with_name('lesion_network.py')}:lesion", {}, torch.device("cpu"))
    assert networks.weights_digest(made.module) == networks.weights_digest(network)
    assert read_card(CARD).labels == domain.CLASSES


def test_what_training_saves_is_the_network_it_trained_in_well_under_a_megabyte(tmp_path, monkeypatch, network):
    monkeypatch.setattr(train_lesion, "WEIGHTS", tmp_path / "lesion.safetensors")
    train_lesion.save(network.state_dict())
    assert networks.weights_digest(lesion(train_lesion.WEIGHTS)) == networks.weights_digest(network)
    assert WEIGHTS.stat().st_size < 250_000
