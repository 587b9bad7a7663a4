"""What goes wrong, through the real server: each ends in its code, harms no neighbour and leaves nothing behind."""

import asyncio
import gc
import threading
import time
import weakref
from dataclasses import replace

import grpc
import pytest
from doubles import DownPredictor, LinearPredictor, PoisonPredictor, RemotePredictor, SlowPredictor
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2 as google
from grpc_health.v1 import health_pb2
from in_process import all_ready, details, encoded, pixels, request, running
from sidelight.core.errors import Unavailable
from sidelight.core.inputs import ImageInput
from sidelight.rpc.server import CannotListen
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import (
    EstimateCostRequest,
    ExplainRequest,
    ExplainStreamRequest,
    GetCatalogueRequest,
    Rise,
)

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
PARTIAL = types_pb2.Budget(allow_partial=True)
LONG = Rise(masks=100_000)
EVALUATIONS = {"method": "rise", "model": "linear", "executor": "embedded"}


async def refused(call, code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() is code, raised.value
    return raised.value


async def drawn(stream) -> list:
    return [event async for event in stream]


def tensors(answer) -> list[bytes]:
    return [m.tensor.contents for r in answer.results for m in r.maps]


async def until(holds, seconds: float = 5.0) -> None:
    """Return when `holds()`; AssertionError when it does not in time."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come to hold in time"
        await asyncio.sleep(0.01)


async def test_at_the_deadline_a_partial_answer_comes_in_time_and_is_replayed_exactly_by_its_rows():
    async with running(SlowPredictor(0.01)) as up:
        asked = request(rise=LONG, budget=PARTIAL)
        answer = await up.stub.Explain(asked, timeout=1.0)
        (result,) = answer.results
        assert result.stop_reason == types_pb2.STOP_REASON_DEADLINE
        assert 0 < result.rows_done < LONG.masks
        assert not result.converged
        assert any("cut short" in w for w in result.warnings)
        assert answer.resolved.budget.max_evaluations == result.rows_done
        again = ExplainRequest()
        again.CopyFrom(answer.resolved)
        again.input.CopyFrom(asked.input)
        replayed = await up.stub.Explain(again)
        assert replayed.results[0].rows_done == result.rows_done
        assert tensors(replayed) == tensors(answer)
        assert up.metric("sidelight_partial_total", reason="deadline") == 1


async def test_what_would_not_end_in_time_is_refused_at_the_door():
    predictor = SlowPredictor(0.01)
    async with running(predictor) as up:
        calls = len(predictor.calls)
        error = await refused(up.stub.Explain(request(rise=LONG), timeout=2.0), grpc.StatusCode.DEADLINE_EXCEEDED)
        assert "budget.allow_partial" in error.details()
        assert len(predictor.calls) == calls


async def test_a_deadline_that_is_missed_tells_the_evaluations_done():
    predictor = SlowPredictor(0.0)
    async with running(predictor) as up:
        predictor.seconds = 0.05  # slower than what was measured, so the door lets it in
        error = await refused(
            up.stub.Explain(request(rise=Rise(masks=1000)), timeout=0.5), grpc.StatusCode.DEADLINE_EXCEEDED
        )
        (info,) = details(error, google.ErrorInfo)
        assert 0 < int(info.metadata["evaluations_done"]) < 1000


async def test_a_deadline_that_has_passed_already_is_exceeded():
    async with running(LinearPredictor()) as up:
        await refused(up.stub.Explain(request(), timeout=1e-6), grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_when_the_caller_is_gone_the_work_stops_with_the_batches_in_flight():
    async with running(SlowPredictor(0.02)) as up:
        call = up.stub.ExplainStream(ExplainStreamRequest(explanation=request(rise=LONG)))
        async for event in call:
            if event.progress.evaluations_done:
                break
        call.cancel()
        await until(lambda: up.metric("sidelight_queue_depth") == 0)
        await asyncio.sleep(0.1)  # what was in flight ends
        done = up.metric("sidelight_model_evaluations_total", **EVALUATIONS)
        await asyncio.sleep(0.3)
        assert up.metric("sidelight_model_evaluations_total", **EVALUATIONS) == done
        labels = {"method": "rise", "model": "linear", "outcome": "CANCELLED"}
        assert up.metric("sidelight_explanations_total", **labels) == 1
        assert (await up.stub.Explain(request())).results


async def test_a_unary_call_that_is_given_up_stops_too():
    async with running(SlowPredictor(0.02)) as up:
        call = up.stub.Explain(request(rise=LONG))
        await until(lambda: up.metric("sidelight_model_evaluations_total", **EVALUATIONS) > 0)
        call.cancel()
        await until(lambda: up.metric("sidelight_queue_depth") == 0)


async def test_when_all_places_are_taken_the_next_is_told_when_to_come_back():
    async with running(SlowPredictor(0.02), max_requests=1) as up:
        first = up.stub.ExplainStream(ExplainStreamRequest(explanation=request(rise=LONG)))
        assert (await first.read()).HasField("accepted")
        error = await refused(up.stub.Explain(request()), grpc.StatusCode.RESOURCE_EXHAUSTED)
        (retry,) = details(error, google.RetryInfo)
        assert retry.retry_delay.ToTimedelta().total_seconds() > 0
        (quota,) = details(error, google.QuotaFailure)
        assert quota.violations[0].subject == "queue"
        first.cancel()
        await until(lambda: up.metric("sidelight_queue_depth") == 0)
        assert (await up.stub.Explain(request())).results


def first_pixel(value: int) -> types_pb2.Input:
    image = pixels()
    image[0, 0] = value
    return types_pb2.Input(image=encoded(image))


async def test_nan_from_the_model_fails_its_own_request_only():
    predictor = PoisonPredictor()
    predictor.nan = 200 / 255
    async with running(predictor) as up:
        # The unperturbed input is a row of every explanation, and its first pixel marks it.
        marked = request(input=first_pixel(200))
        bad, good = await asyncio.gather(up.stub.Explain(marked), up.stub.Explain(request()), return_exceptions=True)
        assert bad.code() is grpc.StatusCode.FAILED_PRECONDITION
        (info,) = details(bad, google.ErrorInfo)
        assert info.reason == "NON_FINITE_OUTPUT"
        assert good.results


async def test_a_row_that_breaks_the_model_fails_its_own_request_only():
    predictor = PoisonPredictor()
    predictor.poison = 100 / 255
    async with running(predictor) as up:
        bad, good = await asyncio.gather(
            up.stub.Explain(request(input=first_pixel(100))), up.stub.Explain(request()), return_exceptions=True
        )
        assert bad.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert details(bad, google.ErrorInfo)[0].reason == "MODEL_FAILED"
        assert good.results


async def test_a_request_over_the_limit_is_refused_and_the_next_is_served():
    async with running(LinearPredictor(), max_request_bytes=100_000) as up:
        large = request(input=types_pb2.Input(image=bytes(200_000)))
        await refused(up.stub.Explain(large), grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert (await up.stub.Explain(request())).results


async def test_wrong_fields_arrive_at_the_caller_one_by_one():
    async with running(LinearPredictor()) as up:
        wrong = request(rise=Rise(masks=0), budget=types_pb2.Budget(tolerance=-1))
        for call in (up.stub.Explain(wrong), up.stub.EstimateCost(EstimateCostRequest(explanation=wrong))):
            error = await refused(call, grpc.StatusCode.INVALID_ARGUMENT)
            (bad,) = details(error, google.BadRequest)
            assert [v.field for v in bad.field_violations] == ["rise.masks", "budget.tolerance"]


async def test_a_method_that_this_service_does_not_know_is_refused_with_those_it_knows():
    async with running(LinearPredictor()) as up:
        newer = request()
        newer.ClearField("rise")
        newer.MergeFromString(b"\x9a\x06\x00")  # field 99, an empty message: some later method
        error = await refused(up.stub.Explain(newer), grpc.StatusCode.INVALID_ARGUMENT)
        assert "rise" in error.details()


async def test_an_unknown_model_is_not_found_with_close_matches():
    async with running(LinearPredictor()) as up:
        error = await refused(
            up.stub.Explain(request(models=[types_pb2.ModelRef(name="linaer")])), grpc.StatusCode.NOT_FOUND
        )
        (resource,) = details(error, google.ResourceInfo)
        assert (resource.resource_type, resource.resource_name) == ("model", "linaer")
        assert "linear" in error.details()


class BuggyPredictor(LinearPredictor):
    """Has a bug in `spec` for version 2."""

    def spec(self, version=None):
        if version == "2":
            raise KeyError("a secret of the service")
        return super().spec(version)


async def test_a_bug_is_internal_with_its_request_id_in_answer_and_log(caplog):
    async with running(BuggyPredictor()) as up:
        broken = request(models=[types_pb2.ModelRef(name="linear", version="2")])
        call = up.stub.Explain(broken, metadata=[("x-request-id", "r-99")])
        error = await refused(call, grpc.StatusCode.INTERNAL)
        assert details(error, google.ErrorInfo)[0].metadata["request_id"] == "r-99"
        assert "secret" not in str(error)
        assert "a secret of the service" in caplog.text


class AwayPredictor(LinearPredictor):
    """Does not answer while `away`."""

    away = False

    def versions(self):
        if self.away:
            raise Unavailable("Triton is down")
        return super().versions()


async def test_a_model_that_is_away_is_unavailable_with_a_hint_and_serves_again_when_it_is_back():
    predictor = AwayPredictor()
    predictor.away = True
    async with running(predictor, LinearPredictor("other"), wait=False) as up:
        await until(lambda: up.service.roster.find("other").ready)
        error = await refused(up.stub.Explain(request()), grpc.StatusCode.UNAVAILABLE)
        assert details(error, google.RetryInfo)
        assert "Triton is down" in error.details()
        assert (await up.stub.Explain(request(models=[types_pb2.ModelRef(name="other")]))).results
        assert up.metric("sidelight_model_ready", model="linear") == 0
        predictor.away = False
        await all_ready(up.service)
        assert (await up.stub.Explain(request())).results
        predictor.away = True
        await until(lambda: not up.service.roster.find("linear").ready)
        (entry,) = (await up.stub.GetCatalogue(GetCatalogueRequest(model="linear"))).models
        assert (entry.ready, "Triton is down" in entry.reason) == (False, True)


async def test_rows_lost_in_mid_request_are_unavailable_and_neighbours_are_unharmed():
    remote = RemotePredictor()
    async with running(remote, LinearPredictor("other", lane="cpu2"), wait=False) as up:
        while not up.service.roster.find("linear").ready:  # the probe's three sweeps
            for call in remote.pending:
                call.end()
            await asyncio.sleep(0.01)
        before = len(remote.pending)
        call = asyncio.ensure_future(up.stub.Explain(request()))
        await until(lambda: len(remote.pending) > before)
        remote.pending[-1].end(Unavailable("the connection broke"))
        error = await refused(call, grpc.StatusCode.UNAVAILABLE)
        assert "the connection broke" in error.details()
        assert (await up.stub.Explain(request(models=[types_pb2.ModelRef(name="other")]))).results


async def test_a_service_without_a_ready_model_is_alive_but_not_ready():
    async with running(DownPredictor(), wait=False) as up:
        assert await up.status() == NOT_SERVING
        assert (await up.health.Check(health_pb2.HealthCheckRequest(service=""))).status == SERVING
    async with running(LinearPredictor()) as up:
        await asyncio.sleep(0.05)
        assert await up.status() == SERVING


async def test_a_model_that_comes_back_is_probed_again_before_it_is_offered():
    predictor = AwayPredictor()
    async with running(predictor) as up:
        calls = len(predictor.calls)
        predictor.away = True
        await until(lambda: not up.service.roster.find("linear").ready)
        assert len(predictor.calls) == calls
        predictor.away = False
        await until(lambda: up.service.roster.find("linear").ready)
        assert len(predictor.calls) > calls


class NewVersionPredictor(LinearPredictor):
    """Serves the versions in `served`, the last the newest."""

    served = ("1",)

    def versions(self):
        return self.served

    def spec(self, version=None):
        return replace(super().spec(), version=version or self.served[-1])


async def test_a_new_version_is_probed_and_then_answers_and_the_old_can_still_be_asked():
    predictor = NewVersionPredictor()
    async with running(predictor) as up:
        assert (await up.stub.Explain(request())).results[0].model.model.version == "1"
        predictor.served = ("1", "2")
        await until(lambda: up.service.roster.find("linear").offer.spec.version == "2")
        assert (await up.stub.Explain(request())).results[0].model.model.version == "2"
        old = request(models=[types_pb2.ModelRef(name="linear", version="1")])
        assert (await up.stub.Explain(old)).results[0].model.model.version == "1"


async def test_tokens_are_asked_for_and_health_stays_open():
    async with running(LinearPredictor(), tokens=("sesame",)) as up:
        await refused(up.stub.Explain(request()), grpc.StatusCode.UNAUTHENTICATED)
        wrong = [("authorization", "Bearer guess")]
        await refused(up.stub.Explain(request(), metadata=wrong), grpc.StatusCode.PERMISSION_DENIED)
        right = [("authorization", "Bearer sesame")]
        assert (await up.stub.Explain(request(), metadata=right)).results
        assert await up.status() == SERVING


async def test_a_port_that_is_taken_is_a_clear_error():
    async with running(LinearPredictor()) as up:
        port = int(up.addresses["grpc"].rpartition(":")[2])
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}"):
            async with running(LinearPredictor(), port=port):
                pass
        metrics = int(up.addresses["metrics"].rpartition(":")[2].removesuffix("/metrics"))
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{metrics}"):
            async with running(LinearPredictor(), metrics_port=metrics):
                pass


async def test_while_draining_new_requests_are_turned_away_and_running_ones_end():
    async with running(SlowPredictor(0.02), drain_seconds=10.0) as up:
        first = asyncio.ensure_future(
            drawn(up.stub.ExplainStream(ExplainStreamRequest(explanation=request(rise=Rise(masks=400)))))
        )
        await until(lambda: up.metric("sidelight_queue_depth") == 1)
        stopping = asyncio.ensure_future(up.service.stop())
        await asyncio.sleep(0.05)
        error = await refused(up.stub.Explain(request()), grpc.StatusCode.UNAVAILABLE)
        assert details(error, google.RetryInfo)
        assert await up.status() == NOT_SERVING
        assert (await first)[-1].HasField("result")
        await stopping


async def test_what_runs_longer_than_the_drain_is_killed_as_unavailable():
    async with running(SlowPredictor(0.02), drain_seconds=0.1) as up:
        call = asyncio.ensure_future(up.stub.Explain(request(rise=LONG)))
        await until(lambda: up.metric("sidelight_queue_depth") == 1)
        stopping = asyncio.ensure_future(up.service.stop())
        await refused(call, grpc.StatusCode.UNAVAILABLE)
        await stopping


async def test_a_hundred_requests_leave_no_thread_and_no_place_taken():
    async with running(LinearPredictor()) as up:
        await asyncio.gather(*(up.stub.Explain(request(seed=i)) for i in range(20)))
        threads = threading.active_count()
        for i in range(100):
            await up.stub.Explain(request(seed=i))
        assert threading.active_count() <= threads + 8  # pools that were not full yet
        assert up.metric("sidelight_queue_depth") == 0


@pytest.mark.parametrize("end", ["answered", "late", "refused", "failed", "cancelled", "stream cancelled"])
async def test_a_request_that_has_ended_is_freed_at_once_whatever_its_end(end, monkeypatch):
    """Without a garbage collection: that comes late, and each request holds megabytes until then."""
    image = encoded(pixels(200, 300))
    asked = {
        "answered": request(input=types_pb2.Input(image=image)),
        "refused": request(input=types_pb2.Input(image=image), rise=Rise(masks=2**32 - 1)),
        "failed": request(models=[types_pb2.ModelRef(name="poison")], input=first_pixel(100)),
    }.get(end, request(input=types_pb2.Input(image=image), rise=LONG))

    async def ask(up) -> None:
        if end == "answered":
            await up.stub.Explain(asked)
        elif end == "late":
            await refused(up.stub.Explain(asked, timeout=0.2), grpc.StatusCode.DEADLINE_EXCEEDED)
        elif "cancelled" in end:
            streamed = ExplainStreamRequest(explanation=asked, preview_interval=duration_pb2.Duration(nanos=10**8))
            call = up.stub.ExplainStream(streamed) if "stream" in end else up.stub.Explain(asked)
            await until(lambda: held() > 0)
            call.cancel()
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await up.stub.Explain(asked)

    alive: weakref.WeakSet[ImageInput] = weakref.WeakSet()
    made = ImageInput.__init__

    def making(x: ImageInput, *args: object, **kwargs: object) -> None:
        made(x, *args, **kwargs)
        alive.add(x)

    # Not by gc.get_objects(): what it finds half made in another thread is then broken there.
    monkeypatch.setattr(ImageInput, "__init__", making)

    def held() -> int:
        """Inputs alive, but for the probes'."""
        return len(alive) - others

    poison = PoisonPredictor(name="poison")
    poison.poison = 100 / 255
    async with running(SlowPredictor(0.001), poison) as up:
        others = 0
        gc.collect()
        others = len(alive)
        gc.disable()
        try:
            for _ in range(3):
                await ask(up)
            await until(lambda: held() == 0)
        finally:
            gc.enable()
