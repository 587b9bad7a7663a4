"""The perturbation family through the real server and client."""

import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2 as google
from in_process import array, details, encoded
from PIL import Image
from served import Served, served
from sidelight_client import DeadlineExceeded, InvalidRequest
from sidelight_client.cli import main
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, Occlusion, Perturbation
from small_models import CroppingPredictor, CurvedPredictor, PacedPredictor, SentimentPredictor, TokensPredictor

TEXT = "A good film. Fine but dull, they say!"
TOKENS = np.array([5, 2, 9, 4, 700, 1])


def photo(height: int = 12, width: int = 12, seed: int = 0) -> np.ndarray:
    """Four coloured fields with noise, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    down, right = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    fields = np.array([[30, 200], [140, 90]])[down][:, right]
    return (fields[..., None] * [1.0, 0.8, 0.6] + rng.integers(0, 40, (height, width, 3))).astype(np.uint8)


PHOTO = encoded(photo())
LABELS = np.arange(12)[:, None] // 6 * 3 + np.arange(12) // 4  # 6 segments of 12 x 12


@pytest.fixture(scope="module")
def up():
    models = (CurvedPredictor(), CroppingPredictor("cropping"), SentimentPredictor(), TokensPredictor())
    with served(*models, CurvedPredictor("twin", lane="cpu2"), PacedPredictor(0.02, name="paced", lane="cpu3")) as up:
        yield up


def ask(up: Served, method: str = "perturbation", model: str = "curved", value=PHOTO, text=None, **question):
    """An answer; `parameters` are the further keywords that the method's message has."""
    value = None if text else value
    return up.client.explain(value, text=text, model=model, method=method, seed=3, **question)


def refused(up: Served, **question) -> list[str]:
    """The fields that the service names."""
    with pytest.raises(InvalidRequest) as error:
        ask(up, **question)
    assert all(v.description for v in error.value.violations)
    return [v.field for v in error.value.violations]


def same(a, b) -> bool:
    """Whether two answers are equal to the bit."""
    return all(
        x.map.tobytes() == y.map.tobytes()
        and (x.standard_error is None) == (y.standard_error is None)
        and (x.standard_error is None or x.standard_error.tobytes() == y.standard_error.tobytes())
        and x.message.metrics == y.message.metrics
        and x.message.units == y.message.units
        and (x.value, x.baseline_value, x.rows_done) == (y.value, y.baseline_value, y.rows_done)
        for x, y in zip(a.results, b.results, strict=True)
    )


# -- presets -----------------------------------------------------------------------------------------------------------

