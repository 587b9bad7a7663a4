"""Explanations through the real server, with small predictors behind it."""

import asyncio
import io
from dataclasses import replace

import grpc
import numpy as np
import pytest
from doubles import LinearPredictor, SlowPredictor
from in_process import array, encoded, pixels, request, running
from PIL import Image
from sidelight.core.predictor import Fit
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import (
    EstimateCostRequest,
    ExplainRequest,
    ExplainStreamRequest,
    GetCatalogueRequest,
    Rise,
)

METHOD, AT_INPUT = types_pb2.RESOLUTION_METHOD, types_pb2.RESOLUTION_INPUT


class CroppingPredictor(LinearPredictor):
    """Sees the centre 8 x 8 of an image whose shorter side is 16 pixels."""

    def spec(self, version=None):
        return replace(super().spec(version), fit=Fit((8, 8), 16), carded=True)


def maps(result, resolution=METHOD, kind=types_pb2.MAP_KIND_ATTRIBUTION) -> np.ndarray:
    (found,) = [array(m.tensor) for m in result.maps if (m.resolution, m.kind) == (resolution, kind)]
    return found


def values(answer) -> list[bytes]:
    return [m.tensor.contents for r in answer.results for m in r.maps]


def replay(answer, asked):
    again = ExplainRequest()
    again.CopyFrom(answer.resolved)
    again.input.CopyFrom(asked.input)
    return again


async def test_the_resolved_request_gives_the_same_answer_again():
    async with running(LinearPredictor()) as up:
        asked = request(target=types_pb2.Target(top_k=2), baseline=types_pb2.Baseline(noise={}))
        asked.ClearField("seed")
        answer = await up.stub.Explain(asked)
        again = await up.stub.Explain(replay(answer, asked))
        assert values(again) == values(answer)
        assert again.resolved == answer.resolved
        r = answer.resolved
        assert (r.models[0].version, r.rise, r.seed > 0) == ("1", Rise(masks=64, cells=7, keep=0.5), True)
        assert sorted(c.index for c in r.target.classes) == [0, 1]
        assert (r.baseline.noise.mean, r.baseline.noise.sd) == (127.5, 64.0)


async def test_an_answer_says_what_was_explained_and_on_which_scale():
    async with running(LinearPredictor()) as up:
        answer = await up.stub.Explain(request(target=types_pb2.Target(link=types_pb2.LINK_PROBABILITY)))
        (result,) = answer.results
        top = result.top_classes[0]
        assert (result.target.instance.label, result.target.instance.index) == (top.label, top.index)
        assert result.target.instance.value == pytest.approx(top.value)
        assert result.instance_output_value == pytest.approx(top.value)
        assert (result.target.scale, result.top_classes_scale) == ("probability", "probability")
        assert result.baseline_output_value == pytest.approx(0.5)  # a black image: both logits are 0
        assert (result.rows_done, result.evaluations) == (64, 66)
        assert result.stop_reason == types_pb2.STOP_REASON_COMPLETE
        assert result.converged
        assert list(answer.input_size) == [8, 8]


async def test_a_contrast_explains_the_difference():
    async with running(LinearPredictor()) as up:

        async def explain(**target):
            return (await up.stub.Explain(request(target=types_pb2.Target(**target)))).results[0]

        cat, dog = [[types_pb2.ClassRef(label=label)] for label in ("cat", "dog")]
        why = await explain(classes=cat, contrast=dog)
        a, b = await explain(classes=cat), await explain(classes=dog)
        assert why.instance_output_value == pytest.approx(a.instance_output_value - b.instance_output_value)
        assert why.target.scale == "logit difference"
        np.testing.assert_allclose(maps(why), maps(a) - maps(b), atol=1e-4)


async def test_a_cosine_target_explains_similarity_to_a_reference():
    async with running(LinearPredictor()) as up:
        reference = types_pb2.Embedding(name="cat-like", values=[1.0, 0.0])
        target = types_pb2.Target(link=types_pb2.LINK_COSINE, references=[reference])
        (result,) = (await up.stub.Explain(request(target=target))).results
        assert -1 <= result.instance_output_value <= 1
        assert list(result.target.references) == ["cat-like"]
        assert not result.target.HasField("instance")


async def test_references_of_several_names_are_several_results_and_replay():
    async with running(LinearPredictor()) as up:
        references = [
            types_pb2.Embedding(name=name, values=values)
            for name, values in (("cat", [1.0, 0.0]), ("dog", [0.0, 1.0]), ("cat", [1.0, 1.0]))
        ]
        target = types_pb2.Target(link=types_pb2.LINK_COSINE, references=references)
        answer = await up.stub.Explain(request(target=target))
        assert [list(r.target.references) for r in answer.results] == [["cat"], ["dog"]]
        assert list(answer.resolved.target.references) == references
        again = answer.resolved
        again.input.CopyFrom(request().input)
        replayed = await up.stub.Explain(again)
        for one, other in zip(answer.results, replayed.results, strict=True):
            assert one.instance_output_value == other.instance_output_value
            assert (maps(one) == maps(other)).all()
        assert (maps(answer.results[0]) != maps(answer.results[1])).any()


