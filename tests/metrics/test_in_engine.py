"""Metrics on the real engine: side by side, among other requests' rows, and when the time is up."""

import math

import pytest
import torch
from doubles import Letter, LinearPredictor, SlowPredictor
from measured import picture, subject
from sidelight import metrics
from sidelight.core.errors import DeadlineExceeded
from sidelight.core.metric import metrics as registered
from sidelight.core.predictor import PixelSpace
from sidelight.core.registry import load
from sidelight.core.sweep import Stop, together
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label

load(metrics)
CURVES = [m for _, m in sorted(registered().items()) if "forward" in m.needs]
LABEL = Label("test", "linear", "embedded")


@pytest.fixture
def start():
    engines = []

    def make(predictor):
        engines.append(Engine())
        engines[-1].add(predictor)
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def measured(seed):
    maps = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(seed))
    return subject(picture((8, 8), seed, space=PixelSpace(scale=1 / 255)), maps, (0, 1), model="linear")


def started(engine, s):
    letter = Letter()
    return letter, engine.run(together(*(m.plan(s, m.params()) for m in CURVES)), letter, label=LABEL)


def test_metrics_side_by_side_among_other_requests_find_what_each_finds_alone(start):
    engine = start(LinearPredictor())
    letters = [started(engine, measured(seed))[0] for seed in range(4)]
    for seed, letter in enumerate(letters):
        for metric, found in zip(CURVES, letter.wait(), strict=True):
            alone = Letter()
            engine.run(metric.plan(measured(seed), metric.params()), alone, label=LABEL)
            for name, value in alone.wait().values.items():
                torch.testing.assert_close(found.values[name], value, rtol=1e-5, atol=1e-5)


def test_all_metrics_ask_at_once_for_rows_that_fill_batches(start):
    predictor = LinearPredictor(tile_rows=8, batch_rows=32)
    s = measured(0)
    started(start(predictor), s)[0].wait()
    rows = sum(m.cost(m.params(), (8, 8), 2) for m in CURVES)
    assert sum(sum(tiles) for _, tiles in predictor.calls) == rows
    assert len(predictor.calls) <= math.ceil(rows / 32) + 2  # one sweep a metric ends in a tile of its own


def test_when_the_time_is_up_there_is_no_half_measure(start):
    letter, run = started(start(SlowPredictor(0.05)), measured(0))
    run.stop(Stop.DEADLINE)
    with pytest.raises(DeadlineExceeded):
        letter.wait()
