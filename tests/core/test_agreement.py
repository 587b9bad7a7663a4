"""How far a stand-in is from the served model: by row, on rows that neither can spoil, on all that will be asked."""

from dataclasses import replace

import pytest
import torch
from inline import inline
from reading import Reader, twin_of
from sidelight.core.agreement import gap, on_probes
from sidelight.core.ask import Model
from sidelight.core.errors import Unsupported
from sidelight.core.explanation import checked_ends
from sidelight.core.inputs import TextInput, words
from sidelight.core.job import Job
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target


def test_a_row_of_small_outputs_is_measured_against_its_own():
    served = torch.tensor([[1.0, -0.5], [30.0, 20.0]], dtype=torch.float64)
    other = served.clone()
    other[0, 1] = -0.4
    found = gap(served, other, 1e-3)
    assert found.largest == pytest.approx(0.1) and not found.near
    other = torch.tensor([[0.98, 1.0], [30.0, 20.0]], dtype=torch.float64)
    assert gap(torch.tensor([[1.0, 0.98], [30.0, 20.0]], dtype=torch.float64), other, 3e-2).other_top == 0
    assert gap(torch.tensor([[1.0, 0.98], [30.0, 20.0]], dtype=torch.float64), other, 1e-2).other_top == 1


def test_a_row_that_vanishes_and_a_single_output_that_passes_zero_have_the_scale_of_the_rest():
    served = torch.tensor([[0.0, 0.0], [300.0, 20.0]], dtype=torch.float64)
    assert gap(served, served + 1e-6, 1e-5).near
    assert gap(torch.tensor([[0.0], [5.0]], dtype=torch.float64), torch.tensor([[1e-6], [5.0]]).double(), 1e-5).near


@pytest.mark.parametrize("probes", [torch.rand(4, 3) + 1, torch.arange(1, 13).view(4, 3)])
def test_a_network_that_works_in_place_leaves_the_probes_of_the_other_alone(probes):

    def answer(ask, columns):
        y = columns["x"].mul_(-1) if not ask.model.variant else -columns["x"]
        return {"y": y.clone()}

    kept = probes.clone()
    assert inline(on_probes(Model("m", "1"), {"x": probes}, 1e-6), answer).largest == 0
    assert torch.equal(probes, kept)


@pytest.mark.parametrize("same", [True, False])
def test_the_tokens_of_a_text_are_compared_too_since_gradients_are_taken_on_them(same):
    reader = Reader()
    twin = twin_of(reader)
    if not same:  # the tokens that it tells are not those that it reads
        twin = replace(twin, ids=lambda text: reader.ids(text)[::-1])
    text = "a truly wonderful film"
    x = TextInput("text", text, words(text))
    job = Job(Model("m", "1"), x, Target(OutputKind.LOGITS, Link.LOGIT), Stream(1), twin=twin)

    def answer(ask, columns):
        assert ask.model.variant or isinstance(columns["text"], list)  # the served model takes no ids
        return {"y": reader(columns["text"])}

    if same:
        y, largest = inline(checked_ends(job), answer)
        assert y.shape == (2, 3) and largest < 1e-12
    else:
        with pytest.raises(Unsupported, match="differs from the served model on the input and its baseline"):
            inline(checked_ends(job), answer)
