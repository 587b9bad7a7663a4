"""Metadata and card put together: what is deduced, and which field of the card an error names."""

from pathlib import Path
from typing import Any

import pytest
from sidelight.core.predictor import Fit, PixelSpace, TensorSpec
from sidelight.core.target import OutputKind
from sidelight.predictors.card import Card, CardError
from sidelight.predictors.serving import Offered, describe, row_shape, split_batch

PATH = Path("cards/m.toml")


def offered(
    *inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (), optional: tuple[str, ...] = (), **layouts: str
) -> Offered:
    outputs = outputs or (TensorSpec("y", "FP32", (5,)),)
    return Offered(
        "m", "3", "onnxruntime_onnx", {t.name: t for t in inputs}, frozenset(optional), {t.name: t for t in outputs},
        layouts,
    )  # fmt: skip


def image(*shape: int, datatype: str = "FP32", name: str = "x") -> TensorSpec:
    return TensorSpec(name, datatype, shape)


@pytest.mark.parametrize(
    ("shape", "card", "configured", "layout", "order", "size"),
    [
        ((3, 20, 30), {}, None, "NCHW", "RGB", (20, 30)),
        ((20, 30, 3), {}, None, "NHWC", "RGB", (20, 30)),
        ((1, 20, 30), {}, None, "NCHW", "L", (20, 30)),
        ((20, 30, 1), {}, None, "NHWC", "L", (20, 30)),
        ((3, 3, 3), {}, "NHWC", "NHWC", "RGB", (3, 3)),
        ((3, 3, 3), {"layout": "NCHW"}, "NHWC", "NCHW", "RGB", (3, 3)),
        ((3, -1, -1), {"crop": (5, 6)}, None, "NCHW", "RGB", (5, 6)),
        ((-1, -1, 3), {"crop": (5, 6), "order": "BGR"}, None, "NHWC", "BGR", (5, 6)),
        ((-1, -1, -1), {"crop": (5, 6), "layout": "NHWC", "order": "L"}, None, "NHWC", "L", (5, 6)),
        ((3, 20, -1), {"crop": (20, 6)}, None, "NCHW", "RGB", (20, 6)),
    ],
)
def test_layout_channels_and_size_are_deduced(shape, card, configured, layout, order, size):
    layouts = {"x": configured} if configured else {}
    spec = describe(offered(image(*shape), **layouts), Card("m", **card))
    assert (spec.modality, spec.pixels.layout, spec.pixels.order, spec.fit.size) == ("image", layout, order, size)
    channels = 1 if order == "L" else 3
    assert row_shape(spec) == ((channels, *size) if layout == "NCHW" else (*size, channels))


def test_a_model_without_a_card_is_described_as_served():
    spec = describe(offered(image(3, 8, 8)), Card("m"))
    assert (spec.kind, spec.classes, spec.labels, spec.carded) == (OutputKind.AS_SERVED, 5, (), False)
    assert spec.pixels == PixelSpace("RGB", 1.0, (0.0,) * 3, (1.0,) * 3)
    assert spec.fit == Fit((8, 8))


def test_the_card_says_what_metadata_do_not():
    card = Card(
        "m", "image", PATH, resize=9, interpolation="bicubic", order="BGR", scale=0.5, mean=(1.0, 2.0, 3.0), std=(4.0,),
        output="z", output_kind=OutputKind.LOGITS, labels=("a", "b"),
    )  # fmt: skip
    outputs = TensorSpec("y", "FP32", (5,)), TensorSpec("z", "FP16", (2, 1))
    spec = describe(offered(image(3, 8, 8), outputs=outputs), card)
    assert spec.pixels == PixelSpace("BGR", 0.5, (1.0, 2.0, 3.0), (4.0, 4.0, 4.0))
    assert spec.fit == Fit((8, 8), 9, "bicubic")
    assert (spec.output.name, spec.kind, spec.classes, spec.labels) == ("z", OutputKind.LOGITS, 2, ("a", "b"))
    assert spec.carded


def test_texts_and_tokens_are_told_by_their_datatypes():
    assert describe(offered(TensorSpec("t", "BYTES", (1,))), Card("m")).modality == "text"
    assert describe(offered(TensorSpec("t", "INT64", (-1,))), Card("m")).modality == "tokens"
    assert describe(offered(image(8, 8, 3, datatype="UINT8")), Card("m")).pixels.integer


def test_a_single_sigmoid_is_two_classes():
    outputs = (TensorSpec("p", "FP32", (1,)),)
    card = Card("m", "image", PATH, output_kind=OutputKind.SIGMOID, labels=("no", "yes"))
    assert describe(offered(image(3, 8, 8), outputs=outputs), card).classes == 2