RISE = {"smoothing": "random_shift", "sampler": "bernoulli", "calculator": "rise", "map_type": "per_pixel"}
SEGMENTWISE = {"smoothing": "none", "map_type": "per_segment"}
SLIC = {"segmentation": "slic", **SEGMENTWISE}
SMOOTH = {"smoothing": "gaussian", "map_type": "per_pixel"}
PRESETS = {  # a preset with its parameters, and the same said in full
    "rise": ({"masks": 40}, {"samples": 40, "segments": 49, "keep": 0.5, **RISE}),
    "lime": (
        {"segments": 9, "samples": 40},
        {"samples": 40, "segments": 9, "sampler": "bernoulli", "keep": 0.5, "calculator": "lime",
         "kernel_width": 0.25, "ridge": 1.0, **SLIC},
    ),
    "kernel_shap": (
        {"segments": 9, "samples": 40},
        {"samples": 40, "segments": 9, "sampler": "kernel_pairs", "calculator": "shap", **SLIC},
    ),
    "occlusion": ({"segments": 9}, {"segments": 9, "sampler": "one_off", "calculator": "pda", **SEGMENTWISE}),
    "ciu": ({"segments": 9}, {"segments": 9, "sampler": "one_off", "calculator": "ciu", **SLIC}),
    "pda": (
        {"segments": 9, "samples": 48},
        {"samples": 48, "segments": 9, "sampler": "orthogonal", "calculator": "pda", **SMOOTH},
    ),
    "sobol": (
        {"segments": 9, "samples": 44},
        {"samples": 44, "segments": 9, "sampler": "sobol_pairs", "calculator": "sobol", **SMOOTH},
    ),
    "hsic": (
        {"segments": 9, "samples": 64},
        {"samples": 64, "segments": 9, "sampler": "space_filling", "calculator": "hsic", **SMOOTH},
    ),
}  # fmt: skip
TEXT_PRESETS = {
    name: (
        {k: v for k, v in short.items() if k != "segments"},
        {k: v for k, v in full.items() if k not in ("segments", "segmentation", "smoothing")},
    )
    for name, (short, full) in PRESETS.items()
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_on_an_image_is_its_combination_to_the_bit(up, name):
    short, full = PRESETS[name]
    outputs = ["map", "standard_error", "segments"]
    preset = ask(up, name, parameters=short, outputs=outputs, target=[0, 1])
    assert same(preset, ask(up, parameters=full, outputs=outputs, target=[0, 1]))
    assert np.ptp(preset.best.map) > 0
    assert preset.method == name


@pytest.mark.parametrize("name", TEXT_PRESETS)
@pytest.mark.parametrize(("model", "given"), [("sentiment", {"text": TEXT}), ("tokens", {"value": TOKENS})])
def test_a_preset_on_text_and_tokens_is_its_combination_to_the_bit(up, name, model, given):
    short, full = TEXT_PRESETS[name]
    preset = ask(up, name, model, parameters=short, **given)
    assert same(preset, ask(up, model=model, parameters=full, **given))
    assert np.ptp(preset.best.map) > 0


def test_ciu_inverse_and_the_forms_of_pda_are_combinations_too(up):
    one_on = {"segments": 9, "sampler": "one_on", "calculator": "inverse_ciu", **SLIC}
    asked = {"link": "probability"}
    inverse = ask(up, "ciu", parameters={"segments": 9, "inverse": True}, **asked)
    assert same(inverse, ask(up, parameters=one_on, **asked))
    for form in ("information", "evidence"):
        full = {**PRESETS["pda"][1], "calculator": f"pda_{form}"}
        preset = ask(up, "pda", parameters={**PRESETS["pda"][0], "form": form}, **asked)
        assert same(preset, ask(up, parameters=full, **asked))


# -- what goes together, and what does not -----------------------------------------------------------------------------

REFUSALS = {
    "perturbation.smoothing": [
        ("perturbation", {"segmentation": "slic", "smoothing": "bilinear"}, {}),
        ("perturbation", {"segmentation": "slic", "smoothing": "random_shift"}, {}),
        ("perturbation", {"smoothing": "random_shift", "calculator": "lime"}, {}),
        ("perturbation", {"smoothing": "random_shift", "map_type": "per_segment"}, {}),
    ],
    "perturbation.sampler": [
        ("perturbation", {"smoothing": "random_shift", "sampler": "one_off"}, {}),
        ("perturbation", {"calculator": "ciu"}, {}),
        ("perturbation", {"calculator": "sobol"}, {}),
        ("perturbation", {"calculator": "hsic", "sampler": "coalitions"}, {}),
    ],
    "perturbation.calculator": [
        ("perturbation", {"sampler": "sobol_pairs"}, {}),
        ("perturbation", {"calculator": "inverse_ciu", "sampler": "one_on"}, {}),
        ("perturbation", {"calculator": "pda_information"}, {"link": "probability", "target": 0, "contrast": 1}),
    ],
    "perturbation.sigma": [
        ("perturbation", {"smoothing": "none", "sigma": 2.0}, {}),
        ("perturbation", {"sigma": 90.0}, {}),
    ],
    "perturbation.segments": [
        ("perturbation", {"segments": 400}, {}),  # more cells than pixels
        ("perturbation", {"segmentation": "slic", "segments": 300, "calculator": "lime"}, {}),
    ],
    "perturbation.samples": [
        ("perturbation", {"calculator": "sobol", "sampler": "sobol_pairs", "samples": 10}, {}),
        ("perturbation", {"sampler": "space_filling", "samples": 8}, {}),
        ("perturbation", {"calculator": "hsic", "samples": 5000}, {}),
    ],
    "lime.segmentation": [("lime", {"segmentation": "word"}, {})],
    "lime.segments": [("lime", {"segments": 300}, {}), ("lime", {"segments": 1}, {})],
    "ciu.inverse": [("ciu", {"inverse": True}, {})],
    "pda.form": [("pda", {"form": "evidence"}, {})],
    "sobol.samples": [("sobol", {"samples": 20}, {})],
    "hsic.samples": [("hsic", {"samples": 5000}, {}), ("hsic", {"samples": 16}, {})],
    "baseline.segment_mean": [("rise", {}, {"baseline": "segment_mean"})],
    "baseline.inpainting": [
        ("rise", {}, {"baseline": "inpainting"}),
        ("perturbation", {"smoothing": "random_shift"}, {"baseline": "inpainting"}),
    ],
}


@pytest.mark.parametrize("field", REFUSALS)
def test_what_does_not_go_together_is_refused_by_the_callers_field(up, field):
    for method, parameters, more in REFUSALS[field]:
        assert refused(up, method=method, parameters=parameters, **more) == [field]


@pytest.mark.parametrize(
    ("method", "parameters"),
    [(m, {"segments": 9, "segmentation": s, "samples": 20, **p}) for s in ("grid", "slic") for m, p in [
        ("perturbation", {"smoothing": "none", "sampler": "rate", "calculator": "shap"}),
        ("perturbation", {"smoothing": "gaussian", "sampler": "coalitions", "calculator": "lime"}),
        ("perturbation", {"sampler": "antithetic", "calculator": "pda", "map_type": "per_segment"}),
        ("perturbation", {"sampler": "one_on", "calculator": "shap"}),
        ("perturbation", {"sampler": "orthogonal", "calculator": "hsic"}),
    ]] + [("perturbation", {"segments": 9, "samples": 20, "segmentation": s}) for s in (
        "felzenszwalb", "quickshift", "watershed")],
)  # fmt: skip
def test_a_sample_of_combinations_runs_end_to_end(up, method, parameters):
    result = ask(up, method, parameters=parameters, outputs=["map", "segments"]).best
    assert np.isfinite(result.map).all() and np.ptp(result.map) > 0
    assert result.labels.shape == (12, 12) and len(result.units) == result.labels.max() + 1
    assert result.evaluations == result.rows_done + 2


def test_unknown_numbers_of_choices_are_refused_with_the_choices(up):
    raw = Perturbation(samples=20, calculator=77)
    for field, asked in {
        "perturbation.calculator": {"perturbation": raw},
        "occlusion.segmentation": {"occlusion": Occlusion(segmentation=99)},
    }.items():
        message = ExplainRequest(models=[{"name": "curved"}], input={"image": PHOTO}, **asked)
        with pytest.raises(grpc.RpcError) as error:
            up.stub.Explain(message)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        (bad,) = status_violations(error.value)
        assert bad.field == field and "one of" in bad.description


def status_violations(error: grpc.RpcError) -> list:
    class Found:
        def trailing_metadata(self):
            return error.trailing_metadata()

    return list(details(Found(), google.BadRequest)[0].field_violations)


# -- text --------------------------------------------------------------------------------------------------------------


def test_the_words_that_decide_score_highest_whatever_the_calculator(up):
    for name in ("lime", "kernel_shap", "occlusion", "pda"):
        text = "a good film but rather long"
        result = ask(up, name, "sentiment", text=text, target="good").best
        best = max(result.units, key=lambda u: u.score)
        assert (best.name, text[best.begin : best.end]) == ("good", "good"), name


@pytest.mark.parametrize("name", [*sorted(PRESETS.keys() - {"rise"}), "perturbation"])
def test_sentences_are_one_unit_each(up, name):
    parameters = {"segmentation": "sentence"}
    found = ask(up, name, "sentiment", text="A good film. It is long and dull and bad.", parameters=parameters).best
    scores = [u.score for u in found.units]
    assert len(set(scores[:4])) == 1 and len(set(scores[4:])) == 1  # words of a sentence share its score
    assert scores[0] != scores[4] or name in ("sobol", "hsic")


def test_what_text_cannot_have_is_refused(up):
    sentiment = {"model": "sentiment", "text": TEXT}
    for method, parameters, more, field in [
        ("lime", {"segmentation": "slic"}, {}, "lime.segmentation"),
        ("lime", {"segmentation": "token"}, {}, "lime.segmentation"),
        ("perturbation", {"smoothing": "gaussian"}, {}, "perturbation.smoothing"),
        ("perturbation", {"smoothing": "random_shift"}, {}, "perturbation.smoothing"),
        ("perturbation", {"sigma": 3.0}, {}, "perturbation.sigma"),
        ("lime", {}, {"baseline": "segment_mean"}, "baseline.segment_mean"),
        ("lime", {}, {"baseline": "blur"}, "baseline.blur"),
        ("lime", {}, {"outputs": ["segments"]}, "outputs.segments"),
        ("occlusion", {"labels": LABELS, "segmentation": "labels"}, {}, "occlusion.labels.shape"),
        ("occlusion", {"segmentation": "labels"}, {}, "occlusion.segmentation"),
    ]:
        assert refused(up, method=method, parameters=parameters, **sentiment, **more) == [field]
    one = {"model": "sentiment", "text": "good"}
    assert refused(up, method="kernel_shap", **one) == ["kernel_shap.segmentation"]
    many = {"model": "sentiment", "text": "good " * 300}
    assert refused(up, method="lime", **many) == ["lime.segmentation"]
    assert ask(up, "lime", parameters={"segmentation": "sentence"}, **many).best.units
    assert refused(up, method="lime", model="tokens", value=TOKENS, parameters={"segmentation": "word"}) == [
        "lime.segmentation"
    ]
    assert ask(up, "occlusion", "tokens", value=TOKENS, parameters={"segmentation": "token"}).best.rows_done == 6


# -- label maps --------------------------------------------------------------------------------------------------------


def occluded(up: Served, labels: np.ndarray, model: str = "curved", value=PHOTO):
    parameters = {"segmentation": "labels", "labels": labels}
    return ask(up, "occlusion", model, value, parameters=parameters, outputs=["map", "segments"]).best


def test_a_label_map_may_have_any_numbers(up):
    plain = occluded(up, LABELS)
    assert plain.rows_done == 6
    np.testing.assert_array_equal(plain.labels, LABELS)
    for other in (LABELS - 3, LABELS * 10**6, LABELS.astype(np.uint8), LABELS + 2**62, LABELS.astype(np.int16) * -5):
        found = occluded(up, other)
        assert found.rows_done == 6 and np.unique(found.labels).tolist() == list(range(6))
        np.testing.assert_array_equal(found.map, plain.map)


def test_a_label_map_of_the_images_size_is_brought_to_the_models_crop(up):
    large = encoded(photo(32, 64))
    # The model sees 12 x 12 of 16 x 32: rows 4..28 and columns 20..44 of the photo, two pixels for one.
    labels = 2**60 + np.arange(32)[:, None] // 16 * 64 + np.arange(64)
    found = occluded(up, labels, "cropping", large)
    seen = labels[5:28:2, 21:44:2]
    _, expected = np.unique(seen, return_inverse=True)
    np.testing.assert_array_equal(found.labels, expected.reshape(12, 12))
    at_model = occluded(up, seen, "cropping", large)
    np.testing.assert_array_equal(at_model.map, found.map)


def test_label_maps_that_will_not_do_are_refused(up):
    labels = {"segmentation": "labels"}
    nan = np.full((12, 12), np.nan, np.float32)
    for given, field in [
        (LABELS[:5], "occlusion.labels.shape"),
        (LABELS[None], "occlusion.labels.shape"),
        (LABELS.ravel(), "occlusion.labels.shape"),
        (LABELS.astype(np.float32), "occlusion.labels"),
        (nan, "occlusion.labels.contents"),
    ]:
        assert refused(up, method="occlusion", parameters={**labels, "labels": given}) == [field]
    assert refused(up, method="occlusion", parameters=labels) == ["occlusion.labels"]
    assert refused(up, method="occlusion", parameters={"labels": LABELS}) == ["occlusion.labels"]
    one = {**labels, "labels": np.zeros((12, 12), np.int64)}
    assert refused(up, method="kernel_shap", parameters=one) == ["kernel_shap.labels"]
    assert refused(up, method="occlusion", parameters=one, baseline="segment_mean") == ["occlusion.labels"]
    big = encoded(photo(40, 40))
    with served(CurvedPredictor(size=(40, 40))) as other:
        many = {**labels, "labels": np.arange(1600).reshape(40, 40)}
        assert refused(other, method="occlusion", value=big, parameters=many) == ["occlusion.labels"]
        few = {**labels, "labels": np.arange(1600).reshape(40, 40) // 4}
        assert refused(other, method="lime", value=big, parameters=few) == ["lime.labels"]


# -- baselines ---------------------------------------------------------------------------------------------------------

BASELINES = ["model_mean", "black", "image_mean", "image_median", "blur", "noise", "histogram", "random_colour",
             "segment_mean", "inpainting", photo(seed=5)]  # fmt: skip


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: b if isinstance(b, str) else "image")
def test_the_value_told_for_the_baseline_is_the_models_on_that_baseline(up, baseline):
    """Coalitions of no unit are the baseline itself: with one_on of one... all off is what Shapley values sum to."""
    parameters = {"segmentation": "labels", "labels": LABELS, "samples": 62}
    found = ask(up, "kernel_shap", parameters=parameters, baseline=baseline, outputs=["map", "segments"], target=0)
    result = found.best
    total = sum(u.score for u in result.units)
    assert total == pytest.approx(result.value - result.baseline_value, rel=1e-9)
    assert result.value != result.baseline_value
    assert result.value == pytest.approx(result.target.value)
    kind = found.resolved.baseline.WhichOneof("kind")
    assert kind == (baseline if baseline != "black" else "constant") if isinstance(baseline, str) else kind == "image"
    made = baseline in ("segment_mean", "inpainting") if isinstance(baseline, str) else False
    assert result.evaluations == 62 + (4 if made else 2)


def test_segments_in_their_mean_colour_are_what_a_photo_of_means_is(up):
    pixels = photo().astype(float)
    means = np.stack([pixels[s == LABELS].mean(0) for s in range(6)])[LABELS]
    parameters = {"segmentation": "labels", "labels": LABELS, "samples": 62}
    found = ask(up, "kernel_shap", parameters=parameters, baseline="segment_mean", target=0).best
    direct = ask(up, "occlusion", value=means.astype(np.float32), target=0).best
    assert found.baseline_value == pytest.approx(direct.value, rel=1e-5)


# -- the same answer again ---------------------------------------------------------------------------------------------

METRICS = {"srg": {"steps": 3}, "insertion": {"steps": 3}, "stability": {"repeats": 1},
           "pointing_game": {"mask": LABELS == 1}}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_the_resolved_request_replays_the_answer_of_every_preset(up, name):
    parameters = {k: v for k, v in PRESETS[name][0].items() if k != "segments"}
    if name != "rise":
        parameters |= {"segmentation": "labels", "labels": LABELS}
    baseline = "noise" if name == "rise" else "segment_mean"
    answer = ask(up, name, parameters=parameters, metrics=METRICS, baseline=baseline, target=[0, 1])
    again = up.client.replay(answer)
    assert same(again, answer)
    assert again.resolved == answer.resolved
    metrics = answer.best.metrics
    assert set(metrics) == set(METRICS) and all(m.values for m in metrics.values())


def test_the_seed_that_was_drawn_replays_superpixels_and_text_as_well(up):
    for given in ({"value": PHOTO, "model": "curved"}, {"text": TEXT, "model": "sentiment"}):
        answer = up.client.explain(given.get("value"), text=given.get("text"), model=given["model"], method="lime")
        assert same(up.client.replay(answer), answer)


# -- budgets -----------------------------------------------------------------------------------------------------------

BLOCKS = {
    "orthogonal": {"sampler": "orthogonal", "calculator": "rise", "segments": 9},
    "kernel_pairs": {"sampler": "kernel_pairs", "calculator": "shap", "segments": 9},
    "sobol": {"sampler": "sobol_pairs", "calculator": "sobol", "segments": 9},
    "antithetic": {"sampler": "antithetic", "calculator": "lime", "segments": 9},
}


@pytest.mark.parametrize("design", ["orthogonal", "kernel_pairs", "sobol"])
def test_a_design_cut_by_the_deadline_replays_to_the_bit(up, design):
    parameters = {**BLOCKS[design], "samples": 50_000}
    cut = ask(up, model="paced", parameters=parameters, allow_partial=True, deadline=1.5)
    result = cut.best
    assert result.stop_reason == "deadline" and 0 < result.rows_done < 50_000 and not result.converged
    again = up.client.replay(cut)
    assert again.best.stop_reason == "max_evaluations"
    assert same(again, cut)


@pytest.mark.parametrize("design", BLOCKS)
def test_a_budget_ends_a_design_anywhere_and_is_the_prefix_of_the_longer_one(up, design):
    for rows in (2, 23, 61) if design != "sobol" else (11, 23, 61):
        cut = ask(up, parameters={**BLOCKS[design], "samples": 110}, max_evaluations=rows).best
        assert (cut.rows_done, cut.stop_reason) == (rows, "max_evaluations")
        assert same_map(cut, ask(up, parameters={**BLOCKS[design], "samples": rows}).best)


def same_map(a, b) -> bool:
    return a.map.tobytes() == b.map.tobytes()


def test_a_tolerance_ends_a_design_at_a_row_that_replays(up):
    parameters = {**BLOCKS["orthogonal"], "samples": 100_000}
    answer = ask(up, parameters=parameters, tolerance=0.2)
    assert answer.best.stop_reason == "tolerance" and answer.best.converged
    assert answer.best.relative_standard_error <= 0.2
    assert same(up.client.replay(answer), answer)


def test_a_budget_below_one_design_is_refused_and_a_deadline_in_it_is_a_deadline(up):
    parameters = {**BLOCKS["sobol"], "samples": 110}
    assert refused(up, parameters=parameters, max_evaluations=7) == ["budget.max_evaluations"]
    labels = np.arange(144).reshape(12, 12)
    slow = {**parameters, "segmentation": "labels", "labels": labels, "samples": 5000}
    with pytest.raises(DeadlineExceeded):
        ask(up, model="paced", parameters=slow, allow_partial=True, deadline=0.15)


def seen_previews(up, parameters, every: float):
    found = []
    answer = ask(
        up, model="paced", parameters=parameters, target=[0, 1], preview_every=every,
        on_progress=lambda event: found.extend(getattr(event, "previews", ())),
    )  # fmt: skip
    return answer, found


def test_previews_come_while_it_runs_and_end_near_the_map(up):
    answer, previews = seen_previews(up, {**BLOCKS["orthogonal"], "samples": 400}, 0.1)
    assert len(previews) >= 3 and previews[0].shape == (2, 12, 12)
    assert np.abs(previews[-1][0] - answer.results[0].map).max() < np.ptp(answer.results[0].map)


HSIC = {"calculator": "hsic", "sampler": "space_filling"}


def test_hsic_has_no_preview_and_no_error(up):
    answer, previews = seen_previews(up, {**HSIC, "segments": 9, "samples": 128}, 0.05)
    assert not previews and answer.best.standard_error is None


# -- several at once ---------------------------------------------------------------------------------------------------


def test_several_models_and_classes_of_one_request_are_those_of_requests_of_their_own(up):
    parameters = {"segments": 9, "samples": 40}
    both = ask(up, "lime", ["curved", "twin"], parameters=parameters, target=[1, 0], metrics={"srg": {"steps": 3}})
    assert [(r.model, r.target.index) for r in both.results] == [("curved", 1), ("curved", 0), ("twin", 1), ("twin", 0)]
    for model in ("curved", "twin"):
        for target in (1, 0):
            alone = ask(up, "lime", model, parameters=parameters, target=target, metrics={"srg": {"steps": 3}}).best
            (found,) = [r for r in both.results if (r.model, r.target.index) == (model, target)]
            assert same_map(found, alone) and found.metrics["srg"].values == alone.metrics["srg"].values


def test_ten_at_once_are_those_alone(up):
    asked = [
        {"method": name, "parameters": {**PRESETS[name][0]}, "seed": i, "metrics": {"deletion": {"steps": 3}}}
        for i, name in enumerate([*PRESETS, "lime", "pda"])
    ]

    def one(question):
        return up.client.explain(PHOTO, model="curved", **question)

    alone = [one(q) for q in asked]
    with ThreadPoolExecutor(10) as threads:
        together = list(threads.map(one, asked))
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))


# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_an_estimate_of_a_fixed_design_is_what_is_then_used(up, name):
    parameters = {k: v for k, v in PRESETS[name][0].items() if k != "segments"}
    baseline = {}
    if name != "rise":
        parameters |= {"segmentation": "labels", "labels": LABELS}
        baseline = {"baseline": "inpainting"}
    question = {"model": "curved", "method": name, "parameters": parameters, "target": [0, 1], **baseline}
    for more in ({}, {"metrics": METRICS}, {"metrics": METRICS, "max_evaluations": 5 if name != "sobol" else 16}):
        expected = up.client.estimate(PHOTO, **question, **more).evaluations
        answer = up.client.explain(PHOTO, seed=1, **question, **more)
        used = {r.evaluations for r in answer.results}
        assert used == {expected}
        assert {r.rows_done for r in answer.results} <= {5, 16} or "max_evaluations" not in more


def test_an_estimate_for_text_is_what_is_then_used(up):
    for name in ("occlusion", "ciu", "lime"):
        for segmentation in ("word", "sentence"):
            parameters = {"segmentation": segmentation}
            expected = up.client.estimate(text=TEXT, model="sentiment", method=name, parameters=parameters).evaluations
            assert ask(up, name, "sentiment", text=TEXT, parameters=parameters).best.evaluations == expected


