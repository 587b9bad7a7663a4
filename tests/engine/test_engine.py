"""The engine with small real predictors: isolation, endings, replay, batching, leaks."""

import os
import threading
import time
import tracemalloc
from collections import deque

import pytest
import torch
from doubles import (
    BrokenPredictor,
    Counting,
    DownPredictor,
    Letter,
    LinearPredictor,
    NarrowPredictor,
    PoisonPredictor,
    RemotePredictor,
    SharingPredictor,
    SlowPredictor,
)
from engine_work import own_process
from sidelight.core.ask import Edit, Forward, Local, Model
from sidelight.core.errors import (
    Cancelled,
    DeadlineExceeded,
    Exhausted,
    ModelFailed,
    NonFinite,
    Unavailable,
    Unknown,
)
from sidelight.core.fold import Collect, Fold
from sidelight.core.sweep import Folded, Shared, Stop, Stopped, Sweep, ask, together
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label

LABEL = Label("test", "linear", "embedded")


def rows_of(value, ask_=None, size=8, first=None, name="x", like=()):
    """A sweep whose row i is filled with value + i / 1000; row `first[0]` begins with the pixel `first[1]`."""

    def render(rows, on):
        x = torch.stack([torch.full((3, 8, 8), value + i / 1000) for i in rows])
        if first and first[0] in rows:
            x[first[0] - rows.start, 0, 0, 0] = first[1]
        return {name: x}, None

    return Sweep(ask_ or Forward(Model("linear", "1")), size, render, Collect("y"), like)


def plan(*sweeps):
    values = []
    for sweep in sweeps:
        values.append((yield from ask(sweep)).value)
    return tuple(values)


def label(name):
    return Label("test", name, "embedded")


@pytest.fixture
def start():
    """Start an engine with predictors; closed at the end, with every thread and predictor."""
    engines = []

    def make(*predictors, observer=None):
        engine = Engine(observer=observer)
        engines.append(engine)
        for p in predictors:
            engine.add(p)
        return engine

    yield make
    for engine in engines:
        engine.close()


def run(engine, a_plan, **kwargs):
    letter = Letter()
    return letter, engine.run(a_plan, letter, label=kwargs.pop("label", LABEL), **kwargs)


