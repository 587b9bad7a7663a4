"""The studies: their statistics on tables with a known answer, rows that are shared, and an end that loses nothing."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import attribution_errors
import baselines
import economy
import findings
import numpy as np
import pytest
import quality
import samplers
import torch
from anova import shares
from differentiable import WIDE, Answers, layers
from doubles import Letter, LinearPredictor
from inline import inline
from photos import Photo
from PIL import Image
from sharing import sharing
from sidelight.core.ask import Model
from sidelight.core.inputs import ImageInput
from sidelight.core.job import Job
from sidelight.core.metric import Subject
from sidelight.core.predictor import PixelSpace, Twin
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.engine.engine import Engine
from sidelight.engine.observer import Label
from sidelight.metrics.deletion import DeletionParams, deletion
from sidelight.perturbation.combination import Combination
from sidelight.perturbation.options import Calculator, MapType, Sampler, Segmentation, Smoothing
from sidelight.perturbation.perturb import perturb
from skimage import data
from table import Table
from windows import windows

STUDIES = Path(economy.__file__).parent


# -- shares of variance ------------------------------------------------------------------------------------------------


def crossed(*levels):
    """Columns of the full cross of so many levels of a, b, c ..."""
    cells = np.array(list(itertools.product(*map(range, levels)))).T
    return dict(zip("abc", cells, strict=False))


def test_shares_of_an_additive_table_are_the_variances_of_its_effects():
    columns = crossed(2, 3)
    a, b = np.array([-1.0, 1.0]), np.array([-3.0, 0.0, 3.0])
    found = shares(columns, a[columns["a"]] + b[columns["b"]], ["a", "b"])
    assert found == pytest.approx({"a": 1 / 7, "b": 6 / 7, "residual": 0}, abs=1e-12)


def test_an_interaction_is_what_it_adds_to_the_main_effects():
    columns = crossed(2, 2, 2)
    a, b, c = (2.0 * columns[name] - 1 for name in "abc")
    found = shares(columns, a + 2 * a * b + 3 * c, ["a", "b", "c", "a:b"])
    assert found == pytest.approx({"a": 1 / 14, "b": 0, "c": 9 / 14, "a:b": 4 / 14, "residual": 0}, abs=1e-12)


def test_in_an_unbalanced_table_a_factor_gets_nothing_that_is_another_s():
    columns = crossed(2, 3)
    kept = np.array([True, True, False, True, False, True])  # a and b go together here
    columns = {name: levels[kept] for name, levels in columns.items()}
    found = shares(columns, columns["a"] * 1.0, ["a", "b"])
    assert found["b"] == pytest.approx(0, abs=1e-12) and found["a"] > 0.3


def test_a_factor_of_one_level_explains_nothing():
    columns = crossed(1, 3)
    assert shares(columns, columns["b"] * 1.0, ["a", "b"]) == pytest.approx({"a": 0, "b": 1, "residual": 0}, abs=1e-12)


# -- what the study says -----------------------------------------------------------------------------------------------

EFFECTS = {"slic": 0.1, "grid": 0.0, "rise": 0.001, "lime": 0.0, "none": 0.0}
SMOOTH = {"per_pixel": 0.05, "per_segment": -0.05}


def table(effect, photos=8):
    """Rows as the study writes them, with SRG = `effect` of the cell and a little noise of the photo's own."""
    noise = np.random.default_rng(0)
    return [
        {"photo": f"p{i}", "photograph": f"g{i // 2}", "segmentation": segmentation, "smoothing": smoothing,
         "sampler": "bernoulli", "calculator": calculator, "map_type": map_type, "samples": "400",
         "srg": repr(effect(segmentation, smoothing, calculator, map_type) + 0.3 * i + 1e-4 * noise.normal())}
        for i in range(photos)
        for segmentation, smoothing, calculator, map_type in itertools.product(
            ("slic", "grid"), ("none", "gaussian"), ("rise", "lime"), SMOOTH
        )
    ]  # fmt: skip


