"""Edits in a real engine: beside model rows, batched over requests, given up when nobody waits, never evaluations."""

import threading
import time

import pytest
import torch
from doubles import Letter, LinearPredictor
from editor_cases import EDITING, canvas, edited, photo
from editor_doubles import BrokenEditor, HeldEditor, NarrowEditor, SlowEditor, StepEditor
from sidelight.core.ask import Edit, Forward, Model
from sidelight.core.errors import Cancelled, DeadlineExceeded, EditorFailed, Exhausted
from sidelight.core.fold import Collect
from sidelight.core.sequence import Sequence
from sidelight.core.stream import Stream
from sidelight.core.sweep import Stop, Sweep, ask, together
from sidelight.editors.executor import EditorExecutor
from sidelight.editors.store import FrameStore
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label
from sidelight.engine.threads import spread
from sidelight.telemetry import Telemetry

LABEL = Label("interventional", "linear", "embedded")
SIZE = (8, 8)
PHOTO = photo(0, SIZE) // 4


@pytest.fixture
def start():
    """An engine with a linear model and editors; closed at the end."""
    engines = []

    def make(*editors, observer=None):
        engine = Engine(observer=observer)
        engines.append(engine)
        engine.add(LinearPredictor(size=SIZE))
        for editor in editors:
            engine.add_editor(EditorExecutor(editor, spread))
        return engine

    yield make
    for engine in engines:
        engine.close()


def run(engine, plan, **kwargs):
    letter = Letter()
    return letter, engine.run(plan, letter, label=LABEL, **kwargs)


def sequence(editor, strengths, store=None, pixels=PHOTO):
    ready = editor.prepare(None, canvas(pixels), Stream(0))
    store = store or FrameStore(0)
    return Sequence("property", editor.name, "level", tuple(strengths), ready, store, original=pixels)


def frames_of(editor, strengths, **kwargs):
    """A plan: the frames at these strengths."""
    found = yield from sequence(editor, strengths, **kwargs).frames(strengths)
    return [found.get(s) for s in strengths]


def intervened(series):
    """A plan: frames of a series, then what the model makes of them."""
    found = yield from series.frames(series.strengths)

    def render(rows, on):
        return {"x": torch.stack([found[series.strengths[i]].float() for i in rows])}, None

    rows = Sweep(Forward(Model("linear", "1")), len(found), render, Collect("y"))
    return (yield from ask(rows)).value


def wait_until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def queued(engine, sweeps):
    """Wait until the editors' lane has so many sweeps."""
    wait_until(lambda: len(engine._lanes["steps"]._tasks) == sweeps)


def test_a_plan_edits_and_then_asks_the_model(start):
    editor = StepEditor()
    engine = start(editor)
    letter, the_run = run(engine, intervened(sequence(editor, range(20))))
    y = letter.wait()
    x = torch.stack([(PHOTO + s).float() for s in range(20)])
    torch.testing.assert_close(y, LinearPredictor(size=SIZE).answer(x))
    assert the_run.timing.edit > 0 and the_run.timing.infer > 0


def test_edits_are_no_evaluations_and_progress_tells_both(start):
    editor, telemetry = StepEditor(), Telemetry()
    letter, the_run = run(start(editor, observer=telemetry), intervened(sequence(editor, range(20))))
    letter.wait()
    assert (the_run.rows, the_run.edits) == (20, 20)
    assert [(p.rows, p.edits) for p in letter.seen if not p.queued][-1] == (20, 20)
    assert all(p.edits == 20 or p.rows == 0 for p in letter.seen)
    count = telemetry.registry.get_sample_value
    assert count("sidelight_image_edits_total", {"editor": "step"}) == 20
    whose = {"method": "interventional", "model": "linear", "executor": "embedded"}
    assert count("sidelight_model_evaluations_total", whose) == 20
    assert count("sidelight_batch_rows_sum", {"ask": "edit"}) == 20
    assert count("sidelight_edit_batch_seconds_count", {"editor": "step", "code": "OK"}) == len(editor.batches)
    assert count("sidelight_upstream_seconds_count", {"model": "unknown", "code": "OK"}) is None