def wait_until(true, seconds=5.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def test_a_plan_gets_the_answers_of_its_rows_in_order(start):
    p = LinearPredictor()
    letter, _ = run(start(p), plan(rows_of(0.1, size=50), rows_of(0.5, size=3)))
    a, b = letter.wait()
    x = torch.stack([torch.full((3, 8, 8), 0.1 + i / 1000) for i in range(50)])
    torch.testing.assert_close(a, p.answer(x))
    assert b.shape == (3, 2)


def test_rows_of_concurrent_requests_share_batches(start):
    p = RemotePredictor(depth=1)
    engine = start(p)
    first, _ = run(engine, plan(rows_of(0.0)))
    p.wait_for(1)
    letters = [run(engine, plan(rows_of(0.1 * i)))[0] for i in range(2)]
    wait_until(lambda: len(engine._lanes["cpu"]._tasks) == 3)
    p.pending[0].end()
    p.wait_for(2)[1].end()
    for letter in [first, *letters]:
        letter.wait()
    assert [tiles for _, tiles in p.calls] == [[8], [8, 8]]


def test_plans_that_run_together_share_batches(start):
    p = LinearPredictor()
    letter, _ = run(start(p), together(plan(rows_of(0.1)), plan(rows_of(0.2))))
    letter.wait()
    assert [sum(tiles) for _, tiles in p.calls] == [16]


def test_plans_that_run_together_may_be_answered_by_different_lanes(start):
    engine = start(SlowPredictor(0.01, name="slow", lane="gpu"), LinearPredictor())
    for _ in range(20):
        plans = (plan(rows_of(0.1), rows_of(0.2)), plan(rows_of(0.1, Forward(Model("slow", "1")), size=24)))
        (a, b), (c,) = run(engine, together(*plans))[0].wait()
        assert len(a) == len(b) == 8 and len(c) == 24


def test_answers_are_the_same_alone_and_among_neighbours(start):
    alone, _ = run(start(LinearPredictor()), plan(rows_of(0.3, size=40)))
    engine = start(SlowPredictor(0.002))
    letters = [run(engine, plan(rows_of(0.1 * i, size=40)))[0] for i in range(7)]
    torch.testing.assert_close(letters[3].wait()[0], alone.wait()[0], rtol=0, atol=1e-12)


def test_cancelling_one_request_leaves_its_neighbours_unchanged(start):
    engine = start(SlowPredictor(0.005))
    letters = [run(engine, plan(rows_of(0.1 * i, size=400))) for i in range(3)]
    letters[1][1].kill(Cancelled())
    with pytest.raises(Cancelled):
        letters[1][0].wait()
    for i in (0, 2):
        assert letters[i][0].wait()[0].shape == (400, 2)


def test_killed_requests_stop_with_the_batches_in_flight(start):
    watch = Counting()
    p = RemotePredictor(depth=2)
    engine = start(p, observer=watch)
    letter, r = run(engine, plan(rows_of(0.1, size=10_000)))
    p.wait_for(2)
    r.kill(Cancelled())
    with pytest.raises(Cancelled):
        letter.wait()
    wait_until(lambda: all(c.cancelled for c in p.pending))
    wait_until(lambda: watch.flying == 0)
    time.sleep(0.02)
    assert len(p.pending) == 2 and watch.answered == {}
    assert not engine._lanes["cpu"]._tasks and not engine._lanes["cpu"]._scheduler._waiting


def test_a_killed_plan_is_closed(start):
    closed = threading.Event()

    def tidy():
        try:
            yield rows_of(0.1, size=1000)
        finally:
            closed.set()

    p = RemotePredictor()
    _, r = run(start(p), tidy())
    p.wait_for(1)
    r.kill(Cancelled())
    assert closed.wait(5)


def test_only_the_request_with_the_bad_row_fails(start):
    engine = start(PoisonPredictor(lane="gate"))
    bad = plan(rows_of(0.1, size=24, first=(20, PoisonPredictor.poison)))
    nan = plan(rows_of(0.1, size=24, first=(3, PoisonPredictor.nan)))
    letters = [run(engine, p)[0] for p in (plan(rows_of(0.1, size=24)), bad, nan, plan(rows_of(0.2, size=24)))]
    with pytest.raises(ModelFailed):
        letters[1].wait()
    with pytest.raises(NonFinite):
        letters[2].wait()
    torch.testing.assert_close(letters[0].wait()[0], run(engine, plan(rows_of(0.1, size=24)))[0].wait()[0])
    assert letters[3].wait()[0].shape == (24, 2)


def test_an_endpoint_that_is_down_fails_its_requests_and_no_others(start):
    engine = start(DownPredictor(name="down", lane="triton:1"), SlowPredictor(0.005))
    well, _ = run(engine, plan(rows_of(0.1, size=200)))
    down, _ = run(engine, plan(rows_of(0.1, Forward(Model("down", "1")))), label=label("down"))
    with pytest.raises(Unavailable):
        down.wait()
    assert well.wait()[0].shape == (200, 2)


def test_an_endpoint_that_comes_back_serves_again(start):
    p = BrokenPredictor(Unavailable("gone"))
    engine = start(p)
    with pytest.raises(Unavailable):
        run(engine, plan(rows_of(0.1)))[0].wait()
    p.error = None
    assert run(engine, plan(rows_of(0.1)))[0].wait()[0].shape == (8, 2)


def test_batches_shrink_when_the_device_is_short_of_memory(start):
    p = NarrowPredictor(rows=10, tile_rows=8, batch_rows=64)
    letter, _ = run(start(p), plan(rows_of(0.1, size=200)))
    assert letter.wait()[0].shape == (200, 2)
    assert max(sum(tiles) for _, tiles in p.calls[-5:]) == 8


def test_a_tile_that_does_not_fit_the_device_is_refused_as_exhausted(start):
    letter, _ = run(start(NarrowPredictor(rows=4)), plan(rows_of(0.1)))
    with pytest.raises(Exhausted):
        letter.wait()


def test_a_bug_in_one_render_fold_or_plan_fails_that_request_only(start):
    engine = start(LinearPredictor())

    def broken_render(rows, on):
        raise KeyError("render")

    class BrokenFold(Fold):
        def add(self, rows, memo, out):
            raise KeyError("fold")

    def broken_plan():
        yield rows_of(0.1)
        raise KeyError("plan")

    good = rows_of(0.1)
    bad = [
        plan(Sweep(good.ask, 8, broken_render, Collect("y"))),
        plan(Sweep(good.ask, 8, good.render, BrokenFold())),
        broken_plan(),
    ]
    letters = [run(engine, p)[0] for p in (*bad, plan(rows_of(0.2, size=99)))]
    for letter in letters[:3]:
        with pytest.raises(KeyError):
            letter.wait()
    assert letters[3].wait()[0].shape == (99, 2)


def test_answers_that_overtake_each_other_are_folded_in_row_order(start):
    seen = []

    class Order(Collect):
        def add(self, rows, memo, out):
            seen.append(rows.start)
            super().add(rows, memo, out)

    p = RemotePredictor(depth=3)
    engine = start(p)
    good = rows_of(0.1, size=64)
    letter, _ = run(engine, plan(Sweep(good.ask, 64, good.render, Order("y"))))
    for call in reversed(p.wait_for(3)):
        call.end()
    p.wait_for(4)[3].end()
    torch.testing.assert_close(letter.wait()[0], p.answer(good.render(range(64), None)[0]["x"]))
    assert seen == list(range(0, 64, 8))


class Sum(Fold):
    """Adds up; has enough at `limit` rows."""

    def __init__(self, limit=None):
        self.limit, self.n, self.total = limit, 0, torch.zeros(2, dtype=torch.float64)

    def add(self, rows, memo, out):
        self.n += len(rows)
        self.total = self.total + out["y"].sum(0)

    def preview(self):
        return self.total / self.n

    def enough(self):
        return self.limit is not None and self.n >= self.limit

    def value(self):
        return self.total / self.n


def test_the_row_at_which_enough_stops_does_not_depend_on_load(start):
    def mean():
        return (yield from ask(Sweep(rows_of(0).ask, 10_000, rows_of(0.1).render, Sum(100))))

    alone = run(start(LinearPredictor()), mean())[0].wait()
    engine = start(RemoteLike(depth=4))
    for _ in range(5):
        run(engine, plan(rows_of(0.3, size=3000)))
    crowded = run(engine, mean())[0].wait()
    assert alone.rows == crowded.rows == 104 and alone.stop is crowded.stop is Stop.ENOUGH
    assert alone.value.equal(crowded.value)


class RemoteLike(RemotePredictor):
    """Answers by itself, from another thread, newest first."""

    def start(self, ask_, tiles, wake):
        call = super().start(ask_, tiles, wake)
        threading.Timer(0.001 * (len(self.pending) % 3), call.end).start()
        return call


def mean_so_far(size=10_000):
    return (yield from ask(Sweep(rows_of(0).ask, size, rows_of(0.1).render, Sum())))


def test_a_stop_gives_the_plan_what_is_folded_and_is_replayed_by_its_rows(start):
    engine = start(SlowPredictor(0.005))
    letter, r = run(engine, mean_so_far())
    wait_until(lambda: r.rows >= 48)
    r.stop(Stop.DEADLINE)
    folded = letter.wait()
    assert folded.stop is Stop.DEADLINE and folded.rows % 8 == 0 and folded.rows >= 48
    replay = run(engine, mean_so_far(folded.rows))[0].wait()
    assert replay.value.equal(folded.value)


def test_after_a_stop_a_later_ask_raises_stopped_and_the_plan_may_answer(start):
    def two_steps():
        folded = yield from ask(Sweep(rows_of(0).ask, 10_000, rows_of(0.1).render, Sum()))
        try:
            yield from ask(rows_of(0.2))
        except Stopped as stopped:
            return folded.rows, stopped.stop

    p = RemotePredictor(depth=1)
    letter, r = run(start(p), two_steps())
    p.wait_for(1)[0].end()
    p.wait_for(2)
    r.stop(Stop.DEADLINE)
    assert letter.wait() == (16, Stop.DEADLINE)


def test_a_stop_before_any_answer_is_a_deadline_error(start):
    p = RemotePredictor()
    letter, r = run(start(p), mean_so_far())
    p.wait_for(1)
    r.stop(Stop.DEADLINE)
    with pytest.raises(DeadlineExceeded):
        letter.wait()


def test_the_deadline_kills_a_run_or_with_partial_stops_it_in_time(start):
    engine = start(SlowPredictor(0.01))
    now = time.monotonic()
    late, _ = run(engine, mean_so_far(), deadline=now + 0.15)
    part, _ = run(engine, mean_so_far(), deadline=now + 0.3, partial=True, margin=0.1)
    with pytest.raises(DeadlineExceeded) as exceeded:
        late.wait()
    assert exceeded.value.evaluations > 0
    folded = part.wait()
    assert isinstance(folded, Folded) and folded.stop is Stop.DEADLINE
    assert time.monotonic() < now + 0.3


def test_progress_and_previews_come_while_it_runs(start):
    engine = start(SlowPredictor(0.005))
    letter, _ = run(engine, mean_so_far(400), preview_every=0.02)
    letter.wait()
    rows = [p.rows for p in letter.seen]
    assert rows == sorted(rows) and rows[-1] == 400 and letter.seen[0].queued
    previews = [p.previews[0] for p in letter.seen if p.previews]
    assert len(previews) >= 3 and previews[0].shape == (2,)


def test_local_work_runs_in_another_process(start):
    def render(rows, on):
        return {"n": torch.arange(rows.start, rows.stop)}, None

    def local():
        return (yield from ask(Sweep(Local("own_process"), 20, render, Collect("y")))).value

    assert own_process.__name__ == "own_process"
    y = run(start(), local())[0].wait(60)
    assert y[:, 0].tolist() == [n * n for n in range(20)]
    assert os.getpid() not in y[:, 1].tolist()


def test_unknown_models_functions_and_asks_are_refused(start):
    engine = start(LinearPredictor())
    for a, error in [
        (Forward(Model("lineal", "1")), Unknown),
        (Local("nothing"), Unknown),
        (Edit("pix2pix", (8, 8), 20), Unknown),
    ]:
        with pytest.raises(error):
            run(engine, plan(rows_of(0.1, a)))[0].wait()


def test_equal_shared_columns_are_uploaded_once(start):
    p = SharingPredictor()
    image = torch.rand(3, 8, 8)

    def sweep(key):
        def render(rows, on):
            return {**rows_of(0.1).render(rows, on)[0], "base": Shared(key, image.clone())}, None

        return Sweep(rows_of(0).ask, 40, render, Collect("y"))

    engine = start(p)
    run(engine, plan(sweep("a"), sweep("a")))[0].wait()
    assert len(p.seen) == 10 and len(set(p.seen)) == 1
    run(engine, plan(sweep("b")))[0].wait()
    assert len(set(p.seen)) == 2


def test_memory_does_not_grow_with_the_number_of_rows(start):
    """Tiles are born when picked: a sweep of forty thousand rows costs what one of a thousand does."""
    p = LinearPredictor()
    p.calls = deque(maxlen=4)
    engine = start(p)

    def peak(size):
        letter = Letter()
        letter.seen = deque(maxlen=4)
        tracemalloc.start()
        engine.run(mean_so_far(size), letter, label=LABEL)
        assert letter.wait(60).rows == size
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100)
    assert peak(40_000) - peak(1_000) < 100_000


def test_a_bug_in_a_predictor_fails_its_requests_and_not_the_lane(start):
    p = BrokenPredictor(KeyError("predictor"))
    engine = start(p)
    with pytest.raises(KeyError):
        run(engine, plan(rows_of(0.1)))[0].wait()
    p.error = None
    assert run(engine, plan(rows_of(0.1)))[0].wait()[0].shape == (8, 2)


def test_closing_leaves_no_thread_and_fails_what_runs():
    before = set(threading.enumerate())
    p = RemotePredictor()
    engine = Engine()
    engine.add(p)
    letter, _ = run(engine, plan(rows_of(0.1, size=1000)))
    p.wait_for(2)
    engine.close()
    with pytest.raises(Unavailable):
        letter.wait()
    assert p.closed and all(c.cancelled for c in p.pending)
    assert set(threading.enumerate()) <= before


def test_five_hundred_runs_leave_nothing_behind(start):
    engine = start(LinearPredictor())
    for i in range(500):
        run(engine, plan(rows_of(i / 1000)), deadline=time.monotonic() + 60)[0].wait()
    lane = engine._lanes["cpu"]
    wait_until(lambda: not engine._runs)
    assert not lane._tasks and not lane._flights and not lane._scheduler._waiting and not engine._clock._heap
