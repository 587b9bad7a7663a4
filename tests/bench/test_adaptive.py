"""The adaptive rule against single Gauss-Legendre rules: what a map within the tolerance takes, every row counted.

What single rule is enough depends on the input and is known only once the map is; the adaptive rule stops by itself.
A single rule of n nodes has n + 2 rows, g(b) and g(z) being no nodes of it; the adaptive rule's are.
"""

import csv
import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from numpy.polynomial import legendre

from bench.report import FOLDER, percentile, report
from bench.straight import Line, away, gauss, photo, sentence

mpl.use("Agg")
import matplotlib.pyplot as plt

SENTENCES = Path(__file__).resolve().parents[2] / "deploy" / "text" / "held_out_sample.tsv"
TOLERANCE, DENSE = 1e-2, 64
PHOTOS, PLACES = ("chelsea", "coffee"), {"input": None, "layer": 5}
ROWS, SINGLES, FINE = 48, (6, 12, 24, 48), 6  # of the adaptive rule; of single rules; truth's nodes in each of its gaps


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Nothing here is timed, and batches are small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Dense:
    """A map that has converged, and single rules on the polynomial through its nodes in place of more passes."""

    def __init__(self, line: Line) -> None:
        self.a, self.w = gauss(DENSE)
        _, self.f = line.at(self.a)
        self.map = self.w @ self.f
        basis = legendre.legvander(2 * self.a - 1, DENSE - 1)  # [nodes, degrees], orthogonal under w
        self.coefficients = (basis * self.w[:, None] * (2 * np.arange(DENSE) + 1)).T  # values -> series

    def single(self, n: int) -> float:
        """The error of the rule with n nodes."""
        a, w = gauss(n)
        return away((w @ legendre.legvander(2 * a - 1, DENSE - 1) @ self.coefficients) @ self.f, self.map)

    def smallest(self) -> int:
        """n of the smallest rule within the tolerance."""
        return next(n for n in range(1, DENSE) if self.single(n) <= TOLERANCE)


def written(name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / name).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


