"""What can go wrong, in plain words.

    SidelightError
    ├── InvalidRequest        a field is wrong: `violations` name it and say what would do; nothing was explained
    ├── NotFound              unknown model, version, method or class: `resource_type`, `resource_name`
    ├── PreconditionFailed    the model cannot do what the method needs: `reason`, `violations`
    ├── ResourceExhausted     queue full or message too large: `retry_after` seconds, `violations`
    ├── Unavailable           the service cannot be reached, or Triton is down: `retry_after` seconds
    ├── Aborted               the model version disappeared in mid-request: send the whole request again
    ├── DeadlineExceeded      not finished in time: `evaluations_done`
    ├── Cancelled             the call was cancelled
    ├── Unauthenticated       no credentials, or wrong ones
    ├── PermissionDenied      these credentials do not allow it
    ├── InternalError         a bug in the service: `request_id` finds it in the service's log
    └── ProtocolError         the service's answer does not keep to the protocol

Arguments that the client itself can tell to be wrong raise InvalidRequest too, without a round trip.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong: `field` (or subject) and what would do."""

    field: str
    description: str


@dataclass(frozen=True)
class Details:
    """The google.rpc details of an error, flattened: at most one of each kind is sent."""

    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None
    reason: str = ""
    info: Mapping[str, str] = field(default_factory=dict)
    resource_type: str = ""
    resource_name: str = ""


class SidelightError(Exception):
    """The base of all errors of this package."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, details: Details | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or Details()

    @property
    def request_id(self) -> str:
        """The id under which the service logged the request; empty where it did not say."""
        return self.details.info.get("request_id", "")


class _WithViolations(SidelightError):
    @property
    def violations(self) -> tuple[Violation, ...]:
        """What is wrong, one entry for each field or subject."""
        return self.details.violations

    def __str__(self) -> str:
        unsaid = [v for v in self.violations if v.description not in self.message]
        return "\n".join([self.message, *(f"  {v.field}: {v.description}" for v in unsaid)])


class _WithRetry(SidelightError):
    @property
    def retry_after(self) -> float | None:
        """Seconds after which another attempt makes sense; None where the service did not say."""
        return self.details.retry_after


class InvalidRequest(_WithViolations):
    code = grpc.StatusCode.INVALID_ARGUMENT

    @classmethod
    def of(cls, name: str, description: str) -> "InvalidRequest":
        """The error for one wrong argument."""
        return cls(f"{name}: {description}", Details(violations=(Violation(name, description),)))


class NotFound(SidelightError):
    code = grpc.StatusCode.NOT_FOUND

    @property
    def resource_type(self) -> str:
        return self.details.resource_type

    @property
    def resource_name(self) -> str:
        return self.details.resource_name


class PreconditionFailed(_WithViolations):
    code = grpc.StatusCode.FAILED_PRECONDITION

    @property
    def reason(self) -> str:
        """A constant in capitals that programs may compare."""
        return self.details.reason


class ResourceExhausted(_WithViolations, _WithRetry):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(_WithRetry):
    code = grpc.StatusCode.UNAVAILABLE


class Aborted(SidelightError):
    code = grpc.StatusCode.ABORTED


class DeadlineExceeded(SidelightError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED

    @property
    def evaluations_done(self) -> int | None:
        """Model evaluations that were done when time ran out; None where nobody knows."""
        done = self.details.info.get("evaluations_done")
        return None if done is None else int(done)


class Cancelled(SidelightError):
    code = grpc.StatusCode.CANCELLED


class Unauthenticated(SidelightError):
    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(SidelightError):
    code = grpc.StatusCode.PERMISSION_DENIED


class InternalError(SidelightError):
    code = grpc.StatusCode.INTERNAL


class ProtocolError(SidelightError):
    code = grpc.StatusCode.DATA_LOSS


BY_CODE: dict[grpc.StatusCode, type[SidelightError]] = {
    kind.code: kind
    for kind in (
        InvalidRequest, NotFound, PreconditionFailed, ResourceExhausted, Unavailable, Aborted, DeadlineExceeded,
        Cancelled, Unauthenticated, PermissionDenied, InternalError, ProtocolError,
    )
}  # fmt: skip


def from_rpc(error: grpc.RpcError, address: str, deadline: float, evaluations_done: int | None) -> SidelightError:
    """The exception for a failed call. `evaluations_done` is what the last progress event told, if there was one."""
    status = rpc_status.from_call(error)
    code = error.code()
    if status is not None:
        details, message = _details(status), status.message
    elif code is grpc.StatusCode.UNAVAILABLE:
        details, message = Details(), f"cannot reach the service at {address}: {_last_cause(error.details())}"
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        # The local clock ran out first: the service had no say, so say what it would have said.
        info = {} if evaluations_done is None else {"evaluations_done": str(evaluations_done)}
        details = Details(info=info)
        message = f"no answer within {deadline:g} s; allow more time, ask for fewer evaluations or for a partial answer"
    else:
        details, message = Details(), error.details() or code.name
    return BY_CODE.get(code, SidelightError)(message, details)


def _last_cause(text: str) -> str:
    """gRPC chains causes from the outside in, "last error: UNKNOWN: ipv4:…: connect: Connection refused"."""
    return text.rpartition(": ")[2] or "no connection"


def _details(status: status_pb2.Status) -> Details:
    """The details of a google.rpc.Status. Kinds that this client does not know are left out."""
    found: dict = {"violations": ()}
    for packed in status.details:
        if (bad := _unpack(packed, error_details_pb2.BadRequest)) is not None:
            found["violations"] += tuple(Violation(v.field, v.description) for v in bad.field_violations)
        elif (failure := _unpack(packed, error_details_pb2.PreconditionFailure)) is not None:
            found["violations"] += tuple(Violation(v.subject or v.type, v.description) for v in failure.violations)
        elif (quota := _unpack(packed, error_details_pb2.QuotaFailure)) is not None:
            found["violations"] += tuple(Violation(v.subject, v.description) for v in quota.violations)
        elif (retry := _unpack(packed, error_details_pb2.RetryInfo)) is not None:
            found["retry_after"] = retry.retry_delay.ToTimedelta().total_seconds()
        elif (info := _unpack(packed, error_details_pb2.ErrorInfo)) is not None:
            found |= {"reason": info.reason, "info": dict(info.metadata)}
        elif (resource := _unpack(packed, error_details_pb2.ResourceInfo)) is not None:
            found |= {"resource_type": resource.resource_type, "resource_name": resource.resource_name}
    return Details(**found)


def _unpack(packed: Any, kind: type[M]) -> M | None:
    message = kind()
    return message if packed.Unpack(message) else None