def test_the_evaluations_told_while_it_runs_end_at_those_of_the_answer(up):
    events = list(up.client.stream(PHOTO, model="curved", method="lime", parameters={"segments": 9}, seed=1))
    answer, told = events[-1], [e.rows for e in events[1:-1]]
    assert told == sorted(told) and told[-1] <= answer.best.evaluations


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_segments_come_in_the_stream_and_in_the_unary_answer_alike(up):
    message = ExplainRequest(
        models=[{"name": "curved"}], input={"image": PHOTO}, seed=3, occlusion={"segments": 9},
        outputs=types_pb2.Outputs(segments=True),
    )  # fmt: skip
    (unary,) = up.stub.Explain(message).results
    streamed = ask(up, "occlusion", parameters={"segments": 9}, outputs=["map", "standard_error", "segments"]).best
    assert list(unary.labels.axes) == ["height", "width"] and unary.labels.datatype == "INT64"
    labels = np.frombuffer(unary.labels.contents, "<i8").reshape(12, 12)
    np.testing.assert_array_equal(streamed.labels, labels)
    assert streamed.message.units == unary.units and len(unary.units) == 9
    painted = np.array([u.score for u in unary.units])[labels]
    np.testing.assert_allclose(array(unary.maps[0].tensor), painted, rtol=1e-6)


