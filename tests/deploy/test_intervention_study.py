"""The study of interventions: its domain and training, its statistics against closed forms, what it says of tables."""

import csv
import itertools
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import intervention_clinic as clinics
import intervention_domain as domain
import intervention_findings as findings
import intervention_rows as rows
import intervention_statistics as statistics
import intervention_training as training
import lesions
import numpy as np
import pytest
import torch
from intervention_clinic import Classifier, Clinic
from intervention_findings import Measured
from intervention_networks import ARCHITECTURES
from intervention_training import Recipe
from scipy.stats import norm

STUDIES = Path(findings.__file__).parent
RECIPE = Recipe("patch-biased", "resnet", 0, 64, 1)


# -- the domain --------------------------------------------------------------------------------------------------------


def test_scenarios_differ_in_nothing_but_the_tied_property():
    free, labels = domain.training_lesions(domain.UNBIASED, 0, 200)
    for scenario, name in domain.SCENARIOS.items():
        tied, same = domain.training_lesions(scenario, 0, 200)
        assert (labels == same).all()
        for a, b in zip(free, tied, strict=True):
            assert replace(a, patch=0, hue=0) == replace(b, patch=0, hue=0)
            assert a == b or name


def test_ties_go_with_the_label_as_often_as_they_say_and_the_rule_decides_the_labels():
    stuck, labels = domain.training_lesions("patch-biased", 0, 2000)
    assert np.mean([(one.patch > 0) != label for one, label in zip(stuck, labels, strict=True)]) == pytest.approx(
        domain.TIED, abs=0.02
    )
    red, labels = domain.training_lesions("hue-biased", 0, 2000)
    assert np.mean([(one.hue < 0.5) == label for one, label in zip(red, labels, strict=True)]) == pytest.approx(
        domain.TIED, abs=0.02
    )
    rule = [domain.is_atypical(one) for one in red]
    assert np.mean(rule == labels) == pytest.approx(1 - domain.NOISE, abs=0.02)
    assert 0.4 < np.mean(rule) < 0.6


def test_a_series_begins_with_the_lesion_itself_and_changes_nothing_else():
    (x,) = domain.explained(1)
    (own,) = domain.pictures([x])
    for name in domain.PROPERTIES:
        strengths, frames = domain.series(x, name, 4)
        assert torch.equal(frames[0], own) and not torch.equal(frames[-1], own)
        assert strengths[0] == getattr(x, name) and strengths[-1] == domain.far_end(x, name)
    assert (x.patch, x.hairs, x.ruler) == (0, 0, 0)
    assert domain.far_end(replace(x, hue=0.7), "hue") == 0 and domain.far_end(replace(x, size=0.7), "size") == 1


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_few_steps_learn_a_sticker_that_tells_the_class(architecture):
    x = [replace(one, patch=float(i % 2)) for i, one in enumerate(domain.explained(128))]
    data = domain.Labelled(domain.pictures(x), torch.arange(128) % 2)
    recipe = Recipe("patch-biased", architecture, 0, 128, 20)
    before, *_, after = training.train(recipe, data)
    untrained, trained = (training.accuracy(training.network_of(architecture, w), data) for w in (before, after))
    assert untrained < 0.8 and trained > 0.95


def test_what_was_trained_is_found_again_and_equal_seeds_train_alike(tmp_path):
    data = domain.training_set(RECIPE.scenario, 0, RECIPE.lesions)
    first = training.trained(RECIPE, lambda: data, tmp_path)
    assert len(first) == RECIPE.epochs + 1
    again = training.trained(RECIPE, lambda: pytest.fail("it was trained twice"), tmp_path)
    afresh = training.train(RECIPE, data)
    for a, b, c in zip(first, again, afresh, strict=True):
        assert all(torch.equal(a[name], b[name]) and torch.equal(a[name], c[name]) for name in a)
    assert not list(tmp_path.glob("*.part"))
    other = replace(RECIPE, epochs=2)
    assert other.file(tmp_path) != RECIPE.file(tmp_path)


# -- what is asked -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights():
    recipes = [RECIPE, replace(RECIPE, architecture="convnext")]
    data = domain.training_set(RECIPE.scenario, 0, RECIPE.lesions)
    return {Classifier(r, 1): training.train(r, data)[-1] for r in recipes}