def paper(segmentation, smoothing, calculator, map_type):
    return EFFECTS[segmentation] + EFFECTS[calculator] + (SMOOTH[map_type] if smoothing == "gaussian" else 0)


def verdicts(text):
    """What is said of each sentence of the ordering, by its first words."""
    lines = text[text.index("Does the paper's ordering hold?") :].splitlines()[1:]
    return {line[2:].split(" (")[0].split(" explains")[0]: line.rsplit(": ", 1)[1] for line in lines}


def test_a_table_that_is_as_the_paper_says_is_said_to_be():
    found = findings.of(table(paper))
    assert set(verdicts(found.text).values()) == {"holds."}
    assert next(iter(found.combinations)) == ("slic", "gaussian", "per_pixel")


def test_a_table_that_is_not_as_the_paper_says_is_said_not_to_be():
    found = verdicts(findings.of(table(lambda *cell: -paper(*cell) + 0.5 * (cell[2] == "rise"))).text)
    assert found["The calculator hardly matters"] == "does not hold."
    assert found["Smoothing without the per-pixel map hurts"] == "does not hold."
    assert found["Per-pixel SLIC with Gaussian edges is the best"] == "does not hold."


def test_what_differs_from_photograph_to_photograph_is_not_decided():
    rows = table(lambda *cell: 0.0)
    for row in rows:
        if row["smoothing"] == "gaussian" and row["map_type"] == "per_segment":
            row["srg"] = repr(float(row["srg"]) + (0.1 if row["photograph"] in ("g0", "g2") else -0.1))
    assert verdicts(findings.of(rows).text)["Smoothing without the per-pixel map hurts"].startswith("cannot be told")


def test_evaluations_that_reach_an_error_are_found_between_those_measured():
    rows = [
        {"photo": f"p{i}", "link": "probability", "calculator": "rise", "sampler": sampler, "evaluations": str(n)}
        | {"runs": "1"}
        | {f"error_{place}": repr((i + 1) * share / n) for place in economy.PLACES}
        | {f"variance_{place}": "1.0" for place in economy.PLACES}
        for i in range(3)
        for sampler, share in (("bernoulli", 1.0), ("orthogonal", 0.3), ("antithetic", 1.0))
        for n in (100, 1000, 2000, *([4000] if sampler == "bernoulli" else []))
    ]  # fmt: skip
    found = economy.of(rows, [], 4000)
    assert found.savings["units", "probability", "rise", "orthogonal"].median == pytest.approx(1200)
    assert found.savings["pixels", "probability", "rise", "antithetic"].median == float("inf")
    assert (
        "- RISE of the probability, best with orthogonal: the error of 4000 plain evaluations with 1200" in found.text
    )


def test_a_curve_that_rises_by_chance_is_pooled_before_it_is_read():
    curve = {100: (8.0, 4), 200: (1.0, 2), 400: (3.0, 1), 800: (0.5, 1)}
    assert economy._falling(curve) == pytest.approx({100: 8.0, 200: 5 / 3, 400: 5 / 3, 800: 0.5})


# -- the table ---------------------------------------------------------------------------------------------------------


def test_a_table_knows_what_it_has_and_cuts_off_what_a_kill_left_unfinished(tmp_path):
    path = tmp_path / "t.csv"
    Table(path, ("photo", "n"), ("srg",)).append([{"photo": "a", "n": 1, "srg": 0.1}, {"photo": "b", "n": 1, "srg": 2}])
    whole = path.read_bytes()
    path.write_bytes(whole + b"c,1,0.")
    again = Table(path, ("photo", "n"), ("srg",))
    assert path.read_bytes() == whole
    assert {"photo": "b", "n": 1} in again and {"photo": "c", "n": 1} not in again
    again.append([{"photo": "c", "n": 1, "srg": 0.25}])
    assert path.read_bytes() == whole + b"c,1,0.25\n"


