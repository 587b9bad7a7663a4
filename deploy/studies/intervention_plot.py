"""The figure of the study of interventions: scores, the downstream task, training, and the editor's agreement."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from intervention_domain import PROPERTIES, SCENARIOS
from intervention_findings import NAMES, SCORE, TIED, Findings
from intervention_statistics import correlations, mean
from plot import BLUE, INK, ORANGE, PALE, STYLE, mpl, save

LOOKS = dict(zip(SCENARIOS, ((INK, "o"), (BLUE, "D"), (ORANGE, "s")), strict=True))
LEAST = 1e-6  # of a score that is worth showing: a model's rounding


def interventions(found: Findings, path: Path) -> Path:
    """Four panels. Writes a PNG file."""
    with mpl.rc_context(STYLE):
        figure, grid = plt.subplots(2, 2, figsize=(12, 8.5), layout="constrained")
        _scores(grid[0, 0], found)
        _tasks(grid[0, 1], found)
        _epochs(grid[1, 0], found)
        _pairs(grid[1, 1], found)
        save(figure, path, 110)
    return path


def _scores(axes: Any, found: Findings) -> None:
    names = list(PROPERTIES)[::-1]
    for shift, (scenario, (colour, marker)) in zip((0.22, 0, -0.22), LOOKS.items(), strict=True):
        for (of, architecture, name), values in found.scores.items():
            if of == scenario:
                at = names.index(name) + shift + (0.07 if architecture == "resnet" else -0.07)
                middle, low, high = (max(x, LEAST) for x in mean(values))
                axes.plot([low, high], [at, at], "-", color=colour, lw=1.2)
                axes.plot(
                    middle, at, marker, color=colour, ms=4.5, fillstyle="full" if architecture == "resnet" else "none"
                )
        axes.plot([], [], marker, color=colour, label=scenario)
    axes.set(xscale="log", xlabel="S, with 95 % intervals (filled: resnet, open: convnext)", title="Score by property")
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y", color="#eeeeee")
    axes.legend(fontsize=8)


def _tasks(axes: Any, found: Findings) -> None:
    names = list(NAMES)[::-1]
    for shift, (scenario, (colour, marker)) in zip((0.22, 0, -0.22), LOOKS.items(), strict=True):
        for (of, architecture), task in found.tasks.items():
            if of == scenario:
                aside = shift + (0.07 if architecture == "resnet" else -0.07)
                fill = "full" if architecture == "resnet" else "none"
                for at, name in enumerate(names):
                    middle, low, high = mean(task.accuracy[name])
                    axes.plot([low, high], [at + aside] * 2, "-", color=colour, lw=1.2)
                    axes.plot(middle, at + aside, marker, color=colour, ms=4.5, fillstyle=fill)
                axes.plot(task.majority, -0.8 + aside, marker, color=colour, ms=4.5, fillstyle=fill)
    axes.set_yticks([-0.8, *range(len(names))], ["the more frequent answer", *(NAMES[name] for name in names)])
    axes.axhline(names.index(SCORE) - 0.5, color=PALE, lw=0.7)
    axes.set(xlabel="accuracy of a threshold", title="Does an edit change the prediction?")
    axes.grid(axis="y", color="#eeeeee")


def _epochs(axes: Any, found: Findings) -> None:
    for (scenario, architecture, name), values in found.epochs.items():
        colour, marker = LOOKS[scenario]
        tied = TIED.get(scenario) == name or (scenario not in TIED and name in TIED.values())
        line = ("-" if architecture == "resnet" else "--") if tied else ":"
        fill = "full" if architecture == "resnet" else "none"
        axes.plot(
            np.maximum(values.mean(1), LEAST), line, marker=marker, color=colour, ms=4, fillstyle=fill, lw=1.2,
            alpha=1 if tied else 0.6, label=f"{name}, {scenario} {architecture}",
        )  # fmt: skip
    axes.set(
        yscale="log", xlabel="epoch (0: untrained)", ylabel="S, mean over lesions", title="Training, on fixed pictures"
    )
    axes.set_xticks(range(max(len(values) for values in found.epochs.values())))
    axes.legend(fontsize=7, ncols=2)


def _pairs(axes: Any, found: Findings) -> None:
    axes.set_title("Generator and diffusion editor")
    if found.pairs is None:
        axes.text(0.5, 0.5, "not run", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    drawn, edited = (np.maximum(one.ravel(), LEAST) for one in found.pairs)
    rho = correlations(*found.pairs)["Spearman"][0]
    axes.plot(drawn, edited, "o", color=BLUE, ms=3, alpha=0.4)
    ends = [min(drawn.min(), edited.min()), max(drawn.max(), edited.max())]
    axes.plot(ends, ends, ":", color=INK, lw=0.7)
    axes.set(
        xscale="log", yscale="log", xlabel="S, the generator's own series", ylabel=f"S, by instruction (ρ = {rho:.2f})"
    )
