"""Of the threads that live long only a lane's worker spreads its operations over the cores."""

import asyncio
import threading

import pytest
import torch
from doubles import Letter, LinearPredictor
from sidelight.core.ask import Forward, Model
from sidelight.core.fold import Collect
from sidelight.core.sweep import Sweep, ask
from sidelight.engine import threads
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label

HERE = torch.get_num_threads()


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(threads, "CORES", 2)
    yield
    torch.set_num_threads(HERE)


class Watched(LinearPredictor):
    def answer(self, x):
        self.threads = torch.get_num_threads()
        return super().answer(x)


def test_a_lane_spreads_and_plans_do_not_whatever_was_set_before():
    torch.set_num_threads(3)  # torch keeps the last number for threads to come
    predictor, engine, letter = Watched(), Engine(), Letter()

    def plan():
        yield from ask(
            Sweep(Forward(Model("linear", "1")), 1, lambda r, on: ({"x": torch.ones(1, 3, 8, 8)}, None), Collect())
        )
        return torch.get_num_threads()

    engine.add(predictor)
    engine.run(plan(), letter, label=Label("test", "linear", "embedded"))
    assert letter.wait() == 1
    assert predictor.threads == 2
    engine.close()


def test_brief_work_spreads_in_a_thread_that_ends_with_it():
    threads.alone()  # as the service's own thread is: torch keeps the last number for threads to come

    async def main():
        return await threads.briefly(lambda: (torch.get_num_threads(), threading.current_thread()))

    spread, thread = asyncio.run(main())
    assert spread == 2
    thread.join(5)
    assert not thread.is_alive()
