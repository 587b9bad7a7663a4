"""Path attributions: how they are asked for, read, tabulated and kept."""

import json

import numpy as np
import pytest
from client.canned_service import MAP, answer, result
from client.test_requests import asked, png
from PIL import Image
from sidelight_client import BlurBaseline, Explanation, InvalidRequest, inputs, tensors
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest

PIXELS = inputs.encode(np.full((6, 8, 3), 200, np.uint8))
FEATURES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


# -- the request -------------------------------------------------------------------------------------------------------


def test_lists_of_names_and_of_choices_are_the_methods_message():
    names = {"layers": ["_blocks.10", "_blocks.4"], "nodes": 50, "quadrature": "trapezoid", "path": "auto"}
    said = asked(method="integrated_gradients", parameters=names).integrated_gradients
    assert (list(said.layers), said.nodes) == (["_blocks.10", "_blocks.4"], 50)
    said = asked(method="compare", parameters={"attributions": ["odam", "layer_cam"], "layers": "conv"}).compare
    assert list(said.attributions) == [types_pb2.ATTRIBUTION_ODAM, types_pb2.ATTRIBUTION_LAYER_CAM]
    assert list(said.layers) == ["conv"]


def test_a_list_replaces_the_one_of_the_message_that_was_given():
    first = asked(method="compare", parameters={"layers": ["a"]}).compare
    assert list(asked(method=first, parameters={"layers": ["b"]}).compare.layers) == ["b"]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"layers": 4}, "compare.layers: takes a name, or a list of such"),
        ({"layers": [4]}, "compare.layers: takes a name, or a list of such"),
        ({"attributions": ["odams"]}, "compare.attributions: .*did you mean odam"),
        ({"attributions": ["auto"]}, "compare.attributions: 'auto' is unknown"),
        ({"layer": "conv"}, "did you mean layers"),
    ],
)
def test_a_wrong_list_is_named_without_a_round_trip(parameters, complaint):
    with pytest.raises(InvalidRequest, match=complaint):
        asked(method="compare", parameters=parameters)


@pytest.mark.parametrize("kind", ["feature_zero", "feature_mean", "neutral"])
def test_baselines_of_a_layer_go_by_name(kind):
    assert asked(baseline=kind).baseline.WhichOneof("kind") == kind


def test_reference_images_are_sent_as_files(tmp_path):
    image = Image.new("RGB", (4, 4), "red")
    image.save(tmp_path / "a.png")
    said = asked(baseline={"reference_mean": [str(tmp_path / "a.png"), image, b"photo"]}).baseline.reference_mean
    assert [Image.open(tmp_path / "a.png").size, len(said.images), said.images[2]] == [(4, 4), 3, b"photo"]
    assert said.images[0] == (tmp_path / "a.png").read_bytes()
    assert list(asked(baseline={"feature_mean": png(image)}).baseline.feature_mean.images) == [png(image)]


def test_several_baselines_are_their_distribution_and_numbers_are_a_colour():
    said = asked(baseline=["black", 255, [1, 2, 3], BlurBaseline(sigma=3), {"feature_mean": [b"a"]}]).baseline
    kinds = [one.WhichOneof("kind") for one in said.distribution.baselines]
    assert kinds == ["constant", "constant", "constant", "blur", "feature_mean"]
    assert list(said.distribution.baselines[2].constant.value) == [1, 2, 3]
    assert asked(baseline=np.array([1, 2, 3])).baseline.WhichOneof("kind") == "constant"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("reference_mean", "needs them"),
        ({"blur": [b"a"]}, "reference_mean or feature_mean"),
        ({}, "reference_mean or feature_mean"),
        (["black", "blurr"], "did you mean blur"),
        ("distribution", "choose from|did you mean"),
    ],
)
def test_a_wrong_baseline_is_refused_with_what_would_do(given, complaint):
    with pytest.raises(InvalidRequest, match=complaint):
        asked(baseline=given)


def test_flags_become_lists_and_baselines(run, photo, service):
    flags = ["--set", "layers=_blocks.10,4", "--set", "attributions=odam,integrated_gradients", "--set", "nodes=20"]
    flags += ["--baseline", "black", "--baseline", f"feature_mean={photo},{photo}", "--features"]
    code, _, err = run("explain", photo, "--model", "tiny", "--method", "compare", *flags)
    assert code == 0, err
    said = service.requests[0].explanation
    assert (list(said.compare.layers), said.compare.nodes) == (["_blocks.10", "4"], 20)
    assert said.compare.attributions[1] == types_pb2.ATTRIBUTION_INTEGRATED_GRADIENTS and said.outputs.features
    black, mean = said.baseline.distribution.baselines
    assert list(black.constant.value) == [0] and len(mean.feature_mean.images) == 2


def test_a_reference_image_that_is_not_there_is_exit_code_2(run, photo):
    code, _, err = run("explain", photo, "--model", "tiny", "--baseline", "reference_mean=none.png")
    assert code == 2 and "there is no file 'none.png'" in err


# -- the answer --------------------------------------------------------------------------------------------------------


