"""SIGTERM to the real process: what runs is finished, what is new is turned away, and the exit status is 0."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from in_process import READY, request
from sidelight_proto.v1 import explanation_pb2_grpc
from sidelight_proto.v1.explanation_pb2 import ExplainStreamRequest, Rise

TESTS = Path(__file__).parents[1]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@contextmanager
def process(batch_seconds: float, drain_seconds: float) -> Iterator[tuple[subprocess.Popen, grpc.Channel]]:
    """The service, ready, with a channel to it."""
    command = [sys.executable, str(TESTS / "slow_service.py"), str(batch_seconds), str(drain_seconds)]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        line = json.loads(started.stdout.readline())
        assert line["event"] == "ready"
        with grpc.insecure_channel(line["grpc"]) as channel:
            wait_for(channel, SERVING)
            yield started, channel
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def wait_for(channel: grpc.Channel, status: int, seconds: float = 20.0) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    ends = time.monotonic() + seconds
    while health.Check(health_pb2.HealthCheckRequest(service=READY)).status != status:
        assert time.monotonic() < ends
        time.sleep(0.02)


def begin(channel: grpc.Channel, masks: int):
    """An explanation under way."""
    stub = explanation_pb2_grpc.ExplanationServiceStub(channel)
    call = stub.ExplainStream(ExplainStreamRequest(explanation=request(rise=Rise(masks=masks))))
    assert next(call).HasField("accepted")
    return stub, call


def test_sigterm_lets_running_explanations_end_turns_away_new_ones_and_exits_with_0():
    with process(batch_seconds=0.02, drain_seconds=20) as (service, channel):
        stub, call = begin(channel, masks=800)  # a second
        service.send_signal(signal.SIGTERM)
        wait_for(channel, NOT_SERVING)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Explain(request())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        last = list(call)[-1]
        assert last.result.results[0].rows_done == 800
        assert service.wait(10) == 0


def test_what_does_not_end_within_the_drain_is_cut_off_and_the_exit_status_is_still_0():
    with process(batch_seconds=0.02, drain_seconds=0.3) as (service, channel):
        _, call = begin(channel, masks=100_000)
        service.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as cut:
            list(call)
        assert cut.value.code() is grpc.StatusCode.UNAVAILABLE
        assert service.wait(10) == 0


def test_a_second_ctrl_c_does_not_wait_for_the_drain():
    with process(batch_seconds=0.02, drain_seconds=600) as (service, channel):
        _, call = begin(channel, masks=100_000)
        service.send_signal(signal.SIGINT)
        wait_for(channel, NOT_SERVING)
        service.send_signal(signal.SIGINT)
        assert service.wait(10) == 0
        call.cancel()
