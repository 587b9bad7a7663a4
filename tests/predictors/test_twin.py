"""The differentiable twin: its gradients, what stands at its layers, and that rows know nothing of each other."""

from types import SimpleNamespace

import pytest
import torch
from sidelight.core.ask import INPUT, TWIN, Activation, Forward, Gradient, Model
from sidelight.core.errors import InvalidRequest, ModelFailed, Unknown, Unsupported
from sidelight.core.predictor import Unit
from sidelight.core.target import Link, OutputKind, weighed
from sidelight.predictors.card import Card
from sidelight.predictors.embedded import EmbeddedPredictor
from sidelight.predictors.networks import Network
from sidelight.predictors.randomised import KEPT_SECONDS, Copies
from sidelight.predictors.twin import TwinPredictor, own_twin
from torch import nn
from twin_nets import ASKED, TOKENS, Encoder, Residual, ask, images, network, seeded, spec, twin

NET = seeded(Residual).requires_grad_(False)
W = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def made():
    predictor = twin(NET)
    yield predictor
    predictor.close()


@pytest.fixture(scope="module")
def fast():
    """In the form that was found the fastest: with folded norms."""
    predictor = twin(NET, plain=False)
    assert predictor._changed
    yield predictor
    predictor.close()


def at_layer(net, layer, a, x):
    """The module's output with `a` in the place of what the layer gives."""
    handle = net.get_submodule(layer).register_forward_hook(lambda m, i, y: a.clone())
    try:
        return net(x)
    finally:
        handle.remove()


def by_autograd(net, layer, a, x, w, link=Link.LOGIT, kind=OutputKind.LOGITS):
    """The gradient in float64, by the book."""
    net = seeded(type(net)).double()
    net.load_state_dict(NET.state_dict())
    a = a.double().requires_grad_()
    y = net(a) if layer == INPUT else at_layer(net, layer, a, x.double())
    s = weighed(y, kind, link, w)
    return torch.autograd.grad(s.sum(), a)[0], s.detach()


@pytest.mark.parametrize("form", ["made", "fast"])
@pytest.mark.parametrize("layer", [INPUT, "stem", "bn", "blocks.0", "blocks.1.bn", "blocks.1.conv", "pool"])
def test_gradients_at_any_layer_are_those_of_autograd_in_float64(form, layer, request):
    predictor, x = request.getfixturevalue(form), images(6)
    a = x if layer == INPUT else ask(predictor, Activation(ASKED, (layer,)), x=x)[f"a.{layer}"]
    a = a + 0.1 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    out = ask(predictor, Gradient(ASKED, (layer,), Link.LOG_PROBABILITY), x=x, w=W, **{f"a.{layer}": a})
    g, s = by_autograd(NET, layer, a, x, W, Link.LOG_PROBABILITY)
    assert out["s"].dtype is torch.float64
    torch.testing.assert_close(out["s"], s, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[f"g.{layer}"].double(), g, rtol=1e-4, atol=1e-5 * float(g.abs().max()))


def test_gradients_are_finite_differences(made):
    x, w = images(1), W[:1]
    g = ask(made, Gradient(ASKED, (INPUT,), Link.PROBABILITY), w=w, **{"a.input": x})["g.input"].double()
    net = seeded(Residual).double()
    direction, h = images(1, 3).double(), 1e-6

    def s(step):
        return weighed(net(x.double() + step * direction), OutputKind.LOGITS, Link.PROBABILITY, w)

    torch.testing.assert_close((g * direction).sum(), ((s(h) - s(-h)) / (2 * h)).sum(), rtol=1e-4, atol=1e-7)


def test_layers_are_substituted_together(made):
    x, layers = images(6), ("blocks.0", "blocks.1")
    a = ask(made, Activation(ASKED, layers), x=x)
    both = {f"a.{name}": a[f"a.{name}"].roll(1, 0) for name in layers}
    y = ask(made, Forward(ASKED, layers), x=x, **both)["y"]
    torch.testing.assert_close(y, at_layer(NET, "blocks.1", both["a.blocks.1"], x))
    out = ask(made, Gradient(ASKED, layers, Link.LOGIT), x=x, w=W, **both)
    assert not out["g.blocks.0"].any() and out["g.blocks.1"].any()  # the second hides the first


