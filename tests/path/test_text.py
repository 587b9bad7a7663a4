"""Path attribution of texts: on token embeddings and on blocks of a transformer, told by words, nothing lost."""

import dataclasses

import numpy as np
import pytest
import torch
from differentiable import WIDE, Answers, layers
from inline import inline
from reading import BEGIN, BLANK, END, Reader, twin_of
from sidelight.core.ask import Model
from sidelight.core.baseline import FeatureMean, FeatureZero
from sidelight.core.errors import SidelightError
from sidelight.core.inputs import TextInput, TokenInput, words
from sidelight.core.job import Job
from sidelight.core.stream import Stream
from sidelight.core.target import Link, OutputKind, Target
from sidelight.path.options import Attribution, Options
from sidelight.path.plan import attribute

TEXT = "Crème-brûlée wasn’t an unforgettable joy 😀!"
CUTS = ("embed", "blocks.0", "blocks.1")
IG = (Attribution.INTEGRATED_GRADIENTS,)
reader = Reader()


def job_of(x, ids, classes=(0,), **more):
    twin = twin_of(reader, layers(reader, torch.tensor([ids]), CUTS))
    target = Target(OutputKind.LOGITS, Link.LOGIT, classes=classes)
    return Job(Model("m", "1"), x, target, Stream(0), ends=torch.zeros(2, 3).double(), twin=twin, **more)


def text_job(text=TEXT, replacement="", **more):
    return job_of(TextInput("x", text, words(text), replacement), reader.ids(text), **more)


def explained(job, kinds=IG, **options):
    return inline(attribute(job, Options("path", kinds, **options)), Answers(reader), on=WIDE)


def logits(ids):
    return reader(torch.tensor([ids]))[0]


def blanked(ids):
    return [i if i in (BEGIN, END) else BLANK for i in ids]


def by_token(ids, blank, target, nodes=50):
    """Integrated Gradients of the embeddings, written down: [L]."""
    z, b = reader.embed.weight[torch.tensor([ids, blank])]
    x, w = np.polynomial.legendre.leggauss(nodes)
    total = torch.zeros_like(z)
    for alpha, weight in zip((x + 1) / 2, w / 2, strict=True):
        a = (b + float(alpha) * (z - b)).requires_grad_()
        with reader.embed.register_forward_hook(lambda *_, a=a: a.unsqueeze(0)):
            y = reader(torch.tensor([ids]))[0, target]
        total += float(weight) * torch.autograd.grad(y, a)[0]
    return ((z - b) * total).sum(1)


def test_words_are_the_sums_of_their_tokens_and_all_adds_up_to_what_the_output_changed_by():
    found = explained(text_job())
    account = found.accounts[0][0]
    ids = reader.ids(TEXT)
    tokens, pieces = by_token(ids, blanked(ids), 0), reader.pieces(TEXT)
    wanted = [
        sum(float(a) for a, (b, e) in zip(tokens, pieces, strict=True) if u.begin <= b < e <= u.end)
        for u in words(TEXT)
    ]
    assert len(wanted) == 9 and max(e - b for b, e in pieces) == 3  # words of several tokens, marks of their own
    np.testing.assert_allclose(found.maps[0], wanted, atol=1e-9)
    assert account.output == pytest.approx(float(logits(ids)[0]))
    assert account.baseline_output == pytest.approx(float(logits(blanked(ids))[0]))  # at a cut the induced b is f(x')
    assert account.result == pytest.approx(account.target, abs=1e-6)
    assert float(found.maps[0].sum() + found.rest[0]) == pytest.approx(account.result, abs=1e-12)
    assert "[MASK]" in account.baseline and "embed" in account.baseline


def test_special_tokens_get_no_attribution_from_a_baseline_that_keeps_them():
    assert float(explained(text_job()).rest[0]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("at_layer", [FeatureZero(), FeatureMean()])
def test_a_baseline_of_the_layer_attributes_to_special_tokens_too_and_the_rest_tells(at_layer):
    found = explained(text_job(at_layer=at_layer))
    account = found.accounts[0][0]
    assert abs(float(found.rest[0])) > 1e-4
    assert float(found.maps[0].sum() + found.rest[0]) == pytest.approx(account.result, abs=1e-12)
    assert account.result == pytest.approx(account.target, abs=1e-6)
    assert account.steps[-1].result == pytest.approx(float(found.maps[0].sum()))


@pytest.mark.parametrize("block", ["blocks.0", "blocks.1"])
def test_at_the_output_of_a_block_positions_are_tokens(block):
    found = explained(text_job(), layers=(block,))
    account = found.accounts[0][0]
    assert found.maps.shape == (1, 9) and account.raw[block].shape == (len(reader.ids(TEXT)), 8)
    assert float(found.maps[0].sum() + found.rest[0]) == pytest.approx(account.target, abs=1e-6)
    assert account.baseline_output == pytest.approx(float(logits(blanked(reader.ids(TEXT)))[0]))


def test_a_layer_within_a_block_is_refused_for_what_passes_by_it():
    with pytest.raises(SidelightError, match=r"blocks\.0\.mix.*no cut"):
        explained(text_job(), layers=("blocks.0.mix",))


def test_a_replacement_text_of_one_token_stands_where_each_token_was():
    account = explained(text_job(replacement="so")).accounts[0][0]
    ids = reader.ids(TEXT)
    so = reader.ids("so")[1]
    assert account.baseline_output == pytest.approx(float(logits([BEGIN, *[so] * (len(ids) - 2), END])[0]))
    assert '"so"' in account.baseline


def test_token_ids_have_a_score_each_and_agree_with_the_text_they_spell():
    ids = reader.ids(TEXT)
    found = explained(job_of(TokenInput("x", torch.tensor(ids), BLANK), ids))
    np.testing.assert_allclose(found.maps[0], by_token(ids, blanked(ids), 0), atol=1e-9)
    text = explained(text_job())
    assert found.accounts[0][0].result == pytest.approx(text.accounts[0][0].result, abs=1e-12)


def test_all_attributions_of_several_classes_stand_side_by_side():
    kinds = (*IG, Attribution.GRADIENT_X_ACTIVATION, Attribution.MIDPOINT, Attribution.TAYLOR, Attribution.LAYER_CAM)
    found = explained(text_job(classes=(0, 2)), kinds)
    assert [[a.attribution for a in accounts] for accounts in found.accounts] == [[k.value for k in kinds]] * 2
    alone = explained(text_job(classes=(2,)))
    torch.testing.assert_close(found.maps[1], alone.maps[0])
    assert all(a.map.shape == (9,) for accounts in found.accounts for a in accounts)


def test_a_distribution_of_replacements_gives_the_mean_of_theirs():
    first = text_job(replacement="so")
    other = dataclasses.replace(first.input, replacement="very bad")
    found = explained(dataclasses.replace(first, others=(other,)))
    each = [explained(text_job(replacement=r)) for r in ("so", "very bad")]
    torch.testing.assert_close(found.maps, (each[0].maps + each[1].maps) / 2)
    assert found.accounts[0][0].baseline_output == pytest.approx(
        np.mean([e.accounts[0][0].baseline_output for e in each])
    )