def test_a_thousand_segments_of_a_large_image_stay_within_the_limits_of_size():
    values = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    with served(CurvedPredictor("large", size=(224, 224))) as up:
        every = ["map", "standard_error", "segments", "overlay"]
        for parameters in ({"segmentation": "grid"}, {"segmentation": "watershed", "smoothing": "none"}):
            asked = {"segments": 1024, "samples": 16, **parameters}
            found = ask(up, model="large", value=encoded(values), parameters=asked, outputs=every, target=[0, 1])
            assert all(900 < len(r.units) <= 1024 and r.labels.max() == len(r.units) - 1 for r in found.results)
            assert found.message.ByteSize() < 3 << 20
        message = ExplainRequest(
            models=[{"name": "large"}], input={"image": encoded(values)}, occlusion={"segments": 16},
            outputs=types_pb2.Outputs(segments=True, overlay=True),
        )  # fmt: skip
        assert up.stub.Explain(message).ByteSize() < 3 << 20
        message.target.top_k = 2
        message.outputs.map_at_input = True
        assert up.stub.Explain(message).ByteSize() < 3 << 20


# -- local work --------------------------------------------------------------------------------------------------------


def local_processes(up: Served) -> list[int]:
    pool = up.running.service.engine._local._pool
    return [] if pool is None else list(pool._processes)