async def test_several_models_are_explained_with_the_same_masks():
    async with running(LinearPredictor("linear"), LinearPredictor("other", lane="cpu2")) as up:
        both = [types_pb2.ModelRef(name=n) for n in ("linear", "other")]
        answer = await up.stub.Explain(request(models=both, budget=types_pb2.Budget(max_evaluations=40)))
        one, two = answer.results
        assert (one.model.model.name, two.model.model.name) == ("linear", "other")
        assert (one.rows_done, two.rows_done) == (40, 40)  # the budget is each model's own
        assert (maps(one) == maps(two)).all()  # the doubles have the same weights


async def test_outside_the_crop_the_map_is_nan_and_the_overlay_transparent():
    async with running(CroppingPredictor()) as up:
        wanted = types_pb2.Outputs(map_at_input=True, overlay=True)
        photo = types_pb2.Input(image=encoded(pixels(32, 64)))
        (result,) = (await up.stub.Explain(request(input=photo, outputs=wanted))).results
        at_input = maps(result, AT_INPUT)
        assert at_input.shape == (32, 64)
        inside = np.zeros((32, 64), bool)
        inside[8:24, 24:40] = True  # 8 pixels of 16 are 16 of 32
        assert (np.isfinite(at_input) == inside).all()
        drawn = np.asarray(Image.open(io.BytesIO(result.overlay_png)))
        assert ((drawn[:, :, 3] == 255) == inside).all()
        assert drawn.shape == (32, 64, 4)


async def test_outputs_that_are_not_wanted_are_left_out():
    async with running(LinearPredictor()) as up:
        (result,) = (await up.stub.Explain(request(outputs=types_pb2.Outputs(map=False)))).results
        assert [m.kind for m in result.maps] == [types_pb2.MAP_KIND_STANDARD_ERROR]


async def test_a_large_overlay_is_shrunk_until_the_answer_can_be_sent():
    async with running(LinearPredictor()) as up:
        photo = types_pb2.Input(image=encoded(pixels(2400, 2400), "JPEG"))  # noise: the worst for PNG
        answer = await up.stub.Explain(request(input=photo, outputs=types_pb2.Outputs(overlay=True)))
        assert answer.ByteSize() < 3 << 20
        assert len(answer.results[0].overlay_png) > 1 << 20


async def test_what_the_reader_should_doubt_is_said():
    async with running(LinearPredictor()) as up:
        black = types_pb2.Input(image=encoded(np.zeros((8, 8, 3), np.uint8)))
        (result,) = (await up.stub.Explain(request(input=black))).results
        found = " ".join(result.warnings)
        assert "no model card" in found
        assert "nearly the same on the input and on the baseline" in found


async def test_a_map_that_is_all_noise_is_called_so():
    async with running(LinearPredictor()) as up:
        (result,) = (await up.stub.Explain(request(rise=Rise(masks=8, keep=0.5, cells=1)))).results
        assert result.relative_standard_error > 1
        assert any("varies less than its standard error" in w for w in result.warnings)


async def events(up, asked, **options):
    return [event async for event in up.stub.ExplainStream(ExplainStreamRequest(explanation=asked), **options)]


async def test_a_stream_accepts_tells_progress_and_ends_with_the_unary_answer():
    async with running(LinearPredictor()) as up:
        asked = request(rise=Rise(masks=5000))
        seen = await events(up, asked)
        kinds = [e.WhichOneof("event") for e in seen]
        assert (kinds[0], kinds[-1]) == ("accepted", "result")
        assert set(kinds[1:-1]) == {"progress"}
        assert seen[0].accepted.seed == 1
        assert seen[0].accepted.estimate.evaluations == 5002
        done = [e.progress.evaluations_done for e in seen if e.HasField("progress")]
        assert done == sorted(done)
        unary = await up.stub.Explain(asked)
        assert values(seen[-1].result) == values(unary)


async def test_a_request_that_waits_for_its_first_row_is_told_so():
    async with running(SlowPredictor(0.1)) as up:
        seen = await events(up, request())
        queued = [e.progress.queued for e in seen if e.HasField("progress")]
        assert queued[0]
        assert not queued[-1]


async def test_chunks_of_a_stream_put_together_equal_the_unary_answer():
    async with running(LinearPredictor()) as up:
        photo = types_pb2.Input(image=encoded(pixels(600, 1000)))
        asked = request(input=photo, outputs=types_pb2.Outputs(map_at_input=True))
        seen = await events(up, asked)
        parts: dict[int, bytes] = {}
        for chunk in (e.chunk for e in seen if e.HasField("chunk")):
            assert chunk.offset == len(parts.get(chunk.chunk_id, b""))
            assert len(chunk.data) <= 1 << 20
            parts[chunk.chunk_id] = parts.get(chunk.chunk_id, b"") + chunk.data
        assert sum(map(len, parts.values())) == 600 * 1000 * 4
        answer = seen[-1].result
        for tensor in (m.tensor for r in answer.results for m in r.maps if m.tensor.HasField("chunk_id")):
            tensor.contents = parts[tensor.chunk_id]
        assert values(answer) == values(await up.stub.Explain(asked))


