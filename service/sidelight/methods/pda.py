"""Prediction difference analysis (Robnik-Sikonja & Kononenko, 2008; Zintgraf et al., ICLR 2017).

difference    a_s = y(1) - y(\\s)              y(\\s): mean of the outputs without s
information   a_s = log2 y(1) - log2 y(\\s)
evidence      a_s = log2 odds y(1) - log2 odds y(\\s)                probabilities Laplace-corrected
"""

from dataclasses import dataclass

from sidelight.core.params import bounded, choice
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.family import Segmented, family
from sidelight.perturbation.options import Calculator, PdaForm, Sampler, Smoothing

CALCULATORS = {
    PdaForm.DIFFERENCE: Calculator.PDA,
    PdaForm.INFORMATION: Calculator.PDA_INFORMATION,
    PdaForm.EVIDENCE: Calculator.PDA_EVIDENCE,
}


@dataclass(frozen=True, eq=False)
class PdaParams(Segmented):
    samples: int = bounded(2000, low=2, high=1_000_000, what="N")
    form: PdaForm = choice(PdaForm.DIFFERENCE, what="how outputs are compared; all but difference need probabilities")


@family("pda", params=PdaParams, paper="Zintgraf et al., ICLR 2017")
def pda(p: PdaParams) -> Combination:
    """Output on the input against the mean of the outputs without the segment."""
    return Combination(
        "pda", p.segmentation, segments=p.segments, labels=p.labels, smooth_images=Smoothing.GAUSSIAN,
        sampler=Sampler.ORTHOGONAL, samples=p.samples, calculator=CALCULATORS[p.form],
        names={"calculator": "form"},
    )  # fmt: skip