def test_a_substituted_activation_is_what_the_module_gave(made):
    x = images(6)
    out = ask(made, Activation(ASKED, (INPUT, "blocks.0.act", "blocks.0")), x=x)
    torch.testing.assert_close(out["a.input"], x)
    torch.testing.assert_close(out["y"], NET(x))
    y = ask(made, Forward(ASKED, ("blocks.0",)), x=images(6, 9), **{"a.blocks.0": out["a.blocks.0"]})["y"]
    torch.testing.assert_close(y, out["y"])  # a cut: what stands in the input's place does not matter


@pytest.mark.parametrize("form", ["made", "fast"])
@pytest.mark.parametrize("layer", [INPUT, "blocks.0", "blocks.1.conv"])
def test_a_row_is_answered_alone_as_among_neighbours(form, layer, request):
    predictor, x = request.getfixturevalue(form), images(6)
    a = {f"a.{layer}": x if layer == INPUT else ask(predictor, Activation(ASKED, (layer,)), x=x)[f"a.{layer}"]}
    question = Gradient(ASKED, (layer,), Link.LOGIT)
    together = ask(predictor, question, x=x, w=W, **a)
    for i in range(6):
        alone = ask(predictor, question, x=x[i : i + 1], w=W[i : i + 1], **{n: t[i : i + 1] for n, t in a.items()})
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][i], rtol=1e-4, atol=1e-6)


def test_exact_asks_answer_a_row_alone_to_the_bit(made):
    x, question = images(6), Gradient(ASKED, (INPUT,), Link.LOGIT, exact=True)
    together = ask(made, question, w=W, **{"a.input": x})
    for i in range(6):
        alone = ask(made, question, w=W[i : i + 1], **{"a.input": x[i : i + 1]})
        assert all(torch.equal(value[0], together[name][i]) for name, value in alone.items())


# -- before a cut ------------------------------------------------------------------------------------------------------


class Counting(Residual):
    """Counts the rows that its stem gets."""

    def __init__(self):
        super().__init__()
        self.rows = []
        self.stem.register_forward_hook(lambda m, args, y: self.rows.append(len(args[0])))


@pytest.mark.parametrize(("layer", "narrow"), [("blocks.0", True), ("blocks.1", True), ("blocks.1.conv", False)])
def test_before_a_cut_one_row_runs_and_gives_the_same_gradients(layer, narrow):
    net = seeded(Counting).requires_grad_(False)
    predictor, x = twin(net), images(6)
    a = {f"a.{layer}": ask(predictor, Activation(ASKED, (layer,)), x=x.flip(0))[f"a.{layer}"]}
    question = Gradient(ASKED, (layer,), Link.LOGIT)
    ask(predictor, question, x=x, w=W, **a)
    net.rows.clear()
    out = ask(predictor, question, x=x, w=W, **a)
    assert set(net.rows) == ({1} if narrow else {4, 2})
    g, s = by_autograd(NET, layer, a[f"a.{layer}"], x, W)
    torch.testing.assert_close(out["s"], s, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out[f"g.{layer}"].double(), g, rtol=1e-4, atol=1e-5)


class Twice(nn.Module):
    """A block that uses its rectifier twice, before and behind the convolution whose rows are counted."""

    def __init__(self, rows):
        super().__init__()
        self.first, self.second, self.act = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1), nn.ReLU()
        self.second.register_forward_hook(lambda m, args, y: rows.append(len(args[0])))

    def forward(self, x):
        return x + self.second(self.act(self.first(self.act(x))))


class TwiceBefore(Residual):
    def __init__(self):
        super().__init__()
        self.rows = []
        self.blocks[0] = Twice(self.rows)


def test_a_module_used_twice_inside_a_block_before_a_cut_does_not_bring_the_rows_back():
    net = seeded(TwiceBefore).requires_grad_(False)
    predictor, x, layer = twin(net), images(6), "blocks.1"
    a = {f"a.{layer}": ask(predictor, Activation(ASKED, (layer,)), x=x)[f"a.{layer}"]}
    for _ in range(2):  # the first time it is tried
        net.rows.clear()
        out = ask(predictor, Gradient(ASKED, (layer,), Link.LOGIT), x=x, w=W, **a)
    assert set(net.rows) == {1}
    assert len(out["s"]) == 6