async def test_an_answer_over_3_mib_is_refused_before_any_work_naming_the_way_out():
    predictor = LinearPredictor()
    async with running(predictor) as up:
        calls = len(predictor.calls)
        photo = types_pb2.Input(image=encoded(np.zeros((1000, 1000, 3), np.uint8)))
        asked = request(input=photo, outputs=types_pb2.Outputs(map_at_input=True))
        with pytest.raises(grpc.aio.AioRpcError, match="ExplainStream") as refused:
            await up.stub.Explain(asked)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "`outputs`" in refused.value.details()
        assert len(predictor.calls) == calls
        assert (await events(up, asked))[-1].HasField("result")


async def test_previews_are_maps_so_far_at_the_interval_asked_for():
    async with running(LinearPredictor()) as up:
        asked = ExplainStreamRequest(explanation=request(rise=Rise(masks=60_000)))
        asked.preview_interval.FromMilliseconds(50)
        previews = []
        async for event in up.stub.ExplainStream(asked):
            previews += event.progress.previews
            last = event
        assert previews
        assert list(previews[0].axes) == ["target", "height", "width"]
        final = maps(last.result.results[0])
        np.testing.assert_allclose(array(previews[-1])[0], final, rtol=0.2)


async def test_a_preview_interval_out_of_bounds_is_refused():
    async with running(LinearPredictor()) as up:
        asked = ExplainStreamRequest(explanation=request())
        asked.preview_interval.FromMicroseconds(1)
        with pytest.raises(grpc.aio.AioRpcError, match="preview_interval"):
            async for _ in up.stub.ExplainStream(asked):
                pass


async def test_an_estimate_counts_rows_and_seconds_without_running_anything():
    predictor = LinearPredictor()
    async with running(predictor) as up:
        calls = len(predictor.calls)
        both = request(rise=Rise(masks=1000))
        cost = await up.stub.EstimateCost(EstimateCostRequest(explanation=both))
        assert cost.evaluations == 1002
        assert cost.expected.ToTimedelta().total_seconds() > 0
        assert cost.expected_with_queue == cost.expected
        assert len(predictor.calls) == calls


async def test_the_catalogue_lists_methods_with_bounds_and_models_with_what_was_measured():
    async with running(LinearPredictor()) as up:
        found = await up.stub.GetCatalogue(GetCatalogueRequest())
        (rise,) = [m for m in found.methods if m.name == "rise"]
        keep = {p.name: p for p in rise.parameters}["keep"]
        assert (keep.type, keep.default, keep.low, keep.high, keep.open) == ("number", "0.5", 0.0, 1.0, True)
        assert keep.description
        (model,) = found.models
        assert (model.name, list(model.versions), list(model.labels), model.ready) == (
            "linear",
            ["1"],
            ["cat", "dog"],
            True,
        )
        assert (model.classes, list(model.size), model.output_kind) == (2, [8, 8], "logits")
        assert model.determinism.rows_per_second > 0
        assert model.determinism.neighbour_gap < 1e-6
        assert found.limits.max_response_bytes == 3 << 20
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await up.stub.GetCatalogue(GetCatalogueRequest(model="linaer"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_request_id_is_the_callers_own_or_drawn_and_echoed():
    async with running(LinearPredictor()) as up:
        assert (await up.stub.Explain(request(id="mine"))).id == "mine"
        drawn = (await up.stub.Explain(request(), metadata=[("x-request-id", "proxy-7")])).id
        assert drawn == "proxy-7"
        assert len((await up.stub.Explain(request())).id) == 32


async def test_equal_requests_at_once_have_the_same_answers_as_alone():
    async with running(LinearPredictor()) as up:
        alone = values(await up.stub.Explain(request()))
        together = await asyncio.gather(*(up.stub.Explain(request()) for _ in range(8)))
        assert all(values(answer) == alone for answer in together)


async def test_a_tolerance_stops_early_and_replays_to_the_same_row():
    async with running(LinearPredictor()) as up:
        asked = request(rise=Rise(masks=100_000), budget=types_pb2.Budget(tolerance=0.1))
        answer = await up.stub.Explain(asked)
        (result,) = answer.results
        assert result.stop_reason == types_pb2.STOP_REASON_TOLERANCE
        assert result.converged
        assert result.rows_done < 100_000
        again = await up.stub.Explain(replay(answer, asked))
        assert again.results[0].rows_done == result.rows_done
        assert values(again) == values(answer)


async def test_a_caller_that_hangs_up_with_the_answer_in_hand_was_answered():
    async with running(LinearPredictor()) as up:
        for _ in range(5):
            call = up.stub.ExplainStream(ExplainStreamRequest(explanation=request()))
            async for event in call:
                if event.HasField("result"):
                    call.cancel()
                    break
        await asyncio.sleep(0.1)
        assert up.metric("sidelight_explanations_total", method="rise", model="linear", outcome="OK") == 5