def test_a_table_of_another_study_is_not_written_into(tmp_path):
    Table(tmp_path / "t.csv", ("photo",), ("srg",))
    with pytest.raises(ValueError, match="other columns"):
        Table(tmp_path / "t.csv", ("photo",), ("auc",))


def test_two_runs_do_not_write_into_one_table(tmp_path):
    mine = Table(tmp_path / "t.csv", ("photo",), ("srg",))
    with pytest.raises(ValueError, match="another run"):
        Table(mine.path, ("photo",), ("srg",))


# -- shared rows -------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine():
    engine = Engine()
    engine.add(LinearPredictor())
    yield engine
    engine.close()


def job():
    generator = torch.Generator().manual_seed(0)
    space = LinearPredictor().spec().pixels
    x = ImageInput("x", torch.rand(3, 8, 8, generator=generator) * 255, torch.zeros(3, 8, 8), space)
    ends = LinearPredictor().answer(torch.stack([x.pixels / 255, x.baseline]))
    return Job(Model("linear", "1"), x, Target(OutputKind.LOGITS, Link.PROBABILITY, (0,)), Stream(1), ends=ends)


def combination(calculator=Calculator.RISE, sampler=Sampler.BERNOULLI, samples=60, map_type=MapType.PER_PIXEL, **more):
    return Combination(
        "test", segments=9, sampler=sampler, samples=samples, calculator=calculator, map_type=map_type, **more
    )


def result(engine, plan):
    letter = Letter()
    engine.run(plan, letter, label=Label("test", "linear", "embedded"))
    return letter.wait()


def test_plans_that_share_rows_find_what_each_finds_alone_and_ask_for_no_more_than_the_longest(engine):
    wanted = [
        combination(Calculator.RISE), combination(Calculator.LIME, samples=37), combination(Calculator.SHAP),
        combination(Calculator.PDA, smoothing=Smoothing.GAUSSIAN, map_type=MapType.PER_SEGMENT),
        combination(segmentation=Segmentation.SLIC), combination(Calculator.LIME, segmentation=Segmentation.SLIC),
    ]  # fmt: skip
    alike = [(c.segmentation, c.smoothing) for c in wanted]
    found = result(engine, sharing([perturb(job(), c) for c in wanted], alike))
    asked = sum(sum(tiles) for _, tiles in engine.predictors["linear"].calls)
    assert asked == 3 * 60
    for c, one in zip(wanted, found, strict=True):
        alone = result(engine, perturb(job(), c))
        torch.testing.assert_close(one.maps, alone.maps, rtol=1e-9, atol=1e-12)


def test_segments_are_cut_once_and_remembered(engine):
    known = {}
    plan = perturb(job(), combination(segmentation=Segmentation.SLIC))
    (first,) = result(engine, sharing([plan], [0], known))
    known["segment"]["labels"][:] = np.arange(64).reshape(8, 8) % 2
    plan = perturb(job(), combination(segmentation=Segmentation.SLIC))
    (second,) = result(engine, sharing([plan], [0], known))
    assert first.segments.scores.shape[1] > 2 == second.segments.scores.shape[1]


def test_runs_of_a_window_average_to_the_run_of_all_where_every_unit_is_kept_equally_often(engine):
    plan = perturb(job(), combination(sampler=Sampler.ANTITHETIC, samples=66))
    ((short, long),) = result(engine, windows([plan], (16, 64)))
    assert len(short.units) == 4 and len(long.units) == 1
    torch.testing.assert_close(short.pixels.mean(0), long.pixels[0], rtol=1e-9, atol=1e-12)