def test_what_comes_before_a_cut_may_be_one_row_shown_many_times(made):
    x, question = images(6), Forward(ASKED, ("blocks.0",))
    a = {"a.blocks.0": ask(made, Activation(ASKED, ("blocks.0",)), x=x)["a.blocks.0"]}
    shown = x[:1].expand(6, 3, 8, 8)
    torch.testing.assert_close(ask(made, question, x=shown, **a)["y"], ask(made, question, x=x, **a)["y"])


# -- left as found -----------------------------------------------------------------------------------------------------


def state(net):
    """Everything that a pass may leave behind."""
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), m.training) for m in net.modules()]
    flags = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype(), torch.initial_seed()
    return hooks, [(p.requires_grad, p.grad is None) for p in net.parameters()], flags, net.training


class Breaking(Residual):
    """Fails in the middle, when it is told to."""

    def __init__(self):
        super().__init__()
        self.broken = False
        self.pool.register_forward_hook(self.fail)

    def fail(self, module, args, y):
        if self.broken:
            raise RuntimeError("in the middle")


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_modes_hooks_gradients_and_flags_are_left_as_they_were_found(fails, training):
    net = seeded(Breaking)
    predictor, x = twin(net), images(6)
    a = ask(predictor, Activation(ASKED, ("blocks.0",)), x=x)["a.blocks.0"]
    clean = ask(predictor, Forward(ASKED), x=x)["y"]
    net.train(training)
    net.blocks[0].train(not training)  # a part may be in another mode than the whole
    net.head.weight.requires_grad_(True)
    net.broken, before = fails, state(net)
    questions = [
        (Forward(ASKED), {"x": x}),
        (Activation(ASKED, ("blocks.0", "head")), {"x": x}),
        (Forward(ASKED, ("blocks.0",)), {"x": x, "a.blocks.0": a}),
        (Gradient(ASKED, ("blocks.0",), Link.LOGIT), {"x": x, "a.blocks.0": a, "w": W}),
        (Gradient(ASKED, (INPUT,), Link.LOGIT), {"a.input": x, "w": W}),
    ]
    for question, columns in questions:
        if fails:
            with pytest.raises(ModelFailed, match="in the middle"):
                ask(predictor, question, **columns)
        else:
            torch.testing.assert_close(ask(predictor, question, **columns)["y"], clean)  # in eval mode all the same
        assert state(net) == before
    assert torch.equal(x, images(6))


def test_callers_rows_are_not_changed_by_a_module_that_works_in_place():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.head = nn.Identity(), nn.Linear(192, 4)

        def forward(self, x):
            return self.head(self.same(x.mul_(2)).relu_().flatten(1))

    predictor, x = twin(seeded(InPlace)), images(4)
    a = ask(predictor, Activation(ASKED, ("same",)), x=x.clone())["a.same"]
    torch.testing.assert_close(a, 2 * x)
    kept = a.clone()
    out = ask(predictor, Gradient(ASKED, ("same",), Link.LOGIT), x=x.clone(), w=W[:4], **{"a.same": a})
    again = ask(predictor, Gradient(ASKED, (INPUT,), Link.LOGIT), w=W[:4], **{"a.input": (x0 := x.clone())})
    assert torch.equal(a, kept) and torch.equal(x0, x)
    torch.testing.assert_close(again["g.input"], 2 * out["g.same"])


# -- texts and tokens --------------------------------------------------------------------------------------------------

IDS = torch.tensor([[5, 7, 9, 0], [5, 7, 9, 3], [8, 0, 2, 1]])


def test_token_embeddings_are_a_layer_and_masks_are_minded():
    net = seeded(Encoder)
    predictor = twin(net, spec(2, **TOKENS))
    assert predictor.twin.embedding == "words"
    assert {one.name: one.shape for one in predictor.twin.layers} == {
        **dict.fromkeys(("words", "first.mix", "first", "second.mix", "second"), (-1, 8)),
        "head": (2,),
    }
    assert [one.name for one in predictor.twin.layers if one.cut] == ["words", "first", "second", "head"]
    for layer in ("words", "first", "second"):
        a = ask(predictor, Activation(ASKED, (layer,)), ids=IDS)[f"a.{layer}"].roll(1, 0)
        w = W[:3, :2]
        out = ask(predictor, Gradient(ASKED, (layer,), Link.LOGIT), ids=IDS, w=w, **{f"a.{layer}": a})
        alone = ask(predictor, Gradient(ASKED, (layer,), Link.LOGIT), ids=IDS[:1], w=w[:1], **{f"a.{layer}": a[:1]})
        assert not out[f"g.{layer}"][0, 3].any() and out[f"g.{layer}"][1, 3].any()  # no token, and one
        torch.testing.assert_close(alone[f"g.{layer}"], out[f"g.{layer}"][:1])
    same = IDS[:1].expand(3, -1)  # here one row runs before the layer
    a = ask(predictor, Activation(ASKED, ("first",)), ids=IDS)["a.first"]
    y = ask(predictor, Forward(ASKED, ("first",)), ids=same, **{"a.first": a})["y"]
    there = (same != 0).unsqueeze(-1).float()
    h = net.second(a, there)[0]
    torch.testing.assert_close(y, net.head((h * there).sum(1) / there.sum(1)))


