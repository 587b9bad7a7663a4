"""The processes for local work: they start ahead of it, leave Ctrl-C to the service, and end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from doubles import Letter
from light_work import modules, refusing
from sidelight.core.ask import Local
from sidelight.core.errors import InvalidRequest, Unavailable
from sidelight.core.fold import First
from sidelight.core.sweep import Sweep, ask
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label
from sidelight.perturbation import segmenters

TESTS = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def engine():
    e = Engine(local_processes=2)
    yield e
    e.close()


def answered(e: Engine, name: str, **columns):
    """What the local function `name` says to one row."""

    def plan():
        return (yield from ask(Sweep(Local(name), 1, lambda rows, on: (columns, None), First()))).value

    letter = Letter()
    e.run(plan(), letter, label=Label("test", "none", "none"))
    found = letter.wait(60)
    assert {p.rows for p in letter.seen} == {0}  # nothing of it is an evaluation of a model
    return found


def children(process: psutil.Process) -> list[psutil.Process]:
    """Its processes for local work."""
    return [c for c in process.children() if _alive(c) and "spawn_main" in " ".join(c.cmdline())]


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def until(condition, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_warm_returns_at_once_and_starts_every_process_with_the_functions_modules(engine):
    me = psutil.Process()
    assert not children(me)
    began = time.monotonic()
    engine.warm()
    assert time.monotonic() - began < 0.5
    until(lambda: len(children(me)) == 2)
    found = answered(engine, modules.__name__)
    assert {segmenters.__name__, "light_work"} <= set(found["modules"][0])
    assert found["pid"][0] in {c.pid for c in children(me)}


def test_warm_is_harmless_when_it_is_late_and_when_the_engine_closes_at_once(engine):
    before = answered(engine, "modules")["pid"][0]
    engine.warm()
    engine.warm()
    until(lambda: len(children(psutil.Process())) == 2)
    assert before in {c.pid for c in children(psutil.Process())}
    other = Engine(local_processes=1)
    other.warm()
    other.close()
    assert len(children(psutil.Process())) == 2


def test_a_process_that_dies_while_it_warms_is_replaced(engine):
    me = psutil.Process()
    engine.warm()
    until(lambda: children(me))
    for child in children(me):
        child.kill()
    until(lambda: not children(me))
    time.sleep(0.2)  # until the pool has noticed
    assert answered(engine, "modules")["pid"][0] != os.getpid()


def test_what_a_function_refuses_is_told_as_it_was_said_and_its_process_lives_on(engine):
    assert refusing.__name__ == "refusing"
    with pytest.raises(InvalidRequest) as error:
        answered(engine, "refusing", n=[1])
    assert (error.value.field, error.value.mend) == ("labels", "at least two segments, not 1")
    (process,) = children(psutil.Process())
    assert answered(engine, "modules")["pid"][0] == process.pid


def test_closing_does_not_wait_for_work_that_goes_on(engine):
    answered(engine, "modules")  # so that the process has begun
    letter = Letter()

    def plan():
        return (yield from ask(Sweep(Local("sleeping"), 1, lambda rows, on: ({"seconds": 30}, None), First()))).value

    engine.run(plan(), letter, label=Label("test", "none", "none"))
    time.sleep(0.2)
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 5
    assert not children(psutil.Process())
    with pytest.raises(Unavailable):
        letter.wait()


def test_ctrl_c_is_left_to_the_service(engine):
    pid = int(answered(engine, "modules")["pid"][0])
    time.sleep(0.3)  # until it waits for more
    os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert answered(engine, "modules")["pid"][0] == pid
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    with pytest.raises(Unavailable):
        answered(engine, "modules")


@pytest.fixture
def service():
    """The service as a process that serves."""
    started = subprocess.Popen(
        [sys.executable, str(TESTS / "slow_service.py"), "0", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert "ready" in started.stdout.readline()
    yield started
    started.kill()
    started.wait()
    started.stdout.close()
    started.stderr.close()


def test_a_service_starts_its_processes_before_they_are_asked_and_none_outlives_it(service):
    process = psutil.Process(service.pid)
    until(lambda: children(process))
    (child,) = children(process)
    until(lambda: child.num_threads() > 1)  # it has begun
    service.kill()
    assert child.wait(10) is None or not child.is_running()


def test_ctrl_c_to_the_whole_group_ends_a_service_without_a_traceback(service):
    process = psutil.Process(service.pid)
    until(lambda: children(process))
    (child,) = children(process)
    until(lambda: child.num_threads() > 1)
    for p in (child, process):
        p.send_signal(signal.SIGINT)
    assert service.wait(20) == 0
    said = service.stderr.read()
    assert "Traceback" not in said, said


def test_a_process_begins_without_torch():
    lines = "import sys, sidelight.engine.child; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", lines], check=True, env=ENVIRONMENT)
