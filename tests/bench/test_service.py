"""What the service itself costs, with a model that costs nothing: memory, fairness, start, overhead."""

import math
import time
from pathlib import Path

import pytest
import sidelight.methods
import torch
from doubles import Letter, SlowPredictor
from live import embedded, photo_file, service
from sidelight.core import registry
from sidelight.core.ask import Model
from sidelight.core.explanation import explain
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.predictor import PixelSpace
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label
from sidelight_client import Client, Hsic, Rise

from bench.memory import linux, peak, worker
from bench.report import percentile, report

MODELS = Path(__file__).parent / "models.py"


def free(folder: Path, side: int) -> str:
    """Configuration of the free model for images of `side` pixels."""
    (folder / "free.toml").write_text(f'model = "free"\nkind = "image"\n[input]\ncrop = {side}\n')
    return f'[[models]]\ncard = "free.toml"\n[models.embedded]\nfactory = "{MODELS}:free"\n'


@linux
@pytest.mark.parametrize(
    ("name", "few", "many", "what"),
    [
        (
            "peak_memory_megabytes",
            Rise(masks=1_000),
            Rise(masks=100_000),
            "RISE with 100 000 masks beyond that with 1 000",
        ),
        (
            "hsic_peak_memory_megabytes",
            Hsic(samples=256),
            Hsic(samples=4096, segments=1024),
            "HSIC of 1024 cells and 4096 rows, the most there are, beyond that of 49 and 256",
        ),
    ],
)
def test_memory_does_not_grow_with_the_number_of_rows(name, few, many, what, tmp_path):
    with service(tmp_path, free(tmp_path, 64)) as running, Client(running.grpc) as client:

        def ask(method):
            answer = client.explain(photo_file(), model="free", method=method, seed=1, deadline=600)
            assert answer.best.stop_reason == "complete"
            return peak(worker(running).pid)

        before = ask(few)
        grown = (ask(many) - before) / 1e6
    report(
        name,
        grown,
        64,
        f"megabytes of peak memory of {what}",
        "VmHWM of the service's process after each of two requests in turn; 64 x 64 pixels, a model that costs nothing",
    )


@pytest.mark.parametrize(("tile", "batch"), [(8, 16), (8, 32)])
def test_a_small_request_behind_a_large_one_is_done_in_its_turn(tile, batch):
    """Counted in batches from its submission to its answer, endpoints and the batch under way included."""
    registry.load(sidelight.methods)
    rise = registry.find("rise")
    predictor = SlowPredictor(0.02, tile_rows=tile, batch_rows=batch)
    x = ImageInput("x", torch.rand(3, 8, 8) * 255, torch.zeros(3, 8, 8), PixelSpace())
    target = Target(OutputKind.LOGITS, Link.LOGIT, (0,))

    def start(engine, masks):
        letter = Letter()
        job = Job(Model("linear", "1"), x, target, Stream(1))
        plan = explain(job, lambda y: target, rise, rise.params(masks=masks))
        engine.run(plan, letter, label=Label("rise", "linear", "embedded"))
        return letter

    engine = Engine()
    engine.add(predictor)
    start(engine, 20_000)
    needed = []
    for _ in range(10):
        time.sleep(0.05)
        before = len(predictor.calls)
        start(engine, 64).wait()
        needed.append(len(predictor.calls) - before)
    engine.close()
    allowed = 2 * math.ceil(64 / batch) + 2
    report(
        f"newcomer_batches_of_{batch}",
        max(needed) / allowed,
        1.0,
        f"most batches until a 64-mask request behind one of 20 000 was done ({max(needed)}), over 2*ceil(64/B) + 2",
        "ten newcomers, one after another, counted at the predictor",
    )


@pytest.mark.parametrize("model", ["free", "embedded"])
def test_cold_start(model, tmp_path):
    config = embedded() if model == "embedded" else free(tmp_path, 64)
    began = time.perf_counter()
    with service(tmp_path, config):
        seconds = time.perf_counter() - began
    report(
        f"cold_start_seconds_{model}",
        seconds,
        None,
        "seconds from nothing to READY",
        "one start; free: a model that costs nothing; embedded: EfficientNet-Lite0, tuned, with its twin",
    )


def test_overhead_of_a_request(tmp_path):
    with service(tmp_path, free(tmp_path, 224)) as running, Client(running.grpc) as client:
        file = photo_file((224, 224))
        seconds = []
        for i in range(250):
            began = time.perf_counter()
            client.explain(file, model="free", method=Rise(masks=2), seed=1, deadline=30, outputs=["map"])
            if i >= 50:
                seconds.append(1e3 * (time.perf_counter() - began))
    report(
        "overhead_milliseconds",
        percentile(seconds, 50),
        None,
        "milliseconds of a request with two masks and a model that costs nothing, median",
        "200 requests, one after another, 224 x 224 PNG in, float32 map out",
        p99=percentile(seconds, 99),
    )
