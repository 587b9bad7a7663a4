"""Exact asks: a row's bits never depend on its neighbours, and few rows need not be padded to many."""

import pytest
import torch
from build_models import network as seer
from sentiment_network import reading
from sidelight.core.ask import INPUT, TWIN, Gradient, Model
from sidelight.core.evidence import Evidence
from sidelight.core.predictor import Fit, TensorSpec
from sidelight.core.sweep import Placement
from sidelight.predictors.batching import Batching
from sidelight.predictors.exact import GROUP, Form, Forms, Laid, Trial, filled_up
from sidelight.predictors.folding import folded
from sidelight.predictors.tuning import Tuned, placed
from sidelight.predictors.twin import TwinPredictor
from torch import nn
from twin_nets import network, spec

MOST = 8
BATCHING = Batching.upto(MOST)


def rows_of(count, seed=0):
    return Laid(torch.empty(count, 1), {"a": torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))})


def trial(changes):
    """Rows come out as they went in, but for one bit of each where `changes(rows, place)`."""
    sizes = []

    def run(rows, form):
        sizes.append(form.rows)
        assert len(rows.values["a"]) == len(rows.x) == form.rows
        y = rows.values["a"].clone()
        for place in range(form.rows):
            if changes(form.rows, place):
                y[place] = torch.nextafter(y[place], torch.tensor(torch.inf))
        return {"g": y}

    made = Trial(nn.Identity(), run)
    return made, sizes


def test_few_rows_go_as_they_are_where_their_bits_stay_the_same():
    assert trial(lambda rows, place: False)[0].leanest(rows_of(3).like(MOST), (2, 4)) == Form(2)


def test_one_other_bit_of_one_row_is_seen():
    made, _ = trial(lambda rows, place: rows == 2 and place == 1)
    assert made.leanest(rows_of(3).like(MOST), (2, 4)) == Form(4)


def test_rows_are_padded_to_the_most_where_no_other_number_will_do():
    made, _ = trial(lambda rows, place: rows < MOST)
    assert made.leanest(rows_of(3).like(MOST), (2, 4)) == Form(MOST)


def test_a_number_at_which_the_place_of_a_row_matters_will_not_do():
    made, _ = trial(lambda rows, place: rows == 6 and place >= 4)
    assert made.leanest(rows_of(3).like(MOST), (6,)) == Form(MOST)
    assert made.steady(rows_of(3), (1, 2, 4, 6)) == 4
    assert trial(lambda rows, place: place == 1)[0].steady(rows_of(3), (1, 2, 4, 8)) == 1


def test_rows_that_are_tried_are_like_those_asked_and_no_two_the_same():
    one = rows_of(1).values["a"]
    tried = rows_of(1).like(MOST).values["a"]
    assert len(torch.unique(tried, dim=0)) == MOST
    assert (tried - one).abs().max() < one.std()
    blank = Laid(torch.zeros(1, 2), {"a": torch.zeros(1, 3)}, torch.zeros(1, 4, dtype=torch.float64)).like(MOST)
    assert blank.values["a"].any(1).all() and blank.w.any(1).all() and blank.w.shape == (MOST, 4)


def test_it_is_looked_for_when_padding_has_cost_as_much_as_looking_does():
    made, sizes = trial(lambda rows, place: False)
    forms = Forms()
    asked = [forms.of("kind", 2, BATCHING, lambda: rows_of(2), made).rows for _ in range(5)]
    assert asked == [8, 2, 2, 2, 2]  # six rows of padding each, until they are as many as 8 + 2
    assert sizes == [8, 2]
    assert forms.of("another kind", 2, BATCHING, lambda: rows_of(2), made).rows == 8
    assert forms.of("kind", MOST, BATCHING, lambda: rows_of(2), made).rows == MOST


