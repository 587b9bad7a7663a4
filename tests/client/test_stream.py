"""Explanations through the stream: events, large tensors in pieces, what a broken stream does."""

import asyncio
import hashlib
import threading

import numpy as np
import pytest
from client.canned_service import MAP, SEED, accepted, answer, chunk, progress, result
from sidelight_client import (
    Accepted,
    AsyncClient,
    Client,
    Explanation,
    InvalidRequest,
    Progress,
    ProtocolError,
    tensors,
)
from sidelight_proto.v1 import types_pb2

CHUNKED = types_pb2.Tensor(name="map", datatype="FP32", shape=MAP.shape, axes=["height", "width"], chunk_id=5)
BYTES = MAP.tobytes()


def script(*messages):
    def follow(request, context):
        yield accepted()
        yield from messages
        yield answer(request.explanation, result(CHUNKED))

    return follow


def test_explain_returns_the_map_as_float32_with_the_numbers_beside_it(ask):
    answer = ask("explain", b"photo", model="tiny")
    best = answer.best
    np.testing.assert_array_equal(best.map, MAP)
    assert best.map.dtype == np.float32
    assert (answer.seed, answer.method, answer.id) == (SEED, "rise", "r-1")
    assert answer.timings == {"queue": 0.5, "infer": 1.25, "total": 2.0}
    assert (best.model, best.version, best.target.index, best.target_name) == ("tiny", "3", 281, "tabby")
    assert (best.evaluations, best.rows_done, best.stop_reason, best.converged) == (4002, 4000, "complete", True)
    assert best.top_classes[1].name == "tiger cat"
    assert best.standard_error is None and best.map_at_input is None and best.units == ()


def test_stream_yields_accepted_then_progress_then_the_explanation(ask):
    events = ask("stream", b"photo", model="tiny")
    assert [type(event) for event in events] == [Accepted, Progress, Progress, Explanation]
    assert events[0].seed == SEED and events[0].estimate.seconds == 8
    assert events[1].queued and events[1].eta is None
    assert events[2].fraction == 0.25 and events[2].eta == pytest.approx(3.0)


def test_on_progress_sees_every_event_but_the_answer(ask):
    seen = []
    ask("explain", b"photo", model="tiny", on_progress=seen.append)
    assert [type(event) for event in seen] == [Accepted, Progress, Progress]


def test_previews_are_arrays_and_their_interval_is_asked_for(ask, service):
    preview = np.stack([MAP, -MAP])

    def follow(request, context):
        yield progress(10, tensors.encode(preview))
        yield answer(request.explanation, result())

    service.script = follow
    events = ask("stream", b"photo", model="tiny", preview_every=1.5)
    np.testing.assert_array_equal(events[0].previews[0], preview)
    assert service.requests[0].preview_interval.ToTimedelta().total_seconds() == 1.5


def test_chunks_of_two_tensors_that_alternate_are_put_together(ask, service):
    service.script = script(chunk(5, 0, BYTES[:50]), chunk(6, 0, b"other"), chunk(5, 50, BYTES[50:]))
    np.testing.assert_array_equal(ask("explain", b"photo", model="tiny").best.map, MAP)


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([chunk(5, 0, BYTES[:50]), chunk(5, 60, BYTES[60:])], "begins at byte 60 where byte 50 was due"),
        ([chunk(5, 0, BYTES[:50]), chunk(5, 0, BYTES)], "begins at byte 0 where byte 50 was due"),
        ([chunk(5, 0, BYTES[:-4])], "has 188 bytes where its shape needs 192"),
        ([chunk(5, 0, BYTES), chunk(5, len(BYTES), b"\0")], "has 193 bytes where its shape needs 192"),
        ([], "which never came"),
    ],
    ids=["gap", "repeat", "short", "long", "missing"],
)
def test_pieces_that_do_not_make_the_tensor_are_a_protocol_error(ask, service, messages, complaint):
    service.script = script(*messages)
    with pytest.raises(ProtocolError, match=complaint):
        ask("explain", b"photo", model="tiny")


def test_a_stream_that_ends_without_an_answer_is_a_protocol_error(ask, service):
    service.script = lambda request, context: iter([accepted()])
    with pytest.raises(ProtocolError, match="without an answer"):
        ask("explain", b"photo", model="tiny")


def test_an_unknown_datatype_is_a_protocol_error(ask, service):
    odd = types_pb2.Tensor(name="map", datatype="BF16", shape=[1], contents=b"\0\0")
    service.script = lambda request, context: iter([answer(request.explanation, result(odd))])
    with pytest.raises(ProtocolError, match="BF16"):
        ask("explain", b"photo", model="tiny")


def endless(request, context):
    yield accepted()
    done = threading.Event()
    context.add_callback(done.set)
    done.wait(20)


def test_leaving_the_loop_early_cancels_the_explanation(address, service):
    service.script = endless
    with Client(address) as client:
        for _ in client.stream(b"photo", model="tiny"):
            break
        assert service.cancelled.wait(5)


def test_an_exception_in_on_progress_cancels_the_explanation(address, service):
    service.script = endless
    with Client(address) as client:
        with pytest.raises(ZeroDivisionError):
            client.explain(b"photo", model="tiny", on_progress=lambda event: 1 / 0)
        assert service.cancelled.wait(5)


def test_cancelling_the_task_cancels_the_explanation(address, service):
    service.script = endless

    async def run():
        async with AsyncClient(address) as client:
            accepted = asyncio.Event()
            task = asyncio.create_task(client.explain(b"photo", model="tiny", on_progress=lambda event: accepted.set()))
            await accepted.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(service.cancelled.wait, 5)

    asyncio.run(run())


def test_one_client_serves_several_threads_at_once(address):
    with Client(address) as client:
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.explain(b"photo", model="tiny"))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 8


def test_replay_sends_the_resolved_request_with_its_seed_and_the_kept_input(address, service):
    with Client(address) as client:
        first = client.explain(b"photo", model="tiny", target="tabby")
        client.replay(first)
    again = service.requests[1].explanation
    assert again.seed == SEED and again.input.image == b"photo" and again.target.classes[0].label == "tabby"


def test_replay_refuses_another_input_than_the_one_explained(address, service):
    def follow(request, context):
        told = answer(request.explanation, result())
        told.result.input_sha256 = hashlib.sha256(request.explanation.input.image).hexdigest()
        yield told

    service.script = follow
    with Client(address) as client:
        first = client.explain(b"photo", model="tiny")
        client.replay(first, b"photo")
        with pytest.raises(InvalidRequest, match="SHA-256"):
            client.replay(first, b"another photo")


def test_replay_of_what_a_deadline_cut_short_asks_for_the_rows_that_were_done(address, service):
    def follow(request, context):
        cut = result()
        cut.stop_reason, cut.rows_done = types_pb2.STOP_REASON_DEADLINE, 1234
        yield answer(request.explanation, cut)

    service.script = follow
    with Client(address) as client:
        client.replay(client.explain(b"photo", model="tiny", allow_partial=True))
    assert service.requests[1].explanation.budget.max_evaluations == 1234
