"""Texts and tokens through the real server: scores by word."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from doubles import LinearPredictor, Ready
from in_process import array, request, running
from sidelight.core.ask import Ask
from sidelight.core.predictor import ModelSpec, TensorSpec
from sidelight.core.sweep import Rows
from sidelight.core.target import OutputKind
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import Rise

TEXT = "What a «good» film!"


class GoodPredictor(LinearPredictor):
    """Gives a text the probability 0.9 if it holds the word "good", else 0.1: one number, of class 1."""

    def spec(self, version: str | None = None) -> ModelSpec:
        text, out = TensorSpec("text", "BYTES", (1,)), TensorSpec("p", "FP32", (1,))
        return ModelSpec(self.name, "1", "text", text, out, OutputKind.SIGMOID, 2, ("bad", "good"), carded=True)

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Any:
        rows = [text for tile in tiles for text in tile["text"]]
        wake()
        return Ready({"y": torch.tensor([[0.9 if "good" in text else 0.1] for text in rows])})


class SumPredictor(LinearPredictor):
    """Adds up six token ids."""

    def spec(self, version: str | None = None) -> ModelSpec:
        ids, out = TensorSpec("ids", "INT64", (6,)), TensorSpec("sum", "FP32", (1,))
        return ModelSpec(self.name, "1", "tokens", ids, out, classes=1)

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Any:
        wake()
        return Ready({"y": torch.cat([t["ids"] for t in tiles]).sum(1, keepdim=True).float()})


async def test_the_word_that_decides_scores_highest_and_has_its_place_in_the_text():
    async with running(GoodPredictor()) as up:
        asked = request(input=types_pb2.Input(text=TEXT), rise=Rise(masks=2000))
        answer = await up.stub.Explain(asked)
        (result,) = answer.results
        assert result.target.instance.label == "good"
        best = max(result.units, key=lambda unit: unit.score)
        assert best.name == "good"
        assert [TEXT[u.begin : u.end] for u in result.units] == [u.name for u in result.units]
        assert all(u.standard_error > 0 for u in result.units)
        np.testing.assert_allclose(array(result.maps[0].tensor), [u.score for u in result.units], rtol=1e-6)
        assert list(result.maps[0].tensor.axes) == ["unit"]
        assert answer.resolved.baseline.HasField("text")
        assert list(answer.input_size) == []
        assert not result.overlay_png


async def test_tokens_are_scored_by_position():
    async with running(SumPredictor()) as up:
        ids = np.array([1, 2, 3, 4, 5, 600])
        tensor = types_pb2.Tensor(datatype="INT64", shape=[6], contents=ids.tobytes())
        (result,) = (await up.stub.Explain(request(input=types_pb2.Input(tensor=tensor)))).results
        assert max(result.units, key=lambda unit: unit.score).name == "600"
        assert result.instance_output_value == ids.sum()
        assert result.target.scale == "as_served"
