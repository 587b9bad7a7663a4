"""The table of errors: complete, and each with the details that a program can act on."""

import grpc
import pytest
from google.rpc import error_details_pb2 as google
from sidelight.core import errors
from sidelight.predictors.card import CardError
from sidelight.rpc import status
from sidelight.rpc.violations import InvalidFields

ERRORS = [
    (errors.InvalidRequest("rise.masks", "at least 2"), grpc.StatusCode.INVALID_ARGUMENT, {google.BadRequest}),
    (errors.Unknown("model", "catt", ["cat"]), grpc.StatusCode.NOT_FOUND, {google.ResourceInfo}),
    (
        errors.Unsupported("NO_TWIN", "cat", "no twin"),
        grpc.StatusCode.FAILED_PRECONDITION,
        {google.PreconditionFailure, google.ErrorInfo},
    ),
    (
        errors.ModelFailed("cat", "out of order"),
        grpc.StatusCode.FAILED_PRECONDITION,
        {google.PreconditionFailure, google.ErrorInfo},
    ),
    (
        errors.NonFinite("cat"),
        grpc.StatusCode.FAILED_PRECONDITION,
        {google.PreconditionFailure, google.ErrorInfo},
    ),
    (
        errors.Exhausted("queue", "full", retry_after=1.5),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        {google.QuotaFailure, google.RetryInfo},
    ),
    (errors.Exhausted("message size", "too large"), grpc.StatusCode.RESOURCE_EXHAUSTED, {google.QuotaFailure}),
    (errors.Unavailable("down", retry_after=2.0), grpc.StatusCode.UNAVAILABLE, {google.RetryInfo}),
    (errors.VersionGone("cat", "3"), grpc.StatusCode.ABORTED, {google.ErrorInfo}),
    (errors.DeadlineExceeded("late", 128), grpc.StatusCode.DEADLINE_EXCEEDED, {google.ErrorInfo}),
    (errors.Cancelled(), grpc.StatusCode.CANCELLED, set()),
    (status.Unauthenticated("no token"), grpc.StatusCode.UNAUTHENTICATED, {google.ErrorInfo}),
    (status.PermissionDenied("wrong token"), grpc.StatusCode.PERMISSION_DENIED, {google.ErrorInfo}),
]
KINDS = {k.DESCRIPTOR.full_name: k for k in vars(google).values() if hasattr(k, "DESCRIPTOR") and isinstance(k, type)}


def unpacked(found):
    kinds = [KINDS[d.type_url.rpartition("/")[2]] for d in found.details]
    messages = [kind() for kind in kinds]
    for message, packed in zip(messages, found.details, strict=True):
        packed.Unpack(message)
    return dict(zip(kinds, messages, strict=True))


@pytest.mark.parametrize(("error", "code", "kinds"), ERRORS, ids=lambda x: type(x).__name__)
def test_each_error_has_its_code_its_message_and_its_details(error, code, kinds):
    found = status.status_of(error, "r-1")
    assert (found.code, found.message) == (code.value[0], str(error))
    assert unpacked(found).keys() == kinds


def subclasses(kind):
    return {kind} | {s for child in kind.__subclasses__() for s in subclasses(child)}


def test_every_error_of_the_domain_has_a_code():
    unmapped = [e for e in subclasses(errors.SidelightError) - {errors.SidelightError} if not in_table(e)]
    assert unmapped == []


def in_table(kind):
    return any(base in status.TABLE for base in kind.__mro__)


def test_several_wrong_fields_are_told_in_one_answer():
    wrong = InvalidFields((errors.InvalidRequest("a", "not b"), errors.InvalidRequest("c", "not d")))
    bad = unpacked(status.status_of(wrong, "r-1"))[google.BadRequest]
    assert [(v.field, v.description) for v in bad.field_violations] == [("a", "not b"), ("c", "not d")]


def test_retry_info_tells_how_long_to_wait():
    retry = unpacked(status.status_of(errors.Unavailable("down", 2.25), "r-1"))[google.RetryInfo]
    assert retry.retry_delay.ToTimedelta().total_seconds() == 2.25


def test_a_missed_deadline_tells_the_evaluations_done():
    info = unpacked(status.status_of(errors.DeadlineExceeded("late", 128), "r-1"))[google.ErrorInfo]
    assert (info.domain, dict(info.metadata)) == ("sidelight", {"evaluations_done": "128", "request_id": "r-1"})


def test_a_bug_tells_its_request_id_and_nothing_of_its_cause():
    found = status.status_of(KeyError("secret path"), "r-77")
    assert found.code == grpc.StatusCode.INTERNAL.value[0]
    assert "r-77" in found.message
    assert "secret" not in str(found)


def test_a_model_card_that_contradicts_its_model_is_a_precondition():
    assert status.code_of(CardError(None, "output.name", "which?", "m")) is grpc.StatusCode.FAILED_PRECONDITION
