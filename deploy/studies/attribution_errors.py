"""What the baselines' table says: |E|/|T| by method, layer and baseline, and which of the paper's claims hold.

    T = g(z) - g(b)   what is to be attributed;   R = sum of A, what was;   E = R - T

After Cui & Fan, "The Neglected Baseline in Model Interpretation", arXiv 2605.22417. A claim is a statement about single
cells (photo, layer, baseline); it holds where it is true of nearly all of them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

INTEGRATED = "integrated_gradients"
IMPLIED = ("gradient_x_activation", "grad_cam", "layer_cam", "odam")  # b = 0, whatever the request says
DIFFERENCE = "difference_map"
NO_TARGET = "gradient"  # b = z - 1 is no baseline, but for units
CLIPPED = ("grad_cam", "layer_cam", "odam")  # whose maps are shown after a ReLU
SHOWN = ", shown"
INPUT = "input"
SMALL, LARGE = 0.05, 0.1  # |E|/|T| that is small enough to speak of T, and too large to
NEARLY_ALL, HALF = 0.95, 0.5

Row = Mapping[str, str]
Cell = tuple[str, str, str]  # layer, method, baseline


@dataclass(frozen=True)
class Spread:
    """|E|/|T| over cells: photos, and baselines where those are not told apart."""

    median: float
    high: float  # the 95th percentile
    cells: int


@dataclass(frozen=True, eq=False)
class Findings:
    """For the terminal and the plot."""

    text: str
    spreads: Mapping[Cell, Spread]
    photos: int

    @property
    def layers(self) -> list[str]:
        """In the order in which they run."""
        return list(dict.fromkeys(layer for layer, _, _ in self.spreads))

    @property
    def methods(self) -> list[str]:
        """The one with the least error first."""
        names = dict.fromkeys(method for _, method, _ in self.spreads)
        return sorted(names, key=lambda name: median(s.median for (_, m, _), s in self.spreads.items() if m == name))

    @property
    def baselines(self) -> list[str]:
        """In the table's order."""
        return list(dict.fromkeys(baseline for _, _, baseline in self.spreads))


def of(rows: Sequence[Row]) -> Findings:
    """Of the study's rows. Raises ValueError where none has a result."""
    answered = [row for row in rows if not row["refused"]]
    answered += [_shown(row) for row in answered if row["method"] in CLIPPED]
    if not answered:
        raise ValueError("no attribution was answered")
    spreads = _spreads(answered, "layer", "method", "baseline")
    found = Findings("", spreads, len({row["photo"] for row in rows}))
    whole = _spreads(answered, "layer", "method")
    lines = [*_head(rows, found), *_tables(found), *_summary(found, whole), *_claims(answered), *_refusals(rows)]
    return Findings("\n".join(lines), spreads, found.photos)


