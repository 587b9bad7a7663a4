"""Interventions through the real server and client: what is asked, what is refused, and what an answer holds."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from in_process import encoded
from PIL import Image
from served import Served, served
from sidelight.config import Limits
from sidelight.core.ask import Edit
from sidelight_client import Interventional, InvalidRequest, PreconditionFailed, Series, gradual
from sidelight_client.errors import from_rpc
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import EstimateCostRequest, ExplainRequest, GetCatalogueRequest
from sidelight_proto.v1.intervention_pb2 import CHANGE_BRIGHTNESS, CHANGE_OVERLAY, Parametric, Property
from sidelight_proto.v1.metrics_pb2 import Metric
from small_models import CroppingPredictor, CurvedPredictor, PacedPredictor, SentimentPredictor, TokensPredictor

RNG = np.random.default_rng(0)
PHOTO = (np.linspace(0, 90, 24)[:, None, None] + RNG.integers(0, 40, (24, 36, 3))).astype(np.uint8)
IMAGE = encoded(PHOTO)
SMALL = Limits(max_image_pixels=4000, max_targets=12, frame_bytes=1 << 20)


@pytest.fixture(scope="module")
def up():
    images = (CurvedPredictor(), CroppingPredictor("cropping"), PacedPredictor(0.2, name="paced", lane="cpu2"))
    for model in images:
        model.weight /= 20  # or else their outputs are at the end of their curves
    with served(*images, SentimentPredictor(), TokensPredictor(), limits=SMALL) as up:
        yield up


def ask(up: Served, *properties: Property, value=IMAGE, model="curved", **question):
    method = Interventional(properties=properties, permutations=500)
    return up.client.explain(value, model=model, method=method, **{"seed": 3, **question})


def levels(**fields) -> Property:
    return gradual("brightness", **{"first": 0, "last": 80, "count": 9, **fields})


def brighter(by: float) -> bytes:
    """PHOTO as an edit of its brightness has it."""
    return encoded(np.clip(PHOTO + np.rint(by), 0, 255).astype(np.uint8))


def score(up: Served, image: bytes, model: str = "curved") -> float:
    """The explained number on an image, as another method tells it."""
    asked = {"model": model, "method": "occlusion", "parameters": {"segments": 4}, "target": 0, "outputs": ["map"]}
    return up.client.explain(image, **asked).best.value


def same(a, b) -> bool:
    """Whether two answers' interventions are equal to the bit."""
    return [r.message.intervention for r in a.results] == [r.message.intervention for r in b.results]


# -- what an answer holds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["curved", "cropping"])
def test_a_frame_sent_as_an_image_gives_the_same_output(up, model):
    found = ask(up, levels(), target=0, model=model).best.intervention
    np.testing.assert_array_equal(found.strengths, np.linspace(0, 80, 9))
    sent = [score(up, brighter(x), model) for x in found.strengths]
    np.testing.assert_allclose(found.outputs, sent, atol=1e-3)  # rounded before the resize, or after it
    assert abs(found.outputs[-1] - found.outputs[0]) > 0.02


def test_the_score_is_the_mean_absolute_numpy_gradient_of_the_outputs(up):
    result = ask(up, levels(), target=0).best
    found = result.intervention
    assert found.score == pytest.approx(np.abs(np.gradient(found.outputs)).mean(), rel=1e-9)
    assert found.total_variation == pytest.approx(np.abs(np.diff(found.outputs)).sum(), rel=1e-9)
    assert (result.property_name, found.unit, found.count) == ("brightness", "level of 255", 9)
    assert found.significance.permutations == 500 and found.significance.p_value <= 0.05
    assert result.baseline_value == found.outputs[0]


def test_the_unedited_input_is_the_value_and_the_neutral_strength_equals_it(up):
    result = ask(up, levels(), target=0).best
    assert result.value == pytest.approx(score(up, IMAGE), abs=1e-6)
    assert result.intervention.reconstruction_shift == pytest.approx(0, abs=1e-6)
    assert result.intervention.distance[0] == 0 and result.intervention.similarity[0] == pytest.approx(1)
    assert (np.diff(result.intervention.distance) > 0).all()


