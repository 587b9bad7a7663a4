import math

import pytest
import torch
from measured import Linear, bent, picture, run, sentence, sentiment, subject
from sidelight.core.baseline import ImageMean
from sidelight.core.stream import Stream
from sidelight.core.target import Link
from sidelight.metrics.erasure import ErasureParams
from sidelight.metrics.replacement import Replacement
from sidelight.metrics.sufficiency import sufficiency


def test_on_a_linear_model_it_is_what_the_least_contributions_add_over_5_to_95_percent():
    x = picture((10, 10))
    model = Linear(x)
    part = model.contributions(x, ImageMean().image(x.pixels, x.space, Stream(0)))[:1]
    m = run(sufficiency(subject(x, part), ErasureParams()), model)
    least = part.flatten().sort().values.cumsum(0)
    expected = torch.stack([least[99 - s] for s in range(5, 100, 5)])  # without the s most: the 100 - s least
    torch.testing.assert_close(m.curves["sufficiency"][0, 1:-1], expected, rtol=1e-5, atol=1e-4)
    assert m.values["sufficiency"].item() == pytest.approx(expected.mean().item(), rel=1e-4)
    assert m.replacement == "image_mean"


def test_it_equals_one_image_after_another_in_float64():
    x, maps = picture((5, 7)), torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    m = run(sufficiency(subject(x, maps, (2, 0)), ErasureParams(replacement=Replacement.REQUEST)), bent(x))
    mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (x.space.mean, x.space.std))

    def score(kept, c):
        image = x.baseline.double().clone()
        for u in kept:
            image[:, u // 7, u % 7] = x.pixels[:, u // 7, u % 7].double()
        return bent(x)(None, {"x": ((image * x.space.scale - mean) / std).unsqueeze(0)})["y"][0, c].item()

    for t, c in enumerate((2, 0)):
        ranked = sorted(range(35), key=lambda u: -maps[t].flatten()[u])
        lost = [score(range(35), c) - score(ranked[: math.floor(s * 35 / 100 + 0.5)], c) for s in range(0, 101, 5)]
        assert m.curves["sufficiency"][t].tolist() == pytest.approx(lost, abs=1e-6)
        assert m.values["sufficiency"][t].item() == pytest.approx(sum(lost[1:-1]) / 19, abs=1e-6)


def test_only_the_most_relevant_words_are_left_of_a_text():
    x, asked = sentence(), []

    def listening(ask, columns):
        asked.extend(columns["text"])
        return sentiment(ask, columns)

    m = run(sufficiency(subject(x, [[0, 0, 2, 0, 1, 3.0]]), ErasureParams(steps=6)), listening)
    assert asked == [x.text, "", " dull", " wonderful dull", " wonderful but dull", "a wonderful but dull",
                     "a truly wonderful but dull"]  # fmt: skip
    assert m.curves["sufficiency"][0].tolist() == [1, 2, 0, 0, 0, 0, 0]  # the text has 1, "dull" alone -1
    assert m.values["sufficiency"].item() == pytest.approx(2 / 5)
    assert m.replacement == "request"


def test_below_0_the_part_scores_higher_than_the_whole():
    maps = [[0, 0, 2, 0, 0, -1.0]]
    assert run(sufficiency(subject(sentence(), maps), ErasureParams()), sentiment).values["sufficiency"].item() < 0


def test_it_is_on_the_scale_of_the_target():
    s = subject(sentence(), [[0, 0, 2, 0, 0, -1.0]], link=Link.PROBABILITY)
    curve = run(sufficiency(s, ErasureParams(steps=6)), sentiment).curves["sufficiency"][0]
    p = {y: torch.tensor([y, -y]).softmax(0)[0].item() for y in (0.0, 1.0, 2.0)}
    torch.testing.assert_close(curve[:2], torch.tensor([p[1.0] - p[0.0], p[1.0] - p[2.0]]).double(), rtol=0, atol=1e-6)