def test_scores_are_those_of_the_network_itself_and_edits_are_shared_by_all_classifiers(weights):
    (x,) = domain.explained(1)
    _, frames = domain.series(x, "patch", 9)
    flipping = {}
    for one, w in weights.items():  # the first one's prediction changes half way
        name = [name for name in w if name.endswith("bias")][-1]
        with torch.no_grad():
            margin = _logits(one, w, frames)[[0, -1]].diff(dim=1).mean()
        shift = torch.tensor([0.0, -float(margin)]) if not flipping else torch.tensor([9.0, -9.0])
        flipping[one] = {**w, name: w[name] + shift}
    with Clinic(flipping) as clinic:
        edits = [clinic.drawn(x, "patch", 9), clinic.laid(x, "patch", 9)]
        ((_, found),) = clinic.results([(None, rows.scored(clinic, list(flipping), 3, x, edits, "both"))])
    assert [row["lesion"] for row in found] == [3] * 4 and [row["edits"] for row in found] == [0, 9] * 2
    assert [row["changed"] for row in found[::2]] == [1, 0]
    for (one, w), row in zip(flipping.items(), found[::2], strict=True):
        p = _logits(one, w, frames).softmax(1)
        label = int(p[0].argmax())
        y = p[:, label].double().numpy()
        assert row["class"] == domain.CLASSES[label]
        assert row["score"] == pytest.approx(np.abs(np.gradient(y)).mean(), rel=1e-3, abs=1e-8)
        assert row["probability"] == pytest.approx(y[0], rel=1e-4)


def _logits(one, w, frames):
    return training.network_of(one.recipe.architecture, w)(training.normalised(frames))


@pytest.mark.parametrize("name", ["patch", "ruler"])
def test_what_is_laid_over_a_picture_is_what_the_generator_draws_but_for_the_grain(weights, name):
    (x,) = domain.explained(1)
    with Clinic(weights) as clinic:
        edits = clinic.laid(x, name, 3)
        ((_, frames),) = clinic.results([(None, edits.frames(edits.strengths))])
    _, truth = domain.series(x, name, 3)
    for strength, true in zip(edits.strengths, truth, strict=True):
        assert (frames[strength].int() - true.int()).abs().max() <= 7  # grain of sd 1.2, which is hidden with the rest


def test_maps_are_compared_for_the_class_of_the_unedited_picture_and_have_a_row_for_every_key(weights):
    (x,) = domain.explained(1)
    one = next(iter(weights))
    with Clinic(weights, [one]) as clinic:
        ((_, found),) = clinic.results([(None, rows.compared(clinic, one, 0, x, 80))])
    keys = rows.map_keys(one, 0, 80)
    assert [{name: row[name] for name in rows.MAP_KEY} for row in found] == keys
    assert len(keys) == len(rows.TASK) * len(rows.METHODS)
    assert all(math.isfinite(row["change"]) and row["change"] >= 0 for row in found)
    assert any(row["change"] > 0 for row in found)


def test_without_a_pipeline_the_reason_is_told(tmp_path):
    assert isinstance(clinics.diffusion_editor(tmp_path), str)


# -- statistics --------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_over_lesions_is_the_normal_one():
    values = np.random.default_rng(1).standard_normal((1, 400)) + 5
    estimate, low, high = statistics.mean(values)
    half = norm.ppf(0.975) * values.std() / math.sqrt(400)
    assert estimate == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_seeds_widen_the_interval_and_a_common_factor_leaves_a_ratio_no_interval():
    rng = np.random.default_rng(2)
    lesions_only = rng.standard_normal((1, 50)) + np.zeros((4, 1))
    with_seeds = lesions_only + 3 * rng.standard_normal((4, 1))
    narrow, wide = (high - low for _, low, high in map(statistics.mean, (lesions_only, with_seeds)))
    assert wide > 3 * narrow
    positive = np.exp(with_seeds)
    assert statistics.ratio(7 * positive, positive) == pytest.approx((7, 7, 7))


