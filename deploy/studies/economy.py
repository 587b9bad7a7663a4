"""What the samplers' tables say: how many evaluations reach the error of plain sampling, and the quality they buy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

PLAIN_SAMPLER = "bernoulli"
PLACES = ("units", "pixels")
METRICS = ("srg", "insertion", "deletion")
OURS, OTHERS = "rise, orthogonal", ("sobol", "hsic")
WANTED = 0.5  # of the evaluations of plain sampling, at most

Row = Mapping[str, str]
Curve = dict[int, tuple[float, int]]  # error by number of evaluations, and over how many runs it is a mean
Key = tuple[str, str, str, str]  # units or pixels, link, calculator, sampler


@dataclass(frozen=True, eq=False)
class Saving:
    """How many evaluations of one sampler reach the error of plain sampling with `plain`, on each photo."""

    needed: tuple[float, ...]  # inf: not reached
    plain: int

    @property
    def median(self) -> float:
        """Over photos."""
        return median(self.needed)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Over photos."""
        ordered = sorted(self.needed)
        return ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]


@dataclass(frozen=True, eq=False)
class Findings:
    """For the terminal and the plot."""

    text: str
    curves: Mapping[Key, dict[int, float]]  # median over photos of the error over the converged map's variance
    savings: Mapping[Key, Saving]
    quality: Sequence[tuple[str, int, dict[str, float]]]  # method, evaluations, mean of each metric
    plain: int


def of(errors: Sequence[Row], qualities: Sequence[Row], plain: int) -> Findings:
    """Of both tables; `plain` is the number of plain evaluations whose error is to be reached."""
    by_photo = _curves(errors)
    curves = {key: _median_curve(list(of_photo.values())) for key, of_photo in by_photo.items()}
    savings = {
        key: Saving(tuple(_needed(curve, by_photo[(*key[:3], PLAIN_SAMPLER)][photo][plain][0])
                          for photo, curve in of_photo.items()), plain)
        for key, of_photo in by_photo.items()
        if key[3] != PLAIN_SAMPLER
    }  # fmt: skip
    quality = _means(qualities)
    text = "\n".join([*_savings(curves, savings, plain), "", *_quality(quality, qualities)])
    return Findings(text, curves, savings, quality, plain)


def _curves(rows: Sequence[Row]) -> dict[Key, dict[str, Curve]]:
    found: dict[Key, dict[str, Curve]] = {}
    for row in rows:
        for place in PLACES:
            key = (place, row["link"], row["calculator"], row["sampler"])
            error = float(row[f"error_{place}"]) / float(row[f"variance_{place}"])
            curve = found.setdefault(key, {}).setdefault(row["photo"], {})
            curve[int(row["evaluations"])] = error, int(row["runs"])
    return found


def _median_curve(curves: Sequence[Curve]) -> dict[int, float]:
    return {n: median(curve[n][0] for curve in curves) for n in sorted(curves[0])}


def _falling(curve: Curve) -> dict[int, float]:
    """The curve nearest to this one that does not rise, by least squares over runs: neighbours that do are pooled."""
    pools: list[tuple[float, int, list[int]]] = []  # error, runs, numbers of evaluations
    for n, (error, runs) in sorted(curve.items()):
        at = [n]
        while pools and pools[-1][0] <= error:
            before, more, earlier = pools.pop()
            error, runs, at = (before * more + error * runs) / (more + runs), more + runs, earlier + at
        pools.append((error, runs, at))
    return {n: error for error, _, at in pools for n in at}


def _needed(curve: Curve, error: float) -> float:
    """The first number of evaluations with at most this error; between two of them as a power of their number."""
    before: tuple[int, float] | None = None
    for n, e in _falling(curve).items():
        if e <= error:
            if before is None or e <= 0:
                return n
            share = math.log(before[1] / error) / math.log(before[1] / e)
            return math.exp(math.log(before[0]) + share * math.log(n / before[0]))
        before = n, e
    return math.inf


