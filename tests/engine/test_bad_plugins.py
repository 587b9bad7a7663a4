"""Plug-ins that misbehave: their own request is told, and everybody else is served."""

import os
import signal
import threading
import time
import weakref

import pytest
import torch
from doubles import Counting, Letter, LinearPredictor, PoisonPredictor, Ready, RemotePredictor, SlowPredictor
from engine_work import own_process
from sidelight.core.ask import Forward, Local, Model
from sidelight.core.errors import ModelFailed, NonFinite, SidelightError, Unavailable
from sidelight.core.fold import Collect, Fold
from sidelight.core.sweep import Shared, Stop, Sweep, ask
from sidelight.engine.clock import Clock
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label

LABEL = Label("test", "linear", "embedded")
ASK = Forward(Model("linear", "1"))


def render(rows, on):
    return {"x": torch.full((len(rows), 3, 8, 8), 0.5)}, None


def nan_from(start):
    """A render whose rows from `start` on the poison predictor answers with NaN."""

    def render_nan(rows, on):
        columns, memo = render(rows, on)
        columns["x"][:, 0, 0, 0] = PoisonPredictor.nan if rows.start >= start else 0.5
        return columns, memo

    return render_nan


def one(size=8, render=render, fold=None, question=ASK):
    """A plan of one sweep; its value."""
    return (yield from ask(Sweep(question, size, render, fold or Collect("y")))).value


@pytest.fixture
def engine():
    engines = []

    def make(predictor=None, observer=None):
        engines.append(Engine(observer=observer))
        engines[-1].add(predictor or LinearPredictor())
        return engines[-1]

    yield make
    for e in engines:
        e.close()


def run(e, plan):
    letter = Letter()
    return letter, e.run(plan, letter, label=LABEL)


def serves(e):
    return run(e, one())[0].wait().shape == (8, 2)


def nothing_rendered(rows, on):
    return None, None


def too_large(rows, on):
    class Huge:
        def to(self, device):
            raise torch.OutOfMemoryError("no room")

    return {"x": Shared("huge", Huge())}, None


@pytest.mark.parametrize("bad", [nothing_rendered, too_large])
def test_a_render_that_makes_no_rows_fails_alone(engine, bad):
    e = engine()
    with pytest.raises((AttributeError, TypeError, SidelightError)):
        run(e, one(render=bad))[0].wait()
    assert serves(e)


@pytest.mark.parametrize("wanted", [None, [], (), (None,), "sweep"])
def test_a_plan_that_yields_no_sweep_is_told_so(engine, wanted):
    e = engine()
    with pytest.raises(TypeError, match="yields"):
        run(e, (w for w in [wanted]))[0].wait()
    assert serves(e)


class SpeechlessCall(Ready):
    def done(self):
        raise KeyError("done")


class SpeechlessPredictor(LinearPredictor):
    """Its calls raise when asked whether they are done."""

    def start(self, ask_, tiles, wake):
        return SpeechlessCall(super().start(ask_, tiles, wake).out)


def test_a_call_that_cannot_say_whether_it_is_done_is_settled(engine):
    assert run(engine(SpeechlessPredictor()), one(40))[0].wait().shape == (40, 2)


class ShortPredictor(LinearPredictor):
    """Loses the last row of every batch."""

    def answer(self, x):
        return super().answer(x)[:-1]


def test_an_answer_with_too_few_rows_is_never_folded(engine):
    with pytest.raises(ModelFailed, match="came back"):
        run(engine(ShortPredictor()), one(40))[0].wait()


class BrokenObserver(Counting):
    """Raises whatever it is told."""

    def batch(self, *_):
        raise KeyError("observer")

    rows = call = in_flight = queue_wait = batch


def test_an_observer_that_fails_stops_nothing(engine):
    e = engine(observer=BrokenObserver())
    assert all(serves(e) for _ in range(3))


class TornLetter(Letter):
    """Raises when it is told of a failure."""

    def fail(self, error):
        super().fail(error)
        raise RuntimeError("torn")


def test_an_outbox_that_raises_leaves_deadlines_and_lanes_alive(engine):
    e = engine(SlowPredictor(0.02))
    for letter, seconds in ((TornLetter(), 0.05), (Letter(), 0.1)):
        e.run(one(10_000), letter, label=LABEL, deadline=time.monotonic() + seconds)
        with pytest.raises(SidelightError):
            letter.wait()
    assert serves(e) and not e._runs


