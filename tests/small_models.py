"""Small models that curve, so that no two calculators agree by accident, and whose rows never see their neighbours."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from doubles import LinearPredictor, Ready
from sidelight.core.ask import Ask
from sidelight.core.predictor import Fit, ModelSpec, TensorSpec
from sidelight.core.sweep import Rows
from sidelight.core.target import OutputKind


class CurvedPredictor(LinearPredictor):
    """Logits of two classes of 12 x 12 pixels, y = 3 tanh(W x / 4): each row is summed alone, to the bit."""

    def __init__(self, name: str = "curved", size: tuple[int, int] = (12, 12), **options: Any) -> None:
        super().__init__(name, size=size, **options)

    def spec(self, version: str | None = None) -> ModelSpec:
        return replace(super().spec(version), carded=True)

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * torch.tanh((x.double().flatten(1).unsqueeze(1) * self.weight).sum(2) / 4)


class CroppingPredictor(CurvedPredictor):
    """Sees the centre 12 x 12 of an image whose shorter side is 16 pixels."""

    def spec(self, version: str | None = None) -> ModelSpec:
        return replace(super().spec(version), fit=Fit(self.size, 16))


class PacedPredictor(CurvedPredictor):
    """The same, but every batch takes `seconds`."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.seconds = seconds

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return super().answer(x)


class SentimentPredictor(LinearPredictor):
    """The probability that a text is good: each good word raises it, each bad one lowers it, "not" turns it round."""

    GOOD, BAD = {"good", "fine", "great"}, {"bad", "dull"}

    def __init__(self, name: str = "sentiment", **options: Any) -> None:
        super().__init__(name, **options)

    def spec(self, version: str | None = None) -> ModelSpec:
        text, out = TensorSpec("text", "BYTES", (1,)), TensorSpec("p", "FP32", (1,))
        return ModelSpec(self.name, "1", "text", text, out, OutputKind.SIGMOID, 2, ("bad", "good"), carded=True)

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Any:
        rows = [text for tile in tiles for text in tile["text"]]
        self.calls.append((ask, [len(t["text"]) for t in tiles]))
        wake()
        return Ready({"y": torch.tensor([[self.score(text)] for text in rows], dtype=torch.float64)})

    def score(self, text: str) -> float:
        words = re.findall(r"\w+", text.lower())
        total = sum(w in self.GOOD for w in words) - sum(w in self.BAD for w in words)
        return torch.sigmoid(torch.tensor((-1.0 if "not" in words else 1.0) * total, dtype=torch.float64)).item()


class TokensPredictor(LinearPredictor):
    """Logits of two classes of six token ids."""

    def __init__(self, name: str = "tokens", **options: Any) -> None:
        super().__init__(name, **options)

    def spec(self, version: str | None = None) -> ModelSpec:
        ids, out = TensorSpec("ids", "INT64", (6,)), TensorSpec("y", "FP32", (2,))
        return ModelSpec(self.name, "1", "tokens", ids, out, OutputKind.LOGITS, 2, carded=True)

    def start(self, ask: Ask, tiles: Sequence[Rows], wake: Callable[[], None]) -> Any:
        ids = torch.cat([t["ids"] for t in tiles]).double()
        self.calls.append((ask, [len(t["ids"]) for t in tiles]))
        s = torch.tanh(ids / 10).sum(1)
        wake()
        return Ready({"y": torch.stack([s, s.square() / 4], 1)})
