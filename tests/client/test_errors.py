"""Every error of the protocol becomes its exception, with what the service said about it."""

import time

import grpc
import pytest
from client.canned_service import accepted, progress, refusal
from google.rpc import error_details_pb2 as details
from sidelight_client import (
    Aborted,
    Cancelled,
    Client,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    ResourceExhausted,
    SidelightError,
    Unauthenticated,
    Unavailable,
    Violation,
)
from sidelight_client.errors import BY_CODE

Code = grpc.StatusCode


@pytest.fixture
def refused(ask, service):
    """Raises what the client makes of a refusal."""

    def raised(*status) -> SidelightError:
        service.refusals = [refusal(*status)] * 5
        with pytest.raises(SidelightError) as caught:
            ask("explain", b"photo", model="tiny")
        return caught.value

    return raised


def test_invalid_argument_names_the_fields(refused):
    bad = details.BadRequest(field_violations=[{"field": "rise.keep", "description": "must lie between 0 and 1"}])
    error = refused(Code.INVALID_ARGUMENT, "the request is not valid", bad)
    assert isinstance(error, InvalidRequest)
    assert error.violations == (Violation("rise.keep", "must lie between 0 and 1"),)
    assert str(error) == "the request is not valid\n  rise.keep: must lie between 0 and 1"


def test_a_violation_that_the_message_already_tells_is_not_told_twice(refused):
    bad = details.BadRequest(field_violations=[{"field": "rise.keep", "description": "must lie between 0 and 1"}])
    error = refused(Code.INVALID_ARGUMENT, "rise.keep: must lie between 0 and 1", bad)
    assert str(error) == "rise.keep: must lie between 0 and 1"


def test_not_found_names_the_resource(refused):
    error = refused(
        Code.NOT_FOUND, "no model 'tini'", details.ResourceInfo(resource_type="model", resource_name="tini")
    )
    assert isinstance(error, NotFound) and (error.resource_type, error.resource_name) == ("model", "tini")


def test_failed_precondition_has_a_reason_for_programs(refused):
    failure = details.PreconditionFailure(violations=[{"type": "TWIN", "subject": "tiny", "description": "no twin"}])
    error = refused(Code.FAILED_PRECONDITION, "needs gradients", failure, details.ErrorInfo(reason="NO_TWIN"))
    assert isinstance(error, PreconditionFailed)
    assert error.reason == "NO_TWIN" and error.violations == (Violation("tiny", "no twin"),)


def test_resource_exhausted_says_when_to_come_back_and_is_not_retried(refused, service):
    retry = details.RetryInfo(retry_delay={"seconds": 2, "nanos": 500_000_000})
    error = refused(Code.RESOURCE_EXHAUSTED, "queue full", details.QuotaFailure(), retry)
    assert isinstance(error, ResourceExhausted) and error.retry_after == 2.5
    assert len(service.requests) == 1


def test_deadline_exceeded_tells_the_evaluations_done(refused):
    error = refused(Code.DEADLINE_EXCEEDED, "too late", details.ErrorInfo(metadata={"evaluations_done": "320"}))
    assert isinstance(error, DeadlineExceeded) and error.evaluations_done == 320


def test_internal_error_holds_the_request_id(refused):
    error = refused(Code.INTERNAL, "a bug", details.ErrorInfo(metadata={"request_id": "r-9"}))
    assert isinstance(error, InternalError) and error.request_id == "r-9"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.ABORTED, Aborted),
        (Code.CANCELLED, Cancelled),
        (Code.UNAUTHENTICATED, Unauthenticated),
        (Code.PERMISSION_DENIED, PermissionDenied),
        (Code.UNIMPLEMENTED, SidelightError),
    ],
)
def test_the_other_codes_have_their_own_exception(refused, code, kind):
    assert type(refused(code, "no")) is kind


def test_every_exception_of_the_tree_is_reached_by_its_code():
    assert all(kind.code is code for code, kind in BY_CODE.items())


def test_a_deadline_that_passes_here_tells_the_evaluations_of_the_last_progress(ask, service):
    def slow(request, context):
        yield accepted()
        yield progress(640)
        time.sleep(1)

    service.script = slow
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.4 s") as caught:
        ask("explain", b"photo", model="tiny", deadline=0.4)
    assert time.monotonic() - started < 0.9
    assert caught.value.evaluations_done == 640


def test_a_service_that_is_not_there_is_named_in_plain_words():
    with Client("127.0.0.1:1") as client, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: Connection refused"):
        client.catalogue(deadline=0.3)
