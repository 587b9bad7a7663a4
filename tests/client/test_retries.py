"""Retries follow the published policy."""

import json
import time
from pathlib import Path

import grpc
import pytest
from client.canned_service import accepted, away, refusal
from google.rpc import status_pb2
from grpc_status import rpc_status
from sidelight_client import Client, SidelightError, Unavailable
from sidelight_client.retry import Attempts, published_policy
from sidelight_proto.v1 import explanation_pb2, explanation_pb2_grpc

CONFIG = Path(__file__).parents[2] / "proto" / "sidelight" / "v1" / "service_config.json"
CALLS = {
    "explain": {"args": [b"photo"], "model": "tiny"},
    "estimate": {"args": [b"photo"], "model": "tiny"},
    "catalogue": {"args": []},
}


def call(ask, name, **more):
    arguments = dict(CALLS[name])
    return ask(name, *arguments.pop("args"), **arguments, **more)


@pytest.mark.parametrize("name", CALLS)
def test_a_service_that_is_unavailable_twice_is_asked_three_times(ask, service, name):
    service.refusals = [away(0.0), away(0.0)]
    assert call(ask, name) is not None
    assert len(service.requests) == 3


@pytest.mark.parametrize("name", CALLS)
def test_a_service_that_stays_unavailable_is_asked_as_often_as_published(ask, service, name, monkeypatch):
    monkeypatch.setattr("sidelight_client.retry.random.uniform", lambda low, high: 0.01)  # the pauses, not the count
    service.refusals = [away(0.0)] * 9
    with pytest.raises(Unavailable, match="Triton is down"):
        call(ask, name)
    assert len(service.requests) == published_policy().max_attempts


@pytest.mark.parametrize("code", set(grpc.StatusCode) - {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE})
def test_no_other_error_is_tried_again(address, service, code):
    service.refusals = [refusal(code, "no")]
    with Client(address) as client, pytest.raises(SidelightError):
        client.estimate(b"photo", model="tiny")
    assert len(service.requests) == 1


def test_the_next_attempt_waits_as_long_as_the_service_says(ask, service):
    service.refusals = [away(0.7)]
    started = time.monotonic()
    call(ask, "catalogue")
    assert 0.7 <= time.monotonic() - started < 2.0


def test_a_pause_that_outlasts_the_deadline_is_not_begun(ask, service):
    service.refusals = [away(30.0)]
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        call(ask, "explain", deadline=5)
    assert time.monotonic() - started < 1 and caught.value.retry_after == 30


def test_an_explanation_that_has_sent_events_is_not_begun_again(ask, service):
    def fall_over(request, context):
        yield accepted()
        context.abort_with_status(rpc_status.to_status(away(0.0)))

    service.script = fall_over
    with pytest.raises(Unavailable):
        call(ask, "explain")
    assert len(service.requests) == 1


def test_backoff_grows_as_published_and_is_spread():
    policy, attempts = published_policy(), Attempts(deadline=1e6)
    pauses = [attempts.pause(Unavailable("away")) for _ in range(policy.max_attempts - 1)]
    for n, pause in enumerate(pauses):
        assert 0.8 <= pause / (policy.initial_backoff * policy.multiplier**n) <= 1.2
    assert len({pause / policy.multiplier**n for n, pause in enumerate(pauses)}) > 1


def test_health_that_waits_outlasts_more_refusals_than_the_policy_has_attempts(ask, service):
    service.health.ready_after = published_policy().max_attempts + 2
    assert ask("health") == "NOT_SERVING"
    assert ask("health", wait=True, deadline=20) == "SERVING"
    assert service.health.checks == service.health.ready_after


def test_the_policy_is_a_service_config_that_grpc_itself_accepts(service, address):
    config = CONFIG.read_text()
    service.refusals = [status_pb2.Status(code=14, message="away")] * 2
    options = [("grpc.service_config", config), ("grpc.enable_retries", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        explanation_pb2_grpc.ExplanationServiceStub(channel).GetCatalogue(explanation_pb2.GetCatalogueRequest())
    assert len(service.requests) == 3
    assert json.loads(config)["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
