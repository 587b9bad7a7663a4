"""What the tables of the study of rationales say: means with intervals, and which of the paper's claims hold.

Intervals are 95 %, by bootstrap over texts or photos; claims compare methods on the same ones. "The best of the others"
is the best by its mean here, which flatters it a little.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rationale_maps import GRADIENTS, L1, L2, MASK, RANDOM, SUM

ROUNDS = 2000
LOW, HIGH = 0.025, 0.975
PROPER = {
    "lime": "LIME", "kernel_shap": "Kernel SHAP", "shapley_sampling": "Shapley sampling", "rise": "RISE",
    "grad_cam": "Grad-CAM",
}  # fmt: skip
LOWER = frozenset({"sufficiency"})  # metrics of which less is better
WORDS = {
    "auc_pr": "AUC-PR", "token_f1": "token F1", "span_iou_f1": "span IoU F1", "sufficiency": "sufficiency ↓",
    "comprehensiveness": "comprehensiveness ↑", "mass": "mass in the mask", "srg": "SRG",
}  # fmt: skip
OF_TEXTS = ("auc_pr", "token_f1", "span_iou_f1", "sufficiency", "comprehensiveness")
OF_PHOTOS = ("mass", "srg")

Row = Mapping[str, str]
Interval = tuple[float, float, float]  # the mean, and both ends
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Side:
    """Texts, or photos: scores [item] by metric and method, NaN where a method has none."""

    what: str
    scores: Mapping[str, Mapping[str, Floats]]
    items: int

    @property
    def methods(self) -> list[str]:
        return list(next(iter(self.scores.values())))

    def mean(self, metric: str, method: str) -> Interval:
        """Over the items that have a score."""
        return interval(self.scores[metric][method])

    def gain(self, metric: str, one: str, other: str) -> Interval:
        """How much better one method is than another, on the same items: above 0 it is better."""
        gap = self.scores[metric][one] - self.scores[metric][other]
        return interval(-gap if metric in LOWER else gap)

    def best(self, metric: str, among: Iterable[str]) -> str:
        """The method of the best mean."""
        sign = -1 if metric in LOWER else 1
        return max(among, key=lambda method: sign * self.mean(metric, method)[0])


@dataclass(frozen=True, eq=False)
class Findings:
    """For the terminal and the plot."""

    text: str
    sides: tuple[Side, ...]


def of(texts: Sequence[Row], photos: Sequence[Row]) -> Findings:
    """Of the study's rows, of either kind or both."""
    lines: list[str] = []
    sides: list[Side] = []
    for what, rows, key, metrics, claims in (
        ("texts", texts, "text", OF_TEXTS, _of_texts), ("photos", photos, "photo", OF_PHOTOS, _of_photos),
    ):  # fmt: skip
        if rows:
            side = side_of(what, rows, key, metrics)
            sides.append(side)
            lines += [*_head(side, rows), "", *_table(side), "", *(_at_half(rows) if what == "texts" else _area(rows))]
            lines += ["", f"Which of the paper's claims hold on these {what}?", *claims(side), ""]
    return Findings("\n".join(lines).rstrip(), tuple(sides))


