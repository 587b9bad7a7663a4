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
Scores = Mapping[tuple[str, str, str], Floats]  # [seed, lesion] by scenario, architecture, property
Pair = tuple[Floats, Floats]  # [lesion, classifier and property]: by the generator, and by an editor
Column = tuple[str, str, str, str]  # scenario, architecture, seed, property
TIED = {scenario: name for scenario, name in SCENARIOS.items() if name}
SCORE, CAPTURED = "score", "captured"
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
    scores: Scores
    tasks: Mapping[tuple[str, str], Task]
    epochs: Scores  # [epoch, lesion] in place of seeds
    pairs: Mapping[str, Pair]  # by editor
    missing: str


def of(classifiers: Sequence[Row], m: Measured) -> Findings:
    """Of the study's rows."""
    scores = grouped(m.drawn, "score")
    significant = grouped(m.drawn, "significant")
    tasks = tasks_of(m.drawn, m.maps)
    epochs = grouped(m.epochs, "score", "epoch")
    pairs = pairs_of(m.instructed) if m.instructed else {}
    lines = [
        *_classifiers(classifiers), "", *_scores(m.drawn, scores), "", *_tasks(tasks), "",
        *_epochs(m.epochs, epochs), "", *_significance(significant), "", *_editor(pairs, m), "",
        "Which of the paper's claims hold on drawn lesions?",
        *_claims(scores, tasks, epochs, significant, pairs, m),
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


def _edits(table: Scores, key: tuple[str, str]) -> Floats:
    return np.stack([table[(*key, name)] for name in TASK], -1)


def pairs_of(rows: Sequence[Row]) -> dict[str, Pair]:
    """By editor. Both of a pair have the columns that `grouped_by_seed` tells of the captured series."""
    captured = grouped_by_seed([row for row in rows if row["editor"] == CAPTURED])
    drawn = np.stack(list(captured.values()), 1)
    found = {}
    for editor in dict.fromkeys(row["editor"] for row in rows if row["editor"] != CAPTURED):
        edited = grouped_by_seed([row for row in rows if row["editor"] == editor])
        found[editor] = drawn, np.stack([edited[key] for key in captured], 1)
    return found


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


def _scores(rows: Sequence[Row], scores: Scores) -> Iterable[str]:
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


def _epochs(rows: Sequence[Row], epochs: Scores) -> Iterable[str]:
    made = sum(int(one["edits"]) for one in {(r["lesion"], r["property"]): r for r in rows}.values())
    yield f"1000 S by epoch, untrained first, one seed: {len(rows)} series, of {made} edits that all classifiers share"
    for key, values in epochs.items():
        yield f"  {', '.join(key):34}" + " ".join(f"{number(v):>6}" for v in 1000 * values.mean(1))


def _significance(significant: Scores) -> Iterable[str]:
    yield "Share of series with p < .01 (permutation test, Holm over a lesion's properties), architectures together"
    yield f"  {'':16}" + "".join(f"{scenario:26}" for scenario in SCENARIOS).rstrip()
    for name in PROPERTIES:
        cells = (told(mean(_together(significant, scenario, name))) for scenario in SCENARIOS)
        yield f"  {name:16}" + "".join(f"{cell:26}" for cell in cells).rstrip()


def _together(table: Scores, scenario: str, name: str) -> Floats:
    """[classifier, lesion] of both architectures."""
    return np.concatenate([a for (s, _, p), a in table.items() if (s, p) == (scenario, name)])


def _editor(pairs: Mapping[str, Pair], m: Measured) -> Iterable[str]:
    if not pairs:
        yield f"S by a diffusion editor against S by the generator itself: not run, {m.missing}"
        return
    names = [name for *_, name in grouped_by_seed([row for row in m.instructed if row["editor"] == CAPTURED])]
    for editor, (drawn, edited) in pairs.items():
        yield f"S by {editor} against S by the generator itself, {len(drawn)} lesions, {drawn.size} series"
        yield f"  {'all':16}{_correlated(drawn, edited)}"
        for name in dict.fromkeys(names):
            mine = [i for i, other in enumerate(names) if other == name]
            yield f"  {name:16}{_correlated(drawn[:, mine], edited[:, mine])}"
    yield "1000 S by each, architectures together"
    yield f"  {'':42}" + "".join(f"{name:22}" for name in dict.fromkeys(names)).rstrip()
    for editor in (CAPTURED, *pairs):
        scores = grouped([row for row in m.instructed if row["editor"] == editor], "score")
        for scenario in SCENARIOS:
            cells = (told(mean(1000 * _together(scores, scenario, name))) for name in dict.fromkeys(names))
            yield f"  {editor:26}{scenario:16}" + "".join(f"{cell:22}" for cell in cells).rstrip()


def _correlated(drawn: Floats, edited: Floats) -> str:
    return ", ".join(f"{name} {told(value)}" for name, value in correlations(drawn, edited).items())


# -- claims ------------------------------------------------------------------------------------------------------------


def _claims(
    scores: Scores, tasks: Mapping[tuple[str, str], Task],
    epochs: Scores, significant: Scores,
    pairs: Mapping[str, Pair], m: Measured,
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
    if not pairs:
        yield f"- A diffusion editor ranks effects as the generator does: not run, {m.missing}."
    for editor, pair in pairs.items():
        rho = correlations(*pair)["Spearman"]
        yield f"- Scores by {editor} rank effects as the generator's do (Spearman {told(rho)}): {_verdict(rho)}."
        edited = grouped([row for row in m.instructed if row["editor"] == editor], "score")
        yield from _found(editor, edited)


def _found(editor: str, scores: Scores) -> Iterable[str]:
    names = dict.fromkeys(name for *_, name in scores)
    for scenario, tied in TIED.items():
        own = _together(scores, scenario, tied)
        others = {name: _together(scores, scenario, name) for name in names if name != tied}
        next_one = max(others, key=lambda name: float(others[name].mean()))
        times = ratio(own, others[next_one])
        yield (
            f"- By {editor} too the score of {tied} is the highest on {scenario} models ({told(times)} times that of "
            f"{next_one}, the next): {_verdict(times, 1)}."
        )


def _larger(scores: Scores, scenario: str, architecture: str) -> Iterable[str]:
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


def _learnt(epochs: Scores) -> Iterable[str]:
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
