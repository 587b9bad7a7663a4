"""The figure of the study of rationales: every method on every metric, with its interval."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from plot import BLUE, INK, PALE, STYLE, mpl, save
from rationale_findings import WORDS, Findings, Side, name
from rationale_maps import MASK, RANDOM

MARKS = {MASK: (BLUE, "D"), RANDOM: (PALE, "o")}


def rationales(found: Findings, path: Path) -> Path:
    """A row of panels for texts, and one for photos. Writes a PNG file."""
    widest = max(len(side.scores) for side in found.sides)
    heights = [len(side.methods) for side in found.sides]
    with mpl.rc_context(STYLE):
        figure, grid = plt.subplots(
            len(found.sides), widest, figsize=(2.5 * widest + 2, 0.3 * sum(heights) + 1.1 * len(heights)),
            height_ratios=heights, layout="constrained", squeeze=False,
        )  # fmt: skip
        for row, side in zip(grid, found.sides, strict=True):
            for axes, metric in zip(row, side.scores, strict=False):
                _panel(axes, side, metric, named=axes is row[0])
            for axes in row[len(side.scores) :]:
                axes.set_axis_off()
        save(figure, path, 110)
    return path


def _panel(axes: Any, side: Side, metric: str, named: bool) -> None:
    methods = side.methods[::-1]
    for y, method in enumerate(methods):
        colour, marker = MARKS.get(method, (INK, "o"))
        mean, low, high = side.mean(metric, method)
        if np.isfinite(low):
            axes.plot([low, high], [y, y], "-", color=colour, lw=1.2)
        axes.plot(mean, y, marker, color=colour, ms=5)
    axes.set_yticks(range(len(methods)), [name(method) for method in methods] if named else [""] * len(methods))
    axes.set_title(WORDS[metric])
    axes.grid(axis="y", color="#eeeeee")
    if named:
        axes.set_ylabel(f"{side.items} {side.what}")
