"""An editor on a lane: off its worker's thread, one batch at a time, given up between two steps."""

import threading

import pytest
import torch
from editor_cases import canvas, photo
from editor_doubles import BrokenEditor, HeldEditor, NarrowEditor, SlowEditor, StepEditor
from sidelight.core.ask import Edit, Forward, Model
from sidelight.core.errors import EditorFailed, InvalidRequest, Unsupported
from sidelight.core.stream import Stream
from sidelight.editors.executor import EditorExecutor

PHOTO = photo(0, (6, 6)) // 4
SECONDS = 10.0


def tiles_of(editor, *strengths):
    ready = editor.prepare(None, canvas(PHOTO), Stream(0))
    return ready.ask, [ready.rows([s], editor.placement) for s in strengths]


def start(executor, editor, *strengths):
    """A call, and what is set when its lane is woken."""
    woken = threading.Event()
    return executor.start(*tiles_of(editor, *strengths), woken.set), woken


def finished(executor, editor, *strengths):
    call, woken = start(executor, editor, *strengths)
    assert woken.wait(SECONDS) and call.done()
    return call.result()


def test_it_answers_frames_in_the_order_of_rows_and_wakes_its_lane():
    editor = StepEditor()
    out = finished(EditorExecutor(editor), editor, 4.0, 0.0, 8.0)
    assert set(out) == {"x"} and out["x"].dtype == torch.uint8
    assert all(torch.equal(frame, PHOTO + s) for frame, s in zip(out["x"], (4, 0, 8), strict=True))


def test_a_start_does_not_wait_for_the_edit():
    editor = HeldEditor()
    call, woken = start(EditorExecutor(editor), editor, 1.0)
    assert editor.began.wait(SECONDS) and not call.done() and not woken.is_set()
    editor.go.release(editor.steps)
    assert woken.wait(SECONDS) and call.done()


def test_a_batch_runs_in_a_thread_that_begins_as_it_is_told_and_ends_with_it():
    names, editor = [], StepEditor()
    finished(EditorExecutor(editor, lambda: names.append(threading.current_thread())), editor, 1.0)
    (thread,) = names
    thread.join(SECONDS)
    assert thread is not threading.current_thread() and not thread.is_alive()


def test_no_gradients_are_kept():
    class Asking(StepEditor):
        def step(self, strengths):
            assert not torch.is_grad_enabled()

    editor = Asking()
    finished(EditorExecutor(editor), editor, 1.0)


def test_a_cancelled_batch_ends_within_a_step_and_the_next_begins_after_it():
    editor = HeldEditor(steps=50)
    executor = EditorExecutor(editor)
    call, woken = start(executor, editor, 1.0)
    assert editor.began.wait(SECONDS)
    call.cancel()
    editor.steps = 3
    editor.go.release(1 + 3)
    finished(executor, editor, 2.0)
    assert woken.is_set() and editor.most == 1
    assert editor.done == 1 + 3


def test_a_batch_that_was_cancelled_before_its_turn_is_never_edited():
    editor = HeldEditor()
    executor = EditorExecutor(editor)
    first, woken = start(executor, editor, 1.0)
    assert editor.began.wait(SECONDS)
    second, also = start(executor, editor, 2.0)
    second.cancel()
    editor.go.release(editor.steps)
    assert woken.wait(SECONDS) and also.wait(SECONDS)
    assert editor.batches == [1] and first.done()


def test_closing_waits_for_what_was_given_up():
    editor = SlowEditor(0.1, steps=50)
    executor = EditorExecutor(editor)
    call, _ = start(executor, editor, 1.0)
    assert editor.began.wait(SECONDS)
    call.cancel()
    executor.close()  # the double would say so if it were still at work
    assert editor.closed


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no such scheduler"), EditorFailed),
        (MemoryError("host"), MemoryError),
        (torch.OutOfMemoryError("device"), MemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError),
        (InvalidRequest("prompt", "shorter"), InvalidRequest),
    ],
)
def test_errors_are_told_as_a_lane_expects_them(error, told):
    editor = BrokenEditor(error)
    with pytest.raises(told) as raised:
        finished(EditorExecutor(editor), editor, 13.0)
    assert type(raised.value) is told
    assert told is not EditorFailed or ("step" in str(raised.value) and "no such scheduler" in str(raised.value))
    assert finished(EditorExecutor(editor), editor, 1.0)["x"].shape == (1, 3, 6, 6)


def test_device_memory_that_is_full_is_told_as_such():
    editor = NarrowEditor(1)
    with pytest.raises(MemoryError):
        finished(EditorExecutor(editor), editor, 1.0, 2.0)


@pytest.mark.parametrize("wrong", [lambda x: x.float(), lambda x: x[:, :, :3], lambda x: x[:, :1]])
def test_frames_that_are_not_as_promised_are_the_editors_failure(wrong):
    class Wrong(StepEditor):
        def edited(self, *args):
            return wrong(super().edited(*args))

    editor = Wrong()
    with pytest.raises(EditorFailed):
        finished(EditorExecutor(editor), editor, 1.0)


def test_asks_of_others_are_refused():
    editor = StepEditor()
    for ask in (Edit("other", (6, 6), 1), Forward(Model("m", "1"))):
        with pytest.raises(Unsupported):
            EditorExecutor(editor).start(ask, tiles_of(editor, 1.0)[1], lambda: None)


@pytest.mark.parametrize(("batch", "tile"), [(1, 1), (4, 1), (8, 1), (16, 2), (20, 2), (27, 3), (64, 8)])
def test_a_tile_is_an_eighth_of_a_batch_and_a_batch_is_whole_tiles(batch, tile):
    executor = EditorExecutor(StepEditor(batch_rows=batch))
    assert executor.tile_rows == tile
    assert executor.batch_rows % tile == 0 and batch - tile < executor.batch_rows <= batch