def test_optional_inputs_may_be_left_out():
    mask = TensorSpec("mask", "INT64", (4,))
    spec = describe(offered(image(3, 8, 8), mask, optional=("mask",)), Card("m"))
    assert spec.input.name == "x"


X = image(3, 8, 8)
Y, Z = TensorSpec("y", "FP32", (5,)), TensorSpec("z", "FP32", (5,))
CONTRADICTIONS: list[tuple[dict[str, Any], Offered, str, str]] = [
    # what the card says, what is served, the field named, a word of the mend
    ({}, offered(X, TensorSpec("b", "FP32", (4,))), "input.name", "x, b"),
    ({"input": "q"}, offered(X), "input.name", "one of the model's: x; not 'q'"),
    ({"input": "x"}, offered(X, TensorSpec("b", "FP32", (4,))), "input.name", "also needs b"),
    ({}, offered(X, outputs=(Y, Z)), "output.name", "y, z"),
    ({"output": "q"}, offered(X, outputs=(Y, Z)), "output.name", "not 'q'"),
    ({}, offered(X, outputs=(TensorSpec("s", "BYTES", (1,)),)), "output.name", "s is BYTES"),
    ({"kind": "text"}, offered(X), "kind", "text needs an input of BYTES; x is FP32"),
    ({"kind": "tokens"}, offered(X), "kind", "INT64 or INT32"),
    ({"kind": "image"}, offered(TensorSpec("t", "BYTES", (1,))), "kind", "FP32 or FP16"),
    ({"kind": "image"}, offered(image(8, 8)), "kind", "three axes"),
    ({}, offered(image(10)), "kind", "image, text or tokens"),
    ({}, offered(image(3, 9, 3)), "input.layout", "cannot be told"),
    ({"layout": "NHWC"}, offered(X), "input.layout", "NCHW for [3, 8, 8]"),
    ({}, offered(image(4, 8, 8)), "input.layout", "cannot be told from the shape [4, 8, 8]"),
    ({"layout": "NCHW"}, offered(image(4, 8, 8)), "input.layout", "1 or 3 channels"),
    ({"order": "L"}, offered(X), "input.channel_order", "RGB or BGR for 3 channels"),
    ({"order": "RGB"}, offered(image(1, 8, 8)), "input.channel_order", "L for 1 channels"),
    ({"mean": (1.0, 2.0, 3.0)}, offered(image(1, 8, 8)), "input.mean", "1 or 1 numbers, not 3"),
    ({"std": (1.0, 2.0, 3.0)}, offered(image(1, 8, 8)), "input.std", "not 3"),
    ({}, offered(image(3, -1, -1)), "input.crop", "takes any size"),
    ({"crop": (7, 8)}, offered(X), "input.crop", "[8, 8], the model's own size, not [7, 8]"),
    ({"scale": 0.5}, offered(image(8, 8, 3, datatype="UINT8")), "input.scale", "UINT8"),
    ({"output_kind": OutputKind.SIGMOID}, offered(X), "output.kind", "not 5"),
    ({"labels": ("a", "b")}, offered(X), "output.labels", "5 labels, one for each class, not 2"),
]


@pytest.mark.parametrize(("card", "served", "field", "mend"), CONTRADICTIONS)
def test_a_card_that_contradicts_the_model_is_named_with_its_field(card, served, field, mend):
    with pytest.raises(CardError) as caught:
        describe(served, Card("m", path=PATH, **card))
    assert caught.value.field == field
    assert mend in caught.value.mend
    assert str(PATH) in str(caught.value)


def test_a_missing_card_is_named_by_its_model():
    with pytest.raises(CardError, match=r"model m has no card, and needs one: output\.name"):
        describe(offered(X, outputs=(Y, Z)), Card("m"))


@pytest.mark.parametrize(
    ("datatype", "shape", "batch", "row"),
    [
        ("FP32", (-1, 3, 8, 8), -1, (3, 8, 8)),
        ("FP32", (4, 3, 8, 8), 4, (3, 8, 8)),
        ("FP32", (3, 8, 8), None, (3, 8, 8)),
        ("INT64", (-1, -1), -1, (-1,)),
        ("INT64", (-1,), None, (-1,)),
        ("BYTES", (-1, 1), -1, (1,)),
        ("BYTES", (-1,), -1, ()),
        ("BYTES", (1,), None, (1,)),
    ],
)
def test_the_rank_tells_a_batch_axis_where_the_configuration_does_not(datatype, shape, batch, row):
    assert split_batch(datatype, shape) == (batch, row)
