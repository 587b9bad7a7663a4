"""Log evidence for and against classes: exact from logits, squeezed where there are only probabilities."""

import math

import pytest
import torch
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.evidence import Evidence, check_evidence, evidence, read
from sidelight.core.target import Link, OutputKind, Target

LOGITS = OutputKind.LOGITS


def logits():
    torch.manual_seed(0)
    return 3 * torch.randn(5, 4, dtype=torch.float64)


def halves(y, kind, of):
    return evidence(y, kind, of).chunk(2, 1)


@pytest.mark.parametrize(
    ("of", "p"),
    [
        (Evidence.SOFTMAX, lambda y: y.softmax(1)),
        (Evidence.SIGMOID, torch.sigmoid),
        (Evidence.MIXED, lambda y: 0.99999 * (0.9 * y.softmax(1) + 0.1 * y.sigmoid()) + 5e-6),
    ],
)
def test_it_is_log_p_and_log_of_one_minus_p_side_by_side(of, p):
    y = logits()
    for_, against = halves(y, LOGITS, of)
    assert torch.allclose(for_, p(y).log(), atol=1e-12)
    assert torch.allclose(against, (1 - p(y)).log(), atol=1e-9)


@pytest.mark.parametrize("of", [Evidence.SOFTMAX, Evidence.SIGMOID])
def test_no_digit_is_lost_where_p_is_almost_one_or_almost_nothing(of):
    y = torch.tensor([[60.0, 0.0]], dtype=torch.float64)  # 1 - p of class 0: e^-60, as p of class 1 by softmax
    for_, against = halves(y, LOGITS, of)
    assert against[0, 0].item() == pytest.approx(-60, rel=1e-12)
    y = torch.tensor([[-60.0, 0.0]], dtype=torch.float64)
    for_, _ = halves(y, LOGITS, of)
    assert for_[0, 0].item() == pytest.approx(-60, rel=1e-12)


def test_probabilities_of_exactly_nothing_and_one_have_finite_logs_by_the_squeeze():
    y = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    for_, against = halves(y, OutputKind.PROBABILITIES, Evidence.SOFTMAX)
    assert for_[0].tolist() == pytest.approx([math.log(5e-6), math.log(0.99999 + 5e-6)])
    assert against[0].tolist() == pytest.approx([math.log(1 - 5e-6), math.log(5e-6)], rel=1e-6)


@pytest.mark.parametrize("of", Evidence)
def test_gradients_are_those_of_finite_differences(of):
    y = logits().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: evidence(v, LOGITS, of), y)


@pytest.mark.parametrize("of", Evidence)
def test_a_weight_of_nothing_takes_no_part_in_the_gradient_even_at_certainty(of):
    y = torch.tensor([[800.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    w = torch.zeros(1, 6, dtype=torch.float64)
    w[0, 1] = 1
    read(y, LOGITS, of, w).sum().backward()
    assert y.grad.isfinite().all()


def test_weights_choose_log_p_of_one_class_and_log_one_minus_p_of_another():
    y = logits()
    w = torch.zeros(5, 8, dtype=torch.float64)
    w[:, 2], w[:, 4 + 3] = 1, 0.5
    p = y.softmax(1)
    assert torch.allclose(read(y, LOGITS, Evidence.SOFTMAX, w), p[:, 2].log() + 0.5 * (1 - p[:, 3]).log())


def target(kind=LOGITS, **more):
    return Target(kind, **({"link": Link.LOGIT, "classes": (1,)} | more))


def test_targets_that_are_no_class_of_a_classifier_are_refused():
    with pytest.raises(InvalidRequest, match="target: classes"):
        check_evidence(target(contrast=(0,)), Evidence.SOFTMAX, "m.evidence")
    with pytest.raises(InvalidRequest, match="target: classes"):
        check_evidence(target(link=Link.COSINE, references=torch.ones(1, 4)), Evidence.SOFTMAX, "m.evidence")
    with pytest.raises(Unsupported, match=r"output\.kind"):
        check_evidence(target(OutputKind.AS_SERVED, link=Link.AS_SERVED), Evidence.SOFTMAX, "m.evidence")


@pytest.mark.parametrize("kind", [OutputKind.PROBABILITIES, OutputKind.SIGMOID])
@pytest.mark.parametrize("of", [Evidence.SIGMOID, Evidence.MIXED])
def test_what_needs_logits_is_refused_where_there_are_none(kind, of):
    with pytest.raises(InvalidRequest, match=r"m\.evidence: softmax"):
        check_evidence(target(kind), of, "m.evidence")
    check_evidence(target(kind), Evidence.SOFTMAX, "m.evidence")
    check_evidence(target(), of, "m.evidence")
