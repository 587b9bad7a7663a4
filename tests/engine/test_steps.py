"""Plans of many small sweeps, each asked when the last was answered: they run together, a batch for all of them."""

import threading
import time

import pytest
import torch
from doubles import Counting, Letter, LinearPredictor, RemotePredictor, SlowPredictor
from sidelight.core.ask import Forward, Model
from sidelight.core.errors import Cancelled
from sidelight.core.fold import Collect
from sidelight.core.sweep import Sweep, ask
from sidelight.engine import lane
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label
from sidelight.engine.scheduler import Queue, Scheduler, Ticket

LABEL = Label("test", "linear", "twin")
A, B = Forward(Model("linear", "1"), exact=True), Forward(Model("other", "1"), exact=True)
ROWS, ROOM = 2, 16  # of a sweep, of a batch


def sweep(value, ask_=A):
    """Two rows filled with a value."""
    return Sweep(ask_, ROWS, lambda rows, on: ({"x": torch.full((len(rows), 3, 8, 8), value)}, None), Collect("y"))


def steps(count, value=0.1, ask_=A, before=lambda step: None):
    """Each sweep's rows depend on the last one's answers. `before(step)` is called in the plan."""
    seen = []
    for step in range(count):
        before(step)
        y = (yield from ask(sweep(value, ask_))).value
        seen.append(y)
        value = float(y[0, 0]) % 1
    return torch.cat(seen)


@pytest.fixture
def start():
    engines = []

    def make(*predictors, **options):
        engines.append(engine := Engine(**options))
        for p in predictors:
            engine.add(p)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def patient(monkeypatch):
    """The lane waits for as long as it takes: whatever it should not wait for hangs."""
    monkeypatch.setattr(lane, "PATIENCE", 1e6)


def run(engine, plan):
    letter = Letter()
    return letter, engine.run(plan, letter, label=LABEL)


def test_eight_plans_run_in_batches_of_eight(start, patient):
    p, count = SlowPredictor(0.01), 30
    engine = start(p)
    letters = [run(engine, steps(count, 0.1 * i))[0] for i in range(8)]
    answers = [letter.wait(60) for letter in letters]
    sizes = [len(tiles) for _, tiles in p.calls]
    assert sizes.count(8) >= count - 8  # some may have begun before the others came
    assert len(sizes) <= count + 8
    for i, y in enumerate(answers):  # and each as if it were alone
        alone = run(start(LinearPredictor()), steps(count, 0.1 * i))[0].wait(60)
        assert torch.equal(y, alone)


def test_a_plan_alone_is_not_delayed(start, patient):
    letter, _ = run(start(SlowPredictor(0.01)), steps(20))
    letter.wait(20)


def test_patience_is_a_share_of_what_the_last_batch_cost(start):
    go = threading.Event()
    engine = start(SlowPredictor(0.01))
    slow, _ = run(engine, steps(2, before=lambda step: step and go.wait(30)))
    quick, _ = run(engine, steps(30))
    quick.wait(20)
    assert not slow.ended
    go.set()
    slow.wait()


def test_rows_of_another_key_do_not_wait(start, patient):
    go = threading.Event()
    engine = start(SlowPredictor(0.005), SlowPredictor(0.005, name="other"))
    pair = [run(engine, steps(2, before=lambda step: step and go.wait(30)))[0] for _ in range(2)]
    run(engine, steps(20, ask_=B))[0].wait(20)
    assert not any(letter.ended for letter in pair)
    go.set()
    for letter in pair:
        letter.wait()


@pytest.mark.parametrize("end", ["returns", "killed", "asks elsewhere"])
def test_a_plan_that_does_not_come_back_is_not_waited_for(start, patient, end):
    stepping, go = threading.Event(), threading.Event()

    def leaving():
        yield from ask(sweep(0.3))
        stepping.set()
        assert go.wait(30)
        if end == "asks elsewhere":
            yield from ask(sweep(0.3, B))

    away = RemotePredictor(name="other", lane="elsewhere")
    engine = start(SlowPredictor(0.02), away)
    (one, leaver), (other, _) = run(engine, leaving()), run(engine, steps(10))
    assert stepping.wait(10)
    time.sleep(0.2)  # by now the other waits for it
    assert not other.ended
    if end == "killed":
        leaver.kill(Cancelled())
    go.set()
    other.wait(20)
    if end == "asks elsewhere":
        away.wait_for(1)[0].end()
    if end != "killed":
        one.wait()


def test_a_run_that_has_ended_leaves_nothing_behind(start):
    watch = Counting()
    engine = start(SlowPredictor(0.002), observer=watch)
    for letter in [run(engine, steps(5, 0.1 * i))[0] for i in range(4)]:
        letter.wait()
    assert not engine._lanes["cpu"]._stepping and not engine._lanes["cpu"]._tasks


# -- the scheduler ----------------------------------------------------------------------------------------------------


def queue(rows, ask_=A):
    return Queue(Ticket(), (ask_, ()), rows, 8)


def test_rows_of_a_key_are_left_for_later_until_they_fill_a_batch():
    s, few = Scheduler(), queue(2)
    s.submit(few)
    assert s.pick(lambda ask: ROOM, [few.key]) is None
    s.submit(queue(14))
    assert s.pick(lambda ask: ROOM, [few.key]).rows == ROOM


def test_meanwhile_others_are_picked_even_if_they_were_served_more():
    s, first, second = Scheduler(), queue(8, B), queue(2)
    s.submit(first)
    s.settle(s.pick(lambda ask: ROOM), 1.0)
    first.rows = 16
    s.submit(second)
    assert s.pick(lambda ask: ROOM, [second.key]).key == first.key
    assert s.pick(lambda ask: ROOM).key == second.key


def test_tiles_of_a_failed_batch_are_not_left_for_later():
    s, failed = Scheduler(), queue(2)
    s.submit(failed)
    s.retry(s.pick(lambda ask: ROOM))
    assert s.pick(lambda ask: ROOM, [failed.key]).rows == 2
