"""One Triton server: the connection that its models share, and whether it shares memory with this process."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from sidelight.core.errors import Unavailable, Unknown, Unsupported
from sidelight.predictors import triton_errors
from sidelight.predictors.shared_memory import (
    CudaRegion,
    Pool,
    Region,
    SystemRegion,
    dismiss,
    remove_stale,
)
from sidelight.predictors.turnstile import Turnstile

T = TypeVar("T")

SHARED_MEMORY = ("auto", "system", "cuda", "none")
METADATA_TIMEOUT = 10.0  # seconds for a call that moves no tensors
_PROBE_BYTES = 4096
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 60_000),  # a dead host is noticed although nothing closes the connection
    ("grpc.keepalive_timeout_ms", 20_000),
    # gRPC waits up to two minutes before it tries again, far longer than a Triton takes to restart.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True)
class Tls:
    """Files in PEM for a Triton behind TLS; None: the system's roots, and no client certificate."""

    root_certificates: str | None = None
    private_key: str | None = None
    certificate_chain: str | None = None


class TritonEndpoint:
    """A Triton at `url` (host:port), shared by the `TritonPredictor`s of its models; closed with the last of them.

    concurrency: requests under way there at once. timeout: seconds that one request may take.
    shared_memory: "auto" tries what `device`, where rows are rendered, allows; "none" sends rows over the wire.
    """

    def __init__(
        self,
        url: str,
        *,
        concurrency: int = 2,
        timeout: float = 60.0,
        shared_memory: str = "auto",
        device: torch.device | str = "cpu",
        tls: Tls | None = None,
    ) -> None:
        if shared_memory not in SHARED_MEMORY:
            raise ValueError(f"shared_memory is one of {', '.join(SHARED_MEMORY)}, not {shared_memory!r}")
        if concurrency < 1 or timeout <= 0:
            raise ValueError("concurrency is at least 1 and timeout above 0")
        self.url, self.concurrency, self.timeout, self.device = url, concurrency, timeout, torch.device(device)
        self.turnstile = Turnstile(concurrency)
        self._tls = tls
        self.client = self._connection()
        self._wanted = shared_memory
        self._shared: str | None = "none" if shared_memory == "none" else None  # None: not tried yet
        self.generation = 0  # how often the connection was lost
        self._users = 0
        self._under_way = 0
        self._closed = False
        self._lock = threading.Lock()
        self._detecting = threading.Lock()

    def _connection(self) -> InferenceServerClient:
        options = self._tls or Tls()
        return InferenceServerClient(
            self.url,
            ssl=self._tls is not None,
            root_certificates=options.root_certificates,
            private_key=options.private_key,
            certificate_chain=options.certificate_chain,
            channel_args=_CHANNEL,
        )

    # -- the connection ----------------------------------------------------------------------------------------------

    @property
    def lane(self) -> str:
        """The name of the lane that its models share."""
        return f"triton:{self.url}"

    @property
    def in_flight(self) -> int:
        """Requests that Triton has not answered."""
        return self._under_way

    def counted(self, change: int) -> None:
        """Count a request that was sent (+1) or answered (-1)."""
        with self._lock:
            self._under_way += change

    def ask(self, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a method of the client that moves no tensors. Raises Unavailable where Triton does not answer."""
        try:
            return method(*args, client_timeout=METADATA_TIMEOUT, **kwargs)
        except InferenceServerException as error:
            if triton_errors.unreachable(error):
                self.lost()
                raise Unavailable(f"Triton at {self.url} does not answer: {error.message()}") from None
            raise
        except ValueError as error:  # grpc's word for a closed channel
            raise Unavailable(f"the connection to Triton at {self.url} is closed") from error

    def models(self) -> dict[str, tuple[str, ...]]:
        """Versions that are ready of every model that Triton has, oldest first."""
        index = self.ask(self.client.get_model_repository_index)
        found: dict[str, list[str]] = {}
        for entry in index.models:
            ready = found.setdefault(entry.name, [])
            if entry.state == "READY":
                ready.append(entry.version)
        return {name: by_age(ready) for name, ready in found.items()}

    def missing(self, model: str) -> Unknown | Unavailable:
        """Why `model` is not served, when it is not."""
        models = self.models()
        if model in models:
            return Unavailable(f"model {model} is not loaded in Triton at {self.url}")
        return Unknown("model", model, models)

    def lost(self) -> None:
        """Triton did not answer: what comes back may be another Triton, with other models."""
        self.generation += 1
        if self._wanted != "none":
            self._shared = None

    def join(self) -> None:
        """Count one more predictor."""
        with self._lock:
            self._users += 1
            if self._closed:
                self.client, self._closed = self._connection(), False

    def leave(self) -> None:
        """Count one predictor less; the last one closes the connection."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self.client.close()
                self._closed = True

    # -- shared memory -----------------------------------------------------------------------------------------------

    @property
    def shared_memory(self) -> str:
        """The kind in use: "system", "cuda" or "none"; "none" until the first batch has found out."""
        return self._shared or "none"

    def region(self, size: int) -> Region:
        """A new region of the kind in use, not registered yet. Raises OSError or RuntimeError."""
        return CudaRegion(size, self.device) if self._shared == "cuda" else SystemRegion(size)

    def pool(self) -> Pool:
        """A pool of regions for one model version."""
        return Pool(self.client, self.region)

    def shares_memory(self) -> bool:
        """Whether batches travel by shared memory. Finds out where it is not known.

        Raises Unavailable where Triton does not answer, Unsupported where the kind was demanded and cannot be had.
        """
        if self._shared is None:
            with self._detecting:
                if self._shared is None:
                    self._shared = self._detect()
        return self._shared != "none"

    def forgo_shared_memory(self) -> None:
        """Use the wire until the connection is lost: a region that was registered could not be read."""
        self._shared = "none"

    def _detect(self) -> str:
        auto = ("cuda", "system") if self.device.type == "cuda" else ("system",)
        reasons = []
        for kind in auto if self._wanted == "auto" else (self._wanted,):
            if (reason := self._reason_against(kind)) is None:
                return kind
            reasons.append(reason)
        if self._wanted != "auto":
            raise Unsupported("SHARED_MEMORY", self.url, f"no {self._wanted} shared memory with Triton: {reasons[0]}")
        return "none"

    def _reason_against(self, kind: str) -> str | None:
        """Register a region under a name that nobody else has, and see that Triton lists it with its size."""
        if kind == "cuda" and self.device.type != "cuda":
            return "rows are not rendered on a GPU"
        try:
            region = CudaRegion(_PROBE_BYTES, self.device) if kind == "cuda" else SystemRegion(_PROBE_BYTES)
        except (OSError, RuntimeError) as error:
            return str(error)
        try:
            region.register(self.client)
            if not region.registered(self.client):
                return "Triton does not list a region that was registered"
            if kind == "system":
                remove_stale(self.client)
        except InferenceServerException as error:
            if triton_errors.unreachable(error):
                raise Unavailable(f"Triton at {self.url} does not answer: {error.message()}") from None
            return error.message()
        finally:
            dismiss(region, self.client)
        return None


def by_age(versions: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Versions with the newest, the largest number, last."""
    return tuple(sorted(versions, key=lambda v: (int(v) if v.isdigit() else -1, v)))