def compared(chunk: int | None = None) -> types_pb2.Result:
    told = result()
    ig = told.attributions.add(
        attribution=types_pb2.ATTRIBUTION_INTEGRATED_GRADIENTS, baseline="black at conv",
        rule="Gauss-Legendre, 8 nodes",
        output_value=5.0, baseline_output_value=1.0, target=4.0, result=3.9, error=-0.1, error_relative=0.025,
        residual=0.03, indicator=0.002, converged=True, evaluations=10,
    )  # fmt: skip
    ig.parts.add(name="cut", value=0.02)
    ig.parts.add(name="quadrature", value=-0.12)
    ig.steps.add(name="upsample", result=3.8, error=-0.2)
    ig.features.append(tensors.encode(FEATURES, "conv"))
    ig.map.CopyFrom(tensors.encode(MAP))
    if chunk is not None:
        ig.map.ClearField("contents")
        ig.map.chunk_id = chunk
    told.attributions.add(
        attribution=types_pb2.ATTRIBUTION_GRADIENT, baseline="b = z - 1", rule="one node at the input",
        output_value=5.0, result=12.5, converged=True, evaluations=10,
    )  # fmt: skip
    told.attributions[1].parts.add(name="no_baseline", value=float("nan"))
    return told


def explanation(*results, chunks=None) -> Explanation:
    message = answer(ExplainRequest(models=[types_pb2.ModelRef(name="tiny")]), *results).result
    return Explanation.decode(message, PIXELS, chunks or tensors.Chunks())


def test_an_attribution_tells_target_result_error_and_where_it_comes_from():
    ig, gradient = explanation(compared()).best.attributions
    assert (ig.attribution, ig.target, ig.result, ig.error_relative) == ("integrated_gradients", 4.0, 3.9, 0.025)
    assert ig.parts == {"cut": 0.02, "quadrature": -0.12} and ig.largest_part == ("quadrature", -0.12)
    assert [(s.name, s.result, s.error) for s in ig.steps] == [("upsample", 3.8, -0.2)]
    assert (ig.residual, ig.indicator, ig.evaluations) == (0.03, 0.002, 10)
    np.testing.assert_array_equal(ig.features["conv"], FEATURES)
    np.testing.assert_array_equal(ig.map, MAP)
    assert gradient.target is gradient.error is gradient.baseline_output is None
    assert gradient.map is None and list(gradient.parts) == ["no_baseline"]


def test_a_map_that_came_in_chunks_is_put_together():
    chunks = tensors.Chunks()
    chunks.add(3, 0, MAP.tobytes())
    np.testing.assert_array_equal(explanation(compared(3), chunks=chunks).best.attributions[0].map, MAP)


def test_an_attribution_of_a_later_protocol_is_called_by_its_number():
    told = compared()
    told.attributions[0].attribution = 99
    assert explanation(told).best.attributions[0].attribution == "attribution 99"


def test_the_table_has_a_line_for_each_attribution_and_says_nothing_of_what_is_not_defined():
    lines = explanation(compared(), compared()).table().splitlines()
    assert lines[0] == "tabby, probability" and len(lines) == 2 * 6 + 1
    for word in ("target T", "result R", "error E", "|E|/|T|", "largest part of E", "evaluations"):
        assert word in lines[1]
    words = [" ".join(line.split()) for line in lines]
    assert words[2] == "integrated gradients b1 4 3.9 -0.1 0.025 quadrature -0.12 10"
    assert words[3:6] == ["gradient b2 12.5 no baseline 10", "b1: black at conv", "b2: b = z - 1"]
    assert explanation(result()).table() == ""


def test_a_large_ratio_is_not_written_as_a_power():
    told = compared()
    told.attributions[0].error_relative = 1234.5
    assert " 1234 " in explanation(told).table() and "e+" not in explanation(told).table()


def test_a_single_attribution_is_told_in_words(run, photo, service):
    def script(request, context):
        told = compared()
        del told.attributions[1]
        told.model.twin_gap = 2e-6
        told.rest = 0.25
        yield answer(request.explanation, told)

    service.script = script
    code, out, _ = run("explain", photo, "--model", "tiny", "--method", "integrated_gradients")
    assert code == 0
    for part in ("black at conv", "Gauss-Legendre, 8 nodes", "3.9 of 4, |E|/|T| 0.025 (quadrature -0.12)", "0.20%"):
        assert part in out
    assert "0.25" in out and "differs from the served model by 2e-06" in out and "largest part" not in out


def test_a_comparison_is_a_table_on_the_terminal_and_in_the_notebook(run, photo, service):
    service.script = lambda request, context: iter([answer(request.explanation, compared())])
    code, out, _ = run("explain", photo, "--model", "tiny", "--method", "compare")
    assert code == 0 and "integrated gradients" in out and "largest part of E" in out
    html = explanation(compared()).best._repr_html_()
    assert html.count("<tr>") == html.count("</tr>") and "integrated gradients</td>" in html and "quadrature" in html


def test_what_is_saved_holds_the_maps_in_a_file_of_their_own_and_not_in_the_json(tmp_path):
    written = explanation(compared()).save(tmp_path)
    arrays = np.load(next(path for path in written if path.name == "attributions.npz"))
    np.testing.assert_array_equal(arrays["integrated_gradients"], MAP)
    np.testing.assert_array_equal(arrays["integrated_gradients.conv"], FEATURES)
    told = json.loads(written[-1].read_text())["results"][0]["attributions"]
    assert told[0]["features"][0]["shape"] == ["2", "3", "4"] and "contents" not in json.dumps(told)


# -- the catalogue -----------------------------------------------------------------------------------------------------


def test_the_catalogue_of_a_model_lists_its_layers_with_shapes_and_which_are_cuts(run, service):
    code, out, _ = run("catalogue", "tiny")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["conv", "16×?×7", "cut"] in lines and ["branch", "16×7×7"] in lines
    assert "agrees to 2e-06" in out
    assert "branch" not in run("catalogue")[1]
