"""Optimised masks: how they are asked for, read, highlighted on terminal and page, drawn as curves, and kept."""

import json

import numpy as np
import pytest
from client.canned_service import MAP, answer, result
from client.test_requests import asked
from sidelight_client import BlurBaseline, Explanation, InvalidRequest, Rationale, inputs, plots, tensors
from sidelight_client.baselines import baseline, words
from sidelight_client.cli.explain import _words
from sidelight_proto.v1 import mask_pb2, types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest

PIXELS = inputs.encode(np.full((6, 8, 3), 200, np.uint8))
TEXT = "It <b>shines</b> & glows, but drags on"
WORDS = [("It", 0.1), ("shines", 0.9), ("glows", 0.8), ("drags", 0.2), ("on", 0.6)]
CURVES = {"kept": [2.0, 1.0, 0.1], "removed": [1.5, 0.5, 0.2], "sigma": [-0.1, -0.4, -0.9]}


def masked(chunk: int | None = None, features: bool = False) -> types_pb2.Result:
    told = result()
    told.optimised.objective, told.optimised.kept, told.optimised.removed = 0.65, 0.97, 0.02
    told.optimised.mean, told.optimised.step, told.optimised.settled = 0.31, 2, True
    for name, curve in CURVES.items():
        told.optimised.terms.append(tensors.encode(np.array(curve, np.float32), name, ("step",)))
    if features:
        told.optimised.w.CopyFrom(tensors.encode(MAP, "w"))
        told.optimised.sigma.CopyFrom(tensors.encode(MAP + 1, "sigma"))
    if chunk is not None:
        told.optimised.terms[0].ClearField("contents")
        told.optimised.terms[0].chunk_id = chunk
    return told


def rationale() -> types_pb2.Result:
    """A text's, of "shines</b> & glows" and "on"."""
    told = masked()
    told.ClearField("maps")
    for word, score in WORDS:
        begin = TEXT.index(word)
        told.units.add(name=word, score=score, begin=begin, end=begin + len(word))
    for first, last, score in (("shines", "glows", 0.85), ("on", "on", 0.6)):
        told.optimised.rationales.add(begin=TEXT.index(first), end=TEXT.rindex(last) + len(last), score=score)
    return told


def explanation(*results, source=PIXELS, chunks=None) -> Explanation:
    message = answer(ExplainRequest(models=[types_pb2.ModelRef(name="tiny")]), *results).result
    return Explanation.decode(message, source, chunks or tensors.Chunks())


def of_text(told: types_pb2.Result | None = None):
    return explanation(told or rationale(), source=inputs.encode(text=TEXT)).best


# -- the request -------------------------------------------------------------------------------------------------------


def test_a_mask_is_asked_for_in_plain_words():
    said = asked(
        method="mask_optimisation", parameters={"preset": "image_vit", "rule": "never", "kernel": "auto", "steps": 400}
    ).mask_optimisation
    assert (said.preset, said.rule, said.steps) == (mask_pb2.MASK_PRESET_IMAGE_VIT, mask_pb2.MASK_RULE_NEVER, 400)
    assert not said.HasField("rate") and not said.HasField("span_share")
    with pytest.raises(InvalidRequest, match="did you mean image_vit"):
        asked(method="mask_optimisation", parameters={"preset": "image_vi"})


def test_flags_become_options(run, service):
    flags = ["--set", "span_share=0.3", "--set", "evidence=softmax", "--set", "settled=1e-3"]
    code, _, err = run("explain", "--text", TEXT, "--model", "tiny", "--method", "mask_optimisation", *flags)
    assert code == 0, err
    said = service.requests[0].explanation.mask_optimisation
    assert (said.span_share, said.evidence, said.settled) == (0.3, mask_pb2.MASK_EVIDENCE_SOFTMAX, 1e-3)


# -- the answer --------------------------------------------------------------------------------------------------------


def test_a_result_tells_how_its_mask_was_come_by():
    found = explanation(masked(features=True)).best.optimised
    assert (found.objective, found.kept, found.removed, found.mean) == (0.65, 0.97, 0.02, 0.31)
    assert (found.step, found.steps, found.settled, found.gradient_free) == (2, 3, True, False)
    assert {name: curve.tolist() for name, curve in found.terms.items()} == {
        name: pytest.approx(curve) for name, curve in CURVES.items()
    }
    np.testing.assert_array_equal(found.sigma, found.w + 1)


