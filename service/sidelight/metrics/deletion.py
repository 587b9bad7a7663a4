"""Deletion (Petsiuk, Das & Saenko, BMVC 2018, section 4.1): how fast the score falls as the most relevant goes.

    AUC = integral over shares s in [0, 1] of y(input without its s most relevant)          by the trapezoid rule

Lower is better. Normalised: (AUC - y_empty) / (y_full - y_empty), for curves that go from 1 to 0.
"""

from dataclasses import dataclass

from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import bounded, choice
from sidelight.core.sweep import Plan
from sidelight.metrics.paths import Path, area, gap, over, rows_of, turns, walk
from sidelight.metrics.replacement import Replacement


@dataclass(frozen=True)
class DeletionParams:
    steps: int = bounded(20, low=1, high=1000, what="K, equal shares in which the input is hidden")
    replacement: Replacement = choice(Replacement.IMAGE_MEAN, what="what hidden pixels show")
    normalised: bool = bounded(False, low=False, high=True, what="also (AUC - y_empty) / (y_full - y_empty)")


@metric(
    "deletion",
    params=DeletionParams,
    paper="Petsiuk et al., BMVC 2018",
    needs=("forward",),
    cost=lambda p, shape, targets: rows_of(1, p.steps, shape, targets),
)
def deletion(subject: Subject, p: DeletionParams) -> Plan[Measure]:
    """Area under the score's curve as the input is hidden, the most relevant first: lower is better."""
    job, used = over(subject, p.replacement)
    (curve,) = yield from walk(job, [Path(turns(subject.maps, most_first=True))], p.steps)  # [T, K+1]
    full, empty = curve[:, 0], curve[:, -1]
    values = {"auc": area(curve)}
    if p.normalised:
        values["auc_normalised"] = (values["auc"] - empty) / gap(full, empty, "metrics.deletion.normalised")
    return Measure(values, {"deletion": curve}, used)