def test_the_first_window_is_the_map_that_so_many_samples_give(engine):
    ((runs,),) = result(engine, windows([perturb(job(), combination(samples=64))], (32,)))
    alone = result(engine, perturb(job(), combination(samples=32)))
    torch.testing.assert_close(runs.pixels[:1], alone.maps, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(runs.units[:1], alone.segments.scores, rtol=1e-9, atol=1e-12)


def test_quality_is_that_of_the_metrics_and_equal_rankings_are_measured_once(engine):
    maps = torch.rand((1, 8, 8), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    one, same, other = result(engine, quality.measured(job(), [maps, 2 * maps + 1, -maps]))
    asked = sum(sum(tiles) for _, tiles in engine.predictors["linear"].calls)
    assert one == same and one.srg == pytest.approx(-other.srg)
    assert asked == 2 * quality.ROWS
    deleted = result(engine, deletion(Subject(job(), maps), DeletionParams(steps=quality.STEPS)))
    assert one.deletion == pytest.approx(float(deleted.values["auc"]))


def test_of_an_additive_model_one_orthogonal_replicate_tells_more_than_all_plain_rows(engine):
    part = samplers.Part(Photo("p", "p", Image.new("RGB", (8, 8))), (samplers.MEANS,))
    errors, qualities = result(engine, samplers.explained(replace(job(), ends=None), part))
    assert [{k: row[k] for k in samplers.ERROR_KEY[3:]} for row in errors] == part.errors()
    assert [{k: row[k] for k in samplers.QUALITY_KEY[3:]} for row in qualities] == part.qualities()
    error = {tuple(row[k] for k in samplers.ERROR_KEY[3:]): row["error_pixels"] for row in errors}
    plain, first = (error["logit", "rise", "bernoulli", n] for n in (samplers.PLAIN, samplers.REPLICATE))
    assert first > 10 * plain
    assert abs(error["logit", "rise", "orthogonal", samplers.REPLICATE]) < 1e-6 * plain


# -- attributions by their error ---------------------------------------------------------------------------------------


def attributed(photo, method, error, layer="conv", baseline="blur", target=2.0, shown=None, refused=""):
    """A row as the study of baselines writes it."""
    result = target + error
    numbers = {"target": target, "result": result, "error": error, "shown": result if shown is None else shown}
    named = {"photo": photo, "photograph": photo, "nodes": "20", "layer": layer, "baseline": baseline, "method": method}
    return named | {k: "" if refused else repr(v) for k, v in numbers.items()} | {"refused": refused}


def test_relative_errors_are_medians_and_percentiles_over_photos_by_method_layer_and_baseline():
    rows = [attributed(f"p{i}", "taylor", 0.02 * i, target=-2.0) for i in range(21)]
    rows += [attributed("p0", "odam", 0.1, layer="input"), attributed("p0", "odam", 0.4, baseline="noise")]
    spreads = attribution_errors.of(rows).spreads
    assert spreads["conv", "taylor", "blur"] == attribution_errors.Spread(pytest.approx(0.1), pytest.approx(0.19), 21)
    assert spreads["input", "odam", "blur"].median == pytest.approx(0.05)
    assert spreads["conv", "odam", "noise"].median == pytest.approx(0.2)


def claims(rows):
    """What is said of each claim, by its first words."""
    text = attribution_errors.of(rows).text
    lines = text[text.index("Which of the paper's claims") :].splitlines()[1:]
    return {line[2:].split(": ")[0].split(" (")[0]: line.split(": ", 1)[1] for line in lines}


def papers(photo, baseline):
    """Rows of a photo as the paper has them."""
    target = {"blur": 1.0, "noise": 3.0}[baseline]
    errors = {"integrated_gradients": 1e-3, "taylor": 0.5, "gradient_x_activation": 0.4, "grad_cam": 2.0,
              "layer_cam": 8.0, "odam": 0.4, "difference_map": -9.0}  # fmt: skip
    return [attributed(photo, method, error, baseline=baseline, target=target) for method, error in errors.items()]


def test_a_table_of_errors_that_is_as_the_paper_says_is_said_to_be():
    found = claims([row for i in range(3) for baseline in ("blur", "noise") for row in papers(f"p{i}", baseline)])
    assert len(found) == 9 and all(" cells." in words and words.startswith("holds,") for words in found.values())


def test_a_table_of_errors_that_is_not_as_the_paper_says_is_said_not_to_be():
    rows = [row for i in range(4) for row in papers(f"p{i}", "blur")]
    for row in rows:
        if row["method"] == "layer_cam":
            row |= {"result": "0.5", "shown": "0.5", "error": "-0.5"}
        if row["method"] == "taylor" and row["photo"] != "p0":
            row |= {"result": "1.0", "shown": "1.0", "error": "0.0"}
    found = claims(rows)
    assert found["LayerCAM, which drops negative gradients, attributes more than there is"].startswith("does not hold")
    least = found["Integrated Gradients leaves the least unattributed, whatever the baseline and layer"]
    assert least == "does not hold, in 1 of 4 cells."
    assert found["What there is to attribute depends on the baseline"] == "not measured."


def test_what_is_shown_is_told_apart_from_what_was_attributed():
    found = attribution_errors.of([attributed("p0", "odam", 0.0, shown=7.0)])
    assert found.spreads["conv", "odam", "blur"].median == 0
    assert found.spreads["conv", "odam, shown", "blur"].median == 2.5


def test_refused_baselines_are_counted_with_a_reason_and_no_number():
    rows = [*papers("p0", "blur"), attributed("p0", "taylor", 0, baseline="neutral", refused="entropy .3")]
    found = attribution_errors.of(rows)
    assert "- Refused: neutral, 1 of 1 times, first with: entropy .3" in found.text
    assert not any(baseline == "neutral" for _, _, baseline in found.spreads)
    with pytest.raises(ValueError, match="no attribution"):
        attribution_errors.of(rows[-1:])


def relu_job(net):
    generator = torch.Generator().manual_seed(0)
    x = ImageInput("x", torch.rand(3, 8, 8, generator=generator) * 255, torch.zeros(3, 8, 8), PixelSpace(scale=1 / 255))
    probe = torch.rand(1, 3, 8, 8, generator=generator, dtype=torch.float64)
    twin = Twin(layers(net, probe, cuts=("1",)), "", 1e-3)
    return Job(Model("net", "1"), x, Target(OutputKind.LOGITS, Link.LOGIT), Stream(1), twin=twin)


def relu_net():
    torch.manual_seed(0)
    conv = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.ReLU()]
    return torch.nn.Sequential(*conv, torch.nn.Flatten(), torch.nn.Linear(80, 3)).double()


def test_methods_that_imply_a_baseline_are_asked_beside_it_alone_and_the_bare_gradient_never():
    names = {(b, at): {m.value for m in baselines.Part(None, at, b).methods} for b, at in
             (("feature_zero", "1"), ("blur", "1"), ("model_mean", "input"))}  # fmt: skip
    assert names["feature_zero", "1"] - names["blur", "1"] == set(attribution_errors.IMPLIED)
    assert names["model_mean", "input"] - names["blur", "1"] == {"gradient_x_activation"}
    assert all("gradient" not in methods for methods in names.values())


@pytest.mark.parametrize(("layer", "baseline"), [
    ("input", "model_mean"), ("1", "feature_zero"), ("1", "feature_mean"), ("1", "blur"), ("input", "distribution"),
])  # fmt: skip
def test_rows_of_a_part_tell_errors_that_are_result_less_target(layer, baseline):
    net = relu_net()
    part = baselines.Part(Photo("p", "p", Image.new("RGB", (8, 8))), layer, baseline)
    rows = inline(baselines.explained(relu_job(net), part, ["a", "b", "c"]), Answers(net), on=WIDE)
    assert [{k: row[k] for k in part.keys[0]} for row in rows] == part.keys
    for row in rows:
        assert row["refused"] == "" and row["error"] == pytest.approx(row["result"] - row["target"], abs=1e-9)
    told = {row["method"]: row for row in rows}
    x = relu_job(net).input.pixels.double()[None] / 255
    with torch.no_grad():
        assert told["integrated_gradients"]["output"] == pytest.approx(float(net(x).max()))
    error = {name: abs(row["error"]) for name, row in told.items()}
    assert error["integrated_gradients"] < min(error["taylor"], error["difference_map"])


def test_baselines_of_a_distribution_are_each_their_own():
    net = relu_net()
    photo = Photo("p", "p", Image.new("RGB", (8, 8)))

    def targets(baseline):
        rows = inline(
            baselines.explained(relu_job(net), baselines.Part(photo, "1", baseline), "abc"), Answers(net), on=WIDE
        )
        return next(row["target"] for row in rows if row["method"] == "integrated_gradients")

    assert targets("distribution") == pytest.approx(np.mean([targets(b) for b in baselines.DISTRIBUTION]))


def test_a_baseline_that_is_not_to_be_had_is_a_row_that_says_so():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    with torch.no_grad():
        net[-1].bias[0] += 1e4  # sure of its class wherever it looks
    part = baselines.Part(Photo("p", "p", Image.new("RGB", (8, 8))), "1", "neutral")
    rows = inline(baselines.explained(relu_job(net.double()), part, ["a", "b", "c"]), Answers(net.double()), on=WIDE)
    assert [row["method"] for row in rows] == [m.value for m in part.methods]
    assert all("entropy" in row["refused"] and row["error"] == "" for row in rows)


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()).resize((96, 64)).save(folder / f"{name}.png")
    return folder


