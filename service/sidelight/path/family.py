"""Methods that are attributions and nothing else: a function from parameters to options, registered by name."""

from collections.abc import Callable
from typing import Any

from sidelight.core.job import Job, Saliency
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.path.checks import check, settled
from sidelight.path.cost import cost
from sidelight.path.fusion import fused
from sidelight.path.options import Options
from sidelight.path.plan import attribute

Choose = Callable[[Any], Options]


def attribution(name: str, *, params: type, paper: str) -> Callable[[Choose], Choose]:
    """Register `choose(params)` as the method `name`; its docstring is the method's."""

    def register(choose: Choose) -> Choose:
        def plan(job: Job, p: Any) -> Plan[Saliency]:
            options = choose(p)
            return (fused if options.fuses else attribute)(job, options)

        plan.__doc__ = choose.__doc__
        method(
            name,
            params=params,
            paper=paper,
            needs=("forward", "activation", "gradient"),
            cost=lambda p, x: cost(choose(p), x),
            check=lambda p, job: check(choose(p), job),
            settle=lambda p, job: settled(p, choose(p), job),
        )(plan)
        return choose

    return register
