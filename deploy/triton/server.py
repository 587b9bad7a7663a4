"""Start and stop a real Triton Inference Server from the nvidia-pytriton wheel. Standard library only.

The wheel carries the `tritonserver` binary and Triton's Python backend. It lives in a virtual environment of its own,
since its Python backend needs numpy < 2; models of the Python backend run in that environment.

    with TritonServer([Path("build/models")], log=Path("build/triton.log")) as triton:
        ...  # triton.grpc, triton.http, triton.metrics are host:port

    python deploy/triton/server.py --models build/models      # stays up until Ctrl-C

Raises `TritonUnavailable` where the wheel cannot be had, `TritonFailed` where the server does not come up.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from installation import Installation, TritonUnavailable, check_platform

HERE = Path(__file__).resolve().parent
VENV = HERE.parents[1] / "build" / "triton-venv"
LOG_TAIL = 4000  # characters of the log quoted in an error


class TritonFailed(RuntimeError):
    """Triton ended, or was not ready in time; the message ends with the tail of its log."""


@dataclass(frozen=True)
class Ports:
    grpc: int
    http: int
    metrics: int

    @classmethod
    def free(cls, host: str = "127.0.0.1") -> "Ports":
        """Three different ports that nothing listens on at this moment."""
        sockets = [socket.create_server((host, 0)) for _ in range(3)]
        try:
            return cls(*(s.getsockname()[1] for s in sockets))
        finally:
            for s in sockets:
                s.close()


class TritonServer:
    """A Triton server as a child process: a context manager that is ready inside the block and gone after it.

    Nothing of it outlives this process, not even after SIGKILL (see supervisor.py). May be started again after
    `stop` or `kill`, on the same ports.

    repositories: model repository folders. options: further arguments of tritonserver. log: a file, appended to.
    grace: seconds between SIGTERM and SIGKILL. port_wait: seconds in which a predecessor's ports must become free.
    """

    def __init__(
        self,
        repositories: Sequence[Path],
        venv: Path = VENV,
        *,
        log: Path,
        options: Sequence[str] = (),
        ports: Ports | None = None,
        host: str = "127.0.0.1",
        grace: float = 10.0,
        port_wait: float = 30.0,
    ) -> None:
        self.installation = Installation.find(venv.absolute())
        for repository in repositories:
            if not repository.is_dir():
                raise TritonUnavailable(f"no model repository at {repository}: run `make models`")
        self.repositories = [repository.absolute() for repository in repositories]
        self.options = list(options)
        self.host = host
        self.ports = ports or Ports.free(host)
        self.log = log.absolute()
        self.grace = grace
        self.port_wait = port_wait
        self._shm_prefix = f"triton_{os.getpid()}_{self.ports.grpc}_"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def grpc(self) -> str:
        return f"{self.host}:{self.ports.grpc}"

    @property
    def http(self) -> str:
        return f"{self.host}:{self.ports.http}"

    @property
    def metrics(self) -> str:
        return f"{self.host}:{self.ports.metrics}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> "TritonServer":
        self.start()
        try:
            self.wait_ready()
        except BaseException:  # KeyboardInterrupt too: __exit__ is not called for a failed __enter__
            self.kill()  # it has nothing to finish, and ignores SIGTERM while it loads
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process, without waiting until it is ready. Raises TritonFailed where a port stays taken."""
        if self.running:
            raise RuntimeError("Triton is already running")
        self._wait_for_ports()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        supervisor = [sys.executable, "-I", str(HERE / "supervisor.py"), str(self.grace), self._shm_prefix, "--"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                supervisor + self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.installation.environment(),
                start_new_session=True,  # its own group; a Ctrl-C in the terminal reaches the parent alone
            )

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Return when every model is ready. Raises TritonFailed if the process ends or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while not self._ready():
            if not self.running:
                raise TritonFailed(f"Triton ended before it was ready; {self._log_tail()}")
            if time.monotonic() > deadline:
                raise TritonFailed(f"Triton was not ready within {timeout:g} s; {self._log_tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask Triton to finish what it is doing, wait up to `grace` seconds, then kill what is left of it."""
        self._end(b"")

    def kill(self) -> None:
        """SIGKILL to Triton and its stubs at once, as a crash or the kernel's out-of-memory killer would."""
        self._end(b"k")

    def _end(self, message: bytes) -> None:
        if self._process is not None:
            self._process.communicate(message)  # the supervisor's sign to stop; returns when nothing is left
            self._process = None

    def _command(self) -> list[str]:
        return [
            str(self.installation.binary),
            *(f"--model-repository={repository}" for repository in self.repositories),
            f"--backend-directory={self.installation.backends()}",
            f"--backend-config=python,shm-region-prefix-name={self._shm_prefix}",
            *(f"--{service}-address={self.host}" for service in ("grpc", "http", "metrics")),
            f"--grpc-port={self.ports.grpc}",
            f"--http-port={self.ports.http}",
            f"--metrics-port={self.ports.metrics}",
            f"--exit-timeout-secs={max(1, int(self.grace))}",
            *self.options,
        ]

    def _ready(self) -> bool:
        """Whether models are, and the metrics' port, which is opened last."""
        try:
            for url in (f"http://{self.http}/v2/health/ready", f"http://{self.metrics}/metrics"):
                with urllib.request.urlopen(url, timeout=1) as response:
                    if response.status != 200:
                        return False
            return True
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def _wait_for_ports(self) -> None:
        """A killed server's ports may stay taken for a moment."""
        deadline = time.monotonic() + self.port_wait
        for port in (self.ports.grpc, self.ports.http, self.ports.metrics):
            while not _bindable(self.host, port):
                if time.monotonic() > deadline:
                    raise TritonFailed(f"port {port} of {self.host} is taken by another process")
                time.sleep(0.1)

    def _log_tail(self) -> str:
        """The end of the log without Triton's wide tables, which say again what is in the lines."""
        lines = self.log.read_text(errors="replace").splitlines()
        text = "\n".join(line for line in lines if not line.startswith(("+", "|")))
        return f"end of {self.log}:\n{text[-LOG_TAIL:]}"


def _bindable(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description="Run Triton from its virtual environment until Ctrl-C.")
    parser.add_argument("--models", type=Path, action="append", help="model repository (repeatable)")
    parser.add_argument("--venv", type=Path, default=VENV, help="Triton's virtual environment (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--grpc-port", type=int, default=8001, help="%(default)s")
    parser.add_argument("--http-port", type=int, default=8000, help="%(default)s")
    parser.add_argument("--metrics-port", type=int, default=8002, help="%(default)s")
    parser.add_argument("--log", type=Path, default=VENV.parent / "triton.log", help="log file (%(default)s)")
    parser.add_argument("options", nargs="*", help="further arguments of tritonserver, after --")
    parser.add_argument("--check", action="store_true", help="only say whether Triton can be installed here")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if args.check:
            check_platform()
            return 0
        with TritonServer(
            args.models or [VENV.parent / "models"],
            args.venv,
            log=args.log,
            options=args.options,
            ports=Ports(args.grpc_port, args.http_port, args.metrics_port),
            host=args.host,
        ) as triton:
            print(f"grpc {triton.grpc}  http {triton.http}  metrics {triton.metrics}  log {triton.log}", flush=True)
            while triton.running:
                time.sleep(0.5)
            raise TritonFailed(f"Triton ended; see {triton.log}")
    except KeyboardInterrupt:
        return 0
    except (TritonUnavailable, TritonFailed) as error:
        print(f"triton: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
