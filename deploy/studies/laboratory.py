"""The demo's networks in this process, behind the service's own engine: plans go in, results come out.

Several plans are under way at once, so that their rows share batches and segments are cut while the network works.
"""

import contextlib
import io
import itertools
import queue
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import torch
from PIL import Image
from progress import Line
from sidelight.core.ask import Ask, Local, Model
from sidelight.core.baseline import ModelMean
from sidelight.core.explanation import ends
from sidelight.core.fold import First
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.predictor import Twin
from sidelight.core.stream import Stream
from sidelight.core.sweep import Plan, Sweep, ask
from sidelight.core.target import Link, Target
from sidelight.engine.engine import Engine
from sidelight.engine.mailbox import Progress
from sidelight.engine.observer import Label, Silent
from sidelight.predictors import networks
from sidelight.predictors.card import Card, read_card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.fit import fit
from sidelight.predictors.twin import own_twin

TRITON = Path(__file__).resolve().parents[1] / "triton"
FACTORY = TRITON / "build_models.py"
CARD = TRITON / "cards" / "efficientnet_lite0.toml"
UNDER_WAY = 2  # plans at once
SMALL = 128  # pixels a side of which 16 rows fit a processor's cache, and of more only 8

TELL = 1.0  # seconds

K = TypeVar("K")


def card(pixels: int) -> Card:
    """The network's card for images of so many pixels a side: the same preprocessing, scaled."""
    full = read_card(CARD)
    if full.crop is None or full.resize is None:
        raise ValueError(f"{CARD} says neither crop nor resize")
    return replace(full, crop=(pixels, pixels), resize=round(full.resize * pixels / full.crop[0]))


def network(device: torch.device) -> tuple[networks.Network, torch.nn.Module]:
    """The demo's network, and the module that it is."""
    sys.path.insert(0, str(TRITON.parent / "text"))
    with contextlib.redirect_stdout(io.StringIO()):  # it announces that it loaded its weights
        found = networks.from_factory(f"{FACTORY}:network", {}, device)
    if found.module is None:
        raise TypeError(f"{FACTORY} made no torch module")
    return found, found.module


class Answered(Silent):
    """Counts rows that were answered."""

    def __init__(self) -> None:
        self.count = 0

    def rows(self, label: Label, ask: Ask, rows: int) -> None:
        self.count += rows


class Room:
    """An engine with one model. A context manager: its threads and processes end with it."""

    def __init__(self, predictor: EmbeddedPredictor, twin_rows: int | None = None, under_way: int = UNDER_WAY) -> None:
        """`twin_rows`: of a batch that gradients are taken of, in this process; None: there are no gradients.

        under_way: plans at once.
        """
        self.predictor, self.spec = predictor, predictor.spec()
        self.answered = Answered()
        self.engine = Engine(self.answered)
        self.engine.add(predictor)
        self.twin: Twin | None = None
        self._under_way = under_way
        if twin_rows:
            differentiable = own_twin(predictor, self.spec, batch_rows=twin_rows)
            self.twin = differentiable.twin
            self.engine.add(differentiable, twin=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.engine.close()

    @property
    def model(self) -> Model:
        """As asks name it."""
        return Model(self.spec.name, self.spec.version)

    def results(self, plans: Iterable[tuple[K, Plan]], line: Line | None = None) -> Iterator[tuple[K, Any]]:
        """Each plan's result beside its key, as they end. Raises what a plan failed with.

        `line` is told how many rows were answered.
        """
        before = self.answered.count
        ended: queue.SimpleQueue[tuple[K, Any, BaseException | None]] = queue.SimpleQueue()
        waiting, running = iter(plans), 0
        while True:
            for key, plan in itertools.islice(waiting, self._under_way - running):
                self.engine.run(plan, Ended(key, ended), label=Label("study", self.spec.name, "embedded"))
                running += 1
            if not running:
                return
            if line:
                line.tell(self.answered.count - before)
            try:
                key, value, error = ended.get(timeout=TELL)
            except queue.Empty:
                continue
            running -= 1
            if error is not None:
                raise error
            yield key, value


class Laboratory(Room):
    """The demo's network of photos at `pixels` x `pixels`."""

    def __init__(self, pixels: int, precision: str = "auto", device: str = "cpu", *, twin: bool = False) -> None:
        """With `twin` gradients can be taken as well: of the same network, in this process."""
        on, rows = torch.device(device), _batch(torch.device(device), pixels)
        super().__init__(
            EmbeddedPredictor(
                network(on)[0], card(pixels), on, precision=precision, channels_last=True, batch_rows=rows
            ),
            rows if twin else None,
        )

    def __enter__(self) -> Self:
        # The process that cuts segments starts while Ctrl-C is ignored, and so ignores it: it ends with the engine.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for _ in self.results([(None, _first_segments())]):
                pass
        finally:
            signal.signal(signal.SIGINT, before)
        return self

    @property
    def precision(self) -> str:
        """What the network computes in."""
        return self.spec.precision

    def named(self, photo: str) -> dict[str, Any]:
        """What a table says of every row: the photo, and how the network saw it."""
        return {
            "photo": photo,
            "pixels": self.spec.fit.size[0] if self.spec.fit.size else 0,
            "precision": self.precision,
        }

    def job(self, photo: Image.Image, seed: int) -> Job:
        """The explanation of `photo` over the model's mean colour; `opened` gives it its target."""
        pixels, _ = fit(photo, self.spec.fit)
        baseline = ModelMean().image(pixels, self.spec.pixels, Stream(seed))
        x = ImageInput(self.spec.input.name, pixels, baseline, self.spec.pixels)
        target = Target(self.spec.kind, Link.PROBABILITY)
        return Job(self.model, x, target, Stream(seed), twin=self.twin)


def _batch(device: torch.device, pixels: int) -> int:
    """Rows of a forward pass; not measured, since what a busy moment says would hold for the whole study."""
    return 256 if device.type == "cuda" else 16 if pixels <= SMALL else 8


class Ended:
    """An outbox that puts the end of a run into a queue."""

    def __init__(self, key: Any, ended: queue.SimpleQueue) -> None:
        self._key, self._ended = key, ended

    def progress(self, progress: Progress) -> None: ...

    def finish(self, value: Any) -> None:
        self._ended.put((self._key, value, None))

    def fail(self, error: BaseException) -> None:
        self._ended.put((self._key, None, error))


def opened(job: Job, *links: Link) -> Plan[tuple[list[Job], torch.Tensor]]:
    """The job for the class that the model gives its input, once for each link, and the outputs [2, K] on its ends."""
    y = yield from ends(job)
    best = int(y[0].argmax())
    return [replace(job, target=Target(job.target.kind, link, (best,)), ends=y) for link in links], y


def _first_segments() -> Plan[Any]:
    grey = np.full((1, 8, 8, 3), 128, np.uint8)
    columns: dict[str, Any] = {"pixels": grey, "kind": ["slic"], "segments": [4]}
    return (yield from ask(Sweep(Local("segment"), 1, lambda rows, on: (columns, None), First())))