def test_results_come_by_model_property_and_target_and_frames_once_for_all_targets(up):
    answer = ask(up, levels(), gradual("blur", count=5), model=["curved", "cropping"], target=[0, 1])
    keys = [(r.model, r.property_name, r.target.index) for r in answer.results]
    assert keys == [(m, p, t) for m in ("curved", "cropping") for p in ("brightness", "blur") for t in (0, 1)]
    shown = [len(r.message.intervention.frames) for r in answer.results]
    assert all(shown[::2]) and not any(shown[1::2])
    assert all(r.intervention.frames for r in answer.results)  # the client gives every result its own


def test_frames_are_the_edited_image_itself_and_ends_are_among_them(up):
    found = ask(up, levels()).best.intervention
    assert [f.index for f in found.frames][:: len(found.frames) - 1] == [0, 8]
    image = np.asarray(found.frames[-1].image.convert("RGB"), np.float64)
    small = np.asarray(Image.fromarray(PHOTO).resize((18, 12), Image.Resampling.BILINEAR), np.float64)
    np.testing.assert_allclose(image, np.clip(small + 80, 0, 255), atol=1)


def test_several_models_share_their_edits(up):
    alone = ask(up, levels(first=1, last=71), model="curved", seed=5).best
    both = ask(up, levels(first=2, last=72), model=["curved", "cropping"], seed=5)
    assert alone.edits == 9
    assert [r.edits for r in both.results] == [9, 9]


def test_a_model_is_shown_the_same_beside_a_model_that_sees_less(up):
    alone = ask(up, levels(), model="cropping", target=0).best.intervention
    beside = ask(up, levels(), model=["curved", "cropping"], target=0).results[1].intervention
    np.testing.assert_array_equal(alone.outputs, beside.outputs)


def test_an_image_smaller_than_the_model_sees_is_edited_as_it_is(up):
    tiny = encoded(PHOTO[:6, :8])
    assert {f.image.size for f in ask(up, levels(), value=tiny).best.intervention.frames} == {(8, 6)}


def test_each_property_tells_its_own_edits(up):
    found = ask(up, levels(first=5.5, last=75), gradual("blur", first=0.1, count=5))
    assert [r.edits for r in found.results] == [9, 5]


def test_edits_are_remembered_and_the_answer_is_the_same(up):
    first = ask(up, levels(first=3, last=61), seed=8)
    again = ask(up, levels(first=3, last=61), seed=8)
    assert (first.best.edits, again.best.edits) == (9, 0)
    assert same(first, again)


def test_a_replay_gives_the_same_answer(up):
    properties = gradual("noise", count=6, name="grain"), gradual("overlay", strengths=[0, 0.5, 1], fill=[255, 0, 0])
    first = ask(up, *properties, seed=11)
    assert same(first, up.client.replay(first))
    told = first.resolved.interventional
    assert [q.name for q in told.properties] == ["grain", "overlay"] and not told.properties[1].HasField("count")
    grain = told.properties[0]
    assert (grain.first, grain.last, grain.count, grain.unit) == (0, 64, 6, "level of 255")
    assert told.correction and not first.resolved.HasField("baseline") and not first.resolved.outputs.map


def test_ten_at_once_equal_each_alone(up):
    asked = [gradual("hue", count=7, last=30 + n, name=f"h{n}") for n in range(10)]
    alone = [ask(up, q, seed=n) for n, q in enumerate(asked)]
    with ThreadPoolExecutor(10) as pool:
        crowd = list(pool.map(lambda nq: ask(up, nq[1], seed=nq[0]), enumerate(asked)))
    assert all(same(a, b) for a, b in zip(alone, crowd, strict=True))


def test_names_are_the_kinds_numbered_where_there_are_several(up):
    plain = Property(parametric=Parametric(change=CHANGE_BRIGHTNESS), count=3)
    named = gradual("blur", count=3, name="parametric 2")
    assert [r.property_name for r in ask(up, plain).results] == ["parametric"]
    found = [r.property_name for r in ask(up, plain, named, plain).results]
    assert found == ["parametric 1", "parametric 2", "parametric 3"]


