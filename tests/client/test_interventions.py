"""Interventions at the client: properties in plain words, series, answers with their curve, files, the command."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from client.canned_service import answer, result
from PIL import Image
from sidelight_client import Interventional, InvalidRequest, Series, curve, gradual
from sidelight_client.drawing import Drawing, Line, Photo, Words
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainStreamResponse, Progress
from sidelight_proto.v1.intervention_pb2 import CHANGE_OVERLAY, CHANGE_ROTATION, Parametric, Property

STRENGTHS = [-30.0, -15.0, 0.0, 15.0, 30.0]
OUTPUTS = [0.1, 0.3, 0.6, 0.4, 0.2]
OTHER = [0.5, 0.4, 0.2, 0.3, 0.7]


def png(colour, size=(8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


FRAMES = [
    types_pb2.Frame(index=i, strength=STRENGTHS[i], png=png(c)) for i, c in ((0, "red"), (2, "lime"), (4, "blue"))
]


def intervened(name="rotation", frames=FRAMES, **changes) -> types_pb2.Result:
    """A canned result, of the class 281 that is the top class at the middle strengths."""
    told = result()
    told.ClearField("maps")
    told.property, told.edits, told.baseline_output_value = name, 5, OUTPUTS[0]
    told.warnings.append("with 5 strengths even a straight ramp cannot reach p < .01: take at least 8")
    told.intervention.CopyFrom(types_pb2.Intervention(
        editor="parametric", unit="degree", count=5, strengths=STRENGTHS, outputs=OUTPUTS, score=0.19,
        score_with_original=0.2, total_variation=0.9, signed_mean=0.02, gradient=0.013, reconstruction_shift=-0.52,
        significance=types_pb2.SignificanceTest(
            permutations=1000, p_value=0.03, p_value_raw=0.029, p_value_corrected=0.06, null_mean=0.25, null_low=0.2,
            null_high=0.3,
        ),
        dependence=[types_pb2.DependenceResult(name="pearson", value=0.2, p_value=0.7)],
        flips=3, flips_at=-30, top=[282, 282, 281, 281, 282],
        classes=[
            types_pb2.ClassCurve(index=281, label="tabby", values=OUTPUTS),
            types_pb2.ClassCurve(index=282, label="tiger <b>", values=OTHER),
        ],
        pixel_distance=[9, 4, 0, 4, 9], structural_similarity=[0.3, 0.6, 1, 0.6, 0.3], frames=frames,
    ))  # fmt: skip
    for field, value in changes.items():
        setattr(told.intervention, field, value)
    return told


@pytest.fixture
def explain(ask, photo, service):
    def explained(*results, **question):
        service.script = lambda request, _: iter([answer(request.explanation, *(results or [intervened()]))])
        return ask("explain", photo, model="tiny", **{"method": "interventional", **question})

    return explained


# -- requests ------------------------------------------------------------------------------------------------------


def test_gradual_makes_the_message_of_a_change_or_an_editor(tmp_path):
    (tmp_path / "patch.png").write_bytes(png("red"))
    made = gradual("overlay", image=tmp_path / "patch.png", first=0, last=0.5, count=5)
    assert made == Property(
        name="overlay", first=0, last=0.5, count=5, parametric=Parametric(change=CHANGE_OVERLAY, image=png("red"))
    )
    edited = gradual("instruct_pix2pix", prompt="make it white, please", prompt_embeds=np.zeros((2, 3)), steps=9)
    assert edited.instruct_pix2pix.prompt == "make it white, please" and edited.name == ""
    assert (list(edited.instruct_pix2pix.prompt_embeds.shape), edited.instruct_pix2pix.steps) == ([2, 3], 9)
    assert gradual("captured").WhichOneof("editor") == "captured"


@pytest.mark.parametrize(
    ("what", "given", "mend"),
    [
        ("rotaton", {}, "did you mean rotation"),
        ("rotation", {"promt": "x"}, "no such parameter"),
        ("rotation", {"count": "many"}, "whole number"),
        ("sdedit", {"promt": "x"}, "did you mean prompt"),
        ("overlay", {"image": 7}, "a path, image bytes"),
    ],
)
def test_a_misspelt_property_is_told_with_what_would_do(what, given, mend):
    with pytest.raises(InvalidRequest, match=mend):
        gradual(what, **given)


def test_properties_may_be_tables_and_no_overlay_is_asked_for(explain, service):
    rotation = {"parametric": {"change": "rotation"}, "first": -30, "last": 30, "count": 41}
    explain(parameters={"properties": [rotation, gradual("blur")], "correction": "none", "dependence": ["pearson"]})
    asked = service.requests[0].explanation
    first, second = asked.interventional.properties
    assert (first.parametric.change, first.first, first.count) == (CHANGE_ROTATION, -30, 41)
    assert second.name == "blur" and len(asked.interventional.dependence) == 1
    assert not asked.outputs.overlay


def test_a_table_with_a_misspelt_field_names_its_place(explain):
    with pytest.raises(InvalidRequest, match=r"interventional.properties\[1\].parametric.chang"):
        explain(parameters={"properties": [gradual("blur"), {"parametric": {"chang": "blur"}}]})


def test_a_list_of_images_is_a_series(ask, service):
    ask("explain", [png("red"), Image.new("RGB", (3, 3)), png("blue")], model="tiny", method="interventional")
    series = service.requests[0].explanation.input.series
    assert len(series.images) == 3 and series.images[0] == png("red") and not series.strengths
    ask("explain", Series([png("red")] * 3, [0, 5, 9], "day"), model="tiny", method="interventional")
    series = service.requests[1].explanation.input.series
    assert list(series.strengths) == [0, 5, 9] and series.unit == "day"


# -- answers -------------------------------------------------------------------------------------------------------


def test_an_answer_has_the_series_as_arrays_and_the_test(explain):
    best = explain().best
    found = best.intervention
    np.testing.assert_array_equal(found.strengths, STRENGTHS)
    np.testing.assert_array_equal(found.outputs, OUTPUTS)
    assert (found.property, found.unit, found.count, found.flips, found.flips_at) == ("rotation", "degree", 5, 3, -30)
    assert (found.significance.p_value_corrected, found.significance.significant) == (0.06, False)
    assert found.dependence["pearson"].p_value == 0.7 and found.class_name(282) == "tiger <b>"
    assert (best.property_name, best.edits, best.map) == ("rotation", 5, None)
    assert "rotation: S = 0.19 over N = 5" in repr(best) and "at the first strength" in best._repr_html_()


def test_other_methods_have_no_intervention(explain):
    best = explain(result()).best
    assert best.intervention is None and best.property_name == ""
    with pytest.raises(ValueError, match="no curve"):
        best.curve()


def test_the_frames_of_the_first_target_are_those_of_all(explain):
    first, second = explain(intervened(), intervened(frames=[])).results
    assert [f.png for f in second.intervention.frames] == [f.png for f in first.intervention.frames]
    other = explain(intervened(), intervened("blur", frames=[])).results[1]
    assert not other.intervention.frames


def test_the_curve_shows_the_frames_in_their_colours(explain):
    image = explain().best.curve()
    colours = {colour for _, colour in image.getcolors(1 << 20)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= colours
    assert image.width == 2 * curve.WIDTH


def test_the_drawing_names_axis_flips_test_and_what_the_numbers_do_not_say(explain):
    text = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", explain().best.curve_svg()))
    for word in (
        "strength in degree", "probability", "unedited input", "S = 0.19 over N = 5", "flips 3 times",
        "not ordered beyond chance, p = 0.06", "99 % of random orders", "compare it at equal N only",
        "not that the effect is large", "take at least 8",
    ):  # fmt: skip
        assert word in text, word
    assert "tiger &lt;b&gt;" in explain().best.curve_svg()


def test_a_scale_of_an_editor_stands_before_its_number_and_a_unit_behind():
    assert [curve.with_unit(1.5, unit) for unit in ("guidance scale", "degree", "second", "")] == [
        "guidance 1.5", "1.5°", "1.5 second", "1.5",
    ]  # fmt: skip


def test_the_curve_goes_through_the_outputs(explain):
    best = explain().best
    drawing = curve.draw(best)
    (line,) = [s for s in drawing.shapes if isinstance(s, Line) and s.width == 3 and len(s.points) == 5]
    y = np.array([p[1] for p in line.points])
    fitted = np.polyfit(OUTPUTS, y, 1)
    np.testing.assert_allclose(np.polyval(fitted, OUTPUTS), y, atol=1e-6)  # linear in the outputs, and upside down
    assert fitted[0] < 0
    (photo, *_) = [s for s in drawing.shapes if isinstance(s, Photo)]
    assert photo.png == FRAMES[0].png


@pytest.mark.parametrize(
    "changes",
    [
        {"estimated": True},
        {"unit": ""},
        {"score": 0.0},
        {"score": float("nan")},
    ],
)
def test_odd_answers_are_drawn_too(explain, changes):
    told = intervened(**changes)
    if changes.get("estimated"):
        told.intervention.ClearField("significance")
    explain(told).best.curve()
    explain(told).best.curve_svg()


def test_a_constant_output_and_falling_strengths_are_drawn(explain):
    told = intervened()
    told.intervention.strengths[:] = STRENGTHS[::-1]
    told.intervention.outputs[:] = [0.5] * 5
    told.intervention.classes.clear()
    told.intervention.structural_similarity[:] = [float("nan")] * 5
    assert explain(told).best.curve().height > 500


def test_many_frames_are_drawn_in_rows(explain):
    frames = [types_pb2.Frame(index=i % 5, strength=STRENGTHS[i % 5], png=png("red")) for i in range(20)]
    few, many = (curve.draw(explain(intervened(frames=f)).best).height for f in (frames[:8], frames))
    assert many > few + 200


def test_words_are_painted_and_turned():
    drawing = Drawing(80, 80, [Words((10, 40), "→ Wort", 14), Words((70, 40), "probability", 12, turned=True)])
    image = np.asarray(drawing.image().convert("L"))
    assert (image[:, :100] < 128).any() and (image[:, 110:] < 128).any()


def test_saved_files_are_the_series_the_frames_the_curve_and_one_page(explain, tmp_path):
    told = explain(intervened(), intervened("blur"))
    names = {path.name for path in told.save(tmp_path)}
    assert {
        "curve.png",
        "curve-2.png",
        "series.csv",
        "series-2.json",
        "frame-0.png",
        "frame-2-4.png",
        "answer.html",
    } <= names
    assert "overlay.png" not in names
    rows = list(csv.DictReader((tmp_path / "series.csv").open()))
    assert [float(r["output"]) for r in rows] == OUTPUTS and rows[0]["top_class"] == "tiger <b>"
    assert json.loads((tmp_path / "series.json").read_text())[2]["strength"] == 0
    assert Image.open(tmp_path / "frame-4.png").getpixel((0, 0)) == (0, 0, 255)
    page = (tmp_path / "answer.html").read_text()
    assert page.count("<svg") == 2 and page.count("data:image/png;base64") == 6
    assert "<b>" not in page and not re.search(r"(src|href)='(?!data:)", page)
    assert "png" not in json.dumps(
        json.loads((tmp_path / "answer.json").read_text())["results"][0]["intervention"]["frames"]
    )


def test_a_table_sets_the_effects_side_by_side(explain):
    table = explain(intervened(), intervened("blur", estimated=True)).table()
    assert re.search(r"rotation +tiny@3 +tabby +0.19 +5 +0.06", table)
    assert re.search(r"blur .* 0.19~", table)


def test_progress_counts_edits_in_its_fraction(ask, photo, service):
    message = Progress(evaluations_done=5, evaluations_expected=10, edits_done=10, edits_expected=10)

    def script(request, _):
        yield ExplainStreamResponse(progress=message)
        yield answer(request.explanation, intervened())

    service.script, seen = script, []
    ask("explain", photo, model="tiny", method="interventional", on_progress=seen.append)
    assert (seen[0].edits, seen[0].edits_expected, seen[0].fraction) == (10, 10, 0.75)


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def command(run, photo, service):
    service.script = lambda request, _: iter([answer(request.explanation, intervened())])
    return lambda *arguments: run("explain", *arguments, "--model", "tiny")


def test_properties_of_the_command_become_the_request(command, photo, service, tmp_path):
    (tmp_path / "patch.png").write_bytes(png("red"))
    code, out, err = command(
        *[photo, "--property", "rotation:first=-30,last=30,count=41", "--set", "permutations=500"],
        *["--property", "instruct_pix2pix:prompt=make it white, keep the rest,image_guidance=2.5,name=fur"],
        *["--property", f"overlay:image={tmp_path / 'patch.png'},fill=1,2,3,strengths=0,0.5,1"],
    )
    assert code == 0, err
    asked = service.requests[0].explanation.interventional
    rotation, fur, overlay = asked.properties
    assert (rotation.name, rotation.first, rotation.count) == ("rotation", -30, 41) and asked.permutations == 500
    assert fur.instruct_pix2pix.prompt == "make it white, keep the rest" and fur.name == "fur"
    assert fur.instruct_pix2pix.image_guidance == 2.5
    assert overlay.parametric.image == png("red") and list(overlay.strengths) == [0, 0.5, 1]
    assert list(overlay.parametric.fill) == [1, 2, 3]
    told = dict(line.split(maxsplit=1) for line in out.splitlines() if " " in line)
    assert told["property"].startswith("rotation, −30° to 30°") and "5 edits" not in err
    assert "baseline" not in told


def test_a_series_of_the_command_is_a_folder_in_natural_order(command, service, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for n, colour in ((10, "blue"), (9, "lime"), (1, "red")):
        (folder / f"f{n}.png").write_bytes(png(colour))
    (folder / "notes.txt").write_text("no image")
    code, _, err = command("--series", str(folder), "--unit", "day", "--strengths=-1..1")
    assert code == 0, err
    asked = service.requests[0].explanation
    assert list(asked.input.series.images) == [png("red"), png("lime"), png("blue")]
    assert list(asked.input.series.strengths) == [-1, 0, 1] and asked.input.series.unit == "day"
    assert asked.WhichOneof("method") == "interventional"


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["PHOTO", "--property", "rotaton"], "did you mean rotation"),
        (["PHOTO", "--property", "rotation:frist=1"], "is not KEY=VALUE"),
        (["PHOTO", "--property", "rotation:count=1,count=2"], "given twice"),
        (["PHOTO", "--property", "rotation:count=few"], "takes a number"),
        (["PHOTO", "--property", "overlay:image=nowhere.png"], "there is no file"),
        (["PHOTO", "--property", "blur", "--method", "rise"], "is for --method interventional"),
        (["PHOTO", "--unit", "day"], "is of --series"),
        (["PHOTO", "--series", "nowhere/"], "one of them"),
        (["--series", "nowhere/"], "there is no file"),
    ],
)
def test_a_wrong_property_or_series_is_told_before_anything_is_sent(command, photo, service, arguments, mend):
    code, _, err = command(*[photo if a == "PHOTO" else a for a in arguments])
    assert code == 2 and mend in err and not service.requests


def test_help_teaches_properties_by_example(run, capsys):
    with pytest.raises(SystemExit):
        run("explain", "--help")
    told = capsys.readouterr().out
    assert "--property rotation:first=-30,last=30,count=41" in told and "--series turntable/" in told


def test_the_command_shows_edits_while_they_are_made(run, photo, service):
    def script(request, _):
        done = Progress(evaluations_done=5, evaluations_expected=5, edits_done=4, edits_expected=5)
        yield ExplainStreamResponse(progress=done)
        yield answer(request.explanation, intervened())

    service.script = script
    _, _, err = run("explain", photo, "--model", "tiny", "--property", "blur")
    assert "4/5 edits, 5/5 rows" in err


def test_frames_can_be_had_as_pictures(explain):
    frame = explain().best.intervention.frames[1]
    assert frame.image.getpixel((0, 0)) == (0, 255, 0)
    assert replace(frame, index=7).strength == 0


def test_interventional_takes_the_messages_themselves(explain, service):
    explain(method=Interventional(properties=[gradual("hue")], adaptive=True), parameters={"frames": 3})
    asked = service.requests[0].explanation.interventional
    assert asked.adaptive and asked.frames == 3 and asked.properties[0].name == "hue"
