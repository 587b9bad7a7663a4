"""The command: exit codes, JSON, files, words."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from client.canned_service import MAP, accepted, answer, away, progress, refusal, result
from client.test_stream import endless
from google.rpc import error_details_pb2 as details
from sidelight_client.cli import main
from sidelight_proto.v1 import types_pb2

Code = grpc.StatusCode


@pytest.fixture
def explain(run, photo):
    return lambda *arguments: run("explain", photo, "--model", "tiny", *arguments)


def test_explain_tells_predicted_and_explained_class_evaluations_error_seed_and_times(explain):
    code, out, _ = explain()
    assert code == 0
    told = dict(line.rstrip().split(maxsplit=1) for line in out.splitlines())
    assert told["predicted"] == "tabby, probability 0.62" and told["explained"] == "tabby"
    assert told["evaluations"] == "4002, complete" and "3.00%" in told["standard"]
    assert told["seed"] == str(2**63 + 7) and "infer 1.25 s" in told["time"]


def test_json_is_all_that_is_on_standard_output(explain):
    code, out, _ = explain("--json")
    answer = json.loads(out)
    assert code == 0 and answer["results"][0]["top_classes"][0]["label"] == "tabby"


def test_out_holds_the_map_and_the_answer_and_is_named(explain, tmp_path):
    code, out, _ = explain("--out", str(tmp_path / "cat"))
    assert code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "cat" / "map.npy"), MAP)
    assert json.loads((tmp_path / "cat" / "answer.json").read_text())["method"] == "rise"
    assert str(tmp_path / "cat" / "overlay.png") in out


def test_flags_become_the_request(explain, service):
    explain(
        *["--model", "other@2", "--target", "281", "--target", "label:7", "--contrast", "dog", "--link", "logit"],
        *["--set", "masks=8000", "--set", "keep=0.25", "--baseline", "10,20,30", "--seed", "7", "--id", "mine"],
        *["--max-evaluations", "500", "--tolerance", "0.1", "--allow-partial", "--map-at-input"],
    )
    asked = service.requests[0].explanation
    assert [(m.name, m.version) for m in asked.models] == [("tiny", ""), ("other", "2")]
    assert asked.target.classes[0].index == 281 and asked.target.classes[1].label == "7"
    assert asked.target.contrast[0].label == "dog" and (asked.rise.masks, asked.rise.keep) == (8000, 0.25)
    assert list(asked.baseline.constant.value) == [10, 20, 30] and asked.seed == 7 and asked.id == "mine"
    assert asked.budget.max_evaluations == 500 and asked.budget.allow_partial and asked.outputs.map_at_input


def test_references_of_one_name_are_gathered_from_all_rows_of_all_files(explain, service, tmp_path):
    np.save(tmp_path / "two.npy", np.array([[1, 0], [0, 1]]))
    np.save(tmp_path / "one.npy", np.array([2, 1]))
    flags = [f"{name}={tmp_path / file}.npy" for name, file in (("cat", "two"), ("dog", "one"), ("cat", "one"))]
    code, _, err = explain("--link", "cosine", *(word for flag in flags for word in ("--reference", flag)))
    assert code == 0, err
    found = [(r.name, list(r.values)) for r in service.requests[0].explanation.target.references]
    assert found == [("cat", [1, 0]), ("cat", [0, 1]), ("cat", [2, 1]), ("dog", [2, 1])]


def test_parameters_and_metrics_become_the_request(explain, service, tmp_path):
    np.save(tmp_path / "labels.npy", np.arange(48).reshape(6, 8))
    np.save(tmp_path / "mask.npy", np.ones((6, 8), bool))
    code, _, err = explain(
        *["--method", "lime", "--set", "segmentation=labels", "--set", f"labels=@{tmp_path / 'labels.npy'}"],
        *["--set", "samples=50", "--metric", "srg:steps=20,normalised=true,replacement=blur", "--metric", "deletion"],
        *["--metric", f"pointing_game:mask=@{tmp_path / 'mask.npy'},tolerance=2", "--baseline", "segment_mean"],
    )
    assert code == 0, err
    asked = service.requests[0].explanation
    assert (asked.lime.segmentation, asked.lime.samples) == (types_pb2.SEGMENTATION_LABELS, 50)
    assert list(asked.lime.labels.shape) == [6, 8] and asked.baseline.HasField("segment_mean")
    srg, deletion, pointing = asked.metrics
    assert (srg.srg.steps, srg.srg.normalised, srg.srg.replacement) == (20, True, types_pb2.REPLACEMENT_BLUR)
    assert deletion.HasField("deletion") and pointing.pointing_game.tolerance == 2
    assert pointing.pointing_game.mask.datatype == "UINT8"


def test_metrics_are_told_with_their_numbers_or_as_not_measured(explain, service):
    def script(request, context):
        told = result()
        told.metrics.add(name="srg", values=[types_pb2.MetricValue(name="srg", value=0.25)])
        told.metrics.add(name="stability", reason="the deadline came first")
        told.warnings.append("metric stability was not measured: the deadline came first")
        yield answer(request.explanation, told)

    service.script = script
    code, out, _ = explain("--metric", "srg", "--metric", "stability")
    assert code == 0
    assert "srg 0.25" in out and "not measured" in out and "the deadline came first" in out


def test_a_photo_may_come_from_standard_input(run, photo, service, monkeypatch):
    with open(photo, "rb") as file:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": file}))
        assert run("explain", "-", "--model", "tiny")[0] == 0
    assert service.requests[0].explanation.input.image == Path(photo).read_bytes()


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (Code.INVALID_ARGUMENT, 2),
        (Code.NOT_FOUND, 3),
        (Code.DEADLINE_EXCEEDED, 5),
        (Code.RESOURCE_EXHAUSTED, 6),
        (Code.FAILED_PRECONDITION, 7),
        (Code.ABORTED, 8),
        (Code.UNAUTHENTICATED, 9),
        (Code.PERMISSION_DENIED, 9),
        (Code.INTERNAL, 1),
        (Code.UNIMPLEMENTED, 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_is_told_in_words(explain, service, code, exit_code):
    service.refusals = [refusal(code, "in plain words")]
    got, out, err = explain()
    assert (got, out) == (exit_code, "")
    assert "error in plain words" in err and "Traceback" not in err


def test_brackets_and_colons_of_the_service_are_printed_as_they_are(explain, service):
    service.refusals = [refusal(Code.INVALID_ARGUMENT, "[height, width] and :cat: [/red]")]
    assert "error [height, width] and :cat: [/red]" in explain()[2]


def test_an_error_in_json_is_on_standard_output_too(explain, service):
    bad = details.BadRequest(field_violations=[{"field": "rise.keep", "description": "0..1"}])
    service.refusals = [refusal(Code.INVALID_ARGUMENT, "no", bad)]
    _, out, _ = explain("--json")
    assert json.loads(out)["error"] == {
        "code": "INVALID_ARGUMENT",
        "message": "no",
        "violations": [{"field": "rise.keep", "description": "0..1"}],
    }


def test_an_unavailable_service_says_when_to_come_back(explain, service):
    service.refusals = [away(60.0)]
    code, _, err = explain("--deadline", "5")
    assert code == 4 and "Triton is down" in err and "try again in 60 s" in err


def test_a_service_that_is_not_there_is_exit_code_4(capsys):
    assert main(["health", "--address", "127.0.0.1:1", "--deadline", "0.3"]) == 4
    assert "cannot reach the service at 127.0.0.1:1" in capsys.readouterr().err


def test_a_deadline_tells_how_far_it_came(explain, service):
    def slow(request, context):
        yield accepted()
        yield progress(640)
        time.sleep(1)

    service.script = slow
    code, _, err = explain("--deadline", "0.4")
    assert code == 5 and "640 model evaluations were done" in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["explain", "--model", "tiny"], "give one thing to explain"),
        (["explain", "no such.jpg", "--model", "tiny"], "--text"),
        (["explain", "--text", "a", "--model", "tiny", "--set", "mask=1"], "did you mean masks"),
        (["explain", "--text", "a", "--model", "tiny", "--set", "masks=many"], "rise.masks"),
        (["explain", "--text", "a", "--model", "tiny", "--method", "ries"], "did you mean rise"),
        (["explain", "--text", "a", "--model", "tiny", "--link", "logits"], "did you mean logit"),
        (["explain", "--text", "a", "--model", "tiny", "--reference", "cats"], "NAME=FILE"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_what_would_do(run, arguments, complaint):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and complaint in err


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--reference", f"cats={__file__}"], "reference: .*is not a .npy file"),
        (["--set", "samples"], "set: 'samples' is not NAME=VALUE"),
        (["--set", "labels=@none.npy"], "set: there is no file 'none.npy'"),
        (["--set", f"labels=@{__file__}"], "set: .*is not a .npy file"),
        (["--set", "labels=3,4"], "lime.labels: an array of numbers"),
        (["--set", "samples=2.5"], "lime.samples: takes a whole number"),
        (["--set", "segmentation=slick"], "did you mean slic"),
        (["--metric", "srgg"], "did you mean srg"),
        (["--metric", "srg:steps"], "metric: 'steps' is not NAME=VALUE"),
        (["--metric", "srg:step=3"], "metrics.srg.step: .*did you mean steps"),
        (["--metric", "srg", "--metric", "srg:steps=3"], "metric: srg is asked for twice"),
        (["--metric", "pointing_game:mask=@no.npy"], "metric: there is no file 'no.npy'"),
    ],
)
def test_wrong_parameters_and_metrics_are_exit_code_2_with_what_would_do(explain, flags, complaint):
    code, out, err = explain("--method", "lime", *flags)
    assert (code, out) == (2, "") and re.search(complaint, err), err


def test_an_archive_and_an_empty_file_are_no_arrays(explain, tmp_path):
    np.savez(tmp_path / "several.npz", labels=np.ones(3))
    (tmp_path / "empty.npy").touch()
    for name in ("several.npz", "empty.npy"):
        code, out, err = explain("--method", "lime", "--set", f"labels=@{tmp_path / name}")
        assert (code, out) == (2, "") and "is not a .npy file" in err


def test_catalogue_lists_models_and_the_methods_parameters_with_bounds(run):
    code, out, _ = run("catalogue")
    assert code == 0
    for part in ("tiny", "image 6×8", "ready", "rise: Random masks.", "masks", "4000", "1..100000"):
        assert part in out


def test_catalogue_in_json_is_the_protocols_message(run):
    assert json.loads(run("catalogue", "--json")[1])["models"][0]["name"] == "tiny"


def test_estimate_tells_evaluations_and_seconds(run, photo):
    said = run("estimate", photo, "--model", "tiny")[1]
    assert "4000 model evaluations" in said and "baseline: black, model_mean" in said
    told = json.loads(run("estimate", photo, "--model", "tiny", "--json")[1])
    seconds = {"seconds": 8.0, "seconds_with_queue": 12.5}
    assert told == {"evaluations": 4000, "edits": 0, **seconds, "baseline": "black, model_mean"}


def test_health_is_0_when_ready_and_4_when_not_and_may_wait(run, service):
    assert run("health")[:2] == (0, "SERVING\n")
    service.health.checks, service.health.ready_after = 0, 3
    assert run("health")[:2] == (4, "NOT_SERVING\n")
    assert run("health", "--wait", "20")[:2] == (0, "SERVING\n")


def test_health_of_an_unknown_service_is_exit_code_3(run):
    assert run("health", "--service", "no.such.Service")[0] == 3


def test_words_of_a_text_are_told_strongest_first(run, service):
    def follow(request, context):
        told = result()
        for name, score in (("a", 0.1), ("dull", -0.9), ("film", 0.3)):
            told.units.add(name=name, score=score)
        yield answer(request.explanation, told)

    service.script = follow
    code, out, _ = run("explain", "--text", "a dull film", "--model", "tiny")
    assert code == 0 and "dull -0.9, film +0.3, a +0.1" in out and "\x1b" not in out


def command(*arguments: str, **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "sidelight_client", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **more},
    )


def test_ctrl_c_cancels_the_explanation_and_is_exit_code_130(address, service, photo):
    service.script = endless
    process = command("explain", photo, "--model", "tiny", "--json", SIDELIGHT_ADDRESS=address)
    while not service.requests:
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "") and "Traceback" not in err
    assert service.cancelled.wait(5)


def test_a_reader_that_leaves_early_sees_no_traceback(address):
    process = command("catalogue", "--json", SIDELIGHT_ADDRESS=address)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read() and process.wait(20) == 0


def test_serve_without_the_service_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sidelight", None)  # as if it were not installed
    assert main(["serve", "--config", "x.toml"]) == 1
    assert "pip install sidelight" in capsys.readouterr().err


def test_serve_hands_every_argument_to_the_service_and_its_exit_code_back(tmp_path):
    package = tmp_path / "sidelight"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("def main(argv):\n    print(argv)\n    return 17\n")
    process = command("serve", "--help", PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    assert process.communicate()[0] == "['--help']\n" and process.returncode == 17
