import pytest
import torch
from measured import Linear, bent, picture, run, sentence, sentiment, subject
from sidelight.core.baseline import ImageMean
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import TokenInput, encode
from sidelight.core.stream import Stream
from sidelight.core.target import Link
from sidelight.metrics.replacement import Replacement
from sidelight.metrics.srg import SrgParams, srg


def measure(x, maps, answer, classes=(0,), p=None, tile=7):
    return run(srg(subject(x, maps, classes), p or SrgParams()), answer, tile)


def test_the_perfect_map_of_a_model_with_equal_parts_has_the_srg_that_arithmetic_gives():
    """20 of 100 pixels add 1 each. Hidden first they are gone after 2 of 10 steps; hidden last they last for 8."""
    x = picture((10, 10))
    part = torch.zeros(10, 10).flatten()
    part[torch.randperm(100, generator=torch.Generator().manual_seed(3))[:20]] = 1

    def parts(_, columns):
        shown = (columns["x"] - shown_as_mean).abs().amax(1) > 1e-6
        return {"y": (shown.flatten(1) * part).sum(1, keepdim=True)}

    mean = ImageMean().image(x.pixels, x.space, Stream(0))
    shown_as_mean = encode(mean, x.space)
    m = measure(x, part.view(1, 10, 10), parts)
    assert m.curves["mif"][0].tolist() == [20, 10] + [0] * 9
    assert m.curves["lif"][0].tolist() == [20] * 9 + [10, 0]
    assert m.values["srg"].item() == pytest.approx((190 - 30) / 11)
    assert m.replacement == "image_mean"


def test_on_a_linear_model_the_curves_are_sums_of_sorted_contributions():
    x = picture((10, 10))
    model = Linear(x)
    part = model.contributions(x, ImageMean().image(x.pixels, x.space, Stream(0)))
    m = measure(x, part, model, (0, 1))
    for t in range(2):
        falling = part[t].flatten().sort(descending=True).values.view(10, 10).sum(1)
        y = m.curves["mif"][t, 0]
        torch.testing.assert_close(m.curves["mif"][t, 1:], y - falling.cumsum(0), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(m.curves["lif"][t, 1:], y - falling.flip(0).cumsum(0), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(m.values["lif"], m.curves["lif"].mean(1))
    torch.testing.assert_close(m.values["srg"], m.values["lif"] - m.values["mif"])


def test_the_true_map_beats_any_other_and_its_inverse_is_the_worst():
    x = picture((10, 10))
    model = Linear(x)
    part = model.contributions(x, ImageMean().image(x.pixels, x.space, Stream(0)))[:1]
    others = [torch.randn(1, 10, 10, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    best, worst = (measure(x, m, model).values["srg"].item() for m in (part, -part))
    assert best == pytest.approx(-worst, rel=1e-6) and best > 0
    assert all(worst < measure(x, m, model).values["srg"].item() < best for m in others)


def test_the_inverse_of_any_map_has_the_negative_srg():
    x, maps = picture((6, 7)), torch.randn(1, 6, 7)
    a, b = (measure(x, m, bent(x)).values["srg"].item() for m in (maps, -maps))
    assert a == pytest.approx(-b, abs=1e-9)


def test_a_map_that_ranks_nothing_gains_nothing():
    x = picture((6, 7))
    m = measure(x, torch.full((1, 6, 7), 0.3), bent(x))
    assert m.values["srg"].item() == 0.0


def test_a_map_that_is_rescaled_has_the_same_srg():
    x, maps = picture((6, 7)), torch.randn(1, 6, 7)
    a, b = (measure(x, m, bent(x)).values["srg"] for m in (maps, 100 * maps - 7))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_each_target_is_hidden_by_its_own_map():
    x, maps = picture((6, 7)), torch.randn(2, 6, 7)
    both = measure(x, maps, bent(x), (2, 0)).values["srg"]
    for t, c in enumerate((2, 0)):
        alone = measure(x, maps[t : t + 1], bent(x), (c,)).values["srg"]
        assert both[t].item() == pytest.approx(alone.item(), abs=1e-6)


def test_normalised_it_is_the_share_of_what_there_was_to_gain():
    x, maps = picture((6, 7)), torch.randn(1, 6, 7)
    m = measure(x, maps, bent(x), p=SrgParams(normalised=True))
    curve = {k: (c - c[:, -1:]) / (c[:, :1] - c[:, -1:]) for k, c in m.curves.items()}
    torch.testing.assert_close(m.values["srg_normalised"], (curve["lif"] - curve["mif"]).mean(1))


def test_normalising_a_score_that_does_not_change_is_refused_with_the_mend():
    x = picture((4, 4))

    def constant(_, columns):
        return {"y": torch.full((len(columns["x"]), 2), 1.5)}

    assert measure(x, torch.randn(1, 4, 4), constant).values["srg"].item() == 0
    with pytest.raises(InvalidRequest, match="leave this unset") as refused:
        measure(x, torch.randn(1, 4, 4), constant, p=SrgParams(normalised=True))
    assert refused.value.field == "metrics.srg.normalised"


def test_the_evaluation_hides_with_its_own_colour_not_with_the_requests():
    """The request's baseline is black or white; the curve over the image's mean is the same."""
    maps = torch.randn(1, 6, 7)
    dark, light = picture((6, 7), baseline=0.0), picture((6, 7), baseline=255.0)
    a, b = (measure(x, maps, bent(x)).curves["mif"] for x in (dark, light))
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    own = SrgParams(replacement=Replacement.REQUEST)
    a, b = (measure(x, maps, bent(x), p=own).curves["mif"] for x in (dark, light))
    assert (a - b).abs().max() > 1e-3


def test_words_are_hidden_with_the_requests_replacement_and_the_answer_says_so():
    x = sentence()
    m = run(srg(subject(x, [[0, 0, 2, 0, 0, -1]]), SrgParams()), sentiment)
    assert m.replacement == "request"
    assert m.curves["mif"][0].tolist() == [1, -1, -1, -1, -1, -1, 0]  # K = 6 units: wonderful first, dull last
    assert m.curves["lif"][0].tolist() == [1, 2, 2, 2, 2, 2, 0]
    assert m.values["srg"].item() == pytest.approx(15 / 7)


def test_a_single_word_has_two_ends_and_nothing_to_gain():
    x = sentence("wonderful")
    m = run(srg(subject(x, [[1.0]]), SrgParams()), sentiment)
    assert m.curves["mif"].tolist() == [[2.0, 0.0]] and m.values["srg"].item() == 0


def test_scores_are_read_through_the_targets_link():
    x, maps = picture((6, 7)), torch.randn(1, 6, 7)
    s = subject(x, maps, (1,), Link.PROBABILITY)
    m = run(srg(s, SrgParams()), bent(x))
    assert all(((c > 0) & (c < 1)).all() for c in m.curves.values())


def test_token_ids_are_hidden_with_the_replacement_id():
    x = TokenInput("ids", torch.tensor([5, 7, 9]), replacement=1)

    def sevens(_, columns):
        return {"y": (columns["ids"] == 7).sum(1, keepdim=True).double() - (columns["ids"] == 1).sum(1, keepdim=True)}

    m = run(srg(subject(x, [[0.0, 1.0, 0.5]]), SrgParams()), sevens)
    assert m.curves["mif"].tolist() == [[1, -1, -2, -3]] and m.curves["lif"].tolist() == [[1, 0, -1, -3]]