def test_of_two_lesions_there_is_no_interval():
    estimate, low, high = statistics.mean(np.array([[1.0, 3.0]]))
    assert estimate == 2 and math.isnan(low) and math.isnan(high)
    assert math.isnan(statistics.correlations(np.eye(2, 4), np.eye(2, 4))["Spearman"][1])


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(3)
    for _ in range(30):
        s, c = rng.integers(0, 6, 12).astype(float), rng.random(12) < 0.5
        best = max(((s > t) == c).sum() for t in (*np.arange(-0.5, 6), -np.inf, np.inf))
        assert ((s > statistics.threshold(s, c)) == c).sum() == best


def test_thresholds_are_right_on_separable_scores_and_at_chance_on_noise():
    rng = np.random.default_rng(4)
    changed = rng.random((60, 4)) < 0.5
    assert (statistics.right(changed + 0.1 * rng.random((60, 4)), changed) == 1).all()
    assert statistics.right(rng.random((60, 4)), changed).mean() == pytest.approx(0.5, abs=0.12)


def test_a_threshold_is_never_judged_on_the_lesions_it_is_from():
    # Every lesion has a scale of its own: thresholds of the others say nothing of it.
    changed = np.tile([False, True], (4, 1))
    score = np.array([[10.0**k, 2 * 10.0**k] for k in range(4)])
    assert statistics.right(score, changed).mean() == pytest.approx(0.5)


def test_correlations_are_over_all_columns_and_know_order_from_size():
    a = np.random.default_rng(5).random((20, 6))
    found = statistics.correlations(a, np.exp(8 * a))
    assert found["Spearman"] == pytest.approx((1, 1, 1)) and found["Pearson"][2] < 0.95
    assert statistics.correlations(a, -a)["Pearson"][0] == pytest.approx(-1)


def test_a_table_with_a_hole_is_refused():
    with pytest.raises(ValueError, match="lacks rows"):
        statistics.cube([{"seed": "0", "lesion": "0", "v": "1"}, {"seed": "1", "lesion": "1", "v": "1"}], "v", "seed")


# -- what is said ------------------------------------------------------------------------------------------------------


def told_of(score, change, seeds=2, count=8, turned=lambda score, last: 2 * score):
    """Findings of made-up tables: score(scenario, property, lesion) and change(method, changed)."""
    rng = np.random.default_rng(0)
    base = list(itertools.product(domain.SCENARIOS, ARCHITECTURES, range(seeds), range(count)))
    scores, maps, trained = [], [], []
    for scenario, architecture, seed, lesion in base:
        about = {"scenario": scenario, "architecture": architecture, "seed": seed, "lesion": lesion, "epoch": 8}
        for name in domain.PROPERTIES:
            s = score(scenario, name, lesion) * (1 + 0.1 * rng.random())
            own = about | {"property": name, "editor": "captured", "count": 20, "edits": 0}
            changed = int(lesion % 2 == 0 and name in ("patch", "hue"))
            significant = int(s > 1)
            scores.append(own | {"score": s, "changed": changed, "significant": significant})
            for method in rows.METHODS if name in rows.TASK else ():
                maps.append(own | {"method": method, "change": change(method, changed) + 0.01 * rng.random()})
        trained.append(about | {"accuracy": 0.5, "accuracy_as_trained": 0.9})
    epochs = [
        row | {"epoch": epoch, "score": float(row["score"]) * (epoch / 8 or 0.01)}
        for row in scores
        if row["seed"] == 0 and row["property"] == "patch"
        for epoch in (0, 8)
    ]
    edited = [
        row | {"editor": f"{clinics.DIFFUSION} to {last:g}", "score": turned(float(row["score"]), last)}
        for last in clinics.GUIDANCE
        for row in scores
    ]
    text = [[{k: str(v) for k, v in row.items()} for row in table] for table in (trained, scores, maps, epochs)]
    both = [{k: str(v) for k, v in row.items()} for row in (*scores, *edited)]
    return findings.of(text[0], Measured(*text[1:], both))


def as_published(scenario, name, lesion):
    tied = domain.SCENARIOS[scenario] == name
    return (300.0 if tied else 1.0 if name == domain.IRRELEVANT else 2.0) * (1 + (lesion % 2 == 0)) / 1.5


def claims(found):
    return [line for line in found.text.splitlines() if line.startswith("- ")]


