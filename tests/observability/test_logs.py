"""Logs: one JSON object a line, with the request's id."""

import asyncio
import io
import json
import logging

import grpc
import pytest
from doubles import LinearPredictor
from in_process import request, running
from sidelight.rpc.observer import request_id
from sidelight.telemetry import JsonLines
from sidelight_proto.v1.explanation_pb2 import Rise


@pytest.fixture
def lines():
    """What the service logs while the test runs, as a function that reads it."""
    buffer, logger = io.StringIO(), logging.getLogger("sidelight")
    handler = logging.StreamHandler(buffer)
    handler.setFormatter(JsonLines())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in buffer.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_line_has_its_time_level_message_extras_and_exception():
    record = logging.LogRecord("sidelight.x", logging.WARNING, "f.py", 1, "model %s is away", ("m",), None)
    record.model = "m"
    line = json.loads(JsonLines().format(record))
    assert (line["level"], line["message"], line["model"]) == ("warning", "model m is away", "m")
    assert line["time"].endswith("Z")
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "broken" in json.loads(text)["exception"]


async def test_each_call_is_one_line_with_the_request_id_its_code_and_what_was_wrong(lines):
    async with running(LinearPredictor()) as up:
        await up.stub.Explain(request(id="mine"))
        with pytest.raises(grpc.aio.AioRpcError):
            await up.stub.Explain(request(rise=Rise(masks=0)), metadata=[("x-request-id", "proxy-7")])
    calls = {line["request_id"]: line for line in lines() if line["logger"] == "sidelight.rpc.interceptors"}
    assert calls["mine"]["code"] == "OK"
    assert calls["proxy-7"]["code"] == "INVALID_ARGUMENT"
    assert "rise.masks" in calls["proxy-7"]["error"]
    assert calls["mine"]["seconds"] > 0


async def test_requests_at_once_do_not_mix_their_ids(lines):
    async with running(LinearPredictor()) as up:
        ids = [f"r-{i}" for i in range(10)]
        await asyncio.gather(*(up.stub.Explain(request(id=i)) for i in ids))
    logged = [line["request_id"] for line in lines() if line["logger"] == "sidelight.rpc.interceptors"]
    assert sorted(logged) == sorted(ids)
    assert request_id.get() == ""