@pytest.mark.slow
def test_evaluations_on_a_gelu_transformer():
    lines = SENTENCES.read_text().splitlines()[1::4][:50]  # the rule's constants were chosen on lines 0, 4, 8, ...
    texts = [line.split("\t")[1] for line in lines]
    rows, moved = [], []
    for i, text in enumerate(texts):
        line = sentence(text)
        dense = Dense(line)
        if i % 10 == 0:
            a, w = gauss(DENSE * 3 // 4)
            moved.append(away(w @ line.at(a)[1], dense.map))
        rounds, _ = line.adaptive(TOLERANCE)
        found = rounds[-1]
        error = away(found.map.numpy(), dense.map)
        rows.append((found.nodes, dense.smallest() + 2, len(rounds), error, found.indicator, found.residual,
                     abs(found.map.numpy().sum() / dense.map.sum() - 1), found.converged))  # fmt: skip
    written(
        "adaptive_transformer.csv",
        ("evaluations", "smallest_single_rule", "rounds", "error", "indicator", "residual",
         "gap_over_target", "converged"), rows,
    )  # fmt: skip
    ours, single, rounds, errors, indicators, _, gaps, converged = zip(*rows, strict=True)
    figure("adaptive_transformer.png", lambda axes: sentences(axes, ours, single, errors, indicators))
    report(
        "adaptive_evaluations_transformer", statistics.median(ours) / statistics.median(single), 1.25,
        f"median evaluations of the adaptive rule for an L1 error of {TOLERANCE:g}, over those of the smallest single "
        "Gauss-Legendre rule that reaches it, which only the converged map tells",
        f"{len(texts)} held-out sentences, MiniLM sentiment, token embeddings over [MASK]'s; every row counted",
        adaptive=statistics.median(ours), single=statistics.median(single),
        adaptive_p95=percentile(ours, 95), single_p95=percentile(single, 95),
        median_of_ratios=statistics.median(a / b for a, b in zip(ours, single, strict=True)),
        rounds=statistics.median(rounds), error=statistics.median(errors), error_p95=percentile(errors, 95),
        share_above_tolerance=sum(e > TOLERANCE for e in errors) / len(errors),
        share_above_indicator=sum(e > i for e, i in zip(errors, indicators, strict=True)) / len(errors),
        error_over_indicator_p95=percentile([e / i for e, i in zip(errors, indicators, strict=True)], 95),
        converged=sum(converged) / len(converged), truth_within=max(moved),
        gap_over_target=statistics.median(gaps), gap_over_target_p95=percentile(gaps, 95),
    )  # fmt: skip


@pytest.mark.slow
def test_error_against_evaluations_on_a_relu_network():
    rows = []
    for name in PHOTOS:
        for place, blocks in PLACES.items():
            line = photo(name, blocks)
            rounds, nodes = line.adaptive(1e-9, ROWS)
            truth = by_midpoints(line, nodes)
            for found in rounds:
                rows.append((name, place, "adaptive", found.nodes, away(found.map.numpy(), truth), found.indicator))
            for evaluations in SINGLES:
                a, w = gauss(evaluations - 2)
                rows.append((name, place, "single", evaluations, away(w @ line.at(a)[1], truth), None))
    written("adaptive_relu.csv", ("photo", "place", "rule", "evaluations", "error", "indicator"), rows)
    figure("adaptive_relu.png", lambda axes: photos(axes, rows))

    def last(rule, place):
        return statistics.mean(r[4] for r in rows if r[1:4] == (place, rule, ROWS))

    honest = [r[4] / r[5] for r in rows if r[2] == "adaptive" and r[3] == ROWS]
    for place in PLACES:
        report(
            f"adaptive_error_relu_{place}", last("adaptive", place) / last("single", place), None,
            f"L1 error of the adaptive rule at {ROWS} evaluations over that of one Gauss-Legendre rule",
            f"EfficientNet-Lite0 (ReLU6), {' and '.join(PHOTOS)} over the mean colour; mean over photos",
            adaptive=last("adaptive", place), single=last("single", place), error_over_indicator_at_most=max(honest),
        )  # fmt: skip


def by_midpoints(line: Line, nodes: np.ndarray) -> np.ndarray:
    """The map by `FINE` midpoints in every gap between nodes, none of which is one of them."""
    h = np.repeat(np.diff(nodes) / FINE, FINE)
    a = np.cumsum(h) - h / 2
    total = np.zeros(line.z.numel())
    for some in np.array_split(np.arange(len(a)), len(a) // ROWS):
        total += h[some] @ line.at(a[some])[1]
    return total


def figure(name: str, draw) -> None:
    made, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    draw(axes)
    made.savefig(FOLDER / name, dpi=150)
    plt.close(made)


def sentences(axes, ours, single, errors, indicators) -> None:
    """Evaluations of both rules, and what the indicator promised."""
    left, right = axes
    spread = torch.Generator().manual_seed(0)
    left.plot(
        *((torch.tensor(v) + torch.rand(len(v), generator=spread) * 0.6 - 0.3) for v in (single, ours)), "o", ms=4
    )
    ends = [min(*single, *ours) - 1, max(*single, *ours) + 1]
    left.plot(ends, ends, "k-", lw=0.8)
    left.set(xlabel="smallest single rule that is enough", ylabel="adaptive, stopped by itself", title="Evaluations")
    right.loglog(indicators, errors, "o", ms=4)
    right.plot(np.sort(indicators), np.sort(indicators), "k-", lw=0.8)
    right.set(xlabel="indicator", ylabel="error against the converged map", title="What it promised")


def photos(axes, rows) -> None:
    """Error against evaluations, at the input and at the layer."""
    for ax, place in zip(axes, PLACES, strict=True):
        for name, marker in zip(PHOTOS, "os", strict=True):
            for rule, color in (("adaptive", "#2166ac"), ("single", "#e08214")):
                points = [(r[3], r[4]) for r in rows if r[:3] == (name, place, rule)]
                ax.loglog(*zip(*points, strict=True), marker=marker, color=color, ms=4, label=f"{rule}, {name}")
        ax.set_xticks(SINGLES, map(str, SINGLES))
        ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        ax.set(xlabel="evaluations", ylabel="L1 error", title=f"ReLU network, {place}")
    axes[0].legend(frameon=False, fontsize=8)
