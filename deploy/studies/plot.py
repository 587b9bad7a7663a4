"""Figures of the studies. What is told apart by colour is told apart by marker or line as well, and by its grey."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import attribution_errors
import economy
import matplotlib.pyplot as plt
import numpy as np
from findings import CALCULATORS, Findings
from PIL import Image

INK, BLUE, ORANGE, PALE = "#1a1a1a", "#2166ac", "#e08214", "#b8b8b8"
MARKERS = dict(zip(CALCULATORS, "osD^", strict=True))
STYLE: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False,
}  # fmt: skip
WORDS = {"map_type": "map type", "smoothing:map_type": "smoothing × map type", "residual": "the rest"}
MAPS = {"per_pixel": ("per pixel", BLUE, "full"), "per_segment": ("per segment", ORANGE, "none")}


def study(found: Findings, path: Path) -> Path:
    """Shares of variance beside the mean SRG of every combination. Writes a PNG file."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), width_ratios=(1, 1.5), layout="constrained")
        _shares(left, found)
        _combinations(right, found)
        save(figure, path, 130)
    return path


def _shares(axes: Any, found: Findings) -> None:
    terms = list(found.shares)[::-1]
    values = np.array([found.shares[t] for t in terms])
    errors = np.abs(values[:, 1:] - values[:, :1]).T
    axes.barh(range(len(terms)), values[:, 0], color=[PALE if t == "residual" else BLUE for t in terms], height=0.6)
    axes.errorbar(values[:, 0], range(len(terms)), xerr=errors, fmt="none", ecolor=INK, capsize=3, lw=1)
    axes.set_yticks(range(len(terms)), [WORDS.get(t, t) for t in terms])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the variance of mean SRG, with 90 % intervals")
    axes.set_title("What decides the quality of a map")


def _combinations(axes: Any, found: Findings) -> None:
    columns, means = found.scores.columns, found.scores.srg.mean(0)
    order = list(dict.fromkeys(key[:2] for key in found.combinations))[::-1]
    for cell, srg in enumerate(means):
        _, colour, fill = MAPS[str(columns["map_type"][cell])]
        if columns["smoothing"][cell] == "none":  # one map, whatever its type is called
            colour, fill = INK, "full"
        at = order.index((columns["segmentation"][cell], columns["smoothing"][cell]))
        axes.plot(
            srg, at, MARKERS[str(columns["calculator"][cell])], color=colour, fillstyle=fill, ms=6, mew=1.2, alpha=0.9
        )
    axes.set_yticks(range(len(order)), [f"{seg}, {smooth.replace('_', ' ')}" for seg, smooth in order])
    axes.set_xlabel(f"SRG, mean over {found.photos} photos (higher is better)")
    axes.set_title("Every combination")
    axes.grid(axis="y", color="#eeeeee")
    handles = [
        *(axes.plot([], [], "o", color=c, fillstyle=f, label=f"smooth, {name}")[0] for name, c, f in MAPS.values()),
        axes.plot([], [], "o", color=INK, label="hard edges")[0],
        *(axes.plot([], [], m, color=INK, fillstyle="none", label=c)[0] for c, m in MARKERS.items()),
    ]
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8
    )  # beside the data, wherever that lies


LINES = {
    "bernoulli": (INK, "o", "-"), "antithetic": (ORANGE, "s", "--"), "orthogonal": (BLUE, "D", "-"),
    "rate": (PALE, "v", ":"), "kernel_pairs": ("#4d9221", "^", "-."),
}  # fmt: skip


def samplers(found: economy.Findings, path: Path) -> Path:
    """Error of per-pixel maps by evaluations for each calculator and output, beside quality. Writes a PNG file."""
    calculators = list(dict.fromkeys(key[2] for key in found.curves))
    links = list(dict.fromkeys(key[1] for key in found.curves))
    with mpl.rc_context(STYLE):
        size = (len(links), len(calculators) + 1)
        figure, grid = plt.subplots(*size, figsize=(13, 3.4 * len(links)), layout="constrained", squeeze=False)
        for row, link in zip(grid, links, strict=True):
            for axes, calculator in zip(row, calculators, strict=False):
                _errors(axes, found, link, calculator)
            row[0].set_ylabel("squared error of the map over its\nvariance, median over photos")
        for axes in grid[-1, :-1]:
            axes.set_xlabel("evaluations of the network")
            axes.legend(fontsize=8)
        for axes, metrics in zip(grid[:, -1], (("srg",), ("insertion", "deletion")), strict=False):
            _qualities(axes, found, metrics)
        save(figure, path, 120)
    return path