def test_a_raw_image_is_edited_as_the_file_is(up):
    pixels = PHOTO[:12, :12]
    raw, file = (ask(up, levels(), value=v, target=0).best.intervention for v in (pixels, encoded(pixels)))
    np.testing.assert_array_equal(raw.outputs, file.outputs)


def test_a_mask_says_where_an_overlay_lies(up):
    mask = np.zeros((24, 36), np.uint8)
    mask[:, :18] = 255
    half = gradual("overlay", count=3, fill=[255], mask=Image.fromarray(mask), name="half")
    frame = np.asarray(ask(up, half).best.intervention.frames[-1].image.convert("RGB"))
    assert (frame[:, :8] == 255).all() and (frame[:, 10:] < 200).all()


# -- captured series -----------------------------------------------------------------------------------------------


def test_a_captured_series_is_as_each_of_its_images_sent_alone(up):
    images = [brighter(x) for x in (0, 20, 50, 60)]
    series = Series(images, strengths=[0, 20, 50, 60], unit="level")
    result = ask(up, value=series, target=0).best
    found = result.intervention
    np.testing.assert_allclose(found.outputs, [score(up, image) for image in images], atol=1e-6)
    np.testing.assert_array_equal(found.strengths, [0, 20, 50, 60])
    assert (found.editor, found.unit, result.edits, result.property_name) == ("captured", "level", 0, "captured")
    assert "p < .01" in " ".join(result.warnings)


def test_images_of_a_series_may_differ_in_size_and_have_places_for_strengths(up):
    images = [IMAGE, encoded(PHOTO[:, :30]), encoded(np.rot90(PHOTO[:20]).copy())]
    found = ask(up, value=images, target=0).best.intervention
    np.testing.assert_array_equal(found.strengths, [0, 1, 2])
    np.testing.assert_allclose(found.outputs, [score(up, image) for image in images], atol=1e-6)


def test_a_captured_series_stands_beside_edits_of_its_first_image(up):
    captured = gradual("captured", name="turn")
    answer = ask(up, captured, levels(), value=[IMAGE, brighter(9), brighter(30)], target=0)
    turn, bright = (r.intervention for r in answer.results)
    assert turn.outputs[0] == bright.outputs[0] and (turn.count, bright.count) == (3, 9)
    again = up.client.replay(answer)
    assert same(answer, again)


# -- cost, progress, metrics, catalogue ----------------------------------------------------------------------------


def test_an_estimate_tells_evaluations_and_edits(up):
    method = Interventional(properties=[levels(), gradual("blur", count=5)])
    cost = up.client.estimate(IMAGE, model=["curved", "cropping"], method=method)
    assert (cost.evaluations, cost.edits) == (2 * (14 + 1), 14) and cost.baseline == ""
    cost = up.client.estimate([IMAGE] * 5, model="curved", method="interventional")
    assert (cost.evaluations, cost.edits) == (5 + 1, 0)


def test_an_estimate_adds_the_seconds_of_edits_to_those_of_the_rows_that_wait_for_them(up):
    width, height = ask(up, levels()).best.intervention.frames[0].image.size  # both are measured now
    an_edit = up.running.service.engine.seconds_per_row(Edit("parametric", (height, width), 1))
    rows = up.client.estimate([IMAGE] * 9, model="curved", method="interventional").seconds
    both = up.client.estimate(IMAGE, model="curved", method=Interventional(properties=[levels()]))
    assert rows > 0 and an_edit > 0
    assert both.seconds == both.seconds_with_queue == pytest.approx(rows + 9 * an_edit, abs=2e-6)  # microseconds


def test_progress_tells_edits(up):
    told = []
    ask(up, levels(first=4, last=37), model="paced", on_progress=told.append)
    assert told[-1].edits_expected == 9
    assert max(getattr(e, "edits", 0) for e in told) == 9


def test_the_gradient_is_counted_by_the_editors_name_and_not_by_the_callers(up):
    ask(up, levels(name="a name of the caller's own"))
    found = up.running.metric("sidelight_property_gradient_count", model="curved", property="parametric")
    assert found >= 1
    text = str(list(up.running.service.telemetry.registry.collect()))
    assert "caller's own" not in text


