"""Rationales of texts by the real classifier: on a real Triton with a twin, and in the service alone."""

from concurrent.futures import ThreadPoolExecutor

import live
import numpy as np
import pytest
from sentiment_network import reading
from sidelight_client import MaskOptimisation, TextBaseline

TEXT = "The plot isn’t much and the ending dull, but the crème-brûlée music 😀 is wonderful."


def explain(at, text=TEXT, steps=10, **question):
    options = {name: question.pop(name) for name in ("span_share", "span_count", "span_threshold") if name in question}
    question = {"model": live.TEXT_MODEL, "deadline": 250, "seed": 7, **question}
    source = {"text": text} if isinstance(text, str) else {"input": text}
    return at.client.explain(**source, method=MaskOptimisation(steps=steps, **options), **question).best


def test_the_rationale_is_at_its_characters_and_holds_what_carries_the_sentiment(at):
    best = explain(at, steps=60)
    assert best.target.name == "positive"
    assert [TEXT[unit.begin : unit.end] for unit in best.units] == [unit.name for unit in best.units]
    assert best.rationales and all(r.text == TEXT[r.begin : r.end] for r in best.rationales)
    assert any("wonderful" in r.text for r in best.rationales)
    assert sum(len(r.text) for r in best.rationales) < 0.7 * len(TEXT)
    told = best.optimised
    assert told.kept > 0.9 and told.removed < 0.3
    score = {unit.name: unit.score for unit in best.units}
    assert score["wonderful"] > 0.7 and score["plot"] < 0.4 and score["dull"] < 0.4
    for rationale in best.rationales:
        inside = [u.score for u in best.units if rationale.begin <= u.begin and u.end <= rationale.end]
        assert rationale.score == pytest.approx(np.mean(inside), abs=1e-6)


def test_rationales_have_the_length_or_the_number_asked_for(inside):
    n = len(explain(inside, steps=1).units)
    best = explain(inside, steps=5, span_share=0.2)
    held = [u for u in best.units for r in best.rationales if r.begin <= u.begin and u.end <= r.end]
    assert len(held) == round(0.2 * n)
    assert min(u.score for u in held) >= max(u.score for u in best.units if u not in held)
    assert len(explain(inside, steps=5, span_count=1).rationales) == 1


def test_texts_of_different_lengths_at_once_are_answered_as_alone_to_the_last_bit(at):
    texts = [TEXT, "A dull film.", "A fine film.", "So long, and so very, very dull!"]
    alone = [explain(at, text) for text in texts]
    with ThreadPoolExecutor(len(texts)) as pool:
        together = list(pool.map(lambda text: explain(at, text), texts))
    for one, other in zip(alone, together, strict=True):
        assert [u.score for u in one.units] == [u.score for u in other.units]
        for name, curve in one.optimised.terms.items():
            np.testing.assert_array_equal(curve, other.optimised.terms[name])


def test_another_seed_draws_other_words_and_noise(inside):
    first, other = explain(inside), explain(inside, seed=8)
    assert [u.score for u in first.units] != [u.score for u in other.units]
    # Without draws there is nothing that a seed could change, and the first step is the whole objective's.
    assert first.optimised.terms["size"][0] == other.optimised.terms["size"][0]
    assert first.optimised.terms["kept"][0] != other.optimised.terms["kept"][0]


def test_words_behind_the_end_of_what_the_model_takes_are_masked_too(inside):
    text = " ".join(f"It was long, and number {i} was dull." for i in range(60))
    assert len(reading().ids(text)) == 512  # cut
    dull, fine = (explain(inside, f"{text} {end}", steps=1) for end in ("All dull.", "All wonderful."))
    assert dull.value == fine.value  # the served model sees neither end
    assert dull.units[-1].end == len(text) + len(" All dull.")
    assert dull.optimised.terms["kept"][0] != fine.optimised.terms["kept"][0]


def test_token_ids_are_masked_by_token(inside):
    network = reading()
    ids = network.ids(TEXT)
    best = explain(inside, np.array(ids), model=live.TOKEN_MODEL, baseline=TextBaseline(replacement=str(network.blank)))
    assert len(best.units) == len(ids) and not best.rationales
    assert best.optimised.steps == 10
