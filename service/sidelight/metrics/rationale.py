"""Agreement of a text's map with a rationale that people gave (DeYoung et al., ERASER, ACL 2020, section 4.1).

A word is in the given rationale G where a span touches it. Of each target's scores of words:

    auc_pr             area under the precision-recall curve, as average precision: no line between its points, which
                       promises what no threshold gives (Davis & Goadrich, ICML 2006); scikit-learn's
                       average_precision_score. Chance, and a map that ranks nothing, has `given`
    auc_pr_trapezoid   with lines from precision 1 at recall 0, as ERASER's code has it (a constant map: (1 + given)/2)
    token_precision, token_recall, token_f1
                       of the chosen words C: |C & G| / |C|, |C & G| / |G|, and their harmonic mean
    span_iou_precision, span_iou_recall, span_iou_f1
                       of the runs of chosen words: one is right where it overlaps a run of G by IoU >= 1/2, in words;
                       right / chosen runs, right / given runs, and their harmonic mean
    chosen, given      shares of the words

Words are chosen as mask optimisation chooses its rationales: those of at least `threshold` (1/2 is for masks: maps of
other methods have other scales), a `share` of all, the highest, or the `count` runs that stand out most. By default the
highest |G|, an oracle's share, so that token precision, recall and F1 are one number. Where nothing is chosen,
precision and F1 are 0.
"""

from dataclasses import dataclass

import torch

from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import Input, TextInput
from sidelight.core.metric import Measure, Subject, metric
from sidelight.core.params import bounded, spans
from sidelight.core.predictor import Unit
from sidelight.core.sweep import Plan
from sidelight.masks.spans import by_count, by_share, by_threshold
from sidelight.metrics.ranking import average_precision, precision_recall, trapezoid
from sidelight.metrics.spans import Run, given_runs, hits, text_of, touched

FIELD = "metrics.rationale"
SPANS = f"{FIELD}.spans"
OVERLAP = 0.5  # IoU of a run that counts as right
MOST = 10_000  # spans in one request
LARGEST = 1e9


@dataclass(frozen=True)
class RationaleParams:
    spans: tuple[Unit, ...] = spans(most=MOST, what="the given rationale: characters [begin, end) of the text")
    threshold: float | None = bounded(None, low=-LARGEST, high=LARGEST, what="choose words of at least this score")
    share: float | None = bounded(None, low=0, high=1, what="choose this share of the words, the highest")
    count: int | None = bounded(
        None, low=1, high=MOST, what="choose so many runs of words; without any of the three as many words as are given"
    )


def rationale_of(p: RationaleParams, x: Input) -> list[Run]:
    """The given runs of words. Raises InvalidRequest for spans that are not of this text, or for two choices."""
    asked = [name for name in ("threshold", "share", "count") if getattr(p, name) is not None]
    if len(asked) > 1:
        raise InvalidRequest(f"{FIELD}.{asked[1]}", f"leave it out: {asked[0]} chooses the words already")
    return given_runs(p.spans, text_of(x, SPANS), SPANS)


@metric(
    "rationale",
    params=RationaleParams,
    paper="DeYoung et al., ACL 2020",
    needs=("spans",),
    check=rationale_of,
)
def rationale(subject: Subject, p: RationaleParams) -> Plan[Measure]:
    """Agreement of the words' scores with a given rationale: AUC-PR, token F1 and span IoU F1, higher is better."""
    yield from ()  # there is nothing to ask
    x = text_of(subject.job.input, SPANS)
    given = rationale_of(p, x)
    rows = [measured(scores, chosen(scores, p, x, given), given) for scores in subject.maps]
    return Measure({name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]})


def chosen(scores: torch.Tensor, p: RationaleParams, x: TextInput, given: list[Run]) -> list[Run]:
    """The runs of words that scores [U] choose."""
    if p.threshold is not None:
        found = by_threshold(scores, x.units, p.threshold)
    elif p.count is not None:
        found = by_count(scores, x.units, p.count)
    else:
        found = by_share(scores, x.units, size(given) / len(x.units) if p.share is None else p.share)
    return touched(found, x.units)


def measured(scores: torch.Tensor, found: list[Run], given: list[Run]) -> dict[str, float]:
    """All values of one map: scores [U], the runs found by it and those given."""
    of_found, of_given = marked(found, len(scores)), marked(given, len(scores))
    curve = precision_recall(scores, of_given)
    return {
        "auc_pr": average_precision(*curve),
        "auc_pr_trapezoid": trapezoid(*curve),
        **agreement("token", int((of_found & of_given).sum()), size(found), size(given)),
        **agreement("span_iou", hits(found, given, OVERLAP), len(found), len(given)),
        "chosen": size(found) / len(scores),
        "given": size(given) / len(scores),
    }


def size(runs: list[Run]) -> int:
    """Words in runs."""
    return sum(j - i for i, j in runs)


def marked(runs: list[Run], words: int) -> torch.Tensor:
    """Which words are in the runs, [words] bool."""
    mask = torch.zeros(words, dtype=torch.bool)
    for i, j in runs:
        mask[i:j] = True
    return mask


def agreement(kind: str, right: int, found: int, given: int) -> dict[str, float]:
    """Precision right/found, recall right/given, and F1 = 2 right / (found + given)."""
    return {
        f"{kind}_precision": right / found if found else 0.0,
        f"{kind}_recall": right / given,
        f"{kind}_f1": 2 * right / (found + given),
    }