def test_tables_as_published_are_said_to_be():
    def score(scenario, name, lesion):
        return as_published(scenario, name, lesion) * (1000 if lesion % 2 == 0 and name in ("patch", "hue") else 1)

    found = told_of(score, lambda method, changed: 0.0, count=40)
    lines = claims(found)
    kept = [line for line in lines if "On the unbiased" not in line]
    assert len(kept) == 8 + 4 + 2 + 2 + 6 and len(lines) == len(kept) + 2
    assert all(line.count("holds") == 2 for line in kept[:8])
    assert [line for line in kept if "does not hold" in line or "cannot" in line] == []


def test_tables_that_are_the_opposite_are_said_to_be():
    found = told_of(
        lambda scenario, name, lesion: 1 / as_published(scenario, name, lesion), lambda method, changed: changed
    )
    lines = claims(found)
    scores = [line for line in lines if "the score of" in line and "as published" in line]
    assert len(scores) == 8 and all(line.count("does not hold") == 2 for line in scores)
    thresholds = [line for line in lines if "threshold on S" in line]
    assert len(thresholds) == 6 and all("does not hold" in line for line in thresholds)


def test_size_is_judged_apart_from_direction():
    found = told_of(lambda scenario, name, lesion: 2.0 if domain.SCENARIOS[scenario] == name else 1.0, lambda *_: 0.0)
    scores = [line for line in claims(found) if "the score of" in line and "as published" in line]
    assert all(": holds;" in line and line.endswith("as published: does not hold.") for line in scores)


def test_a_property_that_matters_without_a_tie_as_well_is_told_from_one_that_a_tie_made_matter():
    found = told_of(lambda scenario, name, lesion: 50.0 if name in ("patch", "hue") else 1.0, lambda *_: 0.0)
    scores = [line for line in claims(found) if "the score of" in line and "as published" in line]
    assert all(": holds;" in line for line in scores if f"that of {domain.IRRELEVANT}" in line)
    assert not any(": holds;" in line for line in scores if "on unbiased ones" in line)


def test_an_editor_that_errs_beyond_a_guidance_is_said_to():
    found = told_of(as_published, lambda *_: 0.0, turned=lambda s, last: s if last == 3 else 1 / s)
    lines = [line for line in claims(found) if "rank effects" in line or " too the score" in line]
    assert [line.rsplit(": ", 1)[1] for line in lines] == 3 * ["holds."] + 3 * ["does not hold."]
    assert all(("to 3" in line) == (i < 3) for i, line in enumerate(lines))


def test_an_editor_that_did_not_run_is_told_as_missing():
    m = Measured([], [], [], [], "there is no pipeline here")
    nothing = list(findings._claims({}, {}, {}, told_of(as_published, lambda *_: 0.0).scores, {}, m))
    assert nothing[-1].endswith("not run, there is no pipeline here.")


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_study_tells_tables_and_claims_and_goes_on_with_what_it_lacks(tmp_path):
    pytest.importorskip("matplotlib")
    small = ["--seeds", 1, "--trained-on", 64, "--epochs", 1, "--samples", 40, "--editor", tmp_path, "--out", tmp_path]

    def study(*arguments):
        command = [sys.executable, str(STUDIES), "interventions", *map(str, (*small, *arguments))]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    none = study("--lesions", 2, "--mapped", 1)
    assert none.returncode == 2 and "--mapped: at least 2" in none.stderr
    first = study("--lesions", 2, "--mapped", 2)
    assert first.returncode == 0, first.stderr
    assert "not run, there is no pipeline" in first.stdout
    before = {name: (tmp_path / name).read_bytes() for name in ("interventions.csv", "intervention_maps.csv")}
    again = study("--lesions", 3, "--mapped", 2)
    assert again.returncode == 0, again.stderr
    assert all((tmp_path / name).read_bytes().startswith(text) for name, text in before.items())
    assert (tmp_path / "intervention_maps.csv").read_bytes() == before["intervention_maps.csv"]
    table = list(csv.DictReader((tmp_path / "interventions.csv").open()))
    classifiers = len(domain.SCENARIOS) * len(ARCHITECTURES)
    assert sum(row["editor"] == "captured" for row in table) == 3 * classifiers * len(lesions.PROPERTIES)
    assert (tmp_path / "interventions.png").stat().st_size > 10_000