def test_seconds_of_edits_are_told_apart_from_the_models(start):
    editor = SlowEditor(0.05, steps=2)
    letter, the_run = run(start(editor), frames_of(editor, range(8)))
    letter.wait()
    assert the_run.timing.edit >= 0.1 and the_run.timing.infer == 0


def test_the_measured_cost_of_an_edit_is_the_editors_own(start):
    editor = SlowEditor(0.02, steps=2)
    engine = start(editor)
    for _ in range(2):
        run(engine, frames_of(editor, range(8)))[0].wait()
    assert 0.003 < engine.seconds_per_row(Edit("step", SIZE, 2)) < 0.1
    assert engine.seconds_per_row(Edit("step", SIZE, 3)) is None


def test_models_that_ask_for_the_same_frames_at_once_have_them_edited_once(start):
    editor = StepEditor()
    series = sequence(editor, range(10))
    a, b = run(start(editor), together(intervened(series), intervened(series)))[0].wait()
    assert torch.equal(a, b) and series.edits == 10 and sum(editor.batches) == 10


def test_frames_that_the_store_has_are_not_edited_again(start):
    editor, store = StepEditor(), FrameStore(1 << 20)
    engine = start(editor)
    first = run(engine, frames_of(editor, range(10), store=store))[0].wait()
    again = run(engine, frames_of(editor, range(5, 12), store=store))[0].wait()
    assert sum(editor.batches) == 12
    assert all(torch.equal(a, b) for a, b in zip(first[5:], again, strict=False))


def test_rows_of_different_requests_share_a_batch_and_an_image_is_uploaded_once(start):
    editor = HeldEditor()
    engine = start(editor)
    first, _ = run(engine, frames_of(editor, [1.0]))
    assert editor.began.wait(5)
    letters = [run(engine, frames_of(editor, range(4), pixels=PHOTO + i))[0] for i in range(2)]
    queued(engine, 3)
    editor.go.release(2 * editor.steps)
    for i, letter in enumerate(letters):
        assert all(torch.equal(f, PHOTO + i + s) for s, f in enumerate(letter.wait()))
    first.wait()
    assert editor.batches == [1, 8]
    assert len(set(editor.shared)) == 2


def test_a_model_answers_while_an_editor_is_at_work(start):
    editor = HeldEditor()
    engine = start(editor)
    slow, _ = run(engine, frames_of(editor, range(4)))
    assert editor.began.wait(5)
    x = torch.ones((4, 3, *SIZE))
    rows = Sweep(
        Forward(Model("linear", "1")), 4, lambda rows, on: ({"x": x[rows.start : rows.stop]}, None), Collect("y")
    )
    assert run(engine, ask(rows))[0].wait().rows == 4
    assert not slow.ended and not editor.done
    editor.go.release(editor.steps)
    slow.wait()


def test_a_killed_run_stops_editing_within_a_step_and_leaves_the_lane_usable(start):
    editor = HeldEditor(steps=50)
    engine = start(editor)
    letter, the_run = run(engine, frames_of(editor, range(40)))
    editor.go.release(2)
    wait_until(lambda: editor.done == 2)
    the_run.kill(Cancelled())
    with pytest.raises(Cancelled):
        letter.wait()
    wait_until(lambda: not engine._lanes["steps"]._flights)
    editor.go.release(1 + editor.steps)
    frames = run(engine, frames_of(editor, [5.0]))[0].wait()
    assert torch.equal(frames[0], PHOTO + 5)
    assert editor.done == 3 + editor.steps and editor.batches == [8, 1] and editor.most == 1


