"""What the study's table says about the paper's ordering, with how far the photographs at hand let it be said.

Intervals are bootstraps over photographs: crops of one photograph are not independent of each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cells
import numpy as np
from anova import Columns, shares
from numpy.typing import NDArray

RESPONSE = "srg"
CALCULATORS = ("rise", "lime", "shap", "pda")  # those of the paper that take random rows
FACTORS = ("segmentation", "smoothing", "map_type", "calculator", "sampler", "samples")
INTERACTION = "smoothing:map_type"
ROUNDS = 400
LOW, HIGH = 0.05, 0.95
HARDLY = 0.05  # share of the variance
BEST = ("slic", "gaussian", "per_pixel")  # of the paper

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]  # estimate, ends of the 90 % interval
Key = tuple[str, str, str]  # segmentation, smoothing, map type


@dataclass(frozen=True, eq=False)
class Scores:
    """SRG of every combination on every photo, [photo, cell], random sampling only."""

    srg: Floats
    columns: Columns  # of the cells
    photographs: NDArray  # of the photos

    def chosen(self, **choice: str) -> NDArray[np.bool_]:
        """Which cells are of this choice."""
        return np.logical_and.reduce([self.columns[name] == level for name, level in choice.items()])

    def has(self, **choice: str) -> bool:
        """Whether any cell is."""
        return bool(self.chosen(**choice).any())

    def means(self, **choice: str) -> Floats:
        """SRG of each photo [photo], the mean over cells of this choice."""
        return self.srg[:, self.chosen(**choice)].mean(1)

    def difference(self, one: Mapping[str, str], other: Mapping[str, str]) -> Interval:
        """Mean SRG of one choice less that of another, paired by photo."""
        return self.interval(self.means(**one) - self.means(**other))

    def intervals(self, of: Callable[[Floats], Mapping[str, float]]) -> dict[str, Interval]:
        """of(weights of the photos) by name, with its bootstrap over photographs; nan where there is but one."""
        names, at = np.unique(self.photographs, return_inverse=True)
        drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), ROUNDS)
        rounds = [of(w[at] / w[at].sum()) for w in drawn]
        ends = {name: np.nanquantile([values[name] for values in rounds], (LOW, HIGH)) for name in rounds[0]}
        if len(names) == 1:
            ends = dict.fromkeys(ends, np.full(2, np.nan))
        whole = of(np.full(len(at), 1 / len(at)))
        return {name: (whole[name], float(low), float(high)) for name, (low, high) in ends.items()}

    def interval(self, values: Floats) -> Interval:
        """The mean of `values` [photo]."""
        return self.intervals(lambda w: {"": float(w @ values)})[""]


@dataclass(frozen=True, eq=False)
class Findings:
    """For the terminal and the plot."""

    text: str
    scores: Scores
    shares: Mapping[str, Interval]
    combinations: Mapping[Key, Interval]  # segmentation, smoothing, map type: SRG over calculators
    photos: int


def of(rows: Sequence[Mapping[str, str]]) -> Findings:
    """Of the study's rows; photos that lack a combination do not count. Raises ValueError where that leaves none."""
    scores = _scores(rows)
    varied = [name for name in FACTORS if len(np.unique(scores.columns[name])) > 1]
    terms = [*varied, *([INTERACTION] if {"smoothing", "map_type"} <= set(varied) else [])]
    found = scores.intervals(lambda w: shares(scores.columns, w @ scores.srg, terms))
    keys = dict.fromkeys(zip(*(scores.columns[n] for n in FACTORS[:3]), strict=True))
    means = {key: scores.interval(scores.means(**_named(key))) for key in keys}
    combinations = dict(sorted(means.items(), key=lambda item: -item[1][0]))
    text = "\n".join(
        [
            *_about(scores), "",
            *_shares(found, _of_all_rows(scores, terms)), "",
            *_table(combinations), "",
            *_ordering(scores, found, combinations),
        ]
    )  # fmt: skip
    return Findings(text, scores, found, combinations, len(scores.srg))


def _scores(rows: Sequence[Mapping[str, str]]) -> Scores:
    random = {s.value for s in cells.RANDOM}
    kept = [row for row in rows if row["sampler"] in random and row["calculator"] in CALCULATORS]
    photos = list(dict.fromkeys(row["photo"] for row in kept))
    found = list(dict.fromkeys(tuple(row[name] for name in FACTORS) for row in kept))
    srg = np.full((len(photos), len(found)), np.nan)
    for row in kept:
        srg[photos.index(row["photo"]), found.index(tuple(row[name] for name in FACTORS))] = float(row[RESPONSE])
    whole = ~np.isnan(srg).any(1)
    if not whole.any():
        raise ValueError(f"no photo has every combination of random samples and calculators {', '.join(CALCULATORS)}")
    columns = dict(zip(FACTORS, np.array(found).T, strict=True))
    of_photo = {row["photo"]: row["photograph"] for row in kept}
    return Scores(srg[whole], columns, np.array([of_photo[photo] for photo in photos])[whole])


