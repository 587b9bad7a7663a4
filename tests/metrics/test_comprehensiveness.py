import math

import pytest
import torch
from measured import Linear, bent, picture, run, sentence, sentiment, subject
from sidelight.core.baseline import ImageMean
from sidelight.core.stream import Stream
from sidelight.metrics.comprehensiveness import comprehensiveness
from sidelight.metrics.erasure import ErasureParams


def test_on_a_linear_model_it_is_what_the_largest_contributions_add_over_5_to_95_percent():
    x = picture((10, 10))
    model = Linear(x)
    part = model.contributions(x, ImageMean().image(x.pixels, x.space, Stream(0)))[:1]
    m = run(comprehensiveness(subject(x, part), ErasureParams()), model)
    most = part.flatten().sort(descending=True).values.cumsum(0)
    expected = torch.stack([most[s - 1] for s in range(5, 100, 5)])
    torch.testing.assert_close(m.curves["comprehensiveness"][0, 1:-1], expected, rtol=1e-5, atol=1e-4)
    assert m.values["comprehensiveness"].item() == pytest.approx(expected.mean().item(), rel=1e-4)
    assert m.replacement == "image_mean"


def test_it_equals_one_text_after_another_each_word_of_a_weight_of_its_own():
    x = sentence("eleven words are fewer than the shares that it takes here")
    weight = {x.word(u): 0.7 * i - 2.0 + i % 3 for i, u in enumerate(x.units)}
    maps = torch.randn(2, 11, generator=torch.Generator().manual_seed(1))

    def score(text, c):
        return (1 if c == 0 else -0.5) * math.tanh(sum(weight[w] for w in text.split()) / 3)

    def model(ask, columns):
        return {"y": torch.tensor([[score(t, c) for c in (0, 1)] for t in columns["text"]], dtype=torch.float64)}

    m = run(comprehensiveness(subject(x, maps, (0, 1)), ErasureParams()), model)
    for t in (0, 1):
        ranked = sorted(range(11), key=lambda u: -maps[t][u])
        lost = []
        for s in range(0, 101, 5):  # a step is half a word: many of them are the same words, and count each
            gone = ranked[: math.floor(s * 11 / 100 + 0.5)]
            left = " ".join(x.word(unit) for u, unit in enumerate(x.units) if u not in gone)
            lost.append(score(x.text, t) - score(left, t))
        assert m.curves["comprehensiveness"][t].tolist() == pytest.approx(lost, abs=1e-12)
        assert m.values["comprehensiveness"][t].item() == pytest.approx(sum(lost[1:-1]) / 19, abs=1e-12)


def test_the_most_relevant_words_are_removed_first():
    x, asked = sentence(), []

    def listening(ask, columns):
        asked.extend(columns["text"])
        return sentiment(ask, columns)

    m = run(comprehensiveness(subject(x, [[0, 0, 2, 0, 0, 3.0]]), ErasureParams(steps=3)), listening)
    assert asked == [x.text, "", "a truly film but", " film but"]
    assert m.curves["comprehensiveness"][0].tolist() == [0, 1, 1, 1]
    assert m.replacement == "request"


def test_the_true_map_beats_random_ones_which_beat_its_inverse():
    x = picture((10, 10))
    model = Linear(x)
    part = model.contributions(x, ImageMean().image(x.pixels, x.space, Stream(0)))[:1]

    def of(maps):
        return run(comprehensiveness(subject(x, maps), ErasureParams()), model).values["comprehensiveness"].item()

    for seed in range(5):
        other = torch.randn(1, 10, 10, generator=torch.Generator().manual_seed(seed))
        assert of(-part) < of(other) < of(part)


def test_all_targets_in_one_sweep_equal_each_alone():
    x, maps = picture((5, 5)), torch.randn(3, 5, 5)
    together = run(comprehensiveness(subject(x, maps, (2, 0, 1)), ErasureParams()), bent(x))
    for t, c in enumerate((2, 0, 1)):
        alone = run(comprehensiveness(subject(x, maps[t : t + 1], (c,)), ErasureParams()), bent(x))
        torch.testing.assert_close(
            together.values["comprehensiveness"][t : t + 1], alone.values["comprehensiveness"], rtol=0, atol=1e-6
        )
