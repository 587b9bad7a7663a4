"""Integrated Gradients with the model inside the service: against the bare passes, and against captum."""

import concurrent.futures
import statistics
from functools import partial

import pytest
from live import MODEL, embedded, photo_file, service
from sidelight_client import Client

from bench.gradient_peers import CLASS, LAYER, STEPS, Backward, Captum, frozen, memory_of
from bench.memory import Memory, forget_peak, linux, peak, worker
from bench.report import ratio, report, turns

ROUNDS, AT_ONCE = 3, 8
WHERE = {"input": [], "layer": [LAYER]}


def ask(client, layers):
    answer = client.explain(
        photo_file(), model=MODEL, method="integrated_gradients", parameters={"nodes": STEPS, "layers": layers},
        baseline="model_mean", seed=1, deadline=600, target=CLASS, outputs=["map"],
    )  # fmt: skip
    return answer.best


@linux
@pytest.mark.parametrize("where", WHERE)
def test_integrated_gradients(where, tmp_path):
    layers = WHERE[where]
    bare, net = Backward(*layers), frozen()
    captums = [Captum(net, *layers, batch=batch) for batch in (None, bare.batch)]
    with (
        service(tmp_path, embedded()) as running,
        Client(running.grpc) as client,
        concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        ours = partial(ask, client, layers)
        process = worker(running).pid
        idle = forget_peak(process)
        rows = ours().evaluations
        memory = Memory(idle, peak(process))
        one = turns((ours, bare.of(rows), *captums), ROUNDS)

        def eight():
            list(pool.map(lambda _: ours(), range(AT_ONCE)))

        many = turns((eight, partial(captums[0], AT_ONCE)), 1)
    about = f"Integrated Gradients, {STEPS} nodes, at {'the input' if where == 'input' else LAYER}"
    how = "EfficientNet-Lite0, float32, channels last; run in turn, median of ratios"
    report(
        f"integrated_gradients_{where}_over_plain", ratio(one, 0, 1), 1.10,
        f"{about}, client to answer, over forward and backward of as many ready-made rows",
        f"{how}; best batch size", rows=rows, batch=bare.batch,
        milliseconds_a_row=1e3 * statistics.median(s[0] for s in one) / rows,
    )  # fmt: skip
    report(
        f"integrated_gradients_{where}_against_captum", ratio(one, 0, 2), 1.0,
        f"seconds of {about}, over captum's at as many steps", f"{how}; captum's defaults; tuned: our batch size",
        tuned=ratio(one, 0, 3), captum_over_plain=ratio(one, 2, 1), tuned_captum_over_plain=ratio(one, 3, 1),
    )  # fmt: skip
    report(
        f"integrated_gradients_{where}_eight_at_once", ratio(many, 0, 1), 1 / 1.5,
        f"seconds of eight requests at once, {about}, over those of eight calls of captum",
        f"{how}; captum's defaults",
    )  # fmt: skip
    theirs = [memory_of("".join(layers), batch) for batch in (None, bare.batch)]
    report(
        f"integrated_gradients_{where}_memory", memory.growth / theirs[0].growth, None,
        f"growth of the service's process at its peak in {about}, over captum's",
        "VmHWM less what was resident before, megabytes; ours: a service's first request",
        ours=memory.growth, captum=theirs[0].growth, tuned_captum=theirs[1].growth,
    )  # fmt: skip