def _spreads(rows: Iterable[Row], *by: str) -> dict[Any, Spread]:
    """By the values in the columns `by`."""
    groups: dict[Any, list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(_relative(row))
    return {key: Spread(median(v), float(np.quantile(v, 0.95)), len(v)) for key, v in groups.items()}


def _shown(row: Row) -> Row:
    """The same with what the map adds up to when it is shown in place of what was attributed."""
    error = float(row["shown"]) - float(row["target"])
    return {**row, "method": row["method"] + SHOWN, "result": row["shown"], "error": repr(error)}


def _relative(row: Row) -> float:
    target = abs(float(row["target"]))
    return abs(float(row["error"])) / target if target else math.inf


def _head(rows: Sequence[Row], found: Findings) -> list[str]:
    photographs = len({row["photograph"] for row in rows})
    nodes = ", ".join(sorted({row["nodes"] for row in rows}, key=int))
    return [
        f"|E|/|T| of the class's logit: median over photos (95th percentile); {found.photos} photos of {photographs} "
        f"photographs, {nodes} nodes.",
        "Methods that imply a baseline (b = 0) stand under the one that is zero at their layer. The gradient alone has",
        "no finite one, and so no target.",
        "",
    ]


def _tables(found: Findings) -> Iterable[str]:
    for layer in found.layers:
        here = [b for b in found.baselines if any((layer, m, b) in found.spreads for m in found.methods)]
        yield f"{layer:24}" + "".join(f"{b.replace('_', ' '):>16}" for b in here)
        for method in found.methods:
            spreads = [found.spreads.get((layer, method, b)) for b in here]
            if any(spreads):
                yield f"  {method.replace('_', ' '):22}" + "".join(f"{_spread(s):>16}" for s in spreads)
        yield ""


def _summary(found: Findings, whole: Mapping[tuple[str, str], Spread]) -> Iterable[str]:
    yield f"{'over all baselines':24}" + "".join(f"{layer:>16}" for layer in found.layers)
    for method in found.methods:
        cells = (_spread(whole.get((layer, method))) for layer in found.layers)
        yield f"  {method.replace('_', ' '):22}" + "".join(f"{cell:>16}" for cell in cells)
    yield ""


def _spread(spread: Spread | None) -> str:
    return "" if spread is None else f"{number(spread.median)} ({number(spread.high)})"


def number(value: float) -> str:
    """Two digits, without a leading zero; in powers where it is tiny."""
    if value >= 10 or not math.isfinite(value):
        return f"{value:.0f}"
    return f"{value:.2g}".removeprefix("0") if value >= 0.001 or not value else f"{value:.0e}".replace("e-0", "e-")


def _claims(rows: Sequence[Row]) -> Iterable[str]:
    """The paper's, one by one."""
    cells: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault((row["photo"], row["layer"], row["baseline"]), {})[row["method"]] = row
    yield "Which of the paper's claims hold on these photos?"
    known = [cell for cell in cells.values() if INTEGRATED in cell]
    least = [min(cell, key=lambda name: _relative(cell[name])) == INTEGRATED for cell in known]
    yield _claim("Integrated Gradients leaves the least unattributed, whatever the baseline and layer", least)
    small = [_relative(cell[INTEGRATED]) <= SMALL for cell in known]
    yield _claim(f"With a stated baseline it attributes the target at any layer (|E|/|T| at most {SMALL:g})", small)
    yield from _implied(rows)
    shown = [row for row in rows if row["method"] == "layer_cam" + SHOWN]
    over = [float(row["result"]) > float(row["target"]) for row in shown]
    yield _claim("LayerCAM, which drops negative gradients, attributes more than there is", over)
    untied = [_relative(row) > LARGE for row in rows if row["method"] == DIFFERENCE]
    yield _claim(f"The difference map is not tied to the output (|E|/|T| over {LARGE:g})", untied)
    yield _choice(rows)


def _implied(rows: Sequence[Row]) -> Iterable[str]:
    for method in IMPLIED:
        name = method + SHOWN * (method in CLIPPED)
        missed = [_relative(row) > LARGE for row in rows if row["method"] == name]
        words = method.replace("_", " ").capitalize()
        yield _claim(f"{words}, which leaves its baseline unsaid, misses its target (|E|/|T| over {LARGE:g})", missed)


def _choice(rows: Sequence[Row]) -> str:
    """How far the target itself moves with the baseline: what is left out when the baseline is not told."""
    targets: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["method"] == INTEGRATED:
            targets.setdefault((row["photo"], row["layer"]), []).append(float(row["target"]))
    spans = [(max(t) - min(t)) / abs(median(t)) for t in targets.values() if len(t) > 1 and median(t)]
    span = f" (median span over median target {number(median(spans))})" if spans else ""
    moved = [span > LARGE for span in spans]
    return _claim(f"What there is to attribute depends on the baseline{span}", moved)


def _claim(words: str, true: Sequence[bool]) -> str:
    if not true:
        return f"- {words}: not measured."
    share = sum(true) / len(true)
    verdict = "holds" if share >= NEARLY_ALL else "does not hold" if share < HALF else "holds in part"
    return f"- {words}: {verdict}, in {sum(true)} of {len(true)} cells."


def _refusals(rows: Sequence[Row]) -> Iterable[str]:
    """Of each baseline that the service refused somewhere, how often, and what it said the first time."""
    for baseline in dict.fromkeys(row["baseline"] for row in rows if row["refused"]):
        asked = {(row["photo"], row["layer"]): row["refused"] for row in rows if row["baseline"] == baseline}
        why = [reason for reason in asked.values() if reason]
        yield f"- Refused: {baseline}, {len(why)} of {len(asked)} times, first with: {why[0]}"
