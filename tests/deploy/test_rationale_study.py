"""The study of rationales: its forms of data, its maps, what it says of tables with a known answer, its command."""

import csv
import gzip
import itertools
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rationale_findings as findings
import rationale_maps as maps
import rationale_photos
import rationale_scores as scores
import rationale_seeing as seeing
import rationale_texts as texts
import torch
from differentiable import WIDE, Answers, layers
from inline import inline
from PIL import Image
from reading import PAD, Reader, twin_of
from sidelight.core.ask import Model
from sidelight.core.inputs import ImageInput, TextInput, words
from sidelight.core.job import Account, Job, Saliency
from sidelight.core.predictor import Fit, PixelSpace, Unit
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from skimage import data

STUDIES = Path(findings.__file__).parent
TREE = "(3 (2 It) (4 (2 's) (4 (3 (2 a) (4 (4 lovely) (2 film))) (2 .))))"


# -- forms of data -----------------------------------------------------------------------------------------------------


def marked(text):
    return [text.text[s.begin : s.end] for s in text.spans]


def test_spans_of_a_tree_are_its_largest_extreme_phrases_of_at_most_half_of_the_sentence():
    text = texts.of_tree(TREE)
    assert (text.text, text.label, marked(text)) == ("It 's a lovely film .", "positive", ["lovely film"])
    other = texts.of_tree("(0 (0 (1 -LRB-) (0 dull)) (2 (2 and) (2 (0 (0 bad) (2 acting)) (1 -RRB-))))")
    assert (other.text, other.label, marked(other)) == ("( dull and bad acting )", "negative", ["( dull", "bad acting"])


def test_neutral_trees_are_left_out():
    assert texts.of_tree("(2 (0 bad) (2 film))") is None


