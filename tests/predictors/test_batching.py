"""Batch shapes: few, never exceeded, padded with rows that do no harm."""

import threading
import time

import torch
from hypothesis import given
from hypothesis import strategies as st
from sidelight.predictors.batching import Batching, fill
from sidelight.predictors.turnstile import Turnstile


@given(st.integers(1, 100), st.integers(1, 300))
def test_chunks_cover_the_rows_in_order_and_padding_at_most_doubles(rows, total):
    batching = Batching.upto(rows)
    chunks = batching.chunks(total)
    assert [i for chunk in chunks for i in chunk] == list(range(total))
    assert len(batching.buckets) <= 8
    for chunk in chunks:
        padded = batching.padded(len(chunk), exact=False)
        assert len(chunk) <= padded <= min(2 * len(chunk), rows)
        assert batching.padded(len(chunk), exact=True) == rows


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 3))
def test_filling_keeps_the_rows_and_repeats_the_last(sizes, more):
    parts = [torch.randn(n, 2) for n in sizes]
    rows = torch.cat(parts)
    out = torch.full((len(rows) + more, 2), torch.nan)
    fill(out, parts)
    assert torch.equal(out[: len(rows)], rows)
    assert torch.equal(out[len(rows) :], rows[-1:].expand(more, 2))


@given(st.integers(1, 4), st.integers(1, 12))
def test_a_turnstile_lets_so_many_through_at_once_in_order(most, visitors):
    turnstile = Turnstile(most)
    inside: list[int] = []
    for i in range(visitors):
        turnstile.enter(lambda i=i: inside.append(i))
    for left in range(visitors):
        assert inside == list(range(min(visitors, left + most)))
        turnstile.leave()
    assert inside == list(range(visitors))


def test_a_turnstile_pauses_between_visitors():
    turnstile, came = Turnstile(1, pause=0.05), []
    done = threading.Event()

    def visit() -> None:
        came.append(time.monotonic())
        if len(came) == 3:
            done.set()
        turnstile.leave()

    for _ in range(3):
        turnstile.enter(visit)
    assert done.wait(5)
    assert came[1] - came[0] >= 0.05
    assert came[2] - came[1] >= 0.05


def test_a_turnstile_holds_between_threads():
    turnstile, lock = Turnstile(3), threading.Lock()
    inside = most = done = 0
    finished = threading.Event()

    def visit() -> None:
        nonlocal inside, most, done
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Timer(0.001, end).start()

    def end() -> None:
        nonlocal inside, done
        with lock:
            inside -= 1
            done += 1
            if done == 40:
                finished.set()
        turnstile.leave()

    for _ in range(40):
        threading.Thread(target=turnstile.enter, args=(visit,)).start()
    assert finished.wait(20)
    assert most == 3
