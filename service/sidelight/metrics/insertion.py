"""Insertion (Petsiuk, Das & Saenko, BMVC 2018, section 4.1): how fast the score rises as the most relevant appears.

    AUC = integral over shares s in [0, 1] of y(only the s most relevant of the input)          by the trapezoid rule

Higher is better. An image appears out of its own blur, as in the paper: pixels set into one colour make edges, and
edges are evidence. Normalised: (AUC - y_empty) / (y_full - y_empty), for curves that go from 0 to 1.
"""

from dataclasses import dataclass

from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import bounded, choice
from sidelight.core.sweep import Plan
from sidelight.metrics.paths import Path, area, gap, over, rows_of, turns, walk
from sidelight.metrics.replacement import Replacement


@dataclass(frozen=True)
class InsertionParams:
    steps: int = bounded(20, low=1, high=1000, what="K, equal shares in which the input is shown")
    replacement: Replacement = choice(Replacement.BLUR, what="what pixels show before their turn")
    normalised: bool = bounded(False, low=False, high=True, what="also (AUC - y_empty) / (y_full - y_empty)")


@metric(
    "insertion",
    params=InsertionParams,
    paper="Petsiuk et al., BMVC 2018",
    needs=("forward",),
    cost=lambda p, shape, targets: rows_of(1, p.steps, shape, targets),
)
def insertion(subject: Subject, p: InsertionParams) -> Plan[Measure]:
    """Area under the score's curve as the input is shown, the most relevant first: higher is better."""
    job, used = over(subject, p.replacement)
    (curve,) = yield from walk(job, [Path(turns(subject.maps, most_first=True), shows=True)], p.steps)  # [T, K+1]
    empty, full = curve[:, 0], curve[:, -1]
    values = {"auc": area(curve)}
    if p.normalised:
        values["auc_normalised"] = (values["auc"] - empty) / gap(full, empty, "metrics.insertion.normalised")
    return Measure(values, {"insertion": curve}, used)