def test_a_process_killed_in_mid_segmentation_is_unavailable_and_the_next_request_works():
    large = encoded(photo(400, 400))
    with served(CurvedPredictor("large", size=(400, 400))) as up:
        message = ExplainRequest(
            models=[{"name": "large"}], input={"image": large}, seed=1,
            perturbation={"segmentation": types_pb2.SEGMENTATION_FELZENSZWALB, "segments": 9, "samples": 8},
        )  # fmt: skip

        up.running.service.engine.warm()
        while not (found := local_processes(up)):
            time.sleep(0.01)
        # The segmentation takes a second or two.
        killer = threading.Timer(0.4, os.kill, (found[0], signal.SIGKILL))
        killer.start()
        with pytest.raises(grpc.RpcError) as lost:
            up.stub.Explain(message)
        killer.join()
        assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "process" in lost.value.details()
        assert up.stub.Explain(message).results


def test_a_caller_that_leaves_in_mid_segmentation_stops_nobody_else():
    large = Image.fromarray(photo(200, 200))
    with served(CurvedPredictor("large", size=(200, 200))) as up:
        with pytest.raises(DeadlineExceeded):
            ask(up, "lime", "large", large, parameters={"samples": 8}, deadline=0.3)
        assert ask(up, "lime", "large", large, parameters={"samples": 8}).best.rows_done == 8


