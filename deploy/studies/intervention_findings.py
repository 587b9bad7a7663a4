"""What the tables of the study of interventions say, and which of the paper's claims hold on drawn lesions.

Intervals are 95 %, by bootstrap over seeds and lesions (correlations: over lesions).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from intervention_domain import IRRELEVANT, PROPERTIES, SCENARIOS, UNBIASED
from intervention_rows import METHODS, TASK
from intervention_statistics import Floats, Interval, correlations, cube, difference, mean, ratio, right

Row = Mapping[str, str]
Column = tuple[str, str, str, str]  # scenario, architecture, seed, property
TIED = {scenario: name for scenario, name in SCENARIOS.items() if name}
SCORE = "score"
NAMES = {
    SCORE: "interventional score", "grad_cam": "Grad-CAM", "integrated_gradients": "Integrated Gradients",
    "occlusion": "occlusion", "lime": "LIME", "kernel_shap": "Kernel SHAP",
}  # fmt: skip
AHEAD = 0.15  # of accuracy, as published
TIMES_IRRELEVANT, TIMES_UNBIASED = 85, 8  # the least of the published ranges, 85 to 180 and 8 to 500


@dataclass(frozen=True, eq=False)
class Measured:
    """The rows of the tables that this run asked for."""

    drawn: Sequence[Row]  # scores on the generator's own series
    maps: Sequence[Row]
    epochs: Sequence[Row]
    instructed: Sequence[Row]  # scores on drawn series and on the diffusion editor's
    missing: str = ""  # why there are none of these


@dataclass(frozen=True, eq=False)
class Task:
    """Does this edit change the prediction? By scenario and architecture: how often thresholds are right."""

    accuracy: Mapping[str, Floats]  # [seed, lesion] by method
    changed: float  # share of the edits
    majority: float  # accuracy of the more frequent answer, the mean over classifiers


@dataclass(frozen=True, eq=False)
class Findings:
    """For the terminal and the plot."""

    text: str
    scores: Mapping[tuple[str, str, str], Floats]  # [seed, lesion] by scenario, architecture, property
    tasks: Mapping[tuple[str, str], Task]
    epochs: Mapping[tuple[str, str, str], Floats]  # [epoch, lesion]
    pairs: tuple[Floats, Floats] | None  # [lesion, classifier and property]: drawn, and by the editor
    missing: str


def of(classifiers: Sequence[Row], m: Measured) -> Findings:
    """Of the study's rows."""
    scores = grouped(m.drawn, "score")
    significant = grouped(m.drawn, "significant")
    tasks = tasks_of(m.drawn, m.maps)
    epochs = grouped(m.epochs, "score", "epoch")
    pairs = pairs_of(m.instructed) if m.instructed else None
    lines = [
        *_classifiers(classifiers), "", *_scores(m.drawn, scores), "", *_tasks(tasks), "",
        *_epochs(m.epochs, epochs), "", *_significance(significant), "", *_editor(pairs, m), "",
        "Which of the paper's claims hold on drawn lesions?",
        *_claims(scores, tasks, epochs, significant, pairs, m.missing),
    ]  # fmt: skip
    return Findings("\n".join(lines), scores, tasks, epochs, pairs, m.missing)


def grouped(rows: Sequence[Row], value: str, first: str = "seed") -> dict[tuple[str, str, str], Floats]:
    """A column as arrays [first, lesion] by scenario, architecture and property."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["scenario"], row["architecture"], row["property"]), []).append(row)
    return {key: cube(several, value, first) for key, several in found.items()}


def tasks_of(drawn: Sequence[Row], maps: Sequence[Row]) -> dict[tuple[str, str], Task]:
    """Of the lesions that have maps. Each classifier has thresholds of its own."""
    lesions = {row["lesion"] for row in maps}
    known = [row for row in drawn if row["lesion"] in lesions and row["property"] in TASK]
    scores, changed = grouped(known, "score"), grouped(known, "changed")
    by_method = {method: grouped([r for r in maps if r["method"] == method], "change") for method in METHODS}
    found = {}
    for key in dict.fromkeys((scenario, architecture) for scenario, architecture, _ in scores):
        truth = _edits(changed, key) > 0.5  # [seed, lesion, edit]
        predictors = {SCORE: _edits(scores, key)} | {m: _edits(table, key) for m, table in by_method.items()}
        accuracy = {
            name: np.stack([right(s, c) for s, c in zip(values, truth, strict=True)])
            for name, values in predictors.items()
        }
        share = truth.mean((1, 2))
        found[key] = Task(accuracy, float(share.mean()), float(np.maximum(share, 1 - share).mean()))
    return found


def _edits(table: Mapping[tuple[str, str, str], Floats], key: tuple[str, str]) -> Floats:
    return np.stack([table[(*key, name)] for name in TASK], -1)


def pairs_of(rows: Sequence[Row]) -> tuple[Floats, Floats]:
    """[lesion, classifier and property]: scores on drawn series, and on the editor's."""
    drawn = grouped_by_seed([row for row in rows if row["editor"] == "captured"])
    edited = grouped_by_seed([row for row in rows if row["editor"] != "captured"])
    return np.stack([drawn[key] for key in drawn], 1), np.stack([edited[key] for key in drawn], 1)