def side_of(what: str, rows: Sequence[Row], key: str, metrics: Sequence[str]) -> Side:
    """The scores of the rows, methods in their order."""
    items = list(dict.fromkeys(row[key] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    scores = {metric: {method: np.full(len(items), np.nan) for method in methods} for metric in metrics}
    for row in rows:
        for metric in metrics:
            if row[metric]:
                scores[metric][row["method"]][items.index(row[key])] = float(row[metric])
    return Side(what, scores, len(items))


def interval(values: Floats) -> Interval:
    """The mean of those that are numbers, and its bootstrap; NaN ends of fewer than two."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan, np.nan
    if len(known) == 1:
        return float(known[0]), np.nan, np.nan
    drawn = np.random.default_rng(0).integers(0, len(known), (ROUNDS, len(known)))
    low, high = np.quantile(known[drawn].mean(1), (LOW, HIGH))
    return float(known.mean()), float(low), float(high)


def number(value: float) -> str:
    """Three decimals, without a leading zero."""
    text = f"{abs(value):.3f}".removeprefix("0")
    return f"-{text}" if value < 0 and text != ".000" else text


def told(value: Interval) -> str:
    mean, low, high = value
    return f"{number(mean)} [{number(low)}, {number(high)}]"


# -- tables ------------------------------------------------------------------------------------------------------------


def _head(side: Side, rows: Sequence[Row]) -> list[str]:
    first = rows[0]
    drawn = f"{first['samples']} rows of each method that draws them, masks of at most {first['steps']} steps"
    pixels = f" at {first['pixels']} pixels" if "pixels" in first else ""
    return [f"{side.items} {side.what}{pixels}, {drawn}. Means, with 95 % intervals by bootstrap over {side.what}."]


def _table(side: Side) -> Iterable[str]:
    yield f"  {'':34}" + "".join(f"{WORDS[metric]:24}" for metric in side.scores).rstrip()
    for method in side.methods:
        cells = (told(side.mean(metric, method)) for metric in side.scores)
        yield f"  {name(method):34}" + "".join(f"{cell:24}" for cell in cells).rstrip()


def _at_half(rows: Sequence[Row]) -> list[str]:
    """What masks choose by themselves."""
    mine = [row for row in rows if row["method"] == MASK]
    given, chosen, f1, spans = (
        told(interval(np.array([float(row[column]) for row in mine])))
        for column in ("given", *(f"{name}_at_half" for name in ("chosen", "token_f1", "span_iou_f1")))
    )
    return [
        f"Words are chosen as many as people marked, {given} of all. By themselves, at 1/2, masks choose {chosen}:",
        f"token F1 {f1}, span IoU F1 {spans}.",
    ]


def _area(rows: Sequence[Row]) -> list[str]:
    area = interval(np.array([float(row["area"]) for row in rows if row["method"] == MASK]))
    empty = sum(not row["mass"] for row in rows)
    has = "has" if empty == 1 else "have"
    lost = f" {empty} of {len(rows)} maps {has} no positive relevance, and so no mass." if empty else ""
    return [f"Objects are {told(area)} of the pixels.{lost}"]


def name(method: str) -> str:
    words = method.replace("_", " ")
    return PROPER.get(method, words.replace("integrated gradients", "Integrated Gradients"))


# -- claims ------------------------------------------------------------------------------------------------------------


def _of_texts(side: Side) -> Iterable[str]:
    rivals = [method for method in side.methods if method != MASK]
    known = [method for method in rivals if method != RANDOM]
    gradients = [method for method in (SUM, L1, L2) if method in rivals]
    yield _wins(side, "span_iou_f1", "Mask optimisation has the highest span IoU F1", rivals)
    for metric in ("auc_pr", "token_f1"):
        yield _wins(side, metric, f"Its {WORDS[metric]} is above that of Integrated Gradients", gradients)
    for metric in ("comprehensiveness", "sufficiency"):
        yield _loses(side, metric, f"It is not the best in {WORDS[metric][:-2]}", known)
    if "shapley_sampling" in side.methods:
        others = [m for m in known if m not in ("shapley_sampling", "kernel_shap")]
        for metric in ("comprehensiveness", "sufficiency"):
            claim = f"Shapley sampling is the best in {WORDS[metric][:-2]}"
            yield _wins(side, metric, claim, [*others, MASK], one="shapley_sampling")
    yield _wins(side, "span_iou_f1", "It finds spans better than chance", [RANDOM])


def _of_photos(side: Side) -> Iterable[str]:
    for rival in ("rise", GRADIENTS, "grad_cam"):
        yield _wins(side, "mass", f"Masks have more of their mass in the object than {name(rival)}", [rival])
    yield _loses(side, "srg", "They are not the best in SRG", [m for m in side.methods if m not in (MASK, RANDOM)])
    yield _wins(side, "mass", "They find the object better than chance", [RANDOM])


def _wins(side: Side, metric: str, claim: str, rivals: Sequence[str], one: str = MASK) -> str:
    rival = side.best(metric, rivals)
    gap = side.gain(metric, one, rival)
    return f"- {claim} ({told(gap)} ahead of {_called(rival, rivals)}): {_verdict(side, gap)}."


def _loses(side: Side, metric: str, claim: str, rivals: Sequence[str]) -> str:
    rival = side.best(metric, rivals)
    gap = side.gain(metric, rival, MASK)
    return f"- {claim} ({_called(rival, rivals)}, is {told(gap)} ahead of it): {_verdict(side, gap)}."


def _called(rival: str, rivals: Sequence[str]) -> str:
    return f"the best of the others, {name(rival)}" if len(rivals) > 1 else name(rival)


def _verdict(side: Side, gap: Interval) -> str:
    _, low, high = gap
    return "holds" if low > 0 else "does not hold" if high < 0 else f"cannot be told from these {side.what}"
