"""What the caller says, as the message that is sent."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sidelight_client import (
    METHODS,
    BlurBaseline,
    InvalidRequest,
    Model,
    Rise,
    Series,
    TextBaseline,
    inputs,
    question,
    tensors,
)
from sidelight_proto.v1 import types_pb2

PHOTO = inputs.encode(b"photo")


def asked(**arguments):
    return question.build(PHOTO, question.Question(model="tiny", **arguments))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(b"of a file")
    return path


def test_a_str_is_a_path_and_never_a_text(file):
    assert inputs.encode(str(file)).message.image == b"of a file"
    with pytest.raises(FileNotFoundError):
        inputs.encode("a dull film")
    assert inputs.encode(text="a dull film").message.text == "a dull film"


def test_paths_and_bytes_are_sent_as_they_are(file):
    assert inputs.encode(file).message.image == b"of a file"
    assert inputs.encode(b"photo").message.image == b"photo"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_a_pil_image_of_any_mode_is_sent_as_a_png_of_its_size(mode):
    encoded = inputs.encode(Image.new(mode, (5, 3))).message.image
    assert Image.open(io.BytesIO(encoded)).size == (5, 3)


def test_a_rotated_pil_image_is_sent_upright():
    image = Image.new("RGB", (5, 3))
    image.getexif()[0x0112] = 6  # rotate by 90°
    assert Image.open(io.BytesIO(inputs.encode(image).message.image)).size == (3, 5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(6, 8, 3), (3, 6, 8)])
def test_an_array_is_sent_raw_and_its_picture_is_the_same_in_both_layouts(dtype, shape):
    pixels = np.arange(144, dtype=dtype).reshape(6, 8, 3)
    array = pixels if shape[2] == 3 else pixels.transpose(2, 0, 1)
    source = inputs.encode(array)
    np.testing.assert_array_equal(tensors.Chunks().decode(source.message.tensor), array)
    assert source.message.tensor.datatype == ("UINT8" if dtype is np.uint8 else "FP32")
    np.testing.assert_array_equal(np.asarray(source.picture()), pixels.astype(np.uint8))


@pytest.mark.parametrize("array", [np.zeros((6, 8)), np.zeros((6, 8, 3)), np.zeros((1, 6, 8, 3), np.uint8)])
def test_an_array_of_another_shape_or_dtype_is_refused_with_what_would_do(array):
    with pytest.raises(InvalidRequest, match="uint8 or float32"):
        inputs.encode(array)


def test_whole_numbers_in_a_row_are_token_ids():
    tensor = inputs.encode(np.array([101, 7, 102], np.int32)).message.tensor
    assert (tensor.datatype, list(tensor.shape)) == ("INT64", [3])


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_pil_image_of_32_bit_numbers_is_refused(mode):
    with pytest.raises(InvalidRequest, match="8 or 16 bits"):
        inputs.encode(Image.new(mode, (5, 3)))


def test_a_series_holds_its_images_in_order():
    series = inputs.encode(Series([b"a", b"b"], strengths=[0, 5], unit="degree")).message.series
    assert (list(series.images), list(series.strengths), series.unit) == ([b"a", b"b"], [0, 5], "degree")


@pytest.mark.parametrize("arguments", [{}, {"value": b"photo", "text": "text"}, {"value": 3}])
def test_not_exactly_one_thing_to_explain_is_refused(arguments):
    with pytest.raises(InvalidRequest, match="input"):
        inputs.encode(**arguments)


def test_what_is_not_said_is_not_sent():
    request = asked()
    assert not any(request.HasField(name) for name in ("target", "baseline", "seed", "budget"))
    assert request.WhichOneof("method") == "rise" and not request.rise.ListFields()


def test_zero_is_said_and_not_unset():
    request = asked(target=0, seed=0, max_evaluations=0)
    assert request.target.classes[0].WhichOneof("by") == "index"
    assert request.HasField("seed") and request.budget.HasField("max_evaluations")


def test_classes_go_by_index_or_label():
    target = asked(target=[281, "tabby", np.int64(3)], contrast="dog", link="logit", top_k=2).target
    assert [c.index or c.label for c in target.classes] == [281, "tabby", 3]
    assert target.contrast[0].label == "dog" and target.link == types_pb2.LINK_LOGIT and target.top_k == 2


def test_several_models_may_have_versions():
    models = question.build(PHOTO, {"model": ["tiny", Model("tiny", "2")]}).models
    assert [(m.name, m.HasField("version"), m.version) for m in models] == [("tiny", False, ""), ("tiny", True, "2")]


def test_references_are_named_vectors():
    references = asked(link="cosine", references={"cats": np.ones(3)}).target.references
    assert references[0].name == "cats" and list(references[0].values) == [1, 1, 1]


CATS, DOG = [[1, 0, 0.5], [0, 1, 0.25]], (0, 0, 2)


@pytest.mark.parametrize("cats", [CATS, np.array(CATS), [np.array(v) for v in CATS], tuple(map(tuple, CATS))])
def test_a_class_may_have_several_references_in_order_under_its_name(cats):
    references = asked(link="cosine", references={"cat": cats, "dog": DOG}).target.references
    assert [(r.name, list(r.values)) for r in references] == [("cat", CATS[0]), ("cat", CATS[1]), ("dog", [0, 0, 2])]


@pytest.mark.parametrize(
    ("references", "complaint"),
    [
        ([1, 0, 2], "references: a name to its vector"),
        ({3: [1, 0]}, "references: names are texts, not 3"),
        ({"cat": []}, r"references\['cat'\]: a vector of numbers, or several"),
        ({"cat": np.ones((0, 3))}, r"references\['cat'\]: a vector of numbers, or several"),
        ({"cat": 1.0}, r"references\['cat'\]: a vector of numbers, or several"),
        ({"cat": "cat.npy"}, r"references\['cat'\]: a vector of numbers, or several"),
        ({"cat": [[1, 0], [1, 0, 2]]}, r"references\['cat'\]: .* of equal length"),
        ({"cat": np.ones((2, 2, 2))}, r"references\['cat'\]: .* an array \[n, K\]"),
        ({"cat": [[1, 0], [1, 2]], "dog": [1, 0, 2]}, r"references\['dog'\]\[0\]: 2 numbers as the first has, not 3"),
        ({"cat": [[1, 0], [1, np.nan]]}, r"references\['cat'\]\[1\]: finite numbers"),
        ({"cat": [1e300, 0]}, r"references\['cat'\]\[0\]: finite numbers"),
        ({"cat": [[1, 0], [0, 0]]}, r"references\['cat'\]\[1\]: not all zero"),
    ],
)
def test_a_wrong_reference_is_named_without_a_round_trip(references, complaint):
    with pytest.raises(InvalidRequest, match=complaint):
        asked(link="cosine", references=references)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("model_mean", "model_mean"),
        ("image_mean", "image_mean"),
        ("blur", "blur"),
        ("noise", "noise"),
        ("text", "text"),
        ("black", "constant"),
        (255, "constant"),
        ([0.0, 127.5, 255.0], "constant"),
        (BlurBaseline(sigma=3), "blur"),
        (TextBaseline(replacement="…"), "text"),
        (b"photo", "image"),
        (Image.new("RGB", (4, 4)), "image"),
        (np.zeros((4, 4, 3), np.uint8), "image"),
    ],
)
def test_a_baseline_is_a_preset_a_colour_an_image_or_a_message(given, kind):
    assert asked(baseline=given).baseline.WhichOneof("kind") == kind


def test_baselines_keep_their_numbers():
    assert asked(baseline=BlurBaseline(sigma=3)).baseline.blur.sigma == 3
    assert list(asked(baseline="grey").baseline.constant.value) == [127.5]
    assert list(asked(baseline=[1, 2, 3]).baseline.constant.value) == [1, 2, 3]


def test_every_method_of_the_protocol_may_be_given_by_name_or_message():
    for name, kind in METHODS.items():
        assert asked(method=name).WhichOneof("method") == name
        assert asked(method=kind()).WhichOneof("method") == name
    assert asked(method=Rise(masks=8000)).rise.masks == 8000


def test_every_method_of_the_protocol_is_exported_under_its_own_name():
    import sidelight_client

    assert all(getattr(sidelight_client, kind.DESCRIPTOR.name) is kind for kind in METHODS.values())


def test_outputs_that_are_named_are_all_that_is_sent():
    outputs = asked(outputs=["overlay"]).outputs
    assert outputs.overlay and not outputs.map and outputs.HasField("map") and not outputs.standard_error


@pytest.mark.parametrize(("source", "overlay"), [(PHOTO, True), (inputs.encode(text="a film"), False)])
def test_the_overlay_is_asked_for_where_there_is_an_image_file(source, overlay):
    assert question.build(source, {"model": "tiny"}).outputs.overlay is overlay


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"method": "ries"}, "did you mean rise"),
        ({"link": "logits"}, "did you mean logit"),
        ({"baseline": "blurr"}, "did you mean blur"),
        ({"baseline": Rise()}, "not a baseline"),
        ({"outputs": ["overlays"]}, "did you mean overlay"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"top_k": -1}, "top_k"),
        ({"target": -1}, "target"),
        ({"tolerance": "small"}, "tolerance"),
    ],
)
def test_a_wrong_argument_is_named_without_a_round_trip(arguments, complaint):
    with pytest.raises(InvalidRequest, match=complaint):
        asked(**arguments)


def test_a_model_has_to_be_named():
    with pytest.raises(InvalidRequest, match="model"):
        question.build(PHOTO, {})


def test_a_misspelt_argument_is_an_error_and_not_a_default():
    with pytest.raises(TypeError, match="did you mean baseline"):
        asked(basline="blur")


# -- parameters and metrics in plain words -----------------------------------------------------------------------------


def test_parameters_in_plain_words_are_the_methods_message():
    labels = np.arange(6).reshape(2, 3)
    said = asked(method="lime", parameters={"segmentation": "labels", "samples": np.int64(500), "labels": labels}).lime
    assert (said.segmentation, said.samples) == (types_pb2.SEGMENTATION_LABELS, 500)
    assert not said.HasField("ridge")
    assert (said.labels.datatype, list(said.labels.shape)) == ("INT64", [2, 3])
    np.testing.assert_array_equal(tensors.Chunks().decode(said.labels), labels)
    assert asked(method=Rise(masks=8000), parameters={"keep": 0.3}).rise == Rise(masks=8000, keep=0.3)


def test_parameters_leave_the_message_that_was_given_as_it_was():
    given = Rise(masks=8000)
    asked(method=given, parameters={"masks": 5})
    assert given == Rise(masks=8000)


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.zeros((2, 3), bool), "UINT8"),
        (np.zeros((2, 3), np.uint8), "INT64"),
        (np.zeros((2, 3), ">i4"), "INT64"),
        (np.zeros((2, 3), np.float64), "FP32"),
        ([[0, 1], [1, 2]], "INT64"),
    ],
)
def test_arrays_are_sent_in_a_datatype_that_requests_take(array, datatype):
    assert asked(method="occlusion", parameters={"labels": array}).occlusion.labels.datatype == datatype


def test_every_choice_goes_by_the_name_that_the_catalogue_has():
    from sidelight.methods.perturbation import PerturbationParams
    from sidelight.rpc.catalogue import _parameter

    for parameter in map(_parameter, dataclasses.fields(PerturbationParams)):
        for choice in parameter.choices:
            said = asked(method="perturbation", parameters={parameter.name: choice}).perturbation
            assert (getattr(said, parameter.name) == 0) == (choice == "auto")


def test_metrics_go_by_name_with_or_without_parameters():
    assert [m.WhichOneof("kind") for m in asked(metrics=["srg", "deletion"]).metrics] == ["srg", "deletion"]
    assert [m.WhichOneof("kind") for m in asked(metrics="srg").metrics] == ["srg"]
    mask = np.ones((2, 2), bool)
    found = asked(metrics={"srg": {"steps": 20, "replacement": "blur"}, "pointing_game": {"mask": mask}}).metrics
    assert (found[0].srg.steps, found[0].srg.replacement) == (20, types_pb2.REPLACEMENT_BLUR)
    assert found[1].pointing_game.mask.datatype == "UINT8"
    assert asked(metrics={"srg": None}).metrics[0].WhichOneof("kind") == "srg"
    assert not asked(metrics=None, parameters=None).metrics


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"method": "lime", "parameters": {"sample": 3}}, "lime.sample: .*did you mean samples"),
        ({"method": "lime", "parameters": {"segmentation": "slick"}}, "lime.segmentation: .*did you mean slic"),
        ({"method": "lime", "parameters": {"segmentation": ["slic"]}}, "lime.segmentation: .*the name of a choice"),
        ({"method": "lime", "parameters": {"samples": 3.5}}, "lime.samples: takes a whole number"),
        ({"method": "lime", "parameters": {"samples": -1}}, "lime.samples: takes a whole number"),
        ({"method": "lime", "parameters": {"ridge": "much"}}, "lime.ridge: takes a number"),
        ({"method": "ciu", "parameters": {"inverse": "yes"}}, "ciu.inverse: takes true or false"),
        ({"method": "lime", "parameters": {"labels": "photo.npy"}}, "lime.labels: an array of numbers"),
        ({"method": "lime", "parameters": {"labels": [[1, 2], [3]]}}, "lime.labels: "),
        ({"method": "lime", "parameters": {"labels": np.ones(3, complex)}}, "lime.labels: an array of numbers"),
        ({"metrics": ["srgg"]}, "did you mean srg"),
        ({"metrics": [3]}, "metrics: 3 is unknown"),
        ({"metrics": {"srg": {"step": 3}}}, "metrics.srg.step: .*did you mean steps"),
        ({"metrics": {"srg": {"replacement": "black"}}}, "metrics.srg.replacement: "),
    ],
)
def test_a_wrong_parameter_is_named_without_a_round_trip(arguments, complaint):
    with pytest.raises(InvalidRequest, match=complaint):
        asked(**arguments)
