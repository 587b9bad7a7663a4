"""What sufficiency and comprehensiveness share: how far the score falls as parts go, over shares of the input.

A share k/K is the round(k U / K) units that the map ranks highest, of U; of a text shorter than K words several shares
are the same words, which are asked for once and count as often as they come.
"""

import math
from dataclasses import dataclass

from sidelight.core.errors import InvalidRequest
from sidelight.core.metric import Measure, Subject
from sidelight.core.params import bounded, choice
from sidelight.core.sweep import Plan
from sidelight.metrics.paths import Path, over, round_half_up, turns, visit
from sidelight.metrics.replacement import Replacement


@dataclass(frozen=True)
class ErasureParams:
    steps: int = bounded(20, low=2, high=1000, what="K, equal shares from nothing to the whole input")
    least: float = bounded(0.05, low=0, high=1, what="the smallest share k/K that the mean is over")
    most: float = bounded(0.95, low=0, high=1, what="the largest")
    replacement: Replacement = choice(Replacement.IMAGE_MEAN, what="what hidden pixels show")


def shares(p: ErasureParams, name: str) -> list[int]:
    """The k that the mean is over. Raises InvalidRequest where there is none."""
    inside = [k for k in range(p.steps + 1) if p.least <= k / p.steps <= p.most]
    if not inside:
        raise InvalidRequest(
            f"metrics.{name}.most",
            f"at least one share k/{p.steps} in [least, most], not none in [{p.least}, {p.most}]",
        )
    return inside


def fall(subject: Subject, p: ErasureParams, name: str, shows: bool) -> Plan[Measure]:
    """f(x) - f(the shares alone), if `shows`, else f(x) - f(x without them): a curve over shares, and its mean."""
    inside = shares(p, name)
    job, used = over(subject, p.replacement)
    units = math.prod(job.input.shape)
    counts = [round_half_up(k * units, p.steps) for k in range(p.steps + 1)]
    (y,) = yield from visit(job, [Path(turns(subject.maps, most_first=True), shows)], counts)  # [T, K+1]
    lost = y[:, -1:] - y if shows else y[:, :1] - y
    return Measure({name: lost[:, inside].mean(1)}, {name: lost}, used)
