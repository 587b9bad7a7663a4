"""Sufficiency (DeYoung et al., ERASER, ACL 2020, section 4.2): what is lost where only the most relevant is kept.

    mean over shares s of f(x) - f(only the s most relevant of x)                         s = 5, 10, ..., 95 %

Lower is better, and below 0 the part scores higher than the whole. f is on the scale of the request's target, which
the answer names; ERASER's own is the probability.
"""

from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.sweep import Plan
from sidelight.metrics.erasure import ErasureParams, fall, shares
from sidelight.metrics.paths import rows_of


@metric(
    "sufficiency",
    params=ErasureParams,
    paper="DeYoung et al., ACL 2020",
    needs=("forward",),
    cost=lambda p, shape, targets: rows_of(1, p.steps, shape, targets),
    check=lambda p, x: shares(p, "sufficiency"),
)
def sufficiency(subject: Subject, p: ErasureParams) -> Plan[Measure]:
    """Mean loss of the score where only the most relevant parts are kept: lower is better."""
    return (yield from fall(subject, p, "sufficiency", shows=True))
