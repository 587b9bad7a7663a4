"""Edits are asked once, whoever asks for them and whenever."""

import pytest
import torch
from intervention_studio import Brighten, Nowhere, Shelf, brightened
from sidelight.core.sweep import Folded, Placement, Stop, Stopped, together


def answered(plan, editor, rows=None):
    """Run a plan that only edits; of each sweep no more than `rows`. Its result, and the sizes of its sweeps."""
    sizes = []
    try:
        wanted = next(plan)
        while True:
            folded = []
            for sweep in wanted:
                span = range(sweep.size if rows is None else min(rows, sweep.size))
                sizes.append(sweep.size)
                if not span:
                    folded.append(Folded.nothing(Stop.DEADLINE))
                    continue
                columns, memo = sweep.render(span, Placement())
                sweep.fold.add(span, memo, {"x": editor.edit(sweep.ask, [columns], lambda: True)})
                stop = Stop.COMPLETE if len(span) == sweep.size else Stop.DEADLINE
                folded.append(Folded(sweep.fold.value(), len(span), stop))
            wanted = plan.send(tuple(folded))
    except StopIteration as end:
        return end.value, sizes


def test_the_frames_are_those_of_their_strengths():
    editor = Brighten()
    sequence = brightened(range(9), editor)
    found, _ = answered(sequence.frames([3.0, 1.0, 3.0]), editor)
    assert {x: float(frame.float().mean()) for x, frame in found.items()} == {3.0: 3.0, 1.0: 1.0}
    assert editor.edited == [3.0, 1.0] and sequence.edits == 2


@pytest.mark.parametrize("store", [Shelf, Nowhere])
def test_what_plans_in_lockstep_ask_at_once_is_in_one_sweep_only(store):
    editor = Brighten()
    sequence = brightened(range(9), editor, store=store())
    asked = ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [1.0, 2.0, 3.0], [4.0, 0.0])
    found, sizes = answered(together(*(sequence.frames(xs) for xs in asked)), editor)
    assert sizes == [3, 1, 1] and sorted(editor.edited) == [0, 1, 2, 3, 4] and sequence.edits == 5
    assert [list(frames) for frames in found] == [list(xs) for xs in asked]
    assert all(frames[x].float().mean() == x for frames in found for x in frames)
    assert answered(sequence.frames([0.0, 4.0]), editor)[1] == []


def test_what_the_store_knows_is_not_edited():
    editor, store = Brighten(), Shelf()
    answered(brightened(range(9), editor, store=store).frames([1.0, 2.0]), editor)
    later = brightened(range(9), editor, store=store)
    found, sizes = answered(later.frames([1.0, 2.0, 5.0]), editor)
    assert sizes == [1] and later.edits == 1 and list(found) == [1.0, 2.0, 5.0]


def test_what_the_deadline_left_undone_is_missing_and_of_nothing_it_is_raised():
    editor = Brighten()
    sequence = brightened(range(9), editor)
    found, _ = answered(sequence.frames([1.0, 2.0, 3.0]), editor, rows=2)
    assert list(found) == [1.0, 2.0] and sequence.edits == 2
    with pytest.raises(Stopped) as stopped:
        answered(sequence.frames([3.0, 4.0]), editor, rows=0)
    assert stopped.value.stop is Stop.DEADLINE
    assert torch.equal(answered(sequence.frames([3.0]), editor)[0][3.0], torch.full((3, 12, 16), 3, dtype=torch.uint8))
