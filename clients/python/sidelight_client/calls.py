"""What the synchronous and the asyncio client share: the connection, and each call as data.

A client is a thin shell that waits, the one by blocking and the other by awaiting; what to send, how to read the
answer, and whether to try again is decided here.
"""

import datetime
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sidelight_proto.v1 import explanation_pb2, explanation_pb2_grpc
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, ExplainStreamRequest, GetCatalogueResponse

from sidelight_client import inputs
from sidelight_client.errors import InvalidRequest, SidelightError, Unavailable, from_rpc
from sidelight_client.events import Estimate, Event, StreamReader
from sidelight_client.question import Question, build
from sidelight_client.results import Explanation
from sidelight_client.retry import Attempts

T = TypeVar("T")
Tls: TypeAlias = bool | str | Path | grpc.ChannelCredentials

EXPLAIN_DEADLINE = 300.0  # seconds
QUICK_DEADLINE = 30.0  # seconds, for calls that evaluate nothing
READINESS = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"].full_name
OPTIONS = (
    # The catalogue of many models with their labels and layers is more than gRPC's own 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", -1),  # the service decides, and says so in words
    ("grpc.enable_retries", 0),  # see retry.py
    # Notices that the network has gone while a call waits. Servers that are not told otherwise take a ping every five
    # minutes and hang up on callers that ping more often.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass
class Call(Generic[T]):
    """One call: `send(timeout)` starts an attempt, `decode` reads its answer, or one message of its stream."""

    send: Callable[[float], Any]
    decode: Callable[[Any], T]
    address: str
    attempts: Attempts

    def pause_after(self, error: grpc.RpcError | SidelightError) -> float:
        """Seconds until the next attempt; raises the error in the client's own terms where there is to be none."""
        return self.attempts.pause(self._in_own_terms(error, None))

    def _in_own_terms(self, error: grpc.RpcError | SidelightError, rows: int | None) -> SidelightError:
        if isinstance(error, grpc.RpcError):
            return from_rpc(error, self.address, self.attempts.deadline, rows)
        return error


@dataclass
class StreamCall(Call[Event | None]):
    """The call of an explanation; its messages go to `reader`."""

    reader: StreamReader

    def pause_after(self, error: grpc.RpcError | SidelightError) -> float:
        last = self.reader.last
        own = self._in_own_terms(error, None if last is None else last.rows)
        if self.reader.started:
            raise own from None  # the caller has seen events of this attempt: not ours to begin again
        return self.attempts.pause(own)


class Connection:
    """The base of both clients. `grpc` is the flavour of gRPC to open channels with."""

    grpc: ClassVar[ModuleType]

    def __init__(self, address: str, *, tls: Tls = False, token: str | None = None) -> None:
        """Connects at the first call.

        address: host:port. tls: True for the system's roots, the path of a PEM file with others, or gRPC credentials.
        token: sent as a bearer token with every call; in clear text without `tls`.
        """
        self.address = address
        self._credentials = _credentials(tls)
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    @cached_property
    def channel(self) -> Any:
        """Opened when first needed, since an asyncio channel belongs to the running loop."""
        options = [*OPTIONS, ("grpc.enable_http_proxy", 0 if _loopback(self.address) else 1)]
        if self._credentials is None:
            return self.grpc.insecure_channel(self.address, options=options)
        return self.grpc.secure_channel(self.address, self._credentials, options=options)

    @cached_property
    def stub(self) -> explanation_pb2_grpc.ExplanationServiceStub:
        return explanation_pb2_grpc.ExplanationServiceStub(self.channel)

    def ask(self, value: object, text: str | None, question: Question) -> tuple[inputs.Source, ExplainRequest]:
        source = inputs.encode(value, text)
        return source, build(source, question)

    def ask_again(self, answer: Explanation, value: object, text: str | None) -> tuple[inputs.Source, ExplainRequest]:
        source = answer.source if value is None and text is None else inputs.encode(value, text)
        if source is None:
            raise InvalidRequest.of("input", "this answer does not hold its input; give it again")
        if answer.message.input_sha256 not in ("", source.sha256):
            raise InvalidRequest.of("input", "is not what this answer explains: its SHA-256 differs")
        request = answer.replay_request()
        request.input.CopyFrom(source.message)
        return source, request

    def explaining(
        self, source: inputs.Source, request: ExplainRequest, deadline: float, preview_every: float | None
    ) -> StreamCall:
        message = ExplainStreamRequest(explanation=request)
        if preview_every is not None:
            message.preview_interval.FromTimedelta(datetime.timedelta(seconds=preview_every))
        reader = StreamReader(source)
        send = _sender(self.stub.ExplainStream, message, self.metadata)
        return StreamCall(send, reader.read, self.address, Attempts(deadline), reader)

    def estimating(self, request: ExplainRequest, deadline: float) -> Call[Estimate]:
        message = explanation_pb2.EstimateCostRequest(explanation=request)
        send = _sender(self.stub.EstimateCost, message, self.metadata)
        return Call(send, Estimate.decode, self.address, Attempts(deadline))

    def listing(self, model: str | None, deadline: float) -> Call[GetCatalogueResponse]:
        send = _sender(self.stub.GetCatalogue, explanation_pb2.GetCatalogueRequest(model=model), self.metadata)
        return Call(send, lambda answer: answer, self.address, Attempts(deadline))

    def checking(self, service: str, deadline: float, wait: bool) -> Call[str]:
        stub = health_pb2_grpc.HealthStub(self.channel)

        def decode(answer: health_pb2.HealthCheckResponse) -> str:
            status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            if wait and status != "SERVING":
                raise Unavailable(f"the service at {self.address} is not ready: {status}")
            return status

        send = _sender(stub.Check, health_pb2.HealthCheckRequest(service=service), self.metadata)
        return Call(send, decode, self.address, Attempts(deadline, patient=wait))


def _sender(rpc: Callable[..., Any], message: Any, metadata: tuple) -> Callable[[float], Any]:
    return lambda timeout: rpc(message, timeout=timeout, metadata=metadata)


def _credentials(tls: Tls) -> grpc.ChannelCredentials | None:
    if isinstance(tls, grpc.ChannelCredentials):
        return tls
    if isinstance(tls, str | Path):
        return grpc.ssl_channel_credentials(Path(tls).read_bytes())
    return grpc.ssl_channel_credentials() if tls else None


def _loopback(address: str) -> bool:
    """A proxy of the environment cannot know what listens on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
