"""What holds of sufficiency and of comprehensiveness."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measured import Linear, bent, picture, run, sentence, sentiment, subject
from sidelight.core.errors import InvalidRequest
from sidelight.core.metric import find
from sidelight.core.sweep import Meter, metered
from sidelight.metrics.comprehensiveness import comprehensiveness
from sidelight.metrics.erasure import ErasureParams, shares
from sidelight.metrics.replacement import Replacement
from sidelight.metrics.sufficiency import sufficiency

BOTH = [sufficiency, comprehensiveness]


def curve(plan, s, model, **params):
    return run(plan(s, ErasureParams(**params)), model).curves[plan.__name__]


def test_the_default_shares_are_5_to_95_percent_in_steps_of_5():
    assert [k / 20 for k in shares(ErasureParams(), "sufficiency")] == [s / 100 for s in range(5, 100, 5)]


@pytest.mark.parametrize("plan", BOTH)
def test_the_mean_is_over_the_shares_between_least_and_most_both_included(plan):
    x = picture((10, 10))
    s = subject(x, torch.randn(1, 10, 10))
    m = run(plan(s, ErasureParams(steps=10, least=0.2, most=0.6)), bent(x))
    curve = m.curves[plan.__name__][0]
    assert len(curve) == 11
    assert m.values[plan.__name__].item() == pytest.approx(curve[2:7].mean().item(), rel=1e-12)


@pytest.mark.parametrize("plan", BOTH)
def test_shares_among_which_there_is_none_are_refused_before_any_work(plan):
    for wrong in ({"least": 0.96}, {"least": 0.6, "most": 0.5}, {"steps": 2, "least": 0.1, "most": 0.4}):
        with pytest.raises(InvalidRequest, match="at least one share") as refused:
            find(plan.__name__).check(ErasureParams(**wrong), picture())
        assert refused.value.field == f"metrics.{plan.__name__}.most"


def test_on_an_additive_model_what_a_part_lacks_and_what_it_takes_away_add_up_to_the_whole():
    x = picture((10, 10))
    s, model = subject(x, torch.randn(2, 10, 10), (0, 1)), Linear(x)
    lacks, takes = (curve(plan, s, model) for plan in BOTH)
    torch.testing.assert_close(lacks + takes, lacks[:, :1].expand(-1, 21), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(takes[:, -1], lacks[:, 0], rtol=1e-6, atol=1e-6)
    assert (lacks[:, -1] == 0).all() and (takes[:, 0] == 0).all()


def test_an_inverted_map_keeps_first_what_the_map_removes_last():
    x = picture((10, 10))
    maps = torch.randn(1, 10, 10)
    kept = curve(sufficiency, subject(x, -maps), bent(x))
    removed = curve(comprehensiveness, subject(x, maps), bent(x))
    torch.testing.assert_close(kept.flip(1), removed, rtol=0, atol=1e-6)


@pytest.mark.parametrize("plan", BOTH)
@given(words=st.integers(1, 30), steps=st.integers(2, 40), targets=st.integers(1, 2))
def test_the_cost_is_the_rows_asked_for_however_short_the_text(plan, words, steps, targets):
    x, meter = sentence(" ".join(f"w{i}" for i in range(words))), Meter(left=0)
    s = subject(x, torch.randn(targets, words), tuple(range(targets)))
    p = ErasureParams(steps=steps, least=0, most=1)
    m = run(metered(plan(s, p), meter), sentiment)
    assert sum(meter.rows.values()) == find(plan.__name__).cost(p, x.shape, targets)
    assert m.curves[plan.__name__].shape == (targets, steps + 1)
    assert meter.left == 0  # of the method's budget


@pytest.mark.parametrize(("plan", "lost"), [(sufficiency, (2.0, 0.0)), (comprehensiveness, (0.0, 2.0))])
def test_of_a_single_word_half_of_the_shares_are_all_and_half_are_nothing(plan, lost):
    s = subject(sentence("wonderful"), [[1.0]])
    m = run(plan(s, ErasureParams()), sentiment)
    assert m.curves[plan.__name__][0].tolist() == [lost[0]] * 10 + [lost[1]] * 11  # a half counts as a word
    assert m.values[plan.__name__].item() == pytest.approx((lost[0] * 9 + lost[1] * 10) / 19)


@pytest.mark.parametrize("plan", BOTH)
@pytest.mark.parametrize("replacement", list(Replacement))
def test_images_are_hidden_by_what_was_asked_for(plan, replacement):
    x = picture((6, 7), baseline=40.0)
    m = run(plan(subject(x, torch.randn(1, 6, 7)), ErasureParams(replacement=replacement)), bent(x))
    assert m.replacement == replacement.value
    over = {r: curve(plan, subject(x, torch.ones(1, 6, 7)), Linear(x), replacement=r)[0] for r in Replacement}
    assert sum(torch.allclose(over[replacement], other) for other in over.values()) == 1


@pytest.mark.parametrize("plan", BOTH)
def test_equal_values_have_their_turn_in_reading_order(plan):
    flat, falling = torch.zeros(1, 6), torch.arange(6.0, 0, -1).view(1, 6)
    same = [curve(plan, subject(sentence(), maps), sentiment) for maps in (flat, falling)]
    assert torch.equal(*same)
