"""Shared regions: nothing is left behind, whoever dies, and what another process lives with is left alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from server import TritonServer
from sidelight.predictors.shared_memory import SHM, Pool, SystemRegion, remove_stale
from sidelight.predictors.triton_endpoint import TritonEndpoint
from tritonclient.grpc import InferenceServerClient

SERVICE = Path(__file__).parents[2] / "service"
OWNER = """
import sys, time
from tritonclient.grpc import InferenceServerClient
from sidelight.predictors.shared_memory import SystemRegion
region = SystemRegion(8192)
region.register(InferenceServerClient(sys.argv[1]))
print(region.name, flush=True)
time.sleep(60)
"""


@pytest.fixture
def client(triton: TritonServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(triton.grpc) as client:
        yield client


@pytest.fixture
def owner(triton: TritonServer) -> Iterator[tuple[subprocess.Popen, str]]:
    """Another process with a registered region, and the region's name."""
    command = [sys.executable, "-c", OWNER, triton.grpc]
    environment = os.environ | {"PYTHONPATH": str(SERVICE)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def known(client: InferenceServerClient) -> set[str]:
    return set(client.get_system_shared_memory_status().regions)


def test_a_region_is_seen_by_triton_and_gone_when_it_is_closed(client):
    region = SystemRegion(4096)
    region.register(client)
    assert region.registered(client)
    region.register(client)  # again, as after a restart
    assert region.registered(client)
    region.unregister(client)
    region.close()
    assert not (SHM / region.name).exists()
    assert region.name not in known(client)


def test_what_a_killed_process_left_is_removed_at_the_next_start(owner, client, triton):
    process, name = owner
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (SHM / name).exists()
    assert name in known(client)
    endpoint = TritonEndpoint(triton.grpc)
    assert endpoint.shares_memory()
    endpoint.client.close()
    assert not (SHM / name).exists()
    assert name not in known(client)


def test_what_a_living_process_owns_is_left_alone(owner, client):
    _, name = owner
    mine = SystemRegion(4096)
    assert not {name, mine.name} & set(remove_stale(client))
    assert (SHM / name).exists()
    assert (SHM / mine.name).exists()
    assert name in known(client)
    mine.close()


def test_a_region_that_is_too_large_for_dev_shm_is_an_error_at_once_and_leaves_nothing():
    before = set(os.listdir(SHM))
    room = os.statvfs(SHM)
    with pytest.raises(OSError, match="space"):
        SystemRegion(room.f_bavail * room.f_frsize + (1 << 30))
    assert set(os.listdir(SHM)) == before


def test_a_pool_reuses_its_regions_and_grows_them(client):
    pool = Pool(client, SystemRegion)
    first, second = pool.take(4096), pool.take(4096)
    assert {first.name, second.name} <= known(client)
    pool.give(first)
    assert pool.take(100) is first
    assert not pool.idle
    pool.give(first)
    larger = pool.take(10_000)
    assert larger.size >= 10_000
    assert first.name not in known(client)
    pool.give(second)
    pool.give(larger)
    assert pool.idle
    pool.close()
    assert not {first.name, second.name, larger.name} & known(client)
    assert not any((SHM / region.name).exists() for region in (first, second, larger))


def test_a_tensor_may_outlive_its_region():
    """A call that is given up may still hold its rows when the predictor is closed."""
    region = SystemRegion(4096)
    rows = region.tensor(torch.float32, (4, 2))
    rows.fill_(3)
    region.close()
    assert float(rows.sum()) == 24


def test_a_region_that_triton_is_reading_from_is_given_back_when_it_has_finished(client):
    from tritonclient.grpc import InferInput

    pool = Pool(client, SystemRegion)
    region = pool.take(4096)
    rows = InferInput("x", [1, 3, 8, 8], "FP32").set_shared_memory(region.name, 768)
    running = client.async_infer("slow", [rows], lambda result, error: None)
    running.cancel()
    pool.give(region)
    pool.close()
    assert region.name not in known(client)
    assert not (SHM / region.name).exists()
