"""Expected property gradient magnitude over gradual interventions (Penzel & Denzler, arXiv 2503.05424).

Does a property X of this one input change the prediction, how strongly, and is the effect systematic? The image is
edited at rising strength, do(X := x_i), i = 0..N-1, and an explained number is read off each, y_i:

    E_X |dF(I_X)/dX|  ~  S(y) = mean_i |g_i|
    g_0 = y_1 - y_0;   g_i = (y_{i+1} - y_{i-1}) / 2;   g_{N-1} = y_{N-1} - y_{N-2}

    p = #{ |S_perm - m| >= |S_obs - m| } / K,   over K permutations of y, m the mean of their scores
"""

from dataclasses import dataclass

from sidelight.core import editor
from sidelight.core.effect import Interventions
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, Input
from sidelight.core.job import Job
from sidelight.core.params import Chosen, bounded, choice, choices, numbers, one_of, records, text
from sidelight.core.registry import method
from sidelight.core.sweep import Plan
from sidelight.interventions.intervene import intervene
from sidelight.interventions.options import Correction, Dependence

# ruff: noqa: RUF009 -- these make dataclass fields

MOST_STRENGTHS = 1000
LARGEST = 1e6  # of a strength
DEFAULT_COUNT = 100  # what a series is expected to have, before its editor has said


@dataclass(frozen=True)
class Property:
    """One property, and what changes it gradually."""

    name: str = text(most=128, what="in the answer; empty: the editor's")
    unit: str = text(most=64, what="of its strengths; empty: the editor's")
    strengths: tuple[float, ...] = numbers(
        most=MOST_STRENGTHS, low=-LARGEST, high=LARGEST, what="in order; none: count from first to last"
    )
    first: float | None = bounded(None, low=-LARGEST, high=LARGEST, what="the first strength; unset: the editor's")
    last: float | None = bounded(None, low=-LARGEST, high=LARGEST, what="the last strength; unset: the editor's")
    count: int | None = bounded(None, low=3, high=MOST_STRENGTHS, what="N, how many; unset: the editor's")
    editor: Chosen | None = one_of(editor.kinds, what="what edits the image")


@dataclass(frozen=True)
class InterventionalParams:
    properties: tuple[Property, ...] = records(
        Property, most=16, what="one result each; none: the images of the request's series"
    )
    permutations: int = bounded(10_000, low=100, high=1_000_000, what="K, of the permutation test")
    correction: Correction = choice(Correction.HOLM, what="of p-values over the properties of this request")
    level: float = bounded(
        0.01, low=0.0, high=0.5, open=True, what="corrected p-values below it are called significant"
    )
    dependence: tuple[Dependence, ...] = choices(of=Dependence, what="further statistics; none: no others")
    with_original: bool = bounded(
        False, low=0, high=1, what="the unedited input stands in front of the series that score and p-value are of"
    )
    adaptive: bool = bounded(
        False, low=0, high=1, what="edits only where the response bends or flips; no p-value unless all were needed"
    )
    frames: int = bounded(8, low=0, high=64, what="chosen frames that the answer shows")


def _cost(p: InterventionalParams, x: Input) -> int:
    """Rows of the model: one for each strength of each property."""
    return sum(len(q.strengths) or q.count or DEFAULT_COUNT for q in p.properties) or DEFAULT_COUNT


def _check(p: InterventionalParams, job: Job) -> None:
    if not isinstance(job.input, ImageInput):
        raise InvalidRequest("models", "of images: interventions edit images")


@method(
    "interventional",
    params=InterventionalParams,
    paper="Penzel & Denzler, arXiv 2503.05424",
    needs=("forward", "edit"),
    cost=_cost,
    check=_check,
    maps=False,
)
def interventional(job: Job, p: InterventionalParams) -> Plan[Interventions]:
    """Whether gradual edits of a property of this input change the prediction, how strongly, and how surely."""
    return intervene(job, p)