def test_linear_layers_are_filled_up_inside_only_and_answer_the_same():
    seen = []
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    hook = net[2].register_forward_pre_hook(lambda part, args: seen.append(len(args[0])), prepend=False)
    x = torch.randn(3, 4, requires_grad=True)
    plain = net(x)
    (expected,) = torch.autograd.grad(plain.sum(), x)
    hook.remove()
    with filled_up(net, ("2",)) as names:
        net[2].register_forward_pre_hook(lambda part, args: seen.append(len(args[0])))
        y = net(x)
        assert names == {"2"}
    torch.testing.assert_close(y, plain)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], expected)
    with filled_up(net, None) as names:
        net(torch.randn(GROUP, 4))
        assert not names
        net(torch.randn(2, 3, 4))
    assert names == {"0", "2"}
    with pytest.raises(RuntimeError), filled_up(net, None):
        net(torch.randn(3, 5))
    net(x)
    assert seen[:2] == [3, GROUP] and seen[-1] == 3


# -- real networks -----------------------------------------------------------------------------------------------------

TEXT = {"modality": "text", "input": TensorSpec("text", "BYTES", ()), "outputs": 2}
IMAGE = {"input": TensorSpec("x", "FP32", (3, 224, 224)), "fit": Fit((224, 224)), "outputs": 1000}


@pytest.fixture(scope="module")
def reader():
    yield from made(reading(), spec(**TEXT))


@pytest.fixture(scope="module")
def looker():
    on, module = Placement(channels_last=True), seer()
    fast = folded(module, torch.randn(2, 3, 224, 224))
    yield from made(
        module, spec(**IMAGE), tuned=Tuned(placed(fast.module, on), on, "float32", fast.changed), batch_rows=8
    )


def made(module, of, **options):
    predictor = TwinPredictor(network(module.requires_grad_(False)), of, **options)
    yield predictor
    predictor.close()


def sentences(predictor, rows, tokens):
    """Columns of texts of so many tokens, their embeddings each with noise of its own."""
    generator = torch.Generator().manual_seed(tokens)
    ids = torch.randint(1000, 20_000, (rows, tokens), generator=generator)
    table = predictor._module.get_submodule(predictor.twin.embedding).weight
    a = table[ids] * (0.5 + torch.rand((rows, tokens, 1), generator=generator))
    return {"text": ids, f"a.{predictor.twin.embedding}": a, "w": evidence(rows, 2, generator)}


def evidence(rows, classes, generator):
    """For one class or against it, in turns."""
    w = torch.zeros(rows, 2 * classes, dtype=torch.float64)
    chosen = torch.randint(classes, (rows,), generator=generator)
    w[torch.arange(rows), chosen + classes * (torch.arange(rows) % 2)] = 1
    return w


def alone_as_among_neighbours(predictor, question, columns, sizes, times=4):
    """Every bit, in asks of so many rows, repeated until the leanest form for them is found."""

    def answered(rows):
        return predictor.start(question, [{name: c[rows] for name, c in columns.items()}], lambda: None).result()

    total = len(columns["w"])
    together = answered(slice(0, total))
    for size in sizes:
        for turn in range(times):
            begin = (turn * 5 + 1) % (total - size + 1)
            here = slice(begin, begin + size)
            for name, value in answered(here).items():
                assert torch.equal(value, together[name][here]), (name, size, turn)


@pytest.mark.parametrize("tokens", [13, 48])
def test_sentences_have_the_same_bits_alone_and_among_neighbours(reader, tokens):
    question = Gradient(Model("net", "1", TWIN), (reader.twin.embedding,), Evidence.SOFTMAX, exact=True)
    alone_as_among_neighbours(reader, question, sentences(reader, 16, tokens), (1, 2, 6))


def test_images_have_the_same_bits_alone_and_among_neighbours(looker):
    question = Gradient(Model("net", "1", TWIN), (INPUT,), Evidence.MIXED, exact=True)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((10, 3, 224, 224), generator=generator)
    columns = {f"a.{INPUT}": x, "w": evidence(10, 1000, generator)}
    alone_as_among_neighbours(looker, question, columns, (2, 6), times=8)
