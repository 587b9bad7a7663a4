"""The perturbation family with the model inside the service: against the plain forward pass and against its peers."""

import contextlib
import statistics
from functools import partial

import pytest
import torch
from live import MODEL, embedded, photo_file, service
from sidelight_client import Client

from bench.memory import Memory, forget_peak, linux, peak, worker
from bench.plain import ENDS, Kept, forward
from bench.regression_peers import CLASS, PEERS, Peers, memory_of, quiet
from bench.report import ratio, report, turns

ROWS, ROUNDS = 153, 3  # three designs of Sobol indices of 49 cells
PEER_ROWS = 128

# Those that cut a photo into a grid, RISE aside, which test_in_process has.
PRESETS = {
    "occlusion": {},
    "pda": {"samples": ROWS},
    "sobol": {"samples": ROWS},
    "hsic": {"samples": 256},  # the fewest that tell 49 cells apart
    "perturbation": {"samples": ROWS, "segmentation": "grid"},
}


@pytest.fixture(scope="module")
def plain():
    return forward(torch.float32)


@pytest.fixture(scope="module")
def kept(plain):
    with contextlib.closing(Kept(plain.batch)) as kept:
        yield kept


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with service(tmp_path_factory.mktemp("service"), embedded()) as running:
        yield running


def ask(client, **question):
    answer = client.explain(photo_file(), model=MODEL, seed=1, deadline=600, target=CLASS, **question)
    assert answer.best.stop_reason == "complete"
    return answer.best


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_against_the_plain_forward_pass(preset, running, plain, kept):
    with Client(running.grpc) as client:
        ours = partial(ask, client, method=preset, parameters=PRESETS[preset], outputs=["map"])
        rows = ours().evaluations
        rounds = max(ROUNDS * ROWS // rows, 2)  # more where they are short
        seconds = turns((ours, plain.of(rows), kept.of(rows)), rounds)
    report_against_plain(preset, "a grid", 1.10, rows, seconds)


def report_against_plain(preset, cut, bound, rows, seconds):
    """`seconds` of ours, of the plain pass and of that with kept memory, round by round."""
    report(
        f"{preset}_in_process_float32",
        ratio(seconds, 0, 1),
        bound,
        f"{preset} on {cut}, client to answer, over the forward pass of its {rows} rows ready-made, endpoints counted",
        f"median of {len(seconds)} ratios, run in turn; EfficientNet-Lite0, float32, channels last, best batch size; "
        "with kept memory: over the same pass where the allocator is set as in the service",
        ratio_with_kept_memory=round(ratio(seconds, 0, 2), 4),
        milliseconds_a_row=1e3 * statistics.median(s[0] for s in seconds) / rows,
        plain_milliseconds_a_row=1e3 * statistics.median(s[1] for s in seconds) / rows,
    )


@linux
@pytest.mark.parametrize("method", PEERS)
def test_regressions_against_other_packages(method, plain, kept, tmp_path):
    """Peers have the segments ready-made; ours takes a PNG file over the wire and cuts its segments first."""
    names = [peer.__name__ for peer in PEERS[method]]
    with service(tmp_path, embedded(f"batch_rows = {plain.batch}")) as running, Client(running.grpc) as client:
        parameters = {"samples": PEER_ROWS - ENDS}
        ours = partial(ask, client, method=method, parameters=parameters, outputs=["map", "segments"])
        process = worker(running).pid
        idle = forget_peak(process)
        labels = ours().labels
        memory = {"ours": Memory(idle, peak(process))}
        for name, peer in zip(names, PEERS[method], strict=True):
            memory[name], rows = memory_of(peer, PEER_ROWS, plain.batch, labels, tmp_path)
            assert rows == PEER_ROWS, name
        peers = Peers(plain.net, plain.batch, labels, tmp_path)
        theirs = [partial(quiet, peer, peers, PEER_ROWS) for peer in PEERS[method]]
        seconds = turns((ours, plain.of(PEER_ROWS), kept.of(PEER_ROWS), *theirs), ROUNDS)
    report_against_plain(method, "SLIC", None, PEER_ROWS, seconds)
    report(
        f"{method}_memory_against_peers",
        memory["ours"].growth / min(memory[name].growth for name in names),
        None,
        f"growth of the service's process at its peak in {method} of {PEER_ROWS} rows, over that of the leanest peer's",
        "VmHWM less what was resident before; ours: a service's first request (segments are cut in another process); "
        "peers: their first in a process that has loaded the network, with the service's setting of the allocator, "
        "and has run a batch of the same size; megabytes",
        **{f"{name}_growth": m.growth for name, m in memory.items()},
        **{f"{name}_peak": m.peak / 1e6 for name, m in memory.items()},
    )
    against = {name: ratio(seconds, 0, i) for i, name in enumerate(names, 3)}
    over_plain = {f"{name}_over_plain": ratio(seconds, i, 1) for i, name in enumerate(names, 3)}
    report(
        f"{method}_against_peers",
        max(against.values()),
        1.0,
        f"seconds of {method} over those of the fastest other package, {PEER_ROWS} evaluations each",
        f"median of {ROUNDS} ratios, run in turn; EfficientNet-Lite0, float32, channels last, best batch size",
        **{name: round(value, 3) for name, value in (against | over_plain).items()},
    )
