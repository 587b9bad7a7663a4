"""The demo: it finishes, and whatever ends it leaves no process behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from installation import Installation, TritonUnavailable
from server import VENV

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
# Triton while it starts, the service while it starts, the explanation while it runs.
MOMENTS = ("Starting Triton", "Starting Sidelight", "masked copies", "rows, ")


@pytest.fixture(scope="module")
def _triton() -> None:
    try:
        Installation.find(VENV)
    except TritonUnavailable as error:
        pytest.skip(str(error))


class Demo:
    """A running demo in a process group of its own, as a shell would start it."""

    def __init__(self, *arguments: str, deploy: Path = ROOT / "deploy") -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(deploy / "demo.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "DEMO_TEST": self.mark},
            start_new_session=True,
        )
        self.seen = ""

    def wait_for(self, words: str) -> None:
        while words not in self.seen:
            line = self.process.stdout.readline()
            assert line, self.seen
            self.seen += line

    def processes(self) -> list[str]:
        """All that have inherited this demo's environment, itself included, by command line."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone meanwhile, or another user's
                continue
        return found


@pytest.mark.usefixtures("_triton")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupt_at_any_moment_leaves_no_process(tmp_path, moment, signal_number):
    demo = Demo("--out", str(tmp_path))
    demo.wait_for(moment)
    time.sleep(0.3)
    assert len(demo.processes()) > 1
    os.killpg(demo.process.pid, signal_number)
    assert demo.process.wait(60) == 130
    assert demo.processes() == []


@pytest.mark.usefixtures("_triton")
def test_a_killed_demo_takes_its_servers_along(tmp_path):
    demo = Demo("--out", str(tmp_path))
    demo.wait_for("masked copies")
    demo.process.kill()
    demo.process.wait()
    ends = time.monotonic() + 30
    while demo.processes() and time.monotonic() < ends:
        time.sleep(0.1)
    assert demo.processes() == []


@pytest.mark.usefixtures("_triton")
def test_the_demo_writes_a_picture_and_a_map_and_stops_everything(tmp_path):
    demo = Demo("--masks", "64", "--out", str(tmp_path))
    told, _ = demo.process.communicate(timeout=240)
    assert demo.process.returncode == 0, told
    assert demo.processes() == []
    for part in ("predicted", "probability", "evaluations", "standard error", "sidelight_model_evaluations_total{"):
        assert part in told
    assert "largest part of E" in told and "integrated gradients" in told
    assert "kept part scores" in told and "rationales" in told and "objective" in told
    assert "<u " in (tmp_path / "rationale" / "answer.html").read_text()
    (patch, ruler) = (line.split() for line in told.splitlines() if line.startswith(("patch ", "ruler ")))
    assert float(patch[3]) > 100 * float(ruler[3])  # S: the model is biased towards the one
    assert (tmp_path / "intervention" / "curve.png").stat().st_size > 10_000
    assert "patch" in (tmp_path / "intervention" / "answer.html").read_text()
    assert np.load(tmp_path / "map.npy").shape == (224, 224)
    assert (tmp_path / "overlay.png").stat().st_size > 10_000
    assert str(tmp_path / "overlay.png") in told


def test_without_triton_the_demo_says_so_and_the_service_holds_the_model_itself(tmp_path):
    deploy = shutil.copytree(ROOT / "deploy", tmp_path / "deploy")  # beside which there is no build/triton-venv
    demo = Demo("--masks", "16", deploy=deploy)
    told, _ = demo.process.communicate(timeout=240)
    assert demo.process.returncode == 0, told
    assert "No Triton here" in told
    assert 'sidelight_model_evaluations_total{executor="embedded"' in told
    assert "\npatch " in told and "\nruler " in told
    assert demo.processes() == []
