import asyncio
import threading
import time

import pytest
import torch
from sidelight.core.errors import DeadlineExceeded, Exhausted, Unavailable
from sidelight.engine.clock import Clock
from sidelight.engine.gate import Gate
from sidelight.engine.mailbox import Mailbox, Progress


def test_the_queue_is_bounded_and_a_place_is_freed_on_leaving():
    gate = Gate(places=2)
    first = gate.admit([{"cpu": 3.0}], 60, False)
    gate.admit([{"cpu": 8.0}], 60, False)
    with pytest.raises(Exhausted) as full:
        gate.admit([{"cpu": 1.0}], 60, False)
    assert full.value.retry_after == pytest.approx(3.0)
    with first:
        pass
    gate.admit([{"cpu": 1.0}], 60, False)


def test_what_cannot_end_in_time_is_refused_unless_a_part_is_wanted():
    gate = Gate(places=9)
    with pytest.raises(DeadlineExceeded, match="allow_partial"):
        gate.admit([{"cpu": 10.0}], 5.0, False)
    gate.admit([{"cpu": 10.0}], 5.0, True)
    with pytest.raises(DeadlineExceeded):
        gate.admit([{"cpu": 0.0}], -1.0, True)


def test_expected_time_counts_fair_turns_on_the_same_lane_only():
    gate = Gate(places=9)
    long = gate.admit([{"cpu": 100.0}], 1e9, False)
    gate.admit([{"gpu": 100.0}], 1e9, False)
    assert gate.expected([{"cpu": 2.0}]) == pytest.approx(4.0)  # in turns with the long one
    long.progress(0.99)
    assert gate.expected([{"cpu": 2.0}]) == pytest.approx(3.0)  # which is nearly done
    assert gate.expected([{"cpu": 2.0, "gpu": 7.0}]) == pytest.approx(14.0)  # lanes work side by side


def test_stages_come_one_after_another_and_delay_others_by_all_of_them():
    gate = Gate(places=1)
    edited = gate.admit([{"pixels": 3.0}, {"cpu": 2.0, "gpu": 4.0}], 7.0, False)
    assert gate.expected([{"pixels": 1.0}, {"gpu": 9.0}]) == pytest.approx(2.0 + 13.0)
    assert gate.expected([{}, {"tpu": 5.0}]) == pytest.approx(5.0)
    edited.progress(0.5)
    with pytest.raises(Exhausted) as full:
        gate.admit([{"cpu": 1.0}], 60, False)
    assert full.value.retry_after == pytest.approx(3.5)
    edited.progress(0.0)
    gate.leave(edited)
    with pytest.raises(DeadlineExceeded, match=r"about 7\.0 s"):
        gate.admit([{"pixels": 3.0}, {"cpu": 2.0, "gpu": 4.0}], 6.9, False)


def test_a_draining_gate_admits_no_one():
    gate = Gate(places=9)
    gate.drain()
    with pytest.raises(Unavailable):
        gate.admit([{"cpu": 1.0}], 60, False)


async def test_progress_is_coalesced_and_keeps_the_newest_preview():
    box = Mailbox(asyncio.get_running_loop())
    picture = torch.ones(2, 2)

    def work():
        box.progress(Progress(8, previews=(picture,)))
        for rows in range(16, 800, 8):
            box.progress(Progress(rows))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    seen = []
    async for progress in box:
        seen.append(progress)
        box.finish("map")
    assert len(seen) == 1 and seen[0].rows == 792 and seen[0].previews[0] is picture
    assert await box.result() == "map"


async def test_a_failure_is_raised_to_the_reader_once_it_asks():
    box = Mailbox(asyncio.get_running_loop())
    box.fail(Unavailable("gone"))
    box.finish("too late")
    async for _ in box:
        pass
    with pytest.raises(Unavailable):
        await box.result()


def test_a_mailbox_whose_loop_is_gone_takes_letters_in_silence():
    loop = asyncio.new_event_loop()
    box = Mailbox(loop)
    loop.close()
    box.progress(Progress(1))
    box.finish("unread")
    assert not box._end.done()


def test_the_clock_calls_in_order_of_time_and_forgets_on_request():
    clock, called, done = Clock(), [], threading.Event()
    now = time.monotonic()
    forget = clock.at(now + 0.03, lambda: called.append("forgotten"))
    clock.at(now + 0.05, lambda: (called.append("second"), done.set()))
    clock.at(now + 0.01, lambda: called.append("first"))
    forget()
    assert done.wait(5)
    assert called == ["first", "second"]
    clock.close()
