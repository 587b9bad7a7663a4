"""The gRPC server: service, health, reflection."""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
from sidelight_proto.v1 import explanation_pb2, explanation_pb2_grpc

from sidelight.rpc.interceptors import Boundary
from sidelight.rpc.observer import RpcObserver

SERVICE = explanation_pb2.DESCRIPTOR.services_by_name["ExplanationService"].full_name
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class CannotListen(OSError):
    """The address is taken, or is none of this machine's."""


@dataclass(frozen=True)
class Listen:
    """Where and how to listen. `certificate` and `key` are PEM; without them there is no TLS."""

    host: str
    port: int
    max_request_bytes: int
    max_calls: int
    certificate: bytes | None = None
    key: bytes | None = None
    tokens: Sequence[str] = ()


class Server:
    """Make and start it on the event loop that serves it."""

    def __init__(
        self, listen: Listen, servicer: explanation_pb2_grpc.ExplanationServiceServicer, observer: RpcObserver
    ) -> None:
        self._health = HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[Boundary(SERVICE, observer, listen.tokens)],
            options=[
                ("grpc.max_receive_message_length", listen.max_request_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a second service on the same port is a mistake, not a load balancer
            ],
            maximum_concurrent_rpcs=listen.max_calls,
        )
        explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), self._server
        )
        self.host, self.port = listen.host, self._bind(listen)

    def _bind(self, listen: Listen) -> int:
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        address = f"{host}:{listen.port}"
        try:
            if listen.certificate is None:
                return self._server.add_insecure_port(address)
            credentials = grpc.ssl_server_credentials([(listen.key, listen.certificate)])
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {address}: {error}") from error

    async def start(self) -> None:
        """Accept calls; the process is alive, the service not ready yet."""
        await self._health.set("", SERVING)
        await self._health.set(SERVICE, NOT_SERVING)
        await self._server.start()

    async def set_ready(self, ready: bool) -> None:
        """Say whether the service can explain anything now."""
        await self._health.set(SERVICE, SERVING if ready else NOT_SERVING)

    async def stop(self, grace: float) -> None:
        """Accept nothing more; calls that are still running after `grace` seconds are cut off."""
        await self._server.stop(grace)