def test_characters_of_a_table_are_joined_into_spans_and_speak_of_the_negative_class(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write('spans,text\n"[0, 1, 2, 8, 9]",Bad and no good\n')
    (text,), _ = texts.of_folder(tmp_path)
    assert text.label == "negative" and text.spans == (Unit(0, 3), Unit(8, 10))


def test_lines_of_json_have_spans_and_perhaps_a_label(tmp_path):
    lines = [{"text": "a fine film", "spans": [[2, 6]], "label": "positive"}, {"text": "so dull", "spans": [[3, 7]]}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found, notes = texts.of_folder(tmp_path)
    assert {(t.text, *marked(t), t.label) for t in found} == {
        ("a fine film", "fine", "positive"),
        ("so dull", "dull", None),
    }
    assert notes == []


@pytest.mark.parametrize(("name", "content", "said"), [
    ("t.jsonl", '{"text": "a fine film", "spans": [[2, 60]]}', "t.jsonl, line 1: .2, 60. is no span of 11 characters"),
    ("t.jsonl", '{"spans": []}', "line 1: there is no 'text'"),
    ("t.csv", 'spans,text\n"[1, 99]",short', "t.csv, line 2"),
    ("t.txt", f"{TREE}\n(3 (2 It) (4 open", "t.txt, line 2: its brackets do not match"),
    ("t.txt", f"{TREE}\nplain words", "t.txt, line 2: a tree begins with a bracket"),
])  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_line_and_the_forms(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=said):
        texts.of_folder(tmp_path)


def test_other_files_are_left_out_and_so_are_texts_that_are_all_marked_or_twice_there(tmp_path):
    (tmp_path / "README.txt").write_text("Some words.\n")
    line = json.dumps({"text": "a fine film", "spans": [[2, 6]]})
    (tmp_path / "t.jsonl").write_text("\n".join([line, line, json.dumps({"text": "fine film", "spans": [[0, 9]]})]))
    found, notes = texts.of_folder(tmp_path)
    assert [t.text for t in found] == ["a fine film"]
    assert "README.txt" in notes[0] and "1 of 2 texts" in notes[1]


def masks_folder(folder):
    (folder / "photos").mkdir(parents=True)
    (folder / "masks").mkdir()
    for name in ("chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()).resize((96, 64)).save(folder / "photos" / f"{name}.png")
    marked = np.zeros((64, 96), np.uint8)
    marked[16:48, 32:64] = 17
    Image.fromarray(marked).save(folder / "masks" / "chelsea.png")
    return folder


def test_photos_without_a_mask_are_left_out_and_masks_are_cut_as_photos_are(tmp_path):
    (one,) = rationale_photos.of_folder(masks_folder(tmp_path))
    region = one.region(Fit((32, 32), 32))
    assert one.photo.photograph == "chelsea" and region.shape == (32, 32)
    assert region.nonzero().min(0).values.tolist() == [8, 8] and int(region.sum()) == 16 * 16
    assert one.fits(Fit((32, 32), 32)) and not one.fits(Fit((16, 16), 32))  # nothing but the object in the middle


# -- maps and scores ---------------------------------------------------------------------------------------------------

TEXT = "a remarkably fine film about nothing"


def text_job(reader):
    x = TextInput("x", TEXT, words(TEXT))
    found = layers(reader, torch.tensor([reader.ids(TEXT)]), cuts=("embed",))
    ends = torch.stack([reader([TEXT])[0], reader([""])[0]])
    target = Target(OutputKind.LOGITS, Link.PROBABILITY, (int(ends[0].argmax()),))
    return Job(Model("reader", "1"), x, target, Stream(1), ends=ends, twin=replace(twin_of(reader, found), pad=PAD))


def test_every_method_gives_every_word_a_score_and_integrated_gradients_in_three_norms():
    reader = Reader()
    job = text_job(reader)
    found = inline(maps.of_text(job, samples=64, steps=3), Answers(reader), on=WIDE)
    assert tuple(found) == maps.OF_TEXTS
    assert all(m.shape == (1, 6) and m.isfinite().all() for m in found.values())
    assert (found[maps.L1] >= found[maps.L2] - 1e-12).all() and (found[maps.L1] >= found[maps.SUM].abs() - 1e-12).all()
    assert found[maps.MASK].min() > 0 and found[maps.MASK].max() < 1


def test_shapley_sampling_estimates_shapley_values():
    reader = Reader()
    job = text_job(reader)
    found = inline(maps.of_text(job, samples=2000, steps=1), Answers(reader), on=WIDE)
    coalitions = list(itertools.product((0, 1), repeat=6))
    y = reader([job.input.masked(list(map(bool, c))) for c in coalitions]).softmax(1)[:, job.target.classes[0]].tolist()
    worth = dict(zip(coalitions, y, strict=True))
    exact = [
        sum((worth[c] - worth[(*c[:i], 0, *c[i + 1 :])]) / (6 * math.comb(5, sum(c) - 1)) for c in coalitions if c[i])
        for i in range(6)
    ]
    for method in ("shapley_sampling", "kernel_shap"):
        assert found[method][0].tolist() == pytest.approx(exact, abs=0.005)


def test_norms_are_over_the_features_of_a_token_and_added_up_over_the_tokens_of_a_word():
    reader, job = Reader(), text_job(Reader())
    raw = torch.zeros(len(reader.ids(TEXT)), 2, dtype=torch.float64)
    raw[2], raw[3] = torch.tensor([3.0, -4.0]), torch.tensor([0.0, 1.0])  # two pieces of the second word
    account = Account("integrated_gradients", "", "", 1, 0, 1, raw={"embed": raw})
    found = maps.by_norm(job, Saliency(torch.zeros(1, 6), accounts=((account,),)))
    assert found[maps.L1][0, :3].tolist() == [0, 8, 0] and found[maps.L2][0, :3].tolist() == [0, 6, 0]


def linear_job(shape=(4, 4)):
    x = ImageInput("x", torch.ones(1, *shape), torch.zeros(1, *shape), PixelSpace(order="L"))
    return Job(Model("net", "1"), x, Target(OutputKind.LOGITS, Link.PROBABILITY, (1,)), Stream(1))


def half_net():
    """Logits 0 and the sum of the left half."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False)).double()
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[1].view(4, 4)[:, :2] = 1
    return net


def test_the_mass_of_a_rise_map_is_counted_from_its_least_value_and_an_empty_map_has_none():
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[:, :2] = True
    one = region.double().unsqueeze(0)
    given = {"rise": one + 5, "grad_cam": one + 1, maps.GRADIENTS: -one}
    found = inline(scores.of_photo(linear_job(), given, region), Answers(half_net()), on=WIDE)
    assert [found[name]["mass"] for name in given] == [1, pytest.approx(2 / 3), ""]
    assert found["rise"]["srg"] == found["grad_cam"]["srg"] == pytest.approx(-found[maps.GRADIENTS]["srg"])
    assert {row["area"] for row in found.values()} == {0.5}


def test_a_class_that_goes_with_its_object_is_told_from_one_that_stays():
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[:, :2] = True
    for where, kept in ((region, 0.5), (~region, torch.sigmoid(torch.tensor(8.0)).item())):
        whole, hidden = inline(seeing.without(linear_job(), where), Answers(half_net()), on=WIDE)
        assert whole == pytest.approx(1 / (1 + np.exp(-8))) and hidden == pytest.approx(kept)


# -- what is said ------------------------------------------------------------------------------------------------------


def text_rows(better, count=20, noise=0.0):
    """Rows with `better(method, metric)` as scores, and noise that is the text's own."""
    shifts = noise * np.random.default_rng(0).standard_normal((count, len(maps.OF_TEXTS)))
    return [
        {"text": f"t{i}", "samples": "9", "steps": "9", "method": method, "given": "0.25"}
        | {f"{name}_at_half": "0.5" for name in scores.AT_HALF}
        | {metric: repr(float(better(method, metric) + shifts[i, k])) for metric in findings.OF_TEXTS}
        for i in range(count)
        for k, method in enumerate(maps.OF_TEXTS)
    ]  # fmt: skip


def published(method, metric):
    if metric in ("span_iou_f1", "auc_pr", "token_f1"):
        return {maps.MASK: 0.5, maps.RANDOM: 0.1}.get(method, 0.3)
    sign = -1 if metric == "sufficiency" else 1
    return sign * {"shapley_sampling": 0.8, "kernel_shap": 0.8, maps.MASK: 0.4}.get(method, 0.6)


def test_numbers_have_three_decimals_and_no_leading_zero():
    assert [findings.number(v) for v in (0.25, -0.1234, 10.5, -0.0001)] == [".250", "-.123", "10.500", ".000"]


def verdicts(text):
    return [line.rsplit(": ", 1)[1] for line in text.splitlines() if line.startswith("- ")]


def test_a_table_that_is_as_published_is_said_to_be():
    found = verdicts(findings.of(text_rows(published), []).text)
    assert len(found) == 8 and set(found) == {"holds."}


def test_a_table_that_is_the_opposite_is_said_to_be():
    found = verdicts(findings.of(text_rows(lambda *cell: -published(*cell)), []).text)
    assert set(found) == {"does not hold."}


def test_what_differs_from_text_to_text_is_not_decided():
    found = verdicts(findings.of(text_rows(lambda *cell: 0.0, noise=0.3), []).text)
    assert "cannot be told from these texts." in found


def test_methods_are_compared_on_the_same_items_and_less_is_better_where_it_is():
    rows = text_rows(lambda method, metric: 0.3 * (method == maps.MASK))
    for i, row in enumerate(rows):
        shift = 100.0 * (i // len(maps.OF_TEXTS))  # of the text, far larger than the methods' difference
        row |= {metric: repr(float(row[metric]) + shift) for metric in findings.OF_TEXTS}
    side = findings.side_of("texts", rows, "text", findings.OF_TEXTS)
    assert side.gain("auc_pr", maps.MASK, "lime") == pytest.approx((0.3, 0.3, 0.3))
    assert side.gain("sufficiency", maps.MASK, "lime") == pytest.approx((-0.3, -0.3, -0.3))
    assert side.best("sufficiency", ("lime", maps.MASK)) == "lime"


def test_intervals_hold_the_mean_as_often_as_they_say():
    draws = np.random.default_rng(1).standard_normal((200, 40))
    inside = [low <= 0 <= high for _, low, high in map(findings.interval, draws)]
    assert 0.87 < np.mean(inside) < 0.99


def test_photos_without_a_mass_are_counted_and_not_averaged():
    rows = [
        {"photo": f"p{i}", "pixels": "64", "samples": "9", "steps": "9", "method": method, "area": "0.25",
         "mass": "" if (i, method) == (0, "grad_cam") else "0.5", "srg": "0.1"}
        for i in range(3) for method in maps.OF_PHOTOS
    ]  # fmt: skip
    found = findings.of([], rows)
    assert "1 of 15 maps has no positive relevance" in found.text
    assert found.sides[0].mean("mass", "grad_cam")[0] == 0.5


# -- the command -------------------------------------------------------------------------------------------------------


def study(*arguments):
    command = [sys.executable, str(STUDIES), "rationales", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_without_data_the_error_teaches_their_form(tmp_path):
    pytest.importorskip("matplotlib")
    for done in (study("--out", tmp_path), study("--data", tmp_path, "--out", tmp_path)):
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "*.jsonl" in done.stderr and "masks/NAME.png" in done.stderr


def test_a_label_that_is_no_class_is_refused_with_those_that_are(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "a fine film", "spans": [[2, 6]], "label": "good"}))
    done = study("--data", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1 and "'good' is no class of sentiment, which has negative, positive" in done.stderr


@pytest.mark.slow
def test_the_study_tells_tables_and_claims_and_goes_on_with_what_it_lacks(tmp_path):
    pytest.importorskip("matplotlib")
    folder, out = masks_folder(tmp_path / "data"), tmp_path / "out"
    lines = [
        ("a fine film , and a joy to see", [[2, 6]], "positive"),
        ("so dull that it hurts to look", [[3, 7]], "negative"),
        ("a fine film of great value to all", [[2, 6]], "negative"),  # of which the model thinks otherwise
    ]
    entries = [json.dumps({"text": text, "spans": spans, "label": label}) for text, spans, label in lines]
    (folder / "t.jsonl").write_text("\n".join(entries))
    small = ["--samples", 20, "--steps", 4, "--photo-samples", 20, "--photo-steps", 4, "--pixels", 64]
    first = study("--data", folder, "--out", out, "--texts", 1, *small)
    assert first.returncode == 0, first.stderr
    before = (out / "rationale_texts.csv").read_bytes()
    again = study("--data", folder, "--out", out, *small)
    assert again.returncode == 0, again.stderr
    assert (out / "rationale_texts.csv").read_bytes().startswith(before)
    rows = list(csv.DictReader((out / "rationale_texts.csv").open()))
    assert [row["method"] for row in rows] == 2 * list(maps.OF_TEXTS)
    assert "2 texts; of 3 looked at 1 left out" in again.stdout
    assert "Mask optimisation has the highest span IoU F1" in again.stdout
    assert Image.open(out / "rationales.png").width > 600
    assert not any(text in (out / "rationale_texts.csv").read_text() for text, _, _ in lines)
