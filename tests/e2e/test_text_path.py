"""Path attribution of texts by the real classifier: on a real Triton with a twin, and in the service alone."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import live
import numpy as np
import pytest
from sentiment_network import reading, tokenizer
from sidelight_client import IntegratedGradients, InvalidRequest, TextBaseline

TEXT = "The plot isn’t much, but the crème-brûlée music is wonderfully joyful 😀."
WORDS = [
    "The",
    "plot",
    "isn’t",
    "much",
    ",",
    "but",
    "the",
    "crème",
    "-",
    "brûlée",
    "music",
    "is",
    "wonderfully",
    "joyful",
]
WORDS += ["😀", "."]
EMBEDDING = "encoder.embeddings.word_embeddings"


def explain(at, text=TEXT, method=None, **question):
    question = {"model": live.TEXT_MODEL, "link": "logit", "deadline": 120, **question}
    source = {"text": text} if isinstance(text, str) else {"input": text}
    return at.client.explain(**source, method=method or IntegratedGradients(nodes=20), **question)


def test_words_and_rest_add_up_to_what_the_output_changed_by(at):
    best = explain(at, baseline="feature_mean", method=IntegratedGradients()).best
    (told,) = best.attributions
    assert [unit.name for unit in best.units] == WORDS
    assert [TEXT[unit.begin : unit.end] for unit in best.units] == WORDS
    assert abs(best.rest) > 1e-3  # [CLS] and [SEP] are no words, and their embeddings are not the mean
    assert sum(unit.score for unit in best.units) + best.rest == pytest.approx(told.result, abs=1e-4)
    assert told.result == pytest.approx(told.target, abs=0.01 * abs(told.target))
    assert best.value - best.baseline_value == pytest.approx(told.target, abs=1e-3)


def test_the_word_that_carries_the_sentiment_has_the_largest_score(at):
    best = explain(at, "The music of this film is wonderful.").best
    assert best.target.name == "positive" and best.rest == pytest.approx(0, abs=1e-6)
    assert max(best.units, key=lambda unit: unit.score).name == "wonderful"
    assert "[MASK]" in best.attributions[0].baseline and EMBEDDING in best.attributions[0].baseline


def test_token_ids_get_what_the_tokens_of_the_text_get(at):
    network = reading()
    ids, pieces = network.ids(TEXT), network.pieces(TEXT)
    best = explain(
        at, np.array(ids), model=live.TOKEN_MODEL, baseline=TextBaseline(replacement=str(network.blank))
    ).best
    assert len(best.units) == len(ids) == len(tokenizer().encode(TEXT).tokens)
    for unit in explain(at).best.units:
        tokens = [t.score for t, (b, e) in zip(best.units, pieces, strict=True) if unit.begin <= b < e <= unit.end]
        assert sum(tokens) == pytest.approx(unit.score, abs=1e-4)


def test_a_block_of_the_transformer_has_positions_too(at):
    best = explain(at, method=IntegratedGradients(layers=["encoder.encoder.layer.3"], nodes=20)).best
    (told,) = best.attributions
    assert [unit.name for unit in best.units] == WORDS and abs(best.rest) > 1e-3
    assert sum(unit.score for unit in best.units) + best.rest == pytest.approx(told.result, abs=1e-4)
    assert told.result == pytest.approx(told.target, abs=0.02 * abs(told.target))


def test_texts_of_different_lengths_at_once_are_answered_as_alone(at):
    texts = [TEXT, "A dull film.", "A fine film.", "So long, and so very, very dull!"]
    alone = [explain(at, text).best.units for text in texts]
    with ThreadPoolExecutor(len(texts)) as pool:
        together = list(pool.map(lambda text: explain(at, text).best.units, texts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose([u.score for u in one], [u.score for u in other], atol=1e-4)


def test_a_vector_is_no_layer_of_a_map_and_the_embedding_is_named_instead(at):
    with pytest.raises(InvalidRequest, match=rf"integrated_gradients\.layers.*{EMBEDDING}"):
        explain(at, method=IntegratedGradients(layers=["head"]))


def test_the_command_line_colours_the_words_and_tells_the_rest(at, tmp_path):
    command = [sys.executable, "-m", "sidelight_client", "explain", "--text", TEXT, "--model", live.TEXT_MODEL]
    command += ["--method", "integrated_gradients", "--link", "logit", "--baseline", "feature_zero"]
    done = subprocess.run(
        [*command, "--address", at.service.grpc, "--set", "nodes=20", "--out", str(tmp_path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "answer.json").read_text())["results"][0]
    rest = f"{saved['rest']:.4g}"
    page = (tmp_path / "answer.html").read_text(encoding="utf-8")
    assert TEXT in done.stdout and rest in done.stdout and rest in page
    assert all(f">{word}</span>" in page for word in WORDS)
    assert [unit["name"] for unit in saved["units"]] == WORDS
