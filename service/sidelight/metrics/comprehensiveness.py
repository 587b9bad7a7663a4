"""Comprehensiveness (DeYoung et al., ERASER, ACL 2020, section 4.2): what is lost where the most relevant is removed.

    mean over shares s of f(x) - f(x without its s most relevant)                         s = 5, 10, ..., 95 %

Higher is better. f is on the scale of the request's target, which the answer names; ERASER's own is the probability.
"""

from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.sweep import Plan
from sidelight.metrics.erasure import ErasureParams, fall, shares
from sidelight.metrics.paths import rows_of


@metric(
    "comprehensiveness",
    params=ErasureParams,
    paper="DeYoung et al., ACL 2020",
    needs=("forward",),
    cost=lambda p, shape, targets: rows_of(1, p.steps, shape, targets),
    check=lambda p, x: shares(p, "comprehensiveness"),
)
def comprehensiveness(subject: Subject, p: ErasureParams) -> Plan[Measure]:
    """Mean loss of the score where the most relevant parts are removed: higher is better."""
    return (yield from fall(subject, p, "comprehensiveness", shows=False))
