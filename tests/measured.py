"""Subjects of metrics: small inputs and models whose curves are known."""

import torch
from inline import inline
from sidelight.core.ask import Model
from sidelight.core.inputs import ImageInput, TextInput, words
from sidelight.core.job import Job
from sidelight.core.metric import Subject
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream
from sidelight.core.sweep import Plan
from sidelight.core.target import Link, OutputKind, Target

SPACE = PixelSpace(scale=1 / 255, mean=(0.4, 0.5, 0.3), std=(0.2, 0.25, 0.3))


def picture(size=(10, 10), seed=0, baseline=0.0, space=SPACE) -> ImageInput:
    u = torch.from_numpy(Stream(seed).child("image").uniform(range(3), size[0] * size[1])).float().view(3, *size)
    return ImageInput("x", u * 255, torch.full_like(u, baseline), space)


def subject(x, maps, classes=(0,), link=Link.LOGIT, rerun=None, model="m") -> Subject:
    job = Job(Model(model, "1"), x, Target(OutputKind.LOGITS, link, classes), Stream(5))
    return Subject(job, torch.as_tensor(maps, dtype=torch.float64), rerun)


def run(plan: Plan, answer, tile=7):
    return inline(plan, answer, tile)


class Linear:
    """Logits of C classes, linear in the encoded image, so that every pixel contributes a number of its own."""

    def __init__(self, x: ImageInput, classes: int = 2, seed: int = 1) -> None:
        w = torch.from_numpy(Stream(seed).child("weights").normal(range(classes), 3 * x.pixels[0].numel()))
        self.weight = w.view(classes, *x.pixels.shape)  # float64

    def __call__(self, ask, columns) -> dict[str, torch.Tensor]:
        return {"y": self.of(columns["x"].double())}

    def of(self, encoded: torch.Tensor) -> torch.Tensor:
        return encoded.flatten(1) @ self.weight.flatten(1).T

    def contributions(self, x: ImageInput, over: torch.Tensor) -> torch.Tensor:
        """What each pixel adds to each class, [C, H, W], when it shows x instead of the picture `over`."""
        std = torch.tensor(x.space.std, dtype=torch.float64).view(-1, 1, 1)
        return (self.weight * (x.pixels.double() - over.double()) * x.space.scale / std).sum(1)


def bent(x: ImageInput, classes: int = 3):
    """A model that is not linear: tanh of each class's logit."""
    linear = Linear(x, classes, seed=2)
    return lambda ask, columns: {"y": (linear(ask, columns)["y"] / 20).tanh()}


def sentence(text="a truly wonderful film but dull", replacement="") -> TextInput:
    return TextInput("text", text, words(text), replacement)


def sentiment(ask, columns) -> dict[str, torch.Tensor]:
    """Logits of two classes: +2 for wonderful, -1 for dull, and their negative."""
    score = torch.tensor([2.0 * ("wonderful" in t) - 1.0 * ("dull" in t) for t in columns["text"]])
    return {"y": torch.stack([score, -score], 1)}