def test_the_catalogue_lists_editors_with_their_parameters_and_those_of_a_property(up):
    found = up.stub.GetCatalogue(GetCatalogueRequest())
    parametric = next(e for e in found.editors if e.name == "parametric")
    assert parametric.available and "rotation" in parametric.parameters[0].choices
    assert {p.name: p.type for p in parametric.parameters}["mask"] == "picture"
    method = next(m for m in found.methods if m.name == "interventional")
    (properties,) = [p for p in method.parameters if p.name == "properties"]
    assert properties.type == "records" and not method.baselines
    own = {p.name: p for p in properties.parameters}
    assert own["count"].high == 1000 and "captured" in own["editor"].choices


def test_the_catalogue_tells_how_many_results_a_request_may_have(up):
    most = up.stub.GetCatalogue(GetCatalogueRequest()).limits.max_targets
    several = [levels(name=f"p{i}", count=3) for i in range(most + 1)]
    up.client.estimate(IMAGE, model="curved", method=Interventional(properties=several[:most]))
    with pytest.raises(InvalidRequest, match=f"at most {most} results"):
        up.client.estimate(IMAGE, model="curved", method=Interventional(properties=several))


def test_a_caller_who_hangs_up_ends_its_run(up):
    request = ExplainRequest(
        models=[types_pb2.ModelRef(name="paced")],
        input=types_pb2.Input(image=IMAGE),
        interventional=Interventional(properties=[levels(count=200)]),
    )
    call = up.stub.Explain.future(request)
    time.sleep(0.5)
    call.cancel()
    paced = up.running.service.engine.predictors["paced"]
    time.sleep(0.6)
    asked = len(paced.calls)
    time.sleep(0.6)
    assert len(paced.calls) == asked < 25
    assert threading.active_count() < 60


# -- what is refused -----------------------------------------------------------------------------------------------


def prompted(**fields) -> Property:
    return Property(name="p", parametric=Parametric(**fields), count=3)


def overlay(**fields) -> Property:
    return prompted(change=CHANGE_OVERLAY, **fields)


