"""RISE through a real Triton against a client that does nothing but send ready-made batches to it."""

import threading
from collections import deque

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from live import MODEL, on_triton, photo_file, service, triton
from sidelight_client import Client, Rise
from tritonclient.utils import shared_memory as shm

from bench.report import in_turn, report

ROWS, BATCH, DEPTH, ROUNDS = 512, 16, 2, 5


class BareLoop:
    """`ROWS` rows in ready-made batches, `DEPTH` calls under way, over the wire or from shared memory."""

    def __init__(self, address: str, shared: bool) -> None:
        self.client = triton_grpc.InferenceServerClient(address)
        batch = np.random.default_rng(0).random((BATCH, 3, 224, 224), dtype=np.float32)
        self.input = triton_grpc.InferInput("image", list(batch.shape), "FP32")
        self.region = None
        if shared:
            self.region = shm.create_shared_memory_region("bare", f"/sidelight_bench_{id(self)}", batch.nbytes)
            shm.set_shared_memory_region(self.region, [batch])
            self.client.register_system_shared_memory("bare", f"/sidelight_bench_{id(self)}", batch.nbytes)
            self.input.set_shared_memory("bare", batch.nbytes)
        else:
            self.input.set_data_from_numpy(batch)

    def __call__(self) -> None:
        room, errors = threading.Semaphore(DEPTH), deque()

        def done(result, error):
            errors.append(error) if error else result.as_numpy("logits")
            room.release()

        for _ in range(ROWS // BATCH):
            room.acquire()
            self.client.async_infer(MODEL, [self.input], done)
        for _ in range(DEPTH):
            room.acquire()
        assert not errors, errors

    def close(self) -> None:
        if self.region is not None:
            self.client.unregister_system_shared_memory("bare")
            shm.destroy_shared_memory_region(self.region)
        self.client.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with triton(tmp_path_factory.mktemp("triton")) as server:
        yield server.grpc


def test_rise_through_triton_against_ready_made_batches(address, tmp_path):
    wire, shared = BareLoop(address, shared=False), BareLoop(address, shared=True)
    with service(tmp_path, on_triton(address)) as running, Client(running.grpc) as client:

        def ours():
            answer = client.explain(photo_file(), model=MODEL, method=Rise(masks=ROWS), seed=1, deadline=300)
            assert answer.best.rows_done == ROWS

        _, _, over_wire = in_turn(ours, wire, 2)
        seconds, peer, ratio = in_turn(ours, shared, ROUNDS)
    wire.close(), shared.close()
    report(
        "rise_through_triton",
        ratio,
        1.15,
        f"RISE with {ROWS} masks, client to answer, over a bare loop of ready-made batches in shared memory",
        "median of ratios, run in turn; EfficientNet-Lite0 under onnxruntime in Triton's Python backend",
        milliseconds_a_row=1e3 * seconds / ROWS,
        bare_milliseconds_a_row=1e3 * peer / ROWS,
        ratio_to_bare_loop_on_the_wire=round(over_wire, 4),
    )
