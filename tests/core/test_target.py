import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.target import LINKS, Link, OutputKind, Target, class_values, outputs, resolve_link, weighed

rows = st.lists(st.lists(st.floats(-30, 30), min_size=4, max_size=4), min_size=1, max_size=5)


@given(rows)
def test_links_of_logits_equal_their_definition_in_float64(values):
    y = torch.tensor(values, dtype=torch.float64)
    p = y.softmax(1)
    others = torch.stack([torch.cat([y[:, :c], y[:, c + 1 :]], 1).logsumexp(1) for c in range(4)], 1)
    expected = {
        Link.LOGIT: y,
        Link.PROBABILITY: p,
        Link.LOG_PROBABILITY: y - y.logsumexp(1, keepdim=True),
        Link.LOG_COMPLEMENT: others - y.logsumexp(1, keepdim=True),
        Link.SIGMOID: 1 / (1 + (-y).exp()),
        Link.LOG_SIGMOID: -torch.log1p((-y).exp()),
        Link.LOG_SIGMOID_COMPLEMENT: -torch.log1p(y.exp()),
    }
    assert set(expected) == set(LINKS[OutputKind.LOGITS])
    for link, want in expected.items():
        got = Target(OutputKind.LOGITS, link, (0, 1, 2, 3)).score(y)
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


def test_the_log_complement_keeps_its_digits_where_the_class_is_all_but_certain():
    y = torch.tensor([[50.0, 0.0, 1.0]], dtype=torch.float64)
    got = Target(OutputKind.LOGITS, Link.LOG_COMPLEMENT, (0,)).score(y).item()
    want = torch.tensor([0.0, 1.0], dtype=torch.float64).logsumexp(0).item() - 50.0
    assert got == pytest.approx(want, rel=1e-12)


def test_one_sigmoid_is_scored_as_a_pair_of_classes():
    target = Target(OutputKind.SIGMOID, Link.PROBABILITY, (0, 1))
    torch.testing.assert_close(target.score(torch.tensor([[0.25]])), torch.tensor([[0.75, 0.25]], dtype=torch.float64))


def test_contrast_subtracts_the_mean_of_its_classes():
    y = torch.tensor([[5.0, 1.0, 3.0]])
    target = Target(OutputKind.LOGITS, Link.LOGIT, (0, 1), contrast=(1, 2))
    assert target.score(y).tolist() == [[3.0, -1.0]] and target.scale == "logit difference"


def test_cosine_is_averaged_over_the_references():
    references = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    target = Target(OutputKind.AS_SERVED, Link.COSINE, references=references)
    torch.testing.assert_close(target.score(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.7]], dtype=torch.float64))


@given(st.integers(0, 2**32), st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_each_described_class_is_the_mean_cosine_to_its_own_references(seed, groups):
    groups = [sorted(set(groups)).index(g) for g in groups]
    y, references = (
        torch.randn(n, 5, generator=torch.Generator().manual_seed(seed + n)).double() for n in (3, len(groups))
    )
    target = Target(OutputKind.AS_SERVED, Link.COSINE, references=references, groups=tuple(groups))
    cosines = torch.nn.functional.cosine_similarity(y[:, None], references[None], dim=2)
    want = torch.stack([cosines[:, [g == t for g in groups]].mean(1) for t in range(max(groups) + 1)], 1)
    got = target.score(y)
    assert got.shape == (3, target.count)
    torch.testing.assert_close(got, want)
    for t, w in enumerate(target.weights(5)):
        torch.testing.assert_close(weighed(y, target.kind, target.link, w.expand(3, 5)), got[:, t])


@pytest.mark.parametrize(("link", "p"), [(Link.LOG_PROBABILITY, 0.0), (Link.LOG_COMPLEMENT, 1.0)])
def test_a_score_that_is_not_finite_is_refused_and_never_folded(link, p):
    with pytest.raises(Unsupported) as refused:
        Target(OutputKind.PROBABILITIES, link, (0,)).score(torch.tensor([[p, 1 - p]]))
    assert refused.value.reason == "NON_FINITE_SCORE"


@pytest.mark.parametrize("kind", OutputKind)
@pytest.mark.parametrize("link", Link)
def test_a_link_is_used_as_asked_or_refused_with_the_field(kind, link):
    if link in LINKS[kind] or link in (Link.AS_SERVED, Link.COSINE):
        assert resolve_link(link, kind) is link
    else:
        with pytest.raises(InvalidRequest) as refused:
            resolve_link(link, kind)
        assert refused.value.field == "target.link"
        if kind is OutputKind.AS_SERVED:
            assert "output.kind" in refused.value.mend


def test_classes_are_told_as_probabilities_where_the_card_says_what_outputs_are():
    y = torch.tensor([[1.0, 2.0, 0.5]])
    assert class_values(outputs(y, OutputKind.LOGITS), OutputKind.LOGITS).sum() == pytest.approx(1)
    for kind in (OutputKind.PROBABILITIES, OutputKind.AS_SERVED):
        assert torch.equal(class_values(outputs(y, kind), kind), y.double())
    pair = class_values(outputs(torch.tensor([[0.25]]), OutputKind.SIGMOID), OutputKind.SIGMOID)
    assert pair.tolist() == [[0.75, 0.25]]