def test_a_kill_of_one_request_leaves_its_neighbour_in_the_batch_alone(start):
    editor = HeldEditor()
    engine = start(editor)
    first, _ = run(engine, frames_of(editor, [1.0]))
    assert editor.began.wait(5)
    (_, doomed), (kept, _) = (run(engine, frames_of(editor, range(4), pixels=PHOTO + i)) for i in range(2))
    queued(engine, 3)
    editor.go.release(editor.steps)
    first.wait()
    wait_until(lambda: len(editor.batches) == 2)
    doomed.kill(Cancelled())
    editor.go.release(editor.steps)
    assert all(torch.equal(f, PHOTO + 1 + s) for s, f in enumerate(kept.wait()))
    assert editor.batches == [1, 8]


def test_the_deadline_gives_a_partial_answer_the_frames_there_are(start):
    editor = HeldEditor(steps=2, batch_rows=2)
    engine = start(editor)
    letter, the_run = run(engine, frames_of(editor, range(40)))
    editor.go.release(3 * 2)
    wait_until(lambda: len(editor.batches) == 4)
    the_run.stop(Stop.DEADLINE)
    assert [f is not None for f in letter.wait()] == [True] * 6 + [False] * 34
    late, _ = run(engine, frames_of(editor, range(40)), deadline=time.monotonic() + 0.3)
    with pytest.raises(DeadlineExceeded):
        late.wait()
    editor.go.release(2)  # one of each that was given up


def test_only_the_request_whose_row_breaks_the_editor_fails(start):
    editor = BrokenEditor(ValueError("that strength"))
    engine = start(editor)
    good, bad = (run(engine, frames_of(editor, s, pixels=PHOTO + s[0]))[0] for s in ([1, 2, 3], [12, 13, 14]))
    assert all(torch.equal(f, PHOTO + 1 + s) for s, f in zip((1, 2, 3), good.wait(), strict=True))
    with pytest.raises(EditorFailed, match="that strength"):
        bad.wait()
    assert torch.equal(run(engine, frames_of(editor, [1.0]))[0].wait()[0], PHOTO + 1)


def test_device_memory_that_is_short_makes_batches_smaller(start):
    editor = NarrowEditor(3, batch_rows=8)
    engine = start(editor)
    frames = run(engine, frames_of(editor, range(20)))[0].wait()
    assert all(torch.equal(f, PHOTO + s) for s, f in enumerate(frames))
    assert editor.batches[0] == 8 and max(editor.batches[-3:]) <= 4
    nothing = NarrowEditor(0)
    letter, _ = run(start(nothing), frames_of(nothing, range(3)))
    with pytest.raises(Exhausted):
        letter.wait()


def test_closing_the_engine_ends_an_edit_and_closes_its_editor(start):
    editor = SlowEditor(0.05, steps=1000)
    engine = start(editor)
    letter, _ = run(engine, frames_of(editor, range(4)))
    assert editor.began.wait(5)
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 10 and editor.closed and letter.ended
    assert not [t for t in threading.enumerate() if t.name.startswith(("edit-step", "lane-steps"))]


class Kept:
    """An editor that other tests use too: it stays open."""

    def __init__(self, editor):
        self._editor = editor

    def __getattr__(self, name):
        return getattr(self._editor, name)

    def close(self): ...


def test_every_editor_answers_through_the_engine_as_it_does_alone(start):
    """All at once, a request each: their rows meet in its batches."""
    engine = start(*{case.editor.name: Kept(case.editor) for case in EDITING}.values())
    letters = []
    for case in EDITING:
        ready, strengths = case.prepared(), tuple(case.strengths())
        store, original = FrameStore(0), case.canvas.pixels
        series = Sequence(case.name, case.editor.name, "", strengths, ready, store, original=original)
        letters.append((case, edited(case.editor, ready, strengths), run(engine, series.frames(strengths))[0]))
    for case, alone, letter in letters:
        frames = torch.stack(list(letter.wait(60).values()))
        assert (frames.int() - alone.int()).abs().max() <= case.levels, case.name