def _of_all_rows(s: Scores, terms: Sequence[str]) -> dict[str, float]:
    """Shares of the variance within photos: that which remains when every photo's mean is taken off."""
    centred = s.srg - s.srg.mean(1, keepdims=True)
    return shares({n: np.tile(c, len(centred)) for n, c in s.columns.items()}, centred.ravel(), terms)


def _named(key: Key) -> dict[str, str]:
    return dict(zip(FACTORS, key, strict=False))


def _about(s: Scores) -> list[str]:
    names = [f"{name.replace('_', ' ')} {len(np.unique(s.columns[name]))}" for name in FACTORS]
    return [
        f"SRG of the class's probability in 10 points, random sampling ({', '.join(np.unique(s.columns['sampler']))}; "
        f"N = {', '.join(sorted(np.unique(s.columns['samples']), key=int))}), calculators {', '.join(CALCULATORS)}:",
        f"{s.srg.shape[1]} combinations ({', '.join(names)}) on {len(s.srg)} photos of "
        f"{len(np.unique(s.photographs))} photographs. Intervals: 90 %, bootstrap over photographs.",
    ]


def _shares(found: Mapping[str, Interval], within: Mapping[str, float]) -> list[str]:
    head = ["Share of the variance of SRG (type II, main effects; a pair is what it adds to them)",
            f"  {'':24}{'of the means over photos':30}within photos"]  # fmt: skip
    lines = [f"  {name:24}{_share(*found[name]):30}{within[name]:.3f}" for name in found]
    return head + lines


def _share(estimate: float, low: float, high: float) -> str:
    return f"{estimate:.3f}  [{low:.3f}, {high:.3f}]"


def _table(combinations: Mapping[Key, Interval]) -> list[str]:
    lines = [
        f"  {' '.join((k[0].ljust(14), k[1].ljust(14), k[2].ljust(14)))}{_share(*v)}" for k, v in combinations.items()
    ]
    return ["Mean SRG over the calculators, best first", *lines]


PAIRS = (  # the better one by the paper, as it is put, and the other
    (
        "Per-pixel maps are better than per-segment ones where masks are smooth",
        {"smoothing": "gaussian", "map_type": "per_pixel"},
        {"smoothing": "gaussian", "map_type": "per_segment"},
    ),
    (
        "Smoothing without the per-pixel map hurts",
        {"smoothing": "none", "map_type": "per_segment"},
        {"smoothing": "gaussian", "map_type": "per_segment"},
    ),
    (
        "Smoothing with the per-pixel map helps",
        {"smoothing": "gaussian", "map_type": "per_pixel"},
        {"smoothing": "none", "map_type": "per_pixel"},
    ),
)


def _ordering(s: Scores, found: Mapping[str, Interval], combinations: Mapping[Key, Interval]) -> list[str]:
    """The paper's ordering, sentence by sentence."""
    lines = ["Does the paper's ordering hold?"]
    if "calculator" in found:
        gaps = _over_calculator(s, [term for term in found if term != "residual"])
        for factor, name in (("segmentation", "Segmentation"), ("map_type", "The map type (per-pixel or per-segment)")):
            if factor in found:
                lines.append(
                    f"- {name} explains {_percent(found[factor][0])} of the variance, the calculator "
                    f"{_percent(found['calculator'][0])}. That it matters more: {_verdict(gaps[factor])}."
                )
        share, low, high = found["calculator"]
        verdict = _verdict((HARDLY - share, HARDLY - high, HARDLY - low))
        lines.append(f"- The calculator hardly matters (at most {_percent(HARDLY)} of the variance): {verdict}.")
    for what, better, worse in PAIRS:
        if s.has(**better) and s.has(**worse):
            gap = s.difference(better, worse)
            lines.append(f"- {what} (by {_share(*gap)} SRG): {_verdict(gap)}.")
    return [*lines, _best(s, combinations)]


def _over_calculator(s: Scores, terms: Sequence[str]) -> dict[str, Interval]:
    """The share of each factor less that of the calculator."""

    def gaps(w: Floats) -> dict[str, float]:
        found = shares(s.columns, w @ s.srg, terms)
        return {term: found[term] - found["calculator"] for term in terms}

    return s.intervals(gaps)


def _best(s: Scores, combinations: Mapping[Key, Interval]) -> str:
    order = list(combinations)
    name = "Per-pixel SLIC with Gaussian edges"
    if BEST not in combinations or len(order) == 1:
        return f"- {name} is the best: it is not among several combinations here."
    rival = next(key for key in order if key != BEST)
    gap = s.difference(_named(BEST), _named(rival))
    return (
        f"- {name} is the best (it is number {order.index(BEST) + 1} of {len(order)}, {_share(*gap)} SRG from "
        f"{' '.join(rival).replace('_', ' ')}): {_verdict(gap)}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _verdict(gap: Interval) -> str:
    _, low, high = gap
    return "holds" if low > 0 else "does not hold" if high < 0 else "cannot be told from these photos"
