"""How answers are read, drawn, shown and kept."""

import io
import json

import numpy as np
import pytest
from client.canned_service import MAP, answer, result
from google.protobuf import json_format
from PIL import Image
from sidelight_client import Explanation, InvalidRequest, inputs, pictures, tensors
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, ExplainResponse

PIXELS = inputs.encode(np.full((6, 8, 3), 200, np.uint8))


def explanation(*results, source=PIXELS) -> Explanation:
    message = answer(ExplainRequest(models=[types_pb2.ModelRef(name="tiny")]), *results).result
    return Explanation.decode(message, source, tensors.Chunks())


def text_answer(text: str, words: list[tuple[int, int, float]]) -> Explanation:
    told = result()
    told.ClearField("maps")
    for begin, end, score in words:
        told.units.add(name=text[begin:end], score=score, begin=begin, end=end)
    return explanation(told, source=inputs.encode(text=text))


def at_input(values: np.ndarray) -> types_pb2.Map:
    kind, resolution = types_pb2.MAP_KIND_ATTRIBUTION, types_pb2.RESOLUTION_INPUT
    return types_pb2.Map(kind=kind, resolution=resolution, tensor=tensors.encode(values))


def test_overlay_is_the_services_own_where_it_was_asked_for():
    told = result()
    told.overlay_png = pictures.png(Image.new("RGBA", (20, 10), (1, 2, 3, 0)))
    overlay = explanation(told).best.overlay()
    assert overlay.size == (20, 10) and overlay.getpixel((0, 0)) == (1, 2, 3, 0)


def test_overlay_of_an_array_is_drawn_from_the_map_of_its_size():
    overlay = explanation(result()).best.overlay()
    assert overlay.size == (8, 6) and overlay.mode == "RGBA"
    assert sum(overlay.getpixel((7, 5))[:3]) > sum(overlay.getpixel((0, 0))[:3])  # the largest number shines most


def test_overlay_is_transparent_outside_the_models_crop():
    values = np.full((6, 12), np.nan, np.float32)
    values[:, 2:10] = MAP
    told = result()
    told.maps.append(at_input(values))
    photo = inputs.encode(Image.new("RGB", (12, 6), "white"))
    alpha = np.asarray(explanation(told, source=photo).best.overlay())[:, :, 3]
    np.testing.assert_array_equal(alpha, np.where(np.isnan(values), 0, 255))


def test_overlay_of_a_photo_is_not_guessed_from_a_map_of_another_size():
    photo = inputs.encode(Image.new("RGB", (12, 6)))
    with pytest.raises(ValueError, match="map_at_input"):
        explanation(result(), source=photo).best.overlay()


def test_a_constant_map_and_a_map_of_nothing_can_be_drawn():
    for values in (np.ones((6, 8)), np.full((6, 8), np.nan)):
        assert pictures.overlay(Image.new("RGB", (8, 6)), values).size == (8, 6)


def test_repr_tells_what_a_notebook_reader_wants_to_know():
    shown = repr(explanation(result()))
    for part in ("tiny@3", "tabby", "0.62", "map 6×8", "4002 evaluations", "complete", "3.0%", "rise", "seed"):
        assert part in shown


def test_repr_of_a_contrast_names_both_sides():
    told = result()
    told.target.contrast.add(index=1, label="dog", value=0.1)
    assert "tabby rather than dog" in repr(explanation(told).best)


def test_html_shows_the_overlay_and_the_numbers():
    html = explanation(result())._repr_html_()
    assert "data:image/png;base64," in html and "tabby" in html and "4002" in html


def test_html_of_a_text_colours_its_words_and_escapes_them():
    html = text_answer("a <b>dull</b> film", [(2, 13, 0.9), (14, 18, -0.9)])._repr_html_()
    assert "&lt;b&gt;dull&lt;/b&gt;" in html and "<b>" not in html
    assert "background:rgb(214, 39, 40)" in html and "background:rgb(31, 119, 180)" in html


def test_warnings_are_shown_everywhere():
    told = result()
    told.warnings.append("not repeatable & odd")
    shown = explanation(told)
    assert "not repeatable & odd" in repr(shown) and "not repeatable &amp; odd" in shown._repr_html_()


def test_png_of_a_result_is_its_overlay():
    assert Image.open(io.BytesIO(explanation(result()).best._repr_png_())).size == (8, 6)
    assert text_answer("a film", [(0, 1, 1.0)]).best._repr_png_() is None


def test_units_have_offsets_in_characters():
    units = text_answer("très dull", [(0, 4, 0.25), (5, 9, 0.5)]).best.units
    assert [(u.name, u.begin, u.end, u.score) for u in units] == [("très", 0, 4, 0.25), ("dull", 5, 9, 0.5)]
    assert units[0].standard_error is None


def test_save_writes_picture_map_and_answer_and_names_them(tmp_path):
    written = explanation(result(), result()).save(tmp_path / "new" / "folder")
    names = ["overlay.png", "map.npy", "overlay-2.png", "map-2.npy", "answer.json"]
    assert [path.name for path in written] == names
    np.testing.assert_array_equal(np.load(written[1]), MAP)
    assert Image.open(written[0]).size == (8, 6)


def test_the_saved_answer_is_protobufs_json_of_the_answer_without_its_arrays(tmp_path):
    saved = explanation(result()).save(tmp_path)[-1]
    told = json_format.Parse(saved.read_text(), ExplainResponse())
    assert told.resolved.seed == 2**63 + 7 and told.results[0].evaluations == 4002
    assert list(told.results[0].maps[0].tensor.shape) == [6, 8] and not told.results[0].maps[0].tensor.contents
    assert "contents" not in json.dumps(json.loads(saved.read_text()))


def test_replay_of_results_that_a_deadline_cut_at_different_rows_is_refused():
    cut = [result(), result()]
    for rows, told in enumerate(cut, start=1):
        told.stop_reason, told.rows_done = types_pb2.STOP_REASON_DEADLINE, rows
    with pytest.raises(InvalidRequest, match="different rows"):
        explanation(*cut).replay_request()