def grouped_by_seed(rows: Sequence[Row]) -> dict[Column, Floats]:
    """Scores [lesion] by scenario, architecture, seed and property, in the order in which these come."""
    found: dict[Column, dict[int, float]] = {}
    for row in rows:
        key = row["scenario"], row["architecture"], row["seed"], row["property"]
        found.setdefault(key, {})[int(row["lesion"])] = float(row["score"])
    return {key: np.array([several[i] for i in sorted(several)]) for key, several in found.items()}


# -- tables ------------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three digits, without a leading zero."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.9995 else f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def told(value: Interval) -> str:
    middle, low, high = value
    return f"{number(middle)} [{number(low)}, {number(high)}]"


def _classifiers(rows: Sequence[Row]) -> Iterable[str]:
    yield "Accuracy of the classifiers, mean over seeds: on lesions drawn without a tie, and as the training set is"
    last = max(int(row["epoch"]) for row in rows)
    for key in dict.fromkeys((row["scenario"], row["architecture"]) for row in rows):
        mine = [r for r in rows if (r["scenario"], r["architecture"]) == key and int(r["epoch"]) == last]
        free, tied = (np.mean([float(r[name]) for r in mine]) for name in ("accuracy", "accuracy_as_trained"))
        yield f"  {', '.join(key):28}{number(float(free)):8}{number(float(tied))}"


def _scores(rows: Sequence[Row], scores: Mapping[tuple[str, str, str], Floats]) -> Iterable[str]:
    seeds, lesions = next(iter(scores.values())).shape
    yield f"1000 S of the class's probability, N = {rows[0]['count']}, {lesions} lesions, {seeds} seeds"
    keys = list(dict.fromkeys(key[:2] for key in scores))
    yield f"  {'':16}" + "".join(f"{', '.join(key):26}" for key in keys).rstrip()
    for name in PROPERTIES:
        cells = (told(mean(1000 * scores[(*key, name)])) for key in keys)
        yield f"  {name:16}" + "".join(f"{cell:26}" for cell in cells).rstrip()


def _tasks(tasks: Mapping[tuple[str, str], Task]) -> Iterable[str]:
    yield f"Does an edit ({', '.join(TASK)}) change the prediction? Accuracy of a threshold, on lesions it is not from"
    yield f"  {'':26}" + "".join(f"{', '.join(key):26}" for key in tasks).rstrip()
    for name in (SCORE, *METHODS):
        cells = (told(mean(task.accuracy[name])) for task in tasks.values())
        yield f"  {NAMES[name]:26}" + "".join(f"{cell:26}" for cell in cells).rstrip()
    for what in ("majority", "changed"):
        label = "the more frequent answer" if what == "majority" else "share that changes"
        yield f"  {label:26}" + "".join(f"{number(getattr(task, what)):26}" for task in tasks.values()).rstrip()


def _epochs(rows: Sequence[Row], epochs: Mapping[tuple[str, str, str], Floats]) -> Iterable[str]:
    made = sum(int(one["edits"]) for one in {(r["lesion"], r["property"]): r for r in rows}.values())
    yield f"1000 S by epoch, untrained first, one seed: {len(rows)} series, of {made} edits that all classifiers share"
    for key, values in epochs.items():
        yield f"  {', '.join(key):34}" + " ".join(f"{number(v):>6}" for v in 1000 * values.mean(1))


def _significance(significant: Mapping[tuple[str, str, str], Floats]) -> Iterable[str]:
    yield "Share of series with p < .01 (permutation test, Holm over a lesion's properties), architectures together"
    yield f"  {'':16}" + "".join(f"{scenario:26}" for scenario in SCENARIOS).rstrip()
    for name in PROPERTIES:
        cells = (told(mean(_together(significant, scenario, name))) for scenario in SCENARIOS)
        yield f"  {name:16}" + "".join(f"{cell:26}" for cell in cells).rstrip()


