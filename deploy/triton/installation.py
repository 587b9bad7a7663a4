"""Where Triton and its Python backend are in their virtual environment, and whether there can be one here at all."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ((3, 11), (3, 12))  # the service's own range; numpy < 2 has no wheel for a newer one
GLIBC = (2, 35)  # the wheel is a manylinux_2_35 one


class TritonUnavailable(RuntimeError):
    """No Triton can be run here: wrong platform, wrong Python, or its environment is not installed."""


def check_platform(python: tuple[int, int] = sys.version_info[:2]) -> None:
    """Raises TritonUnavailable where no wheel of nvidia-pytriton can be installed for this machine and Python."""
    here = f"{platform.system()} {platform.machine()}"
    if here != "Linux x86_64":
        raise TritonUnavailable(f"the Triton wheel exists for Linux x86_64 only, this is {here}")
    if python not in PYTHONS:
        raise TritonUnavailable(f"the Triton environment needs Python 3.11 or 3.12, this is {python[0]}.{python[1]}")
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < GLIBC:
        raise TritonUnavailable(f"the Triton wheel needs glibc 2.35 or newer, this is {library} {version}")


@dataclass(frozen=True)
class Installation:
    """Where the parts of Triton are in its virtual environment."""

    venv: Path
    version: str  # of Python, "3.11"
    packages: Path  # site-packages
    libpython: Path  # folder of the shared libpython that the backend's stub links

    @classmethod
    def find(cls, venv: Path) -> "Installation":
        """Raises TritonUnavailable, saying what is missing."""
        python = venv / "bin" / "python"
        if not python.exists():
            check_platform()
            raise TritonUnavailable(f"no virtual environment at {venv}: run `make triton`")
        code = (
            "import json, sys, sysconfig as s; print(json.dumps([sys.version_info[:2], s.get_path('purelib'),"
            " s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME')]))"
        )
        version, packages, libdir, soname = json.loads(subprocess.check_output([python, "-I", "-c", code]))
        check_platform(tuple(version))
        found = cls(venv, f"{version[0]}.{version[1]}", Path(packages), Path(libdir))
        if not found.binary.exists():
            raise TritonUnavailable(f"nvidia-pytriton is not installed in {venv}: run `make triton`")
        if not (found.libpython / soname).exists():
            raise TritonUnavailable(
                f"Triton's Python backend needs the shared library {soname}, which is not in {libdir}: "
                f"install it (Debian: apt-get install libpython{found.version}) or set PYTHON to another interpreter"
            )
        return found

    @property
    def root(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"

    @property
    def binary(self) -> Path:
        return self.root / "bin" / "tritonserver"

    def backends(self) -> Path:
        """A folder with the Python backend and the stub for this Python side by side, as Triton wants them.

        Made once for each environment; a rename makes it appear whole, so several launchers may race for it.
        """
        folder = self.venv / "backends"
        if not folder.exists():
            staging = Path(tempfile.mkdtemp(prefix="backends.", dir=self.venv))
            shutil.copytree(self.root / "backends" / "python", staging / "python")
            stub = self.root / "python_backend_stubs" / self.version / "triton_python_backend_stub"
            shutil.copy2(stub, staging / "python")
            staging.chmod(0o755)  # mkdtemp's 0700 would hide it from another user of the environment
            try:
                staging.rename(folder)
            except OSError:  # another launcher was first
                shutil.rmtree(staging)
        return folder

    def environment(self) -> dict[str, str]:
        """The environment of the server: the stub finds its packages through the `python` first on PATH."""
        libraries = [str(self.libpython), str(self.packages / "nvidia_pytriton.libs"), os.getenv("LD_LIBRARY_PATH", "")]
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        return kept | {
            "PATH": f"{self.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": str(self.venv),
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        }