def noise_png(mode: str, size=(8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def series(images, **fields) -> dict:
    return {"input": types_pb2.Input(series=types_pb2.ImageSeries(images=images, **fields))}


HERE = "interventional.properties[0]"
ORDERED = [0.0, 1.0, 0.5]
THREE = [IMAGE, IMAGE, IMAGE]
CUT = IMAGE[: len(IMAGE) // 2]
LARGE = encoded(np.zeros((70, 70, 3), np.uint8))
WRONG = {
    # what is asked (properties, other fields), the field that is named, a piece of what would do
    "nothing": ([], {}, "interventional.properties", "input.series"),
    "no editor": ([Property(count=5)], {}, HERE, "what edits it"),
    "no change": ([prompted()], {}, f"{HERE}.parametric.change", "brightness"),
    "unknown change": ([prompted(change=77)], {}, f"{HERE}.parametric.change", "rotation"),
    "strength beyond": ([levels(last=300)], {}, f"{HERE}.last", "255"),
    "first beyond": ([levels(first=-300)], {}, f"{HERE}.first", "-255"),
    "first is last": ([levels(first=80)], {}, f"{HERE}.last", "other than"),
    "NaN": ([levels(first=float("nan"))], {}, f"{HERE}.first", "a number"),
    "two strengths": ([gradual("blur", strengths=[0, 1])], {}, f"{HERE}.strengths", "at least 3"),
    "count of 2": ([levels(count=2)], {}, f"{HERE}.count", "3"),
    "count of 1001": ([levels(count=1001)], {}, f"{HERE}.count", "1000"),
    "1001 strengths": ([gradual("hue", strengths=np.linspace(0, 1, 1001))], {}, f"{HERE}.strengths", "at most 1000"),
    "strengths NaN": ([gradual("blur", strengths=[0, 1, np.nan])], {}, f"{HERE}.strengths[2]", "a number"),
    "strengths out of order": ([gradual("blur", strengths=ORDERED)], {}, f"{HERE}.strengths[2]", "in order"),
    "strengths twice": ([gradual("blur", strengths=[0, 1, 1])], {}, f"{HERE}.strengths[2]", "rise"),
    "a strength beyond": ([gradual("blur", strengths=[0, 1, 90])], {}, f"{HERE}.strengths[2]", "50"),
    "strengths and count": ([gradual("blur", strengths=[0, 1, 2], count=9)], {}, f"{HERE}.count", "leave it out"),
    "one name twice": ([levels(), levels()], {}, "interventional.properties[1].name", "of its own"),
    "long name": ([levels(name="x" * 129)], {}, f"{HERE}.name", "128"),
    "17 properties": ([levels(name=f"p{i}") for i in range(17)], {}, "interventional.properties", "at most 16"),
    "too many results": (
        [levels(name=f"p{i}") for i in range(7)], {"target": types_pb2.Target(top_k=2)}, "target", "at most 12",
    ),
    "too many bytes": (
        [levels(count=1000)], {"models": [types_pb2.ModelRef(name="cropping")]}, f"{HERE}.count", "bytes",
    ),
    "mask in colour": ([overlay(mask=noise_png("RGB"))], {}, f"{HERE}.parametric.mask", "grey"),
    "mask with alpha": ([overlay(mask=noise_png("LA"))], {}, f"{HERE}.parametric.mask", "grey"),
    "mask of nothing": ([overlay(mask=b"x")], {}, f"{HERE}.parametric.mask", "JPEG"),
    "truncated image": ([overlay(image=CUT)], {}, f"{HERE}.parametric.image", "undamaged"),
    "large image": ([overlay(image=LARGE)], {}, f"{HERE}.parametric.image", "4000 pixels"),
    "image of no overlay": (
        [prompted(change=CHANGE_BRIGHTNESS, image=IMAGE)], {}, f"{HERE}.parametric.image", "overlay",
    ),
    "fill beyond": ([overlay(fill=[256])], {}, f"{HERE}.parametric.fill[0]", "255"),
    "permutations": ({"properties": [levels()], "permutations": 1}, {}, "interventional.permutations", "100"),
    "level": ({"properties": [levels()], "level": 0.7}, {}, "interventional.level", "0.5"),
    "captured without a series": ([gradual("captured")], {}, f"{HERE}.captured", "input.series"),
    "series without captured": ([levels()], series(THREE), "input.series", "captured"),
    "two images": ([], series(THREE[:2]), "input.series.images", "3 to 1000"),
    "1001 images": ([], series([b""] * 1001), "input.series.images", "3 to 1000"),
    "an empty image": ([], series([IMAGE, b"", IMAGE]), "input.series.images[1]", "empty"),
    "a truncated image": ([], series([IMAGE, IMAGE, CUT]), "input.series.images[2]", "undamaged"),
    "a large image": ([], series([IMAGE, IMAGE, LARGE]), "input.series.images[2]", "4000 pixels"),
    "too many pixels": (
        [], series([encoded(np.zeros((60, 60, 3), np.uint8))] * 23), "input.series.images", "80000 pixels in all",
    ),
    "too few strengths": ([], series(THREE, strengths=[0, 1]), "input.series.strengths", "3, one for each"),
    "infinite strength": (
        [], series(THREE, strengths=[0, 1, float("inf")]), "input.series.strengths[2]", "finite",
    ),
    "images out of order": ([], series(THREE, strengths=ORDERED), "input.series.strengths[2]", "in order"),
    "long unit": ([], series(THREE, unit="x" * 65), "input.series.unit", "64"),
    "count of a captured series": ([Property(captured={}, count=4)], series(THREE), f"{HERE}.count", "or 3"),
    "last of a captured series": ([Property(captured={}, last=4)], series(THREE), f"{HERE}.last", "leave it out"),
    "two text models": ([levels()], {"models": [types_pb2.ModelRef(name="sentiment")]}, "models[0]", "images"),
    "a token model": ([levels()], {"models": [types_pb2.ModelRef(name="tokens")]}, "models[0]", "images"),
    "a text": ([levels()], {"input": types_pb2.Input(text="a cat")}, "input.text", "an image"),
    "metrics": ([levels()], {"metrics": [Metric(srg={})]}, "metrics", "leave them out"),
    "a baseline": ([levels()], {"baseline": types_pb2.Baseline(blur={})}, "baseline", "leave it out"),
    "an overlay": ([levels()], {"outputs": types_pb2.Outputs(overlay=True)}, "outputs.overlay", "no attribution"),
    "features": ([levels()], {"outputs": types_pb2.Outputs(features=True)}, "outputs.features", "no attribution"),
    "a tolerance": ([levels()], {"budget": types_pb2.Budget(tolerance=0.1)}, "budget.tolerance", "leave it out"),
    "a series of another method": (
        None, {**series(THREE), "rise": {}}, "input.series", "interventional",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_names_its_field_and_what_would_do(name, up):
    properties, fields, field, mend = WRONG[name]
    request = {"models": [types_pb2.ModelRef(name="curved")], "input": types_pb2.Input(image=IMAGE), **fields}
    if properties is not None:
        given = properties if isinstance(properties, dict) else {"properties": properties}
        request["interventional"] = Interventional(**given)
    message = EstimateCostRequest(explanation=ExplainRequest(**request))
    with pytest.raises(grpc.RpcError) as error:
        up.stub.EstimateCost(message)
    own = refused(error.value)
    assert own[0].field == field and mend in own[0].description, own


def refused(error: grpc.RpcError):
    own = from_rpc(error, "", 1.0, None)
    assert isinstance(own, InvalidRequest), own
    return own.violations


def test_an_editor_that_cannot_run_here_is_refused_with_the_reason(up):
    with pytest.raises(PreconditionFailed, match="instruct_pix2pix"):
        ask(up, gradual("instruct_pix2pix", prompt="make it snow"))


def test_all_wrong_properties_are_told_at_once(up):
    with pytest.raises(InvalidRequest) as error:
        ask(up, levels(last=300), gradual("blur", count=5, first=-1), gradual("jpeg", count=4))
    assert [v.field for v in error.value.violations] == [f"{HERE}.last", "interventional.properties[1].first"]


# -- what is to be doubted -----------------------------------------------------------------------------------------


def warned(up: Served, *properties: Property, **question) -> str:
    return " | ".join(ask(up, *properties, **question).best.warnings)


def test_an_edit_that_does_nothing_is_told(up):
    assert "hardly changed the image" in warned(up, levels(last=0.4))
    assert "hardly changed" not in warned(up, levels())


def test_frames_that_are_the_same_as_the_one_before_are_told(up):
    assert "4 of 9 frames are the same" in warned(up, levels(last=4))
    assert "are the same" not in warned(up, levels())


def test_a_series_of_other_images_is_told(up):
    other = RNG.integers(0, 256, (3, 24, 36, 3)).astype(np.uint8)
    assert "hardly the same any more" in warned(up, gradual("noise", strengths=[200, 230, 255]))
    assert "hardly the same" not in warned(up, value=[IMAGE, *map(encoded, other)])  # the first is the input


def test_a_shift_larger_than_the_effect_is_told(up):
    assert "the editor's doing" in warned(up, gradual("brightness", strengths=[80, 80.6, 81.2]), target=0)
    assert "the editor's doing" not in warned(up, levels(), target=0)


def test_a_series_cut_short_has_an_estimated_score_and_no_test(up):
    result = ask(up, levels(count=40), max_evaluations=12).best
    assert result.intervention.estimated and result.intervention.significance is None
    assert "estimate" in " ".join(result.warnings) and result.stop_reason == "max_evaluations"


def test_strengths_left_out_by_adaptive_sampling_are_told(up):
    method = Interventional(properties=[levels(count=100)], adaptive=True, permutations=200)
    result = up.client.explain(IMAGE, model="curved", method=method, target=0, seed=1).best
    assert 0 < result.intervention.saved == 100 - len(result.intervention.strengths)
    assert "adaptive" in " ".join(result.warnings)