def test_images_that_hardly_have_segments_are_explained_or_refused_in_words(up):
    for value in (np.full((12, 12, 3), 90, np.uint8), np.zeros((1, 1, 3), np.uint8), np.zeros((1, 400, 3), np.uint8)):
        for segmentation in ("grid", "slic", "felzenszwalb", "quickshift", "watershed"):
            for name in ("occlusion", "kernel_shap"):
                parameters = {"segmentation": segmentation, "segments": 9}
                try:
                    maps = ask(up, name, value=encoded(value), parameters=parameters).best.map
                except InvalidRequest as error:
                    fields = {v.field for v in error.violations}
                else:
                    fields = {f"{name}.segmentation"} if np.isfinite(maps).all() else set()
                assert fields == {f"{name}.segmentation"}


# -- catalogue ---------------------------------------------------------------------------------------------------------


def test_the_catalogue_lists_the_choices_and_the_metrics(up):
    found = up.client.catalogue()
    methods = {m.name: {p.name: p for p in m.parameters} for m in found.methods if m.available}
    assert set(PRESETS) | {"perturbation", "given"} <= set(methods)
    segmentation = methods["lime"]["segmentation"]
    assert segmentation.type == "choice" and {"slic", "grid", "word"} <= set(segmentation.choices)
    assert segmentation.default == "auto" and segmentation.description
    assert set(methods["perturbation"]["calculator"].choices) >= {"rise", "lime", "shap", "ciu", "sobol", "hsic"}
    assert methods["occlusion"]["labels"].type == "tensor"
    metrics = {m.name: {p.name: p for p in m.parameters} for m in found.metrics if m.available}
    assert set(metrics) >= {
        "srg",
        "insertion",
        "deletion",
        "pointing_game",
        "mass_in_mask",
        "stability",
        "randomisation",
    }
    assert list(metrics["srg"]["replacement"].choices) == ["image_mean", "blur", "model_mean", "request"]
    assert (metrics["srg"]["steps"].default, metrics["srg"]["steps"].low) == ("10", 2)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(up, tmp_path, capsys):
    """Runs `sidelight explain` on the photo: (exit code, standard output, standard error)."""
    (tmp_path / "photo.png").write_bytes(PHOTO)
    np.save(tmp_path / "labels.npy", LABELS)
    np.save(tmp_path / "broken.npy", LABELS[:3])

    def run(*flags: str) -> tuple[int, str, str]:
        files = [flag.replace("@", f"@{tmp_path}/") for flag in flags]
        code = main(["explain", str(tmp_path / "photo.png"), "--model", "curved", "--address", up.address, *files])
        return code, *capsys.readouterr()

    return run


