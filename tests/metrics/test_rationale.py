"""Agreement with a given rationale: by hand, by independent replicas and by scikit-learn where it is installed."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measured import picture, run, sentence, subject
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import TokenInput
from sidelight.core.metric import find
from sidelight.core.params import build
from sidelight.core.predictor import Unit
from sidelight.metrics.ranking import average_precision, precision_recall, trapezoid
from sidelight.metrics.rationale import RationaleParams, rationale
from sidelight.metrics.spans import hits, merged, touched

TEXT = "A «dull» film, but a truly wonderful one!"
#       0 12   3 4   5 6   7 8     9         10 11: words by number, marks among them
X = sentence(TEXT)
FILM = TEXT.index("film")
SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=40)


def nothing(ask, columns):
    raise AssertionError("this metric asks no model")


def spans(*words):
    """The characters of words [i, j] by number, both included."""
    return tuple(Unit(X.units[i].begin, X.units[j].end) for i, j in words)


def found(maps, *given, x=X, **chosen):
    maps = torch.as_tensor(maps, dtype=torch.float64).view(-1, *x.shape)
    p = build(RationaleParams, {"spans": given or spans((8, 9)), **chosen}, "metrics.rationale")
    values = run(rationale(subject(x, maps, tuple(range(len(maps)))), p), nothing).values
    return {name: v.tolist() if len(maps) > 1 else v.item() for name, v in values.items()}


def words(*chosen):
    return [float(i in chosen) for i in range(len(X.units))]


# -- the curve ---------------------------------------------------------------------------------------------------------


def ranked(scores, truth):
    return precision_recall(torch.tensor(scores, dtype=torch.float64), torch.tensor(truth))


@given(SCORES, st.data())
def test_the_curve_is_precision_and_recall_at_every_different_score(scores, data):
    truth = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
    precision, recall = ranked(scores, truth)
    levels = sorted(set(scores), reverse=True)
    for i, level in enumerate(levels):
        taken = [t for s, t in zip(scores, truth, strict=True) if s >= level]
        assert precision[i].item() == pytest.approx(sum(taken) / len(taken))
        assert recall[i].item() == pytest.approx(sum(taken) / sum(truth))
    steps = [0.0, *recall.tolist()]
    area = sum((b - a) * p for (a, b), p in zip(itertools.pairwise(steps), precision.tolist(), strict=True))
    assert average_precision(precision, recall) == pytest.approx(area)


@given(SCORES, st.data())
def test_the_areas_are_scikit_learns_with_ties_too(scores, data):
    reference = pytest.importorskip("sklearn.metrics")
    truth = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
    curve = ranked(scores, truth)
    assert average_precision(*curve) == pytest.approx(reference.average_precision_score(truth, scores), abs=1e-12)
    precision, recall, _ = reference.precision_recall_curve(truth, scores)
    assert trapezoid(*curve) == pytest.approx(reference.auc(recall, precision), abs=1e-12)  # as ERASER's code


def test_a_curve_by_hand():
    precision, recall = ranked([4, 3, 3, 1], [True, True, False, True])
    torch.testing.assert_close(precision, torch.tensor([1, 2 / 3, 3 / 4], dtype=torch.float64))
    torch.testing.assert_close(recall, torch.tensor([1 / 3, 2 / 3, 1], dtype=torch.float64))
    assert average_precision(precision, recall) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert trapezoid(precision, recall) == pytest.approx((1 + (1 + 2 / 3) / 2 + (2 / 3 + 3 / 4) / 2) / 3)


@given(SCORES, st.data())
def test_only_the_order_of_scores_counts(scores, data):
    truth = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
    order = data.draw(st.permutations(range(len(scores))))
    area = average_precision(*ranked(scores, truth))
    assert average_precision(*ranked([2.0**s for s in scores], truth)) == area
    shuffled = ranked([scores[i] for i in order], [truth[i] for i in order])
    assert average_precision(*shuffled) == pytest.approx(area)


def test_a_map_that_ranks_all_of_the_rationale_first_has_an_area_of_1_and_a_constant_one_the_rationales_share():
    m = found([words(8, 9), [0.0] * 12], *spans((8, 9)))
    assert m["auc_pr"] == [1.0, pytest.approx(2 / 12)]
    assert m["auc_pr_trapezoid"] == [1.0, pytest.approx((1 + 2 / 12) / 2)]
    assert m["given"] == [pytest.approx(2 / 12)] * 2


def test_chance_has_the_rationales_share():
    generator, truth = torch.Generator().manual_seed(0), torch.arange(1000) % 5 == 0
    areas = torch.tensor(
        [average_precision(*precision_recall(torch.rand(1000, generator=generator), truth)) for _ in range(50)]
    )
    assert abs(areas.mean() - 0.2) < 0.01  # a little above: the first of a ranking are few


# -- words and their runs ----------------------------------------------------------------------------------------------


def test_a_word_is_in_the_rationale_if_a_character_of_it_is():
    def given(begin, end):
        return touched([Unit(begin, end)], X.units)[0]

    assert given(FILM, FILM + 4) == (4, 5)
    assert given(FILM + 3, FILM + 4) == (4, 5)
    assert given(FILM + 3, FILM + 5) == (4, 6)  # and the comma
    assert given(FILM - 1, FILM + 1) == (4, 5)  # the space before it is no word's
    assert given(0, len(TEXT)) == (0, 12)


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(1, 41)).filter(lambda s: s[0] < s[1]), min_size=1))
def test_runs_of_given_words_are_those_that_the_spans_touch_none_twice(given):
    runs = touched([Unit(*s) for s in given], X.units)
    for (begin, end), (i, j) in zip(given, runs, strict=True):
        inside = [n for n, w in enumerate(X.units) if set(range(w.begin, w.end)) & set(range(begin, end))]
        assert list(range(i, j)) == inside
    runs = [run for run in runs if run[0] < run[1]]
    one = merged(runs)
    assert sorted({n for i, j in runs for n in range(i, j)}) == [n for i, j in one for n in range(i, j)]


def test_spans_that_share_a_word_or_have_none_between_them_are_one():
    assert merged([(4, 6), (0, 2), (5, 8)]) == [(0, 2), (4, 8)]
    assert merged([(2, 4), (0, 2), (5, 6)]) == [(0, 4), (5, 6)]
    apart = found(words(7, 8, 9), *spans((7, 7), (9, 9), (8, 8)))
    assert apart["span_iou_f1"] == 1  # words marked one by one
    both = found(words(7, 8, 9), Unit(TEXT.index("a truly"), TEXT.index("truly") + 2), *spans((8, 9)))
    assert (both["span_iou_recall"], both["given"]) == (1.0, 3 / 12)


@st.composite
def disjoint(draw):
    edges = sorted(draw(st.sets(st.integers(0, 30), max_size=12)))
    return list(zip(edges[::2], edges[1::2], strict=False))


@given(disjoint(), disjoint(), st.sampled_from([0.1, 0.5, 0.9]))
def test_a_run_is_right_where_its_best_overlap_is_large_enough(a, b, least):
    def iou(x, y):
        x, y = set(range(*x)), set(range(*y))
        return len(x & y) / len(x | y)

    assert hits(a, b, least) == sum(any(iou(x, y) >= least for y in b) for x in a)


# -- values ------------------------------------------------------------------------------------------------------------


def test_words_and_spans_by_hand():
    m = found(words(1, 3, 4, 7, 8), *spans((3, 5), (7, 8), (10, 11)), threshold=0.5)
    assert (m["token_precision"], m["token_recall"]) == (4 / 5, 4 / 7)
    assert m["token_f1"] == pytest.approx(2 / (5 / 4 + 7 / 4))
    # Runs 1, 3-4 and 7-8 against 3-5 (2 of 3 words) and 7-8 (all of it): two of three, and of three.
    assert (m["span_iou_precision"], m["span_iou_recall"], m["span_iou_f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (m["chosen"], m["given"]) == (5 / 12, 7 / 12)


def test_an_overlap_of_a_half_counts_and_less_does_not():
    assert found(words(4, 5), *spans((4, 7)), threshold=0.5)["span_iou_f1"] == 1
    assert found(words(0, 1, 2, 3, 4), *spans((0, 10)), threshold=0.5)["span_iou_f1"] == 0
    assert found(words(5, 6, 7, 8), *spans((4, 5)), threshold=0.5)["span_iou_f1"] == 0


@pytest.mark.parametrize("seed", range(20))
def test_token_f1_is_that_of_sets(seed):
    generator = torch.Generator().manual_seed(seed)
    maps, threshold = torch.randn(12, generator=generator), 0.3
    given = [(a, b) for a, b in torch.randint(0, 12, (3, 2), generator=generator).tolist() if a <= b] or [(2, 3)]
    m = found(maps, *spans(*given), threshold=threshold)
    chosen = {i for i in range(12) if maps[i] >= threshold}
    truth = {i for a, b in given for i in range(a, b + 1)}
    assert m["token_f1"] == pytest.approx(2 * len(chosen & truth) / (len(chosen) + len(truth)))
    assert m["token_recall"] == pytest.approx(len(chosen & truth) / len(truth))


def test_a_mask_that_is_the_rationale_scores_1_throughout():
    for chosen in ({}, {"threshold": 0.5}, {"share": 4 / 12}, {"count": 2}):
        m = found(words(1, 2, 8, 9), *spans((1, 2), (8, 9)), **chosen)
        assert {v for name, v in m.items() if name not in ("chosen", "given")} == {1.0}
        assert m["chosen"] == m["given"] == 4 / 12


def test_by_default_as_many_words_are_chosen_as_are_given():
    maps = [0, 5, 0, 0, 0, 0, 0, 0, 9, 7, 6, 0]
    m = found(maps, *spans((8, 10)))
    assert (m["chosen"], m["token_f1"]) == (3 / 12, 1.0)
    m = found(maps, *spans((1, 2), (8, 8)))
    assert m["token_precision"] == m["token_recall"] == m["token_f1"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({"threshold": 6}, {8, 9}), ({"threshold": 9.5}, set()), ({"share": 0.25}, {1, 8, 9}), ({"share": 0.0}, {8}),
     ({"share": 1.0}, set(range(12))), ({"count": 1}, {8, 9}), ({"count": 2}, {1, 8, 9}),
     ({"threshold": -1}, set(range(12)))],
)  # fmt: skip
def test_the_request_chooses_by_score_by_share_or_by_number_of_runs(chosen, expected):
    m = found([0, 5, 0, 0, 0, 0, 0, 0, 9, 7, 0, 0], *spans((0, 11)), **chosen)
    assert m["chosen"] == len(expected) / 12 == m["token_recall"]
    for word in range(12):
        one = found([0, 5, 0, 0, 0, 0, 0, 0, 9, 7, 0, 0], *spans((word, word)), **chosen)
        assert one["token_recall"] == (word in expected)


def test_where_nothing_is_chosen_nothing_is_right():
    m = found(words(), threshold=0.5)
    assert [m[f"{kind}_{of}"] for kind in ("token", "span_iou") for of in ("precision", "recall", "f1")] == [0.0] * 6


def test_each_target_is_measured_by_its_own_map():
    one, two = words(8, 9), words(0, 1)
    both = found([one, two])
    for t, maps in enumerate((one, two)):
        assert {name: values[t] for name, values in both.items()} == found(maps)


def test_how_far_apart_or_scaled_scores_are_changes_nothing_where_a_share_chooses():
    maps = torch.randn(12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert found(maps, *spans((2, 4), (7, 9))) == found(maps.exp() * 100 - 7, *spans((2, 4), (7, 9)))


# -- what will not do --------------------------------------------------------------------------------------------------


def refused(x=X, **given):
    with pytest.raises(InvalidRequest) as error:
        find("rationale").check(build(RationaleParams, given, "metrics.rationale"), x)
    return error.value.field, error.value.mend


@pytest.mark.parametrize(
    ("given", "field", "mend"),
    [
        ((), "spans", "needs the given rationale"),
        ((Unit(0, 1), Unit(3, 3)), "spans[1].end", "beyond its begin, 3"),
        ((Unit(5, 2),), "spans[0].end", "beyond its begin, 5"),
        ((Unit(-2, 2),), "spans[0].end", "beyond its begin"),
        ((Unit(0, 1), Unit(3, 42)), "spans[1].end", "at most 41, the text's length, not 42"),
        ((Unit(0, 1), Unit(1, 2)), "spans[1]", "lies between two"),
        ((Unit(0, 1),) * 10_001, "spans", "at most 10000, not 10001"),
    ],
)
def test_a_span_that_is_none_of_the_text_names_itself(given, field, mend):
    assert len(TEXT) == 41
    at, what = refused(spans=given)
    assert at == f"metrics.rationale.{field}" and mend in what


@pytest.mark.parametrize("second", [{"share": 0.5}, {"count": 1}])
def test_only_one_choice_can_be_made(second):
    field, mend = refused(spans=spans((0, 1)), threshold=0.5, **second)
    assert field == f"metrics.rationale.{next(iter(second))}" and "threshold chooses" in mend


@pytest.mark.parametrize(
    ("name", "value"), [("share", 1.5), ("share", -0.1), ("count", 0), ("threshold", float("nan")), ("spans", (3,))]
)
def test_a_parameter_out_of_bounds_names_itself(name, value):
    assert refused(**{"spans": spans((0, 1)), name: value})[0] == f"metrics.rationale.{name}"


@pytest.mark.parametrize("x", [picture(), TokenInput("ids", torch.arange(5))], ids=("image", "tokens"))
def test_inputs_without_characters_are_refused_with_what_does_for_them(x):
    field, mend = refused(x, spans=(Unit(0, 1),))
    assert field == "metrics.rationale.spans" and "pointing_game" in mend
    with pytest.raises(InvalidRequest, match="characters of a text"):  # and where nothing was checked before
        run(rationale(subject(x, torch.zeros(1, *x.shape)), RationaleParams((Unit(0, 1),))), nothing)
