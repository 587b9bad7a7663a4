"""What holds for every editor, whatever its kind: one noise, one strength, one frame."""

import pytest
import torch
from editor_cases import CASES, EDITING, canvas, edited, photo, tiles_of
from sidelight.core import editor as kinds
from sidelight.core.errors import Cancelled, InvalidRequest
from sidelight.core.sweep import Shared

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
editing = pytest.mark.parametrize("case", EDITING, ids=lambda case: case.name)


def near(a, b, levels):
    """Equal up to so many levels of 255."""
    return a.shape == b.shape and (a.int() - b.int()).abs().max().item() <= levels


def same(a, b):
    """Equal columns, to the bit."""
    if isinstance(a, Shared):
        return a.key == b.key and torch.equal(a.value, b.value)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_there_is_a_case_of_every_kind_that_needs_no_configuration():
    assert {name for name, kind in kinds.kinds().items() if not kind.weights} <= {case.kind for case in CASES}


@every
def test_a_kind_says_what_it_is_and_an_editor_who_it_is(case):
    kind, editor = kinds.find(case.kind), case.editor
    assert kind.summary.endswith(".") and kind.paper
    assert bool(editor.digest) == kind.weights
    assert editor.name and editor.lane and editor.batch_rows >= 1
    assert kind.weights or editor.name == kind.name


@every
def test_a_scale_has_its_series_within_its_bounds_and_a_unit(case):
    s = case.scale
    assert s.low <= s.first <= s.high and s.low <= s.last <= s.high and s.low < s.high
    assert s.first != s.last and s.count >= 3 and s.unit
    assert s.neutral is None or s.low <= s.neutral <= s.high


@every
def test_frames_have_the_promised_size_and_are_whole_levels(case):
    prepared, strengths = case.prepared(), case.strengths()
    frames = edited(case.editor, prepared, strengths)
    assert frames.dtype == torch.uint8 and frames.shape == (len(strengths), 3, *prepared.size)
    assert prepared.ask.size == prepared.size and prepared.ask.editor == case.editor.name


@every
def test_the_same_noise_and_strength_make_the_same_frame(case):
    strengths = case.strengths()
    assert torch.equal(*(edited(case.editor, case.prepared(seed=3), strengths) for _ in range(2)))


@every
def test_a_series_changes_the_image(case):
    frames = edited(case.editor, case.prepared(), case.strengths())
    assert not torch.equal(frames[0], frames[len(frames) // 2])


@every
def test_the_neutral_strength_gives_the_input_back_up_to_the_published_error(case):
    s = case.scale
    if s.neutral is None:
        pytest.skip("it has none")
    (frame, *_) = edited(case.editor, case.prepared(), [s.neutral])
    assert near(frame, case.canvas.pixels, s.error)


@editing
def test_rows_are_pure(case):
    prepared, strengths = case.prepared(), case.strengths()
    once = [prepared.rows([s], case.editor.placement) for s in strengths]
    again = [prepared.rows([s], case.editor.placement) for s in reversed(strengths)][::-1]
    for a, b in zip(once, again, strict=True):
        assert a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)


@editing
def test_a_batched_sweep_equals_one_by_one(case):
    prepared, strengths = case.prepared(), case.strengths()
    batched = edited(case.editor, prepared, strengths)
    for frame, s in zip(batched, strengths, strict=True):
        assert near(edited(case.editor, prepared, [s])[0], frame, case.levels)
    assert torch.equal(edited(case.editor, prepared, strengths, tile=2), batched)


@editing
def test_the_order_of_columns_does_not_matter(case):
    prepared = case.prepared()
    rows = prepared.rows(case.strengths(), case.editor.placement)
    turned = dict(reversed(rows.items()))
    assert torch.equal(*(case.editor.edit(prepared.ask, [r], lambda: True) for r in (rows, turned)))


@editing
def test_neighbours_of_other_requests_do_not_change_a_row(case):
    own, strengths, rooms = case.prepared(), case.strengths(), []
    alone = edited(case.editor, own, strengths)
    for other in EDITING:  # of the same editor, whatever its parameters and image
        there = other.prepared(seed=9, on=canvas(photo(8)))
        if other.editor is case.editor and (there.ask, there.like) == (own.ask, own.like):
            rooms += tiles_of(case.editor, there, other.strengths(3))
    assert rooms
    tiles = [*rooms, *tiles_of(case.editor, own, strengths), *rooms]
    among = case.editor.edit(own.ask, tiles, lambda: True)[len(rooms) : len(rooms) + len(strengths)]
    assert near(among, alone, case.levels)


@editing
def test_strengths_beyond_the_scale_are_refused_by_their_place(case):
    prepared, s = case.prepared(), case.scale
    for beyond in (s.low - 0.01, s.high + 0.01, float("nan")):
        with pytest.raises(InvalidRequest) as refused:
            prepared.rows([s.first, beyond], case.editor.placement)
        assert refused.value.field == "strengths[1]"


@editing
def test_a_cancelled_batch_ends_at_the_next_question_and_leaves_the_editor_usable(case):
    prepared, strengths = case.prepared(), case.strengths()
    tiles = tiles_of(case.editor, prepared, strengths)
    whole, asked = case.editor.edit(prepared.ask, tiles, lambda: True), []
    case.editor.edit(prepared.ask, tiles, lambda: asked.append(1) or True)
    assert asked
    for last in {1, len(asked)}:
        left = iter([True] * (last - 1) + [False])
        with pytest.raises(Cancelled):  # and asks no more: StopIteration would say so
            case.editor.edit(prepared.ask, tiles, lambda left=left: next(left))
    assert torch.equal(case.editor.edit(prepared.ask, tiles, lambda: True), whole)


@every
def test_frames_are_remembered_by_what_decides_them(case):
    key = case.prepared().key
    assert case.prepared().key == key
    assert case.prepared(on=canvas(photo(8), case.canvas.captured)).key != key
    if case.other is not None:
        assert case.prepared(params=case.other).key != key
    drawn = case.prepared(seed=4)
    if drawn.key == key and case.canvas.captured is None:  # then noise decides nothing
        strengths = case.strengths()
        assert torch.equal(edited(case.editor, drawn, strengths), edited(case.editor, case.prepared(), strengths))