class Reading(Encoder):
    """The same for texts of letters, and for ids."""

    def forward(self, rows):
        if isinstance(rows, list):
            longest = max(map(len, rows))
            rows = torch.tensor([[ord(c) % 100 for c in text.ljust(longest, "d")] for text in rows])  # d: 0
        return super().forward(rows)

    def pieces(self, text):
        return [(0, 0), *((i, i + 1) for i in range(len(text)))]


def test_a_module_of_texts_takes_texts_and_ids_and_tells_its_pieces():
    text = {"modality": "text", "input": spec().input.__class__("text", "BYTES", ())}
    predictor = twin(seeded(Reading), spec(2, **text))
    assert predictor.twin.pieces("ab") == (Unit(0, 0), Unit(0, 1), Unit(1, 2))
    rows = ["cat", "a", "horse"]
    assert ask(predictor, Activation(ASKED, ("words",)), text=rows)["a.words"].shape == (3, 5, 8)
    one = ask(predictor, Activation(ASKED, ("words",)), text=["cat"])["a.words"]
    ids = torch.tensor([[ord(c) % 100 for c in "cat"]])
    torch.testing.assert_close(ask(predictor, Activation(ASKED, ("words",)), text=ids)["a.words"], one)
    out = ask(
        predictor,
        Gradient(ASKED, ("words",), Link.LOGIT),
        text=["cat"] * 4,
        w=W[:4, :2],
        **{"a.words": one.expand(4, -1, -1)},
    )
    assert out["g.words"].shape == (4, 3, 8)
    with pytest.raises(InvalidRequest, match="token embeddings"):
        ask(predictor, Activation(ASKED, (INPUT,)), text=["cat"])


@pytest.mark.parametrize("form", ["module", "functional"])
def test_the_ids_that_a_network_knows_are_counted_and_none_beyond_is_asked(form):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.place, self.head = nn.Embedding(33, 8), nn.Embedding(512, 8), nn.Linear(8, 2)

        def forward(self, ids):
            h = self.words(ids) if form == "module" else nn.functional.embedding(ids, self.words.weight)
            return self.head((h + self.place(torch.arange(ids.shape[1]))).mean(1))

    embedded = EmbeddedPredictor(network(seeded(Small)), Card("net", "tokens"), batch_rows=4)
    predictor = twin(seeded(Small), spec(2, **TOKENS))
    assert embedded.spec().vocabulary == predictor.spec().vocabulary == 33
    assert predictor.probes()["ids"].max() < 33


def test_what_neighbours_ask_does_not_decide_how_an_exact_ask_of_tokens_runs():
    net = seeded(Encoder).requires_grad_(False)
    seen = []
    net.first.mix.register_forward_hook(lambda m, args, y: seen.append(tuple(args[0].shape)))
    predictor = twin(net, spec(2, **TOKENS))
    a = ask(predictor, Activation(ASKED, ("second",)), ids=IDS)["a.second"]
    for ids in (IDS[:1].expand(3, -1), IDS):
        for exact, shapes in ((False, None), (True, {(4, 4, 8)})):
            seen.clear()
            ask(predictor, Forward(ASKED, ("second",), exact=exact), ids=ids, **{"a.second": a})
            assert shapes is None or set(seen) == shapes


def test_pieces_that_fail_or_do_not_fit_fail_their_request_alone():
    class Odd(Reading):
        def pieces(self, text):
            return [(0, 0)] * {"few": 2, "none": 0}[text]

        def ids(self, text):
            return [1, 2]

    text = {"modality": "text", "input": spec().input.__class__("text", "BYTES", ())}
    made = twin(seeded(Odd), spec(2, **text)).twin
    assert made.ids("few") == (1, 2) and len(made.pieces("few")) == 2
    with pytest.raises(ModelFailed, match="2 ids of a text, and 0 pieces"):
        made.ids("none")
    with pytest.raises(ModelFailed, match="KeyError"):
        made.pieces("many")