def test_what_was_not_asked_for_is_none_and_other_methods_have_no_mask():
    found = explanation(masked()).best.optimised
    assert found.w is None and found.sigma is None
    other = explanation(result()).best
    assert other.optimised is None and other.rationales == () and "<svg" not in other._repr_html_()


def test_a_curve_that_came_in_chunks_is_put_together():
    chunks = tensors.Chunks()
    chunks.add(5, 0, np.array(CURVES["kept"], "<f4").tobytes())
    curve = explanation(masked(5), chunks=chunks).best.optimised.terms["kept"]
    assert curve.tolist() == pytest.approx(CURVES["kept"])


def test_a_rationale_has_its_characters():
    first, second = of_text().rationales
    assert first == Rationale("shines</b> & glows", 6, 24, 0.85) and second.text == TEXT[-2:]


def test_a_rationale_without_its_text_has_its_words():
    assert explanation(rationale(), source=None).best.rationales[0].text == "shines glows"


def test_what_is_saved_holds_the_curves_in_a_file_of_their_own_and_not_in_the_json(tmp_path):
    written = explanation(masked(features=True), masked()).save(tmp_path)
    assert [p.name for p in written if p.suffix == ".npz"] == ["optimised.npz", "optimised-2.npz"]
    arrays = np.load(tmp_path / "optimised.npz")
    assert set(arrays) == {"w", "sigma", *(f"terms.{name}" for name in CURVES)}
    np.testing.assert_array_equal(arrays["w"], MAP)
    told = json.loads(written[-1].read_text())["results"][0]["optimised"]
    assert told["kept"] == 0.97 and told["terms"][0]["shape"] == ["3"] and "contents" not in json.dumps(told)


# -- as it is shown ----------------------------------------------------------------------------------------------------


def shown(run, service, told, *flags):
    service.script = lambda request, context: iter([answer(request.explanation, told)])
    code, out, err = run("explain", *flags, "--model", "tiny", "--method", "mask_optimisation")
    assert code == 0, err
    return out


def test_the_terminal_brackets_rationales_and_tells_what_the_mask_is_worth(run, service):
    out = shown(run, service, rationale(), "--text", TEXT)
    assert "It <b>[shines</b> & glows], but drags [on]" in out
    assert "kept part scores 0.97, without it 0.02; its mean is 0.31" in out
    assert "0.65 at step 2 of 3, settled" in out
    assert "'shines</b> & glows' 0.85; 'on' 0.60" in out


def test_what_stands_for_a_word_that_is_gone_is_told_as_the_gradients_had_it(run, service):
    told = answer(ExplainRequest(models=[types_pb2.ModelRef(name="tiny")]), rationale())
    told.result.resolved.baseline.CopyFrom(types_pb2.Baseline(text={}))
    service.script = lambda request, context: iter([told])
    _, out, _ = run("explain", "--text", TEXT, "--model", "tiny", "--method", "mask_optimisation")
    assert ["baseline", "the", "blank", "token"] in [line.split() for line in out.splitlines()]


def test_on_a_terminal_the_words_of_a_rationale_are_underlined_and_what_is_between_them_too():
    text = _words(of_text())
    begin = text.plain.index("shines")
    styles = {text.plain[s.start : s.end]: str(s.style) for s in text.spans}
    assert "underline" in styles["shines"] and styles["</b> & "] == "underline"
    assert "underline" not in styles["drags"] and text.plain[begin - 1] == "["


def test_an_image_is_told_what_its_mask_is_worth(run, service, photo):
    told = masked()
    told.optimised.settled, told.optimised.gradient_free = False, True
    out = shown(run, service, told, photo)
    assert "kept part scores 0.97, without it 0.02" in out and "not settled, searched for without gradients" in out
    assert "kept part scores 0.97, without it 0.02" in repr(explanation(told).best)


def test_what_no_time_was_left_to_tell_is_said(run, service, photo):
    told = masked()
    told.optimised.kept = told.optimised.removed = float("nan")
    out = shown(run, service, told, photo)
    assert "the deadline came before" in out and "scores nan" not in out