def test_a_callback_that_raises_does_not_stop_the_clock():
    clock, called = Clock(), threading.Event()
    clock.at(time.monotonic(), lambda: 1 / 0)
    clock.at(time.monotonic() + 0.02, called.set)
    assert called.wait(5)
    clock.close()


def test_a_closed_engine_takes_no_plan():
    e = Engine()
    e.add(LinearPredictor())
    e.close()
    with pytest.raises(Unavailable):
        run(e, one())


class First(Fold):
    """Has enough at eight rows."""

    def __init__(self):
        self.n = 0

    def add(self, rows, memo, out):
        self.n += len(rows)

    def enough(self):
        return self.n >= 8

    def value(self):
        return self.n


class RemoteNan(RemotePredictor, PoisonPredictor):
    """Answers when told to, NaN where it is poisoned."""


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_bad_row_after_the_fold_has_enough_counts_in_no_order_of_answers(engine, order):
    p = RemoteNan(depth=2, tile_rows=8, batch_rows=8)
    letter, _ = run(engine(p), (lambda: (yield from ask(Sweep(ASK, 10_000, nan_from(8), First()))))())
    calls = p.wait_for(2)
    for i in order:
        calls[i].end()
    folded = letter.wait()
    assert folded.value == 8 and folded.stop is Stop.ENOUGH


def test_a_bad_row_before_it_fails_the_request(engine):
    with pytest.raises(NonFinite):
        run(engine(PoisonPredictor()), one(100, nan_from(0), First()))[0].wait()


class Memo:
    """Something to count."""


def counted(alive):
    """A render whose memos are noted in the weak set `alive`."""

    def render_counted(rows, on):
        memo = Memo()
        alive.add(memo)
        return render(rows, on)[0], memo

    return render_counted


def test_answers_that_wait_for_a_stuck_call_are_bounded(engine):
    alive = weakref.WeakSet()
    p = RemotePredictor(depth=2, tile_rows=8, batch_rows=8)
    _, r = run(engine(p), one(100_000, counted(alive)))
    p.wait_for(2)
    ended = 1  # the first call is stuck
    while ended < 100:
        time.sleep(0.01)
        if len(p.pending) <= ended:
            break
        p.pending[ended].end()
        ended += 1
    assert len(p.pending) < 12 and len(alive) < 12
    p.pending[0].end()
    p.wait_for(ended + 1)
    r.kill(Unavailable("enough"))


def test_nothing_of_a_finished_run_is_kept(engine):
    e, kept = engine(), weakref.WeakSet()
    letter, r = run(e, one(40, counted(kept)))
    letter.wait()
    alive = weakref.ref(r)
    del letter, r
    end = time.monotonic() + 3
    while (kept or alive() is not None) and time.monotonic() < end:
        time.sleep(0.02)
    assert not kept and alive() is None


def numbers(rows, on):
    return {"n": torch.arange(rows.start, rows.stop)}, None


def squares(size=20, render=numbers):
    return one(size, render, question=Local("own_process"))


def test_local_work_goes_on_after_a_process_was_killed(engine):
    assert own_process.__module__ == "engine_work"
    e = engine()
    os.kill(int(run(e, squares())[0].wait(60)[0, 1]), signal.SIGKILL)
    time.sleep(0.5)  # until the pool has noticed
    with pytest.raises(Unavailable):
        run(e, squares())[0].wait(30)
    assert run(e, squares())[0].wait(60).shape == (20, 2)


def test_a_local_render_that_raises_fails_alone_and_a_killed_sweep_is_rendered_no_further(engine):
    e, rendered = engine(), []

    def broken(rows, on):
        raise KeyError("render")

    def noted(rows, on):
        rendered.append(rows)
        return numbers(rows, on)

    with pytest.raises(KeyError):
        run(e, squares(render=broken))[0].wait()
    _, r = run(e, squares(16_000, noted))
    r.kill(Unavailable("never mind"))
    assert run(e, squares())[0].wait(60).shape == (20, 2)
    assert len(rendered) < 10
