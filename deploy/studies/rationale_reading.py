"""The texts' part of the study of rationales: the demo's text classifier behind an engine, and the rows of one text."""

from collections.abc import Sequence
from pathlib import Path

import rationale_maps
import rationale_scores
import torch
from laboratory import Room, opened
from rationale_scores import Row
from rationale_texts import Text
from sidelight.core.ask import Forward
from sidelight.core.fold import Collect
from sidelight.core.inputs import TextInput, words
from sidelight.core.job import Job
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Plan, Rows, Sweep, ask
from sidelight.core.target import Link, Target
from sidelight.predictors import networks
from sidelight.predictors.card import read_card
from sidelight.predictors.embedded import EmbeddedPredictor

DEPLOY = Path(__file__).resolve().parents[1]
FACTORY = DEPLOY / "text" / "sentiment_network.py"
CARD = DEPLOY / "triton" / "cards" / "sentiment.toml"
SEED = 1
ROWS, UNDER_WAY = 16, 4  # of a batch; texts at once, whose steps share batches
TOGETHER = 32  # texts that the model is asked about at once


def room(device: str) -> Room:
    """With gradients. A context manager."""
    on = torch.device(device)
    network = networks.from_factory(f"{FACTORY}:reading", {}, on)
    return Room(EmbeddedPredictor(network, read_card(CARD), on, batch_rows=ROWS), ROWS, UNDER_WAY)


def job(room: Room, text: str) -> Job:
    """The explanation of a text, words being left out where they are hidden; `opened` gives it its target."""
    x = TextInput(room.spec.input.name, text, words(text))
    return Job(room.model, x, Target(room.spec.kind, Link.PROBABILITY), Stream(SEED), twin=room.twin)


def agreeing(room: Room, texts: Sequence[Text], count: int | None) -> tuple[list[Text], int]:
    """The first `count` whose label the model agrees with, or that have none, and how many it was asked about.

    Raises ValueError for a label that is no class of the model.
    """
    labels = room.spec.labels
    for text in texts:
        if text.label is not None and text.label not in labels:
            raise ValueError(f"the label {text.label!r} is no class of {room.spec.name}, which has {', '.join(labels)}")
    chosen: list[Text] = []
    for at in range(0, len(texts), TOGETHER):
        part = texts[at : at + TOGETHER]
        ((_, y),) = room.results([(None, _outputs(room, part))])
        for i, (text, c) in enumerate(zip(part, y.argmax(1).tolist(), strict=True)):
            chosen += [text] if text.label in (None, labels[c]) else []
            if count is not None and len(chosen) == count:
                return chosen, at + i + 1
    return chosen, len(texts)


def _outputs(room: Room, texts: Sequence[Text]) -> Plan[torch.Tensor]:
    name = room.spec.input.name

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        return {name: [texts[i].text for i in rows]}, None

    folded = yield from ask(Sweep(Forward(room.model), len(texts), render, Collect("y"), ("text",)))
    return folded.value


def rows(job: Job, text: Text, labels: Sequence[str], samples: int, steps: int) -> Plan[dict[str, Row]]:
    """The rows of one text, by method, but for what says which they are."""
    (job,), y = yield from opened(job, Link.PROBABILITY)
    maps = yield from rationale_maps.of_text(job, samples, steps)
    found = yield from rationale_scores.of_text(job, maps, text.spans)
    about: Row = {
        "class": labels[job.target.classes[0]],
        "probability": float(job.target.score(y)[0]),
        "words": job.input.shape[0],
    }
    return {name: about | row for name, row in found.items()}