def test_colours_are_of_the_mask_itself_and_not_of_its_largest_number():
    told = rationale()
    for unit in told.units:
        unit.score /= 4
    assert "rgb(214, 39, 40)" not in of_text(told)._repr_html_()
    told.ClearField("optimised")  # as a score of any other method the largest is full
    assert "rgb(214, 39, 40)" in of_text(told)._repr_html_()


def test_html_underlines_rationales_and_escapes_the_text():
    html = of_text()._repr_html_()
    assert html.count("<u ") == html.count("</u>") == 2
    inside = html[html.index("<u ") : html.index("</u>")]
    assert "shines" in inside and "&lt;/b&gt; &amp; " in inside and "glows" in inside and "drags" not in inside
    assert "title='rationale 0.85'" in inside and "<b>" not in html
    assert "&#x27;shines&lt;/b&gt; &amp; glows&#x27; 0.85" in html


def test_html_keeps_lines_and_runs_to_the_side_of_the_text_s_own_script():
    html = of_text()._repr_html_()
    assert "<p dir='auto'" in html and "white-space:pre-wrap" in html


def test_a_text_cannot_steer_the_terminal(run, service):
    text = "fine\r\nfilm \x1b[2J\x1b]0;mine\x07 \x9b31m\tend"
    told = rationale()
    del told.units[:], told.optimised.rationales[:]
    for begin, end in ((0, 4), (11, 12), (text.index("end"), len(text))):
        told.units.add(name=text[begin:end], score=0.5, begin=begin, end=end)
    told.optimised.rationales.add(begin=0, end=12, score=0.5)
    out = shown(run, service, told, "--text", text)
    assert "[fine\nfilm \N{REPLACEMENT CHARACTER}]" in out
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(out)


def test_html_draws_the_terms_over_the_steps():
    html = explanation(masked())._repr_html_()
    assert html.count("<polyline") == len(CURVES) and "over 3 steps" in html and "sigma -0.9" in html


def test_curves_have_their_ends_and_their_extremes_in_the_frame_and_names_are_escaped():
    drawn = plots.curves({"<i>": np.array([0.0, 4.0, np.nan, 2.0]), "long": np.linspace(4, 0, 9000)})
    assert "&lt;i&gt;" in drawn and "<i>" not in drawn
    first, second = (part.split("'")[0] for part in drawn.split("points='")[1:])
    assert first == f"0.0,{plots.HEIGHT}.0 {plots.WIDTH / 3:.1f},0.0 {plots.WIDTH}.0,{plots.HEIGHT / 2:.1f}"
    points = second.split()
    assert len(points) <= plots.POINTS and points[0] == "0.0,0.0" and points[-1] == f"{plots.WIDTH}.0,{plots.HEIGHT}.0"


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0], [np.nan, np.nan]])
def test_curves_of_hardly_anything_can_be_drawn(values):
    drawn = plots.curves({"kept": np.array(values)})
    assert (drawn == "") == (not values) and "nan," not in drawn and ",nan" not in drawn


# -- baselines ---------------------------------------------------------------------------------------------------------


def test_a_baseline_is_told_in_words():
    several = ["black", "model_mean", 7, BlurBaseline(sigma=20), "blur"]
    assert words(baseline(several)) == "black, model_mean, colour [7.0], blur sigma 20, blur"
    assert words(types_pb2.Baseline(text={})) == "nothing" and words(types_pb2.Baseline()) == ""
    assert words(types_pb2.Baseline(text={}), absent="the blank token") == "the blank token"
    assert words(types_pb2.Baseline(text={"replacement": "[MASK]"})) == "'[MASK]'"


def test_the_answer_and_the_catalogue_tell_the_baseline(run, photo):
    out = run("explain", photo, "--model", "tiny", "--baseline", "white", "--baseline", "black")[1]
    assert ["baseline", "white,", "black"] in [line.split() for line in out.splitlines()]
    lines = [line.split() for line in run("catalogue")[1].splitlines()]
    assert any(line[:4] == ["baseline", "blur", "sigma", "20"] and "image" in line for line in lines)
