"""The one table from the domain's errors to gRPC codes with google.rpc details."""

import math
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from sidelight.core import errors
from sidelight.rpc.violations import InvalidFields

DOMAIN = "sidelight"


class Unauthenticated(errors.SidelightError):
    """Credentials are missing."""


class PermissionDenied(errors.SidelightError):
    """Credentials are wrong."""


def _info(reason: str, **metadata: object) -> details.ErrorInfo:
    return details.ErrorInfo(reason=reason, domain=DOMAIN, metadata={k: str(v) for k, v in metadata.items()})


def _retry(seconds: float) -> details.RetryInfo:
    info = details.RetryInfo()
    info.retry_delay.FromNanoseconds(math.ceil(seconds * 1e9))
    return info


def _bad_request(e: errors.InvalidRequest) -> list[Message]:
    found = e.found if isinstance(e, InvalidFields) else (e,)
    violation = details.BadRequest.FieldViolation
    return [details.BadRequest(field_violations=[violation(field=f.field, description=f.mend) for f in found])]


def _not_found(e: errors.Unknown) -> list[Message]:
    return [details.ResourceInfo(resource_type=e.kind, resource_name=e.name, description=str(e))]


def _precondition(e: errors.Unsupported) -> list[Message]:
    violation = details.PreconditionFailure.Violation(type=e.reason, subject=e.subject, description=str(e))
    return [details.PreconditionFailure(violations=[violation]), _info(e.reason, subject=e.subject)]


def _exhausted(e: errors.Exhausted) -> list[Message]:
    violation = details.QuotaFailure.Violation(subject=e.subject, description=str(e))
    retry = [] if e.retry_after is None else [_retry(e.retry_after)]
    return [details.QuotaFailure(violations=[violation]), *retry]


Details = Callable[[Any], list[Message]]
TABLE: dict[type[errors.SidelightError], tuple[grpc.StatusCode, Details]] = {
    errors.InvalidRequest: (grpc.StatusCode.INVALID_ARGUMENT, _bad_request),
    errors.Unknown: (grpc.StatusCode.NOT_FOUND, _not_found),
    errors.Unsupported: (grpc.StatusCode.FAILED_PRECONDITION, _precondition),
    errors.Exhausted: (grpc.StatusCode.RESOURCE_EXHAUSTED, _exhausted),
    errors.Unavailable: (grpc.StatusCode.UNAVAILABLE, lambda e: [_retry(e.retry_after)]),
    errors.VersionGone: (grpc.StatusCode.ABORTED, lambda e: [_info("VERSION_GONE")]),
    errors.DeadlineExceeded: (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        lambda e: [_info("DEADLINE_EXCEEDED", evaluations_done=e.evaluations)],
    ),
    errors.Cancelled: (grpc.StatusCode.CANCELLED, lambda e: []),
    Unauthenticated: (grpc.StatusCode.UNAUTHENTICATED, lambda e: [_info("UNAUTHENTICATED")]),
    PermissionDenied: (grpc.StatusCode.PERMISSION_DENIED, lambda e: [_info("PERMISSION_DENIED")]),
}
BUG = "an error in the service itself; its log has the cause under this request id"


def code_of(error: Exception) -> grpc.StatusCode:
    """The code of an error: that of its nearest class in the table; INTERNAL for what is not the domain's."""
    return next((TABLE[kind][0] for kind in type(error).__mro__ if kind in TABLE), grpc.StatusCode.INTERNAL)


def status_of(error: Exception, request_id: str) -> status_pb2.Status:
    """The status to answer with. An unknown error tells the caller the request id and nothing else."""
    kind = next((kind for kind in type(error).__mro__ if kind in TABLE), None)
    if kind is None:
        message, found = f"{BUG}: {request_id}", [_info("INTERNAL")]
    else:
        message, found = str(error), TABLE[kind][1](error)
    return status_pb2.Status(
        code=code_of(error).value[0], message=message, details=[_packed(d, request_id) for d in found]
    )


def _packed(detail: Message, request_id: str) -> any_pb2.Any:
    if isinstance(detail, details.ErrorInfo):
        detail.metadata["request_id"] = request_id
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
