"""Peak resident memory of a process, from Linux' /proc."""

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@dataclass(frozen=True)
class Memory:
    """Of a process while it did something, in bytes: resident before, and at most."""

    before: int
    peak: int

    @property
    def growth(self) -> float:
        """Megabytes."""
        return (self.peak - self.before) / 1e6


def worker(running) -> psutil.Process:
    """The service's own process, below its supervisor."""
    return next(p for p in psutil.Process(running._process.pid).children(recursive=True) if "sidelight" in p.cmdline())


def peak(pid: int) -> int:
    """Peak resident memory in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak(pid: int) -> int:
    """From here on the peak counts anew; what is resident now, in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(pid)
