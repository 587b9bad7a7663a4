"""Mask optimisation of a photo: how soon it has the objective of the paper's per-pixel optimiser, and with what memory.

Compared by the objective on the full-resolution mask, without the term of sigma, which has no bound of its own; sigma
has the same cap in both. The replica (tests/masks/replica.py) takes seconds a step on a CPU, so it is stopped at
`STEPS` if its own rule has not stopped it before: its objective there is what is to be reached.
"""

import csv
import time

import matplotlib as mpl
import pytest
import torch
from live import MODEL, embedded, photo_file, service
from masks.replica import overlap
from sidelight_client import Client

from bench.mask_peers import SIZE, peer, question
from bench.memory import Memory, forget_peak, linux, peak, worker
from bench.report import FOLDER, report

mpl.use("Agg")
import matplotlib.pyplot as plt

STEPS, MORE = 300, 25  # of the replica (minutes); how many more ours may take to its objective
COARSE = 4  # pixels, the side of cells that are shown beside those of one pixel
TINY = 32  # cells so large that all memory is the model's


def ask(client, c, steps, cell=1):
    """The service's answer, with the paper's settings, and the seconds that it took."""
    began = time.perf_counter()
    answer = client.explain(
        photo_file(SIZE), model=MODEL, method="mask_optimisation", parameters={"steps": steps, "cell": cell},
        seed=1, deadline=600, target=c, outputs=["map"],
    )  # fmt: skip
    return answer.best, time.perf_counter() - began


def objectives(best):
    """Step by step, without the term of sigma."""
    return sum(torch.as_tensor(values).double() for name, values in best.optimised.terms.items() if name != "sigma")


@linux
@pytest.mark.slow
def test_time_and_memory_to_the_objective_of_the_paper_s_optimiser(tmp_path):
    asked = question()
    theirs = peer(STEPS)
    goal = theirs.found.steps[-1].objective
    with service(tmp_path, embedded()) as running, Client(running.grpc) as client:
        ask(client, asked.c, 3, cell=TINY)
        process = worker(running).pid
        idle = forget_peak(process)
        curve = objectives(ask(client, asked.c, len(theirs.found.steps) + MORE)[0])
        memory = Memory(idle, peak(process))
        within = (curve <= goal).nonzero()
        assert len(within), f"the objective of the replica, {goal:.4f}, was not reached: {curve.min():.4f}"
        reached, seconds = ask(client, asked.c, int(within[0]) + 1)
        coarse, coarse_seconds = ask(client, asked.c, len(theirs.found.steps) + MORE, cell=COARSE)
    mask = torch.tensor(reached.map)
    assert asked.worth(mask.float()) == pytest.approx(reached.optimised.objective, rel=1e-2)  # the same question
    curves = {
        "replica": [(s.seconds, s.objective) for s in theirs.found.steps],
        "service": spread(objectives(reached), seconds),
        f"service, cells of {COARSE} x {COARSE}": spread(objectives(coarse), coarse_seconds),
    }
    published(curves)
    last = theirs.found.steps[-1]
    about = f"the replica's objective after {len(theirs.found.steps)} steps"
    how = (
        "EfficientNet-Lite0, float32, 224 x 224, three baselines, the paper's settings; objective without the term of "
        "sigma, sigma at most 400; replica: one kernel of 41 x 41 for each pixel"
    )
    iou = overlap(mask, theirs.found.mask)
    report(
        "masks_time_to_objective", seconds / last.seconds, 1 / 5,
        f"seconds to {about}, client to answer, over the replica's", how, seconds=seconds,
        replica_seconds=last.seconds, steps=int(within[0]) + 1, objective=goal,
        replica_settled=theirs.found.settled, mean=float(mask.mean()), replica_mean=last.mean,
    )  # fmt: skip
    report(
        "masks_overlap", 1 - iou, 1 - 0.8, f"1 - intersection over union of both masks, cut at 1/2, at {about}", how,
        mean_difference=float((mask - theirs.found.mask).abs().mean()),
    )  # fmt: skip
    report(
        "masks_memory", memory.growth / theirs.memory.growth, 1 / 10,
        "memory of masks at its peak, beyond what the passes of the model take, over the replica's",
        "VmHWM less what was resident after such passes, megabytes", ours=memory.growth, replica=theirs.memory.growth,
        ours_with_model=memory.peak / 1e6, replica_with_model=theirs.memory.peak / 1e6,
    )  # fmt: skip


def spread(values, seconds):
    """Steps take equally long."""
    return [(seconds * (i + 1) / len(values), float(v)) for i, v in enumerate(values)]


def published(curves):
    """masks_objective.csv and masks_objective.png."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [(name, i, *point) for name, points in curves.items() for i, point in enumerate(points)]
    with (FOLDER / "masks_objective.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("optimiser", "step", "seconds", "objective"), *rows])
    made, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
    for name, points in curves.items():
        ax.loglog(*zip(*points, strict=True), label=name)
    ax.set(xlabel="seconds", ylabel="objective, without the term of sigma")
    ax.legend(frameon=False, fontsize=8)
    made.savefig(FOLDER / "masks_objective.png", dpi=150)
    plt.close(made)
