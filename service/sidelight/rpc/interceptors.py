"""The boundary of every call: request id, credentials, errors to statuses, metrics, and one line in the log."""

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from sidelight.core.errors import SidelightError
from sidelight.rpc.observer import RpcObserver, request_id
from sidelight.rpc.status import PermissionDenied, Unauthenticated, code_of, status_of

log = logging.getLogger(__name__)

ID_KEY = "x-request-id"
STATUS_KEY = "grpc-status-details-bin"


class Boundary(grpc.aio.ServerInterceptor):
    """Guards the service `service`; others (health, reflection) stay open. Empty `tokens` let everybody in."""

    def __init__(self, service: str, observer: RpcObserver, tokens: Sequence[str] = ()) -> None:
        self._prefix, self._observer = f"/{service}/", observer
        self._tokens = [token.encode() for token in tokens]

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(details)
        if handler is None or not details.method.startswith(self._prefix):
            return handler
        return self._unary(handler, details.method) if handler.unary_unary else self._stream(handler, details.method)

    def _unary(self, handler: grpc.RpcMethodHandler, path: str) -> grpc.RpcMethodHandler:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            async with self._guarded("unary", path, context):
                return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)

    def _stream(self, handler: grpc.RpcMethodHandler, path: str) -> grpc.RpcMethodHandler:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> None:
            async with self._guarded("server_stream", path, context):
                await handler.unary_stream(request, context)

        return grpc.unary_stream_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)

    @asynccontextmanager
    async def _guarded(self, kind: str, path: str, context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
        _, service, method = path.split("/")
        began = time.monotonic()
        metadata = dict(context.invocation_metadata() or ())
        given = str(metadata.get(ID_KEY, ""))[:128]
        request_id.set(given if given.isprintable() and given else uuid.uuid4().hex)
        self._observer.started(kind, service, method)
        code, cause = grpc.StatusCode.OK, {}
        try:
            self._admit(metadata)
            yield
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except SidelightError as error:
            code, cause = code_of(error), {"error": str(error)}
            _refuse(context, error)
        except Exception as error:  # the boundary: whatever is left is a bug, told by its id and logged in full
            code = grpc.StatusCode.INTERNAL
            log.exception("%s failed", path)
            _refuse(context, error)
        finally:
            seconds = time.monotonic() - began
            self._observer.handled(kind, service, method, code.name, seconds)
            log.info("%s", path, extra={"code": code.name, "seconds": round(seconds, 4), **cause})

    def _admit(self, metadata: dict[str, Any]) -> None:
        if not self._tokens:
            return
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send the metadata `authorization: Bearer <token>`")
        if not any(hmac.compare_digest(token.encode(), known) for known in self._tokens):
            raise PermissionDenied("this token is not known here")


def _refuse(context: grpc.aio.ServicerContext, error: Exception) -> None:
    """Answer with the error's status. Not by `abort`: what that raises holds the request until a garbage collection."""
    status = status_of(error, request_id.get())
    context.set_code(code_of(error))
    context.set_details(status.message)
    context.set_trailing_metadata(((STATUS_KEY, status.SerializeToString()), (ID_KEY, request_id.get())))
    _forget_frames(error)


def _forget_frames(error: BaseException | None) -> None:
    """An error and the frames that it came through refer to each other; in those frames lie images and maps."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