def _means(rows: Sequence[Row]) -> list[tuple[str, int, dict[str, float]]]:
    by_kind: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        by_kind.setdefault((row["method"], int(row["evaluations"])), []).append(row)
    return [
        (method, n, {metric: float(np.mean([float(row[metric]) for row in alike])) for metric in METRICS})
        for (method, n), alike in by_kind.items()
    ]


def _savings(curves: Mapping[Key, Mapping[int, float]], savings: Mapping[Key, Saving], plain: int) -> list[str]:
    lines = [
        f"Evaluations that reach the error of plain Bernoulli sampling with {plain}: median over photos [quartiles]",
        f"  {'calculator':12}{'output':14}{'sampler':14}{'scores of units':30}{'map per pixel':30}photos",
    ]
    for (place, link, calculator, sampler), saving in savings.items():
        if place == "units":
            pixels = _span(savings["pixels", link, calculator, sampler])
            photos = len(saving.needed)
            lines.append(f"  {calculator:12}{link:14}{sampler:14}{_span(saving):30}{pixels:30}{photos}")
    lines.append("  (never: not with as many as were drawn)\n")
    for calculator, link in dict.fromkeys((key[2], key[1]) for key in savings):
        sampler = _best(curves, link, calculator)
        needed = max(savings[place, link, calculator, sampler].median for place in PLACES)
        times = "" if math.isinf(needed) else f" ({plain / needed:.1f} times fewer)"
        lines.append(
            f"- {calculator.upper()} of the {link}, best with {sampler.replace('_', ' ')}: the error of {plain} plain "
            f"evaluations with {_number(needed)}{times}. At most half: "
            f"{'holds' if needed <= WANTED * plain else 'does not hold'}."
        )
    return lines


def _best(curves: Mapping[Key, Mapping[int, float]], link: str, calculator: str) -> str:
    """The sampler of the least error at the largest number of evaluations that all of them have."""
    mine = {key[3]: curve for key, curve in curves.items() if key[:3] == ("pixels", link, calculator)}
    most = max(set.intersection(*(set(curve) for curve in mine.values())))
    return min((sampler for sampler in mine if sampler != PLAIN_SAMPLER), key=lambda sampler: mine[sampler][most])


def _span(saving: Saving) -> str:
    low, high = saving.quartiles
    return f"{_number(saving.median)} [{_number(low)}, {_number(high)}]"


def _number(n: float) -> str:
    return "never" if math.isinf(n) else f"{n:.0f}"


def _quality(means: Sequence[tuple[str, int, dict[str, float]]], rows: Sequence[Row]) -> list[str]:
    photos = len({row["photo"] for row in rows})
    lines = [
        f"Quality at equal evaluations, mean over {photos} photos (SRG, insertion: higher is better; deletion: lower)",
        f"  {'method':20}{'evaluations':14}{'SRG':10}{'insertion':12}deletion",
    ]
    for method, n, m in means:
        lines.append(f"  {method:20}{n:<14}{m['srg']:<10.3f}{m['insertion']:<12.3f}{m['deletion']:.3f}")
    lines.append("")
    for n in dict.fromkeys(n for _, n, _ in means):
        for other in OTHERS:
            gaps = {metric: _paired(rows, metric, OURS, other, n) for metric in METRICS}
            words = ", ".join(f"{metric} {gap:+.3f} ± {error:.3f}" for metric, (gap, error) in gaps.items())
            lines.append(f"- RISE with orthogonal rows less {other} at {n} evaluations: {words} (standard error).")
    return lines


def _paired(rows: Sequence[Row], metric: str, one: str, other: str, n: int) -> tuple[float, float]:
    """Mean difference over photos and its standard error."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if int(row["evaluations"]) == n:
            found.setdefault(row["method"], {})[row["photo"]] = float(row[metric])
    gaps = [found[one][photo] - found[other][photo] for photo in found[one]]
    return float(np.mean(gaps)), float(np.std(gaps, ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else math.nan
