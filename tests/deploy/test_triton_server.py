"""The launcher of the real Triton: up inside its block, and nothing of it left afterwards, however it ended."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import server
from installation import TritonUnavailable, check_platform
from server import TritonFailed, TritonServer

START_AND_SLEEP = """
import sys, time
from pathlib import Path
from server import TritonServer
triton = TritonServer([Path(sys.argv[1])], Path(sys.argv[2]), log=Path(sys.argv[3]))
triton.start()
triton.wait_ready()
print("ready", flush=True)
time.sleep(600)
"""


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes, zombies aside, whose command line names something in `folder`: supervisor, server and stubs."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if p.pid != os.getpid() and any(str(folder) in word for word in p.info["cmdline"] or ())]


def regions_of(launcher: int) -> list[Path]:
    """Shared memory of the Python stubs that the process `launcher` is answerable for."""
    return list(Path("/dev/shm").glob(f"triton_{launcher}_*"))


def wait_gone(folder: Path, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while (left := processes_of(folder)) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not left


def test_triton_is_ready_inside_the_block_and_gone_after_it(triton_venv: Path, echo_repository: Path, tmp_path: Path):
    with TritonServer([echo_repository], triton_venv, log=tmp_path / "log") as triton:
        assert urllib.request.urlopen(f"http://{triton.http}/v2/models/echo/ready").status == 200
        assert b"nv_inference" in urllib.request.urlopen(f"http://{triton.metrics}/metrics").read()
        assert any("stub" in p.info["cmdline"][0] for p in processes_of(echo_repository))
        assert regions_of(os.getpid())
    assert not processes_of(echo_repository)
    assert not regions_of(os.getpid())


def test_a_killed_triton_leaves_nothing_and_starts_again_on_its_ports(
    triton_venv: Path, echo_repository: Path, tmp_path: Path
):
    with TritonServer([echo_repository], triton_venv, log=tmp_path / "log") as triton:
        ports = triton.ports
        triton.kill()
        assert not triton.running
        assert not processes_of(echo_repository)
        assert not regions_of(os.getpid())
        triton.start()
        triton.wait_ready()
        assert triton.ports == ports


def test_nothing_of_triton_outlives_a_launcher_that_is_killed(triton_venv: Path, echo_repository: Path, tmp_path: Path):
    launcher = subprocess.Popen(
        [sys.executable, "-c", START_AND_SLEEP, echo_repository, triton_venv, tmp_path / "log"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(server.__file__).parent)},
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"ready\n"
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    wait_gone(echo_repository, seconds=15)
    assert not regions_of(launcher.pid)


def test_a_command_that_is_still_starting_is_ended_at_once():
    supervisor = [sys.executable, "-I", str(Path(server.__file__).with_name("supervisor.py")), "60", "none_", "--"]
    process = subprocess.Popen([*supervisor, "sleep", "600"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    while not psutil.Process(process.pid).children():
        time.sleep(0.05)
    began = time.monotonic()
    process.communicate()  # closes the pipe
    assert time.monotonic() - began < 10


def test_a_model_that_does_not_load_is_reported_with_the_log(triton_venv: Path, echo_repository: Path, tmp_path: Path):
    (echo_repository / "echo" / "1" / "model.py").write_text("raise ValueError('no such weights')")
    triton = TritonServer([echo_repository], triton_venv, log=tmp_path / "log")
    triton.start()
    with pytest.raises(TritonFailed, match="no such weights"):
        triton.wait_ready()
    triton.stop()
    assert not processes_of(echo_repository)


def test_a_taken_port_is_named(triton_venv: Path, echo_repository: Path, tmp_path: Path):
    with TritonServer([echo_repository], triton_venv, log=tmp_path / "log") as first:
        second = TritonServer([echo_repository], triton_venv, log=tmp_path / "log", ports=first.ports, port_wait=0.2)
        with pytest.raises(TritonFailed, match=str(first.ports.grpc)):
            second.start()


def test_a_missing_environment_says_what_makes_it(tmp_path: Path, echo_repository: Path):
    with pytest.raises(TritonUnavailable, match="make triton"):
        TritonServer([echo_repository], tmp_path / "venv", log=tmp_path / "log")


def test_a_missing_model_repository_says_what_makes_it(triton_venv: Path, tmp_path: Path):
    with pytest.raises(TritonUnavailable, match="make models"):
        TritonServer([tmp_path / "models"], triton_venv, log=tmp_path / "log")


def test_a_python_without_a_wheel_is_named():
    with pytest.raises(TritonUnavailable, match=r"3\.13"):
        check_platform((3, 13))
