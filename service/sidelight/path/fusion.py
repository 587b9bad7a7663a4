"""LayerCAM of several layers: one by one, their maps scaled and fused (Jiang et al., TIP 2021, section III-C).

    M = max_l tanh(2 M_l / max M_l)                                                          (eq. 7, gamma = 2)

The paper scales the maps of shallow layers only; here all are, so that none outweighs the others by its units.
"""

import math

import torch

from sidelight.core.job import Account, Job, Saliency, Step
from sidelight.core.sweep import Plan, together
from sidelight.path.findings import Short
from sidelight.path.layers import resolve
from sidelight.path.options import Options
from sidelight.path.plan import attribute

GAMMA = 2.0


def fused(job: Job, options: Options) -> Plan[Saliency]:
    """The fused maps; the accounts are the fusion's and then those of its layers, in the order asked."""
    options = options.over(layers=resolve(job, options))
    if len(options.layers) == 1:
        return (yield from attribute(job, options))
    try:
        found = yield from together(*(attribute(job, options.over(layers=(layer,))) for layer in options.layers))
    except Short as short:
        raise Short(short.rows * len(options.layers)) from short  # each has as many as the others
    accounts = []
    for t in range(job.target.count):
        single = [saliency.accounts[t][0] for saliency in found]
        accounts.append((_fusion(single, options.layers), *single))
    maps = torch.stack([first.map for first, *_ in accounts if first.map is not None])
    rest = torch.stack([saliency.rest for saliency in found if saliency.rest is not None]).mean(0)
    return Saliency(maps, accounts=tuple(accounts), rest=rest)


def _fusion(single: list[Account], layers: tuple[str, ...]) -> Account:
    """Results, targets and parts are means over layers: each is an attribution of the whole target by itself."""
    n = len(single)
    parts: dict[str, float] = {}
    for account in single:
        for name, value in account.parts.items():
            parts[name] = parts.get(name, 0.0) + value / n
    maps = [scaled(account.map) for account in single if account.map is not None]
    shown = torch.stack(maps).amax(0)
    raw = {layer: account.raw[layer] for layer, account in zip(layers, single, strict=True)}
    clipped = math.fsum(step.result for account in single for step in account.steps if step.name == "relu")
    steps = (
        Step("relu, mean over layers", clipped / n),
        Step("each layer's map tanh(2 M / max M)", math.fsum(float(m.sum()) for m in maps) / n),
        Step("maximum over layers", float(shown.sum())),
    )
    return Account(
        attribution=single[0].attribution,
        baseline=f"b = 0 at each of {', '.join(layers)}, the mean over layers",
        rule=single[0].rule,
        output=math.fsum(account.output for account in single) / n,
        baseline_output=math.fsum(account.baseline_output for account in single) / n,
        result=math.fsum(account.result for account in single) / n,
        parts=parts,
        steps=steps,
        converged=all(account.converged for account in single),
        evaluations=sum(account.evaluations for account in single),
        raw=raw,
        map=shown,
    )


def scaled(shown: torch.Tensor) -> torch.Tensor:
    """tanh(2 M / max M); a map that is 0 everywhere stays so."""
    top = shown.max()
    return torch.tanh(GAMMA * shown / top) if top > 0 else shown