def command(folder, out, *more):
    small = ["--data", folder, "--out", out, "--pixels", "64", "--precision", "float32"]
    return [sys.executable, str(STUDIES), *map(str, [*more, *small])]


def tiny(folder, out):
    """Two photos, 20 cells."""
    levels = ["--segmentations", "grid", "--smoothings", "none", "gaussian", "--samplers", "bernoulli", "one_off"]
    return command(folder, out, "study", *levels, "--calculators", "rise", "pda", "lime", "--samples", "24")


def cells_of(path):
    return list(csv.reader(path.open()))[1:]


def test_the_study_goes_on_after_ctrl_c_with_the_rows_that_it_had(folder, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "out" / "study.csv"
    first = subprocess.Popen(tiny(folder, path.parent), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ends = time.monotonic() + 120
    while not (path.exists() and cells_of(path)):
        assert first.poll() is None and time.monotonic() < ends, first.communicate()
        time.sleep(0.005)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    before = path.read_bytes()
    if first.returncode:  # else it was done before the signal came
        assert first.returncode == 130 and "the same command goes on from there" in said
        assert "Traceback" not in said
    os.truncate(path, len(before) - 9)  # and as if it had been killed within a line
    done = subprocess.run(tiny(folder, path.parent), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    after = path.read_bytes()
    assert after.startswith(before[: before[:-9].rfind(b"\n") + 1])
    assert len(cells_of(path)) == len({tuple(row[:9]) for row in cells_of(path)}) == 2 * (2 * 3 * 2 + 2 * 3 * 2)
    assert "Does the paper's ordering hold?" in done.stdout
    assert Image.open(path.with_name("study.png")).width > 1000
    again = subprocess.run(tiny(folder, path.parent), capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0 and path.read_bytes() == after


def test_the_study_of_baselines_tells_errors_and_goes_on_with_what_it_lacks(folder, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "out" / "baselines.csv"
    levels = ["--layers", "_blocks.15", "--baselines"]
    some = command(folder, path.parent, "baselines", *levels, "feature_zero")
    done = subprocess.run(some, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Integrated Gradients leaves the least unattributed" in done.stdout
    assert Image.open(path.with_name("baselines.png")).width > 300
    before = path.read_bytes()
    more = command(folder, path.parent, "baselines", *levels, "feature_zero", "blur")
    done = subprocess.run(more, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(before) and path.stat().st_size > len(before)
    assert len(cells_of(path)) == 2 * (10 + 6)


def test_a_folder_without_photos_is_said_to_be_one(tmp_path):
    pytest.importorskip("matplotlib")
    done = subprocess.run(tiny(tmp_path, tmp_path / "out"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "no image" in done.stderr and "Traceback" not in done.stderr
