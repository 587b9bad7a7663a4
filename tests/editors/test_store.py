"""The store of frames: within its budget, the longest unused first, whole under threads."""

import random
import threading

import torch
from sidelight.editors.store import FrameStore

BYTES = 3 * 4 * 4


def frame(level):
    return torch.full((3, 4, 4), level, dtype=torch.uint8)


def test_a_frame_comes_back_as_it_was_put():
    store = FrameStore(10 * BYTES)
    store.put("a:0.5", frame(7))
    assert torch.equal(store.get("a:0.5"), frame(7))
    assert store.get("a:0.6") is None


def test_the_longest_unused_goes_first_and_the_budget_is_never_passed():
    store = FrameStore(3 * BYTES)
    for i in range(3):
        store.put(str(i), frame(i))
    store.get("0")
    store.put("3", frame(3))
    assert [store.get(str(i)) is not None for i in range(4)] == [True, False, True, True]
    assert store.used == 3 * BYTES


def test_a_frame_that_was_put_again_counts_once():
    store = FrameStore(2 * BYTES)
    for level in (1, 2, 3):
        store.put("a", frame(level))
    store.put("b", frame(4))
    assert store.used == 2 * BYTES and torch.equal(store.get("a"), frame(3))


def test_what_is_larger_than_the_store_is_not_kept_and_drives_nothing_out():
    store = FrameStore(BYTES)
    store.put("a", frame(1))
    store.put("large", torch.zeros((3, 5, 5), dtype=torch.uint8))
    assert store.get("large") is None and store.get("a") is not None
    FrameStore(0).put("a", frame(1))


def test_a_row_of_a_batch_does_not_keep_the_batch():
    store, batch = FrameStore(100 * BYTES), torch.zeros((50, 3, 4, 4), dtype=torch.uint8)
    store.put("a", batch[7])
    assert store.get("a").untyped_storage().nbytes() == BYTES == store.used


def test_many_threads_at_once_neither_lose_count_nor_mix_frames_up():
    store, wrong = FrameStore(20 * BYTES), []

    def work(seed):
        draw = random.Random(seed)
        for _ in range(2000):
            key = draw.randrange(60)
            if draw.random() < 0.5:
                store.put(str(key), frame(key))
            elif (found := store.get(str(key))) is not None and not torch.equal(found, frame(key)):
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    held = [key for key in range(60) if store.get(str(key)) is not None]
    assert not wrong and len(held) == 20 and store.used == 20 * BYTES