def test_the_command_explains_by_superpixels_and_by_a_label_map_and_measures(command):
    code, out, err = command("--method", "lime", "--set", "segmentation=slic", "--set", "samples=40", "--metric", "srg")
    assert code == 0 and re.search(r"srg +srg \S+, lif \S+, mif \S+", out), err
    flags = ["--method", "occlusion", "--set", "segmentation=labels", "--set", "labels=@labels.npy", "--json"]
    code, out, err = command(*flags, "--metric", "srg:steps=20,normalised=true", "--metric", "stability")
    answer = json.loads(out)
    assert code == 0, err
    assert answer["resolved"]["occlusion"]["labels"]["shape"] == ["12", "12"]
    assert len(answer["results"][0]["metrics"][0]["curves"][0]["values"]) == 21
    assert answer["results"][0]["rows_done"] == "6"


def test_the_command_tells_what_will_not_do_by_field_with_exit_code_2(command):
    labels = ["--method", "occlusion", "--set", "segmentation=labels"]
    for flags, said in [
        (
            [*labels, "--set", "labels=@broken.npy"],
            r"occlusion\.labels\.shape: \[12, 12\], the model's input; not \[3, 12\]",
        ),
        (labels, r"occlusion\.labels: "),
        (["--method", "lime", "--set", "segmentation=word"], r"lime\.segmentation: one of grid, slic"),
        (["--method", "perturbation", "--set", "calculator=ciu"], r"perturbation\.sampler: .*choose one_off"),
        (["--method", "ciu", "--set", "inverse=true"], r"ciu\.inverse: .*LINK_PROBABILITY"),
        (["--metric", "srg:steps=1"], r"metrics\[0\]\.srg\.steps: "),
        (["--metric", "pointing_game"], r"metrics\[0\]\.pointing_game\.mask: "),
        (["--baseline", "segment_mean"], r"baseline\.segment_mean: "),
    ]:
        code, out, err = command(*flags)
        assert (code, out) == (2, "") and re.search(said, err) and "Traceback" not in err, err
