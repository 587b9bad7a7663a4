"""Explaining texts: the service, a real Triton, a real text classifier, as a string and as token ids."""

import json
import subprocess
import sys

import live
import numpy as np
import pytest
from sentiment_network import tokenizer
from sidelight_client import InvalidRequest, Rise

TEXT = "It isn’t long, and the music is wonderful — a joy."
WORDS = ["It", "isn’t", "long", ",", "and", "the", "music", "is", "wonderful", "—", "a", "joy", "."]


def explain(real, text=TEXT, masks=400, model=live.TEXT_MODEL, **question):
    return real.client.explain(text=text, model=model, method=Rise(masks=masks), seed=3, deadline=120, **question)


def test_every_word_has_its_score_and_its_place_in_the_text(real):
    best = explain(real, link="probability").best
    assert [unit.name for unit in best.units] == WORDS
    assert [TEXT[unit.begin : unit.end] for unit in best.units] == WORDS
    assert all(np.isfinite(unit.score) and unit.standard_error > 0 for unit in best.units)
    assert best.evaluations == 402 and best.converged
    assert best.target.name == "positive" and 0.5 < best.value <= 1


@pytest.mark.parametrize(
    ("text", "label", "word"),
    [
        ("The music of this film is wonderful.", "positive", "wonderful"),
        ("The second half of the film is awful.", "negative", "awful"),
    ],
)
def test_the_word_that_carries_the_sentiment_has_the_largest_score(real, text, label, word):
    best = explain(real, text, link="probability").best
    assert best.target.name == label
    assert max(best.units, key=lambda unit: abs(unit.score)).name == word


def test_a_word_speaks_for_one_class_and_against_the_other(real):
    text = "The jokes are stale, but the actors are a joy."
    both = explain(real, text, target=["negative", "positive"], link="probability")
    negative, positive = ({unit.name: unit.score for unit in result.units} for result in both.results)
    assert negative["stale"] > negative["joy"] and positive["joy"] > positive["stale"]


def test_the_same_words_matter_when_the_text_comes_as_token_ids(real):
    text = "The music of this film is wonderful."
    encoding = tokenizer().encode(text)
    question = {"link": "probability", "method": Rise(masks=400), "seed": 3, "deadline": 120}
    best = real.client.explain(np.array(encoding.ids), model=live.TOKEN_MODEL, **question).best
    assert best.target.name == "positive" and len(best.units) == len(encoding.ids)
    strongest = max(range(len(best.units)), key=lambda i: abs(best.units[i].score))
    assert encoding.tokens[strongest] == "wonderful"
    assert best.value == pytest.approx(explain(real, text, 8, link="probability").best.value, abs=1e-4)


def test_the_command_line_colours_the_words_and_writes_them_as_a_page(real, tmp_path):
    command = [sys.executable, "-m", "sidelight_client", "explain", "--text", TEXT, "--model", live.TEXT_MODEL]
    command += ["--address", real.service.grpc, "--set", "masks=64", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert TEXT in done.stdout and "positive" in done.stdout
    page = (tmp_path / "answer.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and "utf-8" in page
    assert all(f">{word}</span>" in page for word in WORDS)
    units = json.loads((tmp_path / "answer.json").read_text())["results"][0]["units"]
    assert [unit["name"] for unit in units] == WORDS


def test_a_photo_for_the_text_model_is_refused_with_what_it_takes(real):
    with pytest.raises(InvalidRequest, match="takes a text"):
        real.client.explain(live.photo(), model=live.TEXT_MODEL, method=Rise(masks=8), deadline=60)