def _together(table: Mapping[tuple[str, str, str], Floats], scenario: str, name: str) -> Floats:
    """[classifier, lesion] of both architectures."""
    return np.concatenate([a for (s, _, p), a in table.items() if (s, p) == (scenario, name)])


def _editor(pairs: tuple[Floats, Floats] | None, m: Measured) -> Iterable[str]:
    if pairs is None:
        yield f"S by a diffusion editor against S by the generator itself: not run, {m.missing}"
        return
    yield f"S by the diffusion editor against S by the generator itself, {len(pairs[0])} lesions"
    yield f"  all {pairs[0].size} series: {_correlated(*pairs)}"
    names = [name for *_, name in grouped_by_seed([row for row in m.instructed if row["editor"] == "captured"])]
    for name in dict.fromkeys(names):
        mine = [i for i, other in enumerate(names) if other == name]
        yield f"  {name}: {_correlated(*(one[:, mine] for one in pairs))}"


def _correlated(drawn: Floats, edited: Floats) -> str:
    return ", ".join(f"{name} {told(value)}" for name, value in correlations(drawn, edited).items())


# -- claims ------------------------------------------------------------------------------------------------------------


def _claims(
    scores: Mapping[tuple[str, str, str], Floats], tasks: Mapping[tuple[str, str], Task],
    epochs: Mapping[tuple[str, str, str], Floats], significant: Mapping[tuple[str, str, str], Floats],
    pairs: tuple[Floats, Floats] | None, missing: str,
) -> Iterable[str]:  # fmt: skip
    for scenario, architecture in tasks:
        if scenario in TIED:
            yield from _larger(scores, scenario, architecture)
    for (scenario, architecture), task in tasks.items():
        yield from _thresholds(f"the {scenario} {architecture}s", task, published=scenario in TIED)
    yield from _learnt(epochs)
    for scenario, name in TIED.items():
        gap = difference(_together(significant, scenario, name), _together(significant, scenario, IRRELEVANT))
        yield (
            f"- On {scenario} models {name} is significant more often than {IRRELEVANT} "
            f"(by {told(gap)} of the series): {_verdict(gap)}."
        )
    if pairs is None:
        yield f"- The diffusion editor ranks effects as the generator does: not run, {missing}."
    else:
        rho = correlations(*pairs)["Spearman"]
        yield f"- The diffusion editor ranks effects as the generator does (Spearman {told(rho)}): {_verdict(rho)}."


def _larger(scores: Mapping[tuple[str, str, str], Floats], scenario: str, architecture: str) -> Iterable[str]:
    name = TIED[scenario]
    own = scores[scenario, architecture, name]
    others = (
        (f"that of {IRRELEVANT}", scores[scenario, architecture, IRRELEVANT], TIMES_IRRELEVANT),
        ("on unbiased ones", scores[UNBIASED, architecture, name], TIMES_UNBIASED),
    )
    for what, other, published in others:
        times = ratio(own, other)
        yield (
            f"- On {scenario} {architecture}s the score of {name} is above {what} ({told(times)} times): "
            f"{_verdict(times, 1)}; at least {published} times, as published: {_verdict(times, published)}."
        )


def _thresholds(where: str, task: Task, published: bool) -> Iterable[str]:
    best = max(METHODS, key=lambda name: float(task.accuracy[name].mean()))
    gap = difference(task.accuracy[SCORE], task.accuracy[best])
    size = f"; by {100 * AHEAD:.0f} points, as published: {_verdict(gap, AHEAD)}" if published else ""
    yield (
        f"- On {where} a threshold on S tells better than one on any map's change whether the prediction changes "
        f"({told(gap)} of accuracy ahead of {NAMES[best]}, the best of them): {_verdict(gap)}{size}."
    )


def _learnt(epochs: Mapping[tuple[str, str, str], Floats]) -> Iterable[str]:
    for (scenario, architecture, name), values in epochs.items():
        if TIED.get(scenario) == name:
            grown = difference(values[-1:], values[:1])
            yield (
                f"- Training on {scenario} lesions raises the score of {name} on fixed pictures ({architecture}: "
                f"1000 S by "
                f"{told((1000 * grown[0], 1000 * grown[1], 1000 * grown[2]))}): {_verdict(grown)}."
            )


def _verdict(value: Interval, least: float = 0.0) -> str:
    _, low, high = value
    if not np.isfinite(low):
        return "cannot be told from so few"
    return "holds" if low > least else "does not hold" if high < least else "cannot be told from these lesions"