def _errors(axes: Any, found: economy.Findings, link: str, calculator: str) -> None:
    for (place, of, c, sampler), curve in found.curves.items():
        if (place, of, c) == ("pixels", link, calculator):
            colour, marker, line = LINES[sampler]
            positive = {n: e for n, e in curve.items() if e > 0}
            name = sampler.replace("_", " ")
            axes.plot(list(positive), list(positive.values()), line, marker=marker, color=colour, ms=4, label=name)
            if sampler == economy.PLAIN_SAMPLER:
                axes.axhline(curve[found.plain], color=INK, lw=0.7, ls=":")
    axes.set(xscale="log", yscale="log", title=f"{calculator.upper()}, {link}")
    axes.set_xticks([100, 300, 1000, 4000], ["100", "300", "1000", "4000"])
    axes.minorticks_off()


def _qualities(axes: Any, found: economy.Findings, metrics: Sequence[str]) -> None:
    methods = list(dict.fromkeys(method for method, _, _ in found.quality))
    sizes = list(dict.fromkeys(n for _, n, _ in found.quality))
    for metric, colour in zip(metrics, (BLUE, ORANGE), strict=False):
        for n, marker, fill in zip(sizes, "oD", ("none", "full"), strict=False):
            values = [m[metric] for _, k, m in found.quality if k == n]
            name = f"{metric}, {n} evaluations" if len(metrics) > 1 else f"{n} evaluations"
            axes.plot(values, range(len(methods)), marker, color=colour, fillstyle=fill, ms=7, label=name)
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(-0.5, len(methods) - 0.5)
    axes.grid(axis="y", color="#eeeeee")
    better = "higher is better" if len(metrics) == 1 else "insertion ↑, deletion ↓"
    axes.set(xlabel=f"mean over photos ({better})", title=" and ".join(metrics).replace("srg", "SRG") + ", equal cost")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=2)


MARKS = {  # of baselines: those of pixels are dark, those of a layer light
    "model_mean": (INK, "o"), "image_mean": (INK, "s"), "blur": (BLUE, "v"), "noise": (BLUE, "^"),
    "distribution": (BLUE, "D"), "feature_zero": (ORANGE, "o"), "feature_mean": (ORANGE, "s"), "neutral": (ORANGE, "X"),
}  # fmt: skip
LEAST = 1e-6  # of |E|/|T| that is worth showing: rounding


def baselines(found: attribution_errors.Findings, path: Path) -> Path:
    """|E|/|T| of every method over every baseline, a panel for each layer. Writes a PNG file."""
    with mpl.rc_context(STYLE):
        figure, grid = plt.subplots(
            1, len(found.layers), figsize=(3.2 * len(found.layers) + 2, 4.8), layout="constrained", sharex=True,
            sharey=True, squeeze=False,
        )  # fmt: skip
        for axes, layer in zip(grid[0], found.layers, strict=True):
            _relative_errors(axes, found, layer)
        handles = [
            grid[0, 0].plot([], [], marker, color=colour, label=baseline.replace("_", " "))[0]
            for baseline, (colour, marker) in MARKS.items()
            if baseline in found.baselines
        ]
        figure.legend(handles=handles, loc="outside right upper", fontsize=8, title="baseline")
        save(figure, path, 110)
    return path


def _relative_errors(axes: Any, found: attribution_errors.Findings, layer: str) -> None:
    methods = found.methods[::-1]
    for (at, method, baseline), spread in found.spreads.items():
        if at == layer:
            colour, marker = MARKS[baseline]
            aside = list(MARKS).index(baseline) / len(MARKS) - 0.5  # so that equal errors are told apart
            y = methods.index(method) - 0.7 * aside
            low, high = max(spread.median, LEAST), max(spread.high, LEAST)
            axes.plot([low, high], [y, y], "-", color=colour, lw=0.7, alpha=0.6)
            axes.plot(low, y, marker, color=colour, ms=4.5)
    axes.axvline(1, color=INK, lw=0.7, ls=":")
    axes.set(xscale="log", title=layer, xlabel="|E|/|T|, median to 95th percentile")
    axes.set_yticks(range(len(methods)), [method.replace("_", " ") for method in methods])
    axes.grid(axis="y", color="#eeeeee")


def save(figure: Any, path: Path, dpi: int) -> None:
    """As a PNG of few colours, which is small enough for a repository."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)
