"""SRG, the symmetric relevance gain (Blücher, Vielhaben & Strodthoff, TMLR 2024; Grund Pihlgren & Främling, 2025).

Hides the input in K equal steps, once by the most and once by the least relevant first; a good map keeps the score up
in one and brings it down in the other:

    SRG = mean_k y(LIF_k) - mean_k y(MIF_k)          k = 0..K, both ends included

The ends are the same on both ways and cancel. Unlike one curve alone, SRG does not favour a replacement that the model
takes badly. (The public code of the second paper has 10 points, which are steps = 9.)
"""

from dataclasses import dataclass

from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import bounded, choice
from sidelight.core.sweep import Plan
from sidelight.metrics.paths import Path, gap, over, rows_of, turns, walk
from sidelight.metrics.replacement import Replacement


@dataclass(frozen=True)
class SrgParams:
    steps: int = bounded(10, low=2, high=1000, what="K, equal shares in which the input is hidden")
    replacement: Replacement = choice(Replacement.IMAGE_MEAN, what="what hidden pixels show")
    normalised: bool = bounded(False, low=False, high=True, what="also SRG / (y_full - y_empty)")


@metric(
    "srg",
    params=SrgParams,
    paper="Blücher et al., TMLR 2024",
    needs=("forward",),
    cost=lambda p, shape, targets: rows_of(2, p.steps, shape, targets),
)
def srg(subject: Subject, p: SrgParams) -> Plan[Measure]:
    """Mean score with the least relevant hidden first, minus that with the most relevant hidden first."""
    job, used = over(subject, p.replacement)
    paths = [Path(turns(subject.maps, most_first)) for most_first in (False, True)]
    lif, mif = yield from walk(job, paths, p.steps)  # [T, K+1] each
    values = {"srg": lif.mean(1) - mif.mean(1), "lif": lif.mean(1), "mif": mif.mean(1)}
    if p.normalised:
        values["srg_normalised"] = values["srg"] / gap(lif[:, 0], lif[:, -1], "metrics.srg.normalised")
    return Measure(values, {"lif": lif, "mif": mif}, used)
