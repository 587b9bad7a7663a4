"""A small studio: an editor by arithmetic, a store that remembers all, models that are functions of brightness."""

from collections import Counter

import numpy as np
import torch
from inline import inline
from sidelight.core.ask import Edit, Forward, Local, Model
from sidelight.core.editor import Canvas, Prepared, Scale
from sidelight.core.explanation import explain
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.local import works
from sidelight.core.predictor import PixelSpace
from sidelight.core.registry import find
from sidelight.core.sequence import Sequence
from sidelight.core.stream import Stream
from sidelight.core.sweep import Folded, Placement, Shared, Stop, Stopped
from sidelight.core.target import Link, OutputKind, Target
from sidelight.interventions.permutation import against_null, permuted, resolved
from sidelight.methods.interventional import InterventionalParams

STREAM = Stream(3, "test")

SIZE = (12, 16)
BLACK = torch.zeros(3, *SIZE, dtype=torch.uint8)


class Brighten:
    """Adds its strength to every pixel, in levels of 255."""

    name, lane, digest = "brighten", "studio", ""
    placement, batch_rows = Placement(), 16

    def __init__(self) -> None:
        self.edited: list[float] = []  # strengths, as they were asked

    def scale(self, params, canvas) -> Scale:
        return Scale("level", -255.0, 255.0, 0.0, 99.0, 100, neutral=0.0)

    def prepare(self, params, canvas, stream) -> Prepared:
        def rows(strengths, on):
            return {"x": Shared(canvas.digest, canvas.pixels), "strength": torch.tensor(strengths, dtype=torch.float64)}

        size = tuple(canvas.pixels.shape[1:])
        return Prepared(Edit(self.name, size, 1), (), rows, f"{self.name}:{canvas.digest}", size)

    def edit(self, ask, tiles, alive):
        frames = []
        for tile in tiles:
            self.edited += tile["strength"].tolist()
            x, strength = tile["x"].value.double(), tile["strength"].view(-1, 1, 1, 1)
            frames.append((x + strength).round().clamp(0, 255).to(torch.uint8))
        return torch.cat(frames)

    def close(self) -> None: ...


class Shelf:
    """A store that forgets nothing."""

    def __init__(self) -> None:
        self.kept = {}

    def get(self, key):
        return self.kept.get(key)

    def put(self, key, frame):
        self.kept[key] = frame


class Nowhere(Shelf):
    """A store that forgets at once."""

    def put(self, key, frame): ...


def brightened(strengths, editor=None, *, name="brightness", original=BLACK, store=None, field="properties[0]"):
    """The sequence of edits that `Brighten` makes of `original`."""
    prepared = (editor or Brighten()).prepare(None, Canvas(original, name), Stream(0))
    return Sequence(
        name,
        "brighten",
        "level",
        tuple(map(float, strengths)),
        prepared,
        store or Shelf(),
        field,
        0.0,
        original=original,
    )


def captured(frames, strengths=None):
    """The caller's own frames as a sequence."""
    strengths = tuple(map(float, range(len(frames)) if strengths is None else strengths))

    def rows(strengths, on):
        raise AssertionError("its frames are there already")

    prepared = Prepared(Edit("captured", tuple(frames[0].shape[1:]), 0), (), rows, "captured", SIZE, tuple(frames))
    return Sequence(
        "turntable", "captured", "degree", strengths, prepared, Nowhere(), "input.series", original=frames[0]
    )


LOGIT = Target(OutputKind.LOGITS, Link.LOGIT, (0,))


def job_of(*sequences, target=LOGIT, model="m", seed=0, space=None, pixels=None, fit=None):
    """The job of a model that takes the frames as they are; of a black image unless told."""
    pixels = BLACK.float() if pixels is None else pixels
    x = ImageInput("x", pixels, torch.full_like(pixels, 37.0), space or PixelSpace())  # a baseline that nobody asks for
    return Job(Model(model, "1"), x, target, Stream(seed), sequences=sequences, fit=fit)


def of_brightness(*curves):
    """A model whose outputs are these functions of the mean pixel."""

    def net(x):
        means = x.double().flatten(1).mean(1).tolist()
        return torch.tensor([[f(m) for f in curves] for m in means], dtype=torch.float64)

    return net


def answering(nets, editor, asked: Counter | None = None):
    """Answers to asks of these models by name, of the editor, and to local work."""

    def answer(ask, columns):
        rows = 0
        if isinstance(ask, Local):
            return works()[ask.name](columns)
        if isinstance(ask, Edit):
            out = {"x": editor.edit(ask, [columns], lambda: True)}
            rows = len(out["x"])
        else:
            assert isinstance(ask, Forward)
            out = {"y": nets[ask.model.name](columns["x"])}
            rows = len(out["y"])
        if asked is not None:
            asked[ask.kind] += rows
        return out

    return answer


def run(plan, net, editor=None, tile=16, asked=None):
    """What a plan that asks one model comes to."""
    nets = net if isinstance(net, dict) else {"m": net}
    return inline(plan, answering(nets, editor or Brighten(), asked), tile)


def params(**given):
    """With few permutations unless told."""
    return InterventionalParams(**({"permutations": 500} | given))


RAMP = of_brightness(lambda m: m / 50, lambda m: 0.5)


def explained(*sequences, net=RAMP, editor=None, most=None, target=LOGIT, asked=None, tile=16, **given):
    """The whole explanation of one model."""
    job, method = job_of(*sequences, target=target), find("interventional")
    return run(explain(job, lambda y: target, method, params(**given), most), net, editor, tile, asked)


def until(plan, answer, rows: int, kinds=("edit", "forward"), tile: int = 4):
    """Run a plan whose deadline comes after so many rows of these kinds: tiles in turn, none cut."""
    left, wanted = rows, next(plan)
    try:
        while True:
            sweeps = wanted if isinstance(wanted, tuple) else (wanted,)
            if left <= 0:
                wanted = plan.throw(Stopped(Stop.DEADLINE))
                continue
            folded = []
            for sweep in sweeps:
                done = 0
                while done < sweep.size and left > 0:
                    span = range(done, min(done + tile, sweep.size))
                    columns, memo = sweep.render(span, Placement())
                    sweep.fold.add(span, memo, answer(sweep.ask, columns))
                    done = span.stop
                    left -= len(span) if sweep.ask.kind in kinds else 0
                stop = Stop.COMPLETE if done == sweep.size else Stop.DEADLINE
                folded.append(Folded(sweep.fold.value(), done, stop) if done else Folded.nothing(stop))
            wanted = plan.send(tuple(folded) if isinstance(wanted, tuple) else folded[0])
    except StopIteration as end:
        return end.value


def gradient_loop(y):
    """g by the paper's own words."""
    n = len(y)
    return [y[1] - y[0], *((y[i + 1] - y[i - 1]) / 2 for i in range(1, n - 1)), y[n - 1] - y[n - 2]]


def score_loop(y):
    """S by the paper's own words."""
    return float(np.mean([abs(g) for g in gradient_loop(y)]))


def found_of(y, k=1000, statistic="score", stream=STREAM, x=None):
    y = resolved(np.asarray(y, float))
    x = np.arange(float(y.size)) if x is None else x
    return against_null(statistic, y, x, permuted(statistic, y[None], x, stream, range(k))[0])