def test_pieces_come_from_a_tokenizer_that_no_pass_is_using_over_the_same_weights():
    class Own(Reading):
        def __init__(self):
            super().__init__()
            self.tokenizer = SimpleNamespace(busy=False)

        def forward(self, rows):
            assert not self.tokenizer.busy
            return super().forward(rows)

        def pieces(self, text):
            self.tokenizer.busy = True
            self.pieces_of = self.words.weight
            return super().pieces(text)

    net = seeded(Own)
    text = {"modality": "text", "input": spec().input.__class__("text", "BYTES", ())}
    predictor = twin(net, spec(2, **text))
    predictor.twin.pieces("cat")
    ask(predictor, Forward(ASKED), text=["cat"])
    assert not net.tokenizer.busy


# -- random weights ----------------------------------------------------------------------------------------------------


def test_weights_are_random_from_a_layer_on_and_the_same_for_a_seed(made):
    x = images(4)

    def variant(name):
        return ask(made, Activation(Model("net", "1", name), ("blocks.0", "blocks.1")), x=x)

    plain, one, again, other = map(
        variant, (TWIN, "randomised:blocks.1:3", "randomised:blocks.1:3", "randomised:head:4")
    )
    assert torch.equal(one["a.blocks.0"], plain["a.blocks.0"]) and not torch.equal(
        one["a.blocks.1"], plain["a.blocks.1"]
    )
    assert torch.equal(one["y"], again["y"])
    assert torch.equal(other["a.blocks.1"], plain["a.blocks.1"]) and not torch.equal(other["y"], plain["y"])
    torch.testing.assert_close(variant(TWIN)["y"], plain["y"])  # and the twin itself stays what it is
    a = {"a.blocks.1": one["a.blocks.1"]}
    variant("randomised:stem:1"), variant("randomised:stem:2")  # more than are kept
    g = ask(made, Gradient(Model("net", "1", "randomised:blocks.1:3"), ("blocks.1",), Link.LOGIT), x=x, w=W[:4], **a)
    torch.testing.assert_close(g["y"], one["y"])
    with pytest.raises(Unknown, match="variant"):
        variant("shuffled:head:4")
    with pytest.raises(Unknown, match="layer"):
        variant("randomised:tail:4")


class Holding(nn.Module):
    """Weights that no call of a module of theirs uses: attention's projection, a class token, a graph's constants."""

    def __init__(self):
        super().__init__()
        self.conv, self.attention = nn.Conv2d(3, 8, 2, stride=2), nn.MultiheadAttention(8, 2, batch_first=True)
        self.token, self.constants, self.head = nn.Parameter(torch.randn(1, 1, 8)), nn.Module(), nn.Linear(8, 4)
        self.constants.register_buffer("weight", torch.randn(8, 8))
        self.constants.register_buffer("shape", torch.tensor([-1, 8]))
        self.constants.register_buffer("exponent", torch.tensor(2.0))
        nn.init.normal_(self.attention.out_proj.bias), nn.init.normal_(self.attention.in_proj_bias)

    def forward(self, x):
        h = self.conv(x).flatten(2).transpose(1, 2)
        h = self.attention(h, h, h)[0].mean(1) + self.token[:, 0]
        return self.head((h @ self.constants.weight).reshape(self.constants.shape.tolist()) ** self.constants.exponent)


