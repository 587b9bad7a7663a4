"""RISE: Randomized Input Sampling for Explanation of black-box models (Petsiuk, Das & Saenko, BMVC 2018).

Measures how much the output holds up, on average, when a part of the input is kept:

    S(u) = 1/(N E[M]) * sum_n f(I . M_n) M_n(u)                  (eq. 6)

I input, M_n random mask in [0, 1], N masks, f the explained output, E[M] = p the probability that a cell is kept.
Published settings (N, s, p): (4000 or 8000, 7, .5) for ResNet-50 and VGG16, (6000, 8, .1) for captioning.
"""

from dataclasses import dataclass

from sidelight.core.ask import Forward
from sidelight.core.job import Job, Saliency
from sidelight.core.params import bounded
from sidelight.core.registry import method
from sidelight.core.sweep import Placement, Plan, Rows, Sweep, ask
from sidelight.perturbation.calculators import MaskMean
from sidelight.perturbation.fields import shifted_grid
from sidelight.perturbation.samplers import Bernoulli


@dataclass(frozen=True)
class RiseParams:
    masks: int = bounded(4000, low=2, high=1_000_000, what="N, the number of masks")
    cells: int = bounded(7, low=1, high=64, what="s, cells along each side of the mask grid (images)")
    keep: float = bounded(0.5, low=0.0, high=1.0, open=True, what="p, the probability that a cell is kept")


@method("rise", params=RiseParams, paper="Petsiuk et al., BMVC 2018", needs=("forward",), cost=lambda p: p.masks)
def rise(job: Job, p: RiseParams) -> Plan[Saliency]:
    """Mean of random masks, weighted by the model's output under each."""
    field = shifted_grid(job.input, p.cells, job.stream.child("rise.shift"))
    cells = Bernoulli(job.stream.child("rise.cells"), field.units, p.keep)

    def render(rows: range, on: Placement) -> tuple[Rows, object]:
        m = field.masks(cells.draw(rows), rows, on)  # [k, H, W]
        return job.input.blend(m, on), m

    fold = MaskMean(job.target, p.keep, job.tolerance)
    folded = yield from ask(Sweep(Forward(job.model), p.masks, render, fold, job.input.like))
    return folded.value
