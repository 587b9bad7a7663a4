import torch
from inline import inline
from sidelight.core.ask import Model
from sidelight.core.inputs import ImageInput
from sidelight.core.predictor import PixelSpace
from sidelight.core.target import OutputKind
from sidelight.engine.probe import probe

X = ImageInput("x", torch.rand(3, 8, 8), torch.zeros(3, 8, 8), PixelSpace())


def found(answer):
    return inline(probe(Model("m", "1"), X, OutputKind.LOGITS, 16), answer, tile=16)


def pooled(x):
    return x.mean((2, 3)).double()


def test_a_model_that_answers_each_row_for_itself_has_no_gaps():
    p = found(lambda _, c: {"y": pooled(c["x"])})
    assert p.neighbour_gap == p.repeat_gap == 0 and p.classes == 3


def test_an_answer_that_depends_on_its_neighbours_is_found_out():
    p = found(lambda _, c: {"y": pooled(c["x"]) * (1 + 0.01 * len(c["x"]))})
    assert 0.1 < p.neighbour_gap < 0.2 and p.repeat_gap == 0


def test_an_answer_that_changes_from_call_to_call_is_found_out():
    calls = iter(range(9))
    p = found(lambda _, c: {"y": pooled(c["x"]) + 0.001 * next(calls)})
    assert p.repeat_gap > 0.0005