def test_from_the_first_layer_on_no_weight_is_left_as_it_was_learnt():
    net = seeded(Holding).requires_grad_(False)
    predictor = twin(net)
    learnt = net.state_dict()

    def drawn(layer):
        made = predictor._copies.get(f"randomised:{layer}:1").state_dict()
        return {name for name, value in made.items() if not torch.equal(value, learnt[name])}

    attention = {f"attention.{name}" for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")}
    above = {"head.weight", "head.bias"}
    assert drawn("head") == above
    assert drawn("attention") == above | attention
    assert drawn("conv") == set(learnt) - {"constants.shape", "constants.exponent"}


def test_copies_that_nobody_asks_for_any_more_are_dropped(made):
    now = [0.0]
    copies = Copies(NET, made._listing, lambda: now[0])
    first = copies.get("randomised:head:1")
    now[0] = KEPT_SECONDS
    copies.tidy()
    assert copies.get("randomised:head:1") is first
    now[0] = 2 * KEPT_SECONDS + 1
    copies.tidy()
    assert copies.get("randomised:head:1") is not first


# -- asks and sources that will not do ---------------------------------------------------------------------------------


def test_an_unknown_layer_is_refused_with_its_likes(made):
    with pytest.raises(Unknown, match=r"blocks\.0"):
        ask(made, Forward(ASKED, ("block.0",)), x=images(2), **{"a.block.0": images(2)})


def test_a_network_that_gives_no_gradients_is_no_twin():
    with pytest.raises(Unsupported, match="onnxruntime"):
        TwinPredictor(Network(lambda x: x, "onnxruntime", ""), spec())


@pytest.mark.parametrize("stops", ["no_grad", "detach", "round"])
def test_a_network_through_which_no_gradient_comes_is_no_twin(stops):
    class Stopped(Residual):
        def forward(self, x):
            with torch.set_grad_enabled(stops != "no_grad" and torch.is_grad_enabled()):
                h = self.bn(self.stem(x))
                h = h.detach() if stops == "detach" else h.round() if stops == "round" else h
                return self.head(self.pool(h).flatten(1))

    with pytest.raises(Unsupported, match="its gradients are zero, or not finite, on all of 8 probes"):
        twin(seeded(Stopped))


def test_tokens_through_which_no_gradient_comes_are_no_twins():
    class Stopped(Encoder):
        @torch.no_grad()
        def forward(self, ids):
            return super().forward(ids)

    with pytest.raises(Unsupported, match="its gradients are zero"):
        twin(seeded(Stopped), spec(2, **TOKENS))


def test_a_network_that_loses_a_row_of_one_fails_and_says_how(made):
    class Squeezed(Residual):
        def forward(self, x):
            return super().forward(x).squeeze()

    with pytest.raises(ModelFailed, match=r"answers 1 rows with the shape \[4, 1\]"):
        ask(twin(seeded(Squeezed)), Forward(ASKED), x=images(1))


def test_what_rows_make_the_network_cache_does_not_fail_its_twins_gradients():
    class Cached(nn.Linear):
        table = None

        def __init__(self):
            super().__init__(192, 4)

        def forward(self, x):
            if self.table is None:
                self.table = torch.linspace(0, 1, 8)
            return super().forward((x * self.table).flatten(1))

    embedded = EmbeddedPredictor(network(seeded(Cached)), Card("net", "image", crop=(8, 8)), batch_rows=4)
    predictor = own_twin(embedded, embedded.spec(), batch_rows=4)
    assert embedded._forward.table is predictor._module.table is not None
    g = ask(predictor, Gradient(ASKED, (INPUT,), Link.AS_SERVED), w=W[:5], **{"a.input": images(5)})["g.input"]
    assert g.any()


def test_an_embedded_model_is_its_own_twin_in_one_copy():
    embedded = EmbeddedPredictor(network(seeded(Residual)), Card("net", "image", crop=(8, 8)), batch_rows=4)
    predictor = own_twin(embedded, embedded.spec(), batch_rows=4)
    assert embedded._forward is predictor._module
    assert predictor.lane == embedded.lane
    x, model = images(5), Model("net", "1")
    mine = embedded.start(Forward(model), [{"input": x}], lambda: None).result()["y"]
    torch.testing.assert_close(ask(predictor, Forward(ASKED), input=x)["y"], mine)
    g = ask(predictor, Gradient(ASKED, (INPUT,), Link.AS_SERVED), w=W[:5], **{"a.input": x})["g.input"]
    torch.testing.assert_close(g.double(), by_autograd(NET, INPUT, x, x, W[:5])[0], rtol=1e-4, atol=1e-5)


def test_classes_of_different_rows_share_a_batch(made):
    x = images(1).expand(4, -1, -1, -1)
    out = ask(made, Gradient(ASKED, (INPUT,), Link.LOGIT), w=torch.eye(4, dtype=torch.float64), **{"a.input": x})
    jacobian = torch.autograd.functional.jacobian(lambda one: NET(one)[0], images(1))[:, 0]
    torch.testing.assert_close(out["g.input"], jacobian, rtol=1e-4, atol=1e-6)
