"""Baselines that only a layer has: means against plain loops, the search for a neutral point by its two conditions."""

import math
from dataclasses import replace

import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from path_nets import SPACE, Residual, Transformer, gelu_net, image_job, seeded, token_job
from sidelight.core.ask import INPUT
from sidelight.core.baseline import FeatureMean, FeatureZero, Neutral
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.explanation import checked_ends
from sidelight.core.inputs import encode
from sidelight.core.sweep import Folded, Stop, Stopped
from sidelight.core.target import Link, OutputKind, Target
from sidelight.path.baselines import feature_baseline
from sidelight.path.layers import see
from sidelight.path.neutral import aim
from sidelight.path.positions import grids
from torch import nn


def features(job, module, *layers):
    return inline(see(job, layers, {"x": (job.input, False)}), Answers(module), on=WIDE)["x"].features


def searched(job, z):
    return feature_baseline(job, grids(job.input, {layer: tuple(a.shape) for layer, a in z.items()}), z)


def baseline(job, module, at_layer, *layers):
    plan = searched(replace(job, at_layer=at_layer), features(job, module, *layers))
    return inline(plan, Answers(module, kind=job.target.kind), 3, WIDE)


def output(job, module, b):
    """What the network gives with b at the layers."""
    values = {layer: a.unsqueeze(0) for layer, a in b.items()}
    x = values.get(INPUT, encode(job.input.pixels, job.input.space).double().unsqueeze(0)) if hasattr(
        job.input, "pixels"
    ) else job.input.ids.unsqueeze(0)  # fmt: skip
    with torch.no_grad():
        return Answers(module).run(x, {n: v for n, v in values.items() if n != INPUT})[0].double()


# -- zero and mean -----------------------------------------------------------------------------------------------------


def test_zero_is_zero_at_every_layer():
    net = seeded(Residual)
    b = baseline(image_job(net), net, FeatureZero(), "stem", "sum")
    assert {n: tuple(a.shape) for n, a in b.items()} == {"stem": (4, 6, 5), "sum": (4, 6, 5)}
    assert all((a == 0).all() for a in b.values())


def test_the_mean_feature_is_each_channels_mean_over_positions():
    net = seeded(Residual)
    job = image_job(net)
    z = features(job, net, "stem", INPUT)
    b = baseline(job, net, FeatureMean(), "stem", INPUT)
    for layer in z:
        for c in range(len(z[layer])):
            assert (b[layer][c] - z[layer][c].mean()).abs().max() < 1e-12
    tokens = seeded(Transformer)
    job = token_job(tokens, [3, 1, 4, 1, 5])
    z, b = features(job, tokens, "embedding")["embedding"], baseline(job, tokens, FeatureMean(), "embedding")
    torch.testing.assert_close(b["embedding"], z.mean(0).expand(5, -1))


def test_the_mean_of_reference_images_is_over_images_and_positions():
    net = seeded(Residual)
    job = image_job(net)
    torch.manual_seed(1)
    references = tuple((torch.rand(3, 12, 10) * 255).round() for _ in range(5))
    b = baseline(job, net, FeatureMean(references), "stem", INPUT)
    encoded = torch.stack([encode(r.double(), job.input.space) for r in references])
    with torch.no_grad():
        stem = net.stem(encoded)
    torch.testing.assert_close(b["stem"], stem.mean((0, 2, 3)).view(-1, 1, 1).expand(4, 6, 5))
    torch.testing.assert_close(b[INPUT], encoded.mean((0, 2, 3)).view(-1, 1, 1).expand(3, 12, 10))


def test_the_mean_of_a_part_of_the_references_is_no_baseline():
    net = seeded(Residual)
    job = replace(image_job(net), at_layer=FeatureMean((torch.zeros(3, 12, 10),) * 4))
    plan = searched(job, features(job, net, "stem"))
    sweep = next(plan)
    assert not sweep.counts
    with pytest.raises(Stopped):
        plan.send(Folded(({}, 2), 2, Stop.DEADLINE))


# -- neutral -----------------------------------------------------------------------------------------------------------


def sharp(make, seed=0):
    """A network that is sure of itself, but not of a washed-out copy of the image: there all its logits are 0."""
    net = seeded(make, seed)
    last = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
    x = image_job(net).input
    pale = x.pixels.double() * 0.5 + 0.5 * x.pixels.double().mean((1, 2), keepdim=True)
    with torch.no_grad():
        own, other = net(torch.stack([encode(p.double(), x.space) for p in (x.pixels, pale)]))
        gain = 4 / (own - other).std()
        last.weight *= gain
        last.bias.mul_(gain).sub_(gain * other)
    return net


def entropy(p):
    return float(torch.special.entr(p).sum() / math.log(len(p)))


CASES = [
    (Residual, ("sum",)), (Residual, (INPUT,)), (Residual, ("stem", "branch")),
    (gelu_net, ("1",)), (gelu_net, (INPUT,)),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("make", "layers"), CASES)
@pytest.mark.parametrize("link", [Link.LOGIT, Link.PROBABILITY])
def test_a_neutral_point_meets_both_conditions_as_an_independent_forward_sees_them(make, layers, link, seed):
    net = sharp(make, seed=seed)
    job = image_job(net, classes=(seed,), link=link)
    assert entropy(job.ends[0].softmax(0)) < 0.8
    z = features(job, net, *layers)
    y = output(job, net, baseline(job, net, Neutral(), *layers))[0]
    p = y.softmax(0)
    assert entropy(p) >= 0.9
    if link is Link.LOGIT:
        g = output(job, net, z)[0, seed]
        assert abs(y[seed]) <= 1e-3 * max(1, abs(g))
    else:
        assert abs(p[seed].log() - math.log(1 / 3)) <= 0.05


@pytest.mark.parametrize(("make", "layers"), CASES)
def test_a_neutral_point_keeps_to_the_range_of_the_features(make, layers):
    net = sharp(make)
    job = image_job(net, link=Link.PROBABILITY)
    z, b = features(job, net, *layers), baseline(job, net, Neutral(), *layers)
    for layer in layers:
        if layer == INPUT:
            low, high = (encode(torch.full((3, 12, 10), v).double(), job.input.space) for v in (0.0, 255.0))
        else:
            low, high = z[layer].min().clamp(max=0), z[layer].max().clamp(min=0)
        assert (b[layer] >= low - 1e-6).all() and (b[layer] <= high + 1e-6).all()
        assert torch.equal(b[layer].float().double(), b[layer])  # what is told is what a float32 model was asked at
        assert b[layer].shape == z[layer].shape and b[layer].dtype == torch.float64


def test_one_point_is_neutral_for_several_classes_and_a_margin_is_zero():
    net = sharp(gelu_net)
    job = image_job(net, classes=(0, 2), link=Link.PROBABILITY)
    p = output(job, net, baseline(job, net, Neutral(), "1"))[0].softmax(0)
    assert (p[[0, 2]].log() - math.log(1 / 3)).abs().max() <= 0.05 and entropy(p) >= 0.9
    margin = Target(OutputKind.LOGITS, Link.LOGIT, (0,), contrast=(1, 2))
    job = image_job(net, target=margin)
    y = output(job, net, baseline(job, net, Neutral(), "1"))[0]
    assert abs(y[0] - y[1:].mean()) <= 1e-3 * max(1, abs(float(margin.score(job.ends[:1]))))
    assert entropy(y.softmax(0)) >= 0.9


def test_a_transformer_has_a_neutral_point_at_its_embeddings():
    net = seeded(Transformer)
    with torch.no_grad():
        net.head.weight *= 10
    job = token_job(net, [3, 1, 4, 1, 5], link=Link.PROBABILITY)
    y = output(job, net, baseline(job, net, Neutral(), "embedding"))[0]
    assert abs(y.log_softmax(0)[1] - math.log(0.5)) <= 0.05 and entropy(y.softmax(0)) >= 0.9


class Served(nn.Module):
    """A network that serves what `of` makes of its logits."""

    def __init__(self, net, of):
        super().__init__()
        self.net, self.of = net, of

    def forward(self, x):
        return self.of(self.net(x))


def test_probabilities_and_a_single_sigmoid_are_read_as_they_are_served():
    net = Served(sharp(gelu_net), lambda y: y.softmax(1))
    job = image_job(net, kind=OutputKind.PROBABILITIES, link=Link.PROBABILITY)
    p = output(job, net, baseline(job, net, Neutral(), "net.1"))[0]
    assert abs(p[1].log() - math.log(1 / 3)) <= 0.05 and entropy(p) >= 0.9
    net = Served(sharp(gelu_net), lambda y: torch.sigmoid(y[:, :1]))
    job = image_job(net, kind=OutputKind.SIGMOID, link=Link.PROBABILITY)
    p = output(job, net, baseline(job, net, Neutral(), "net.1"))[0, 0]
    assert abs(p.log() - math.log(0.5)) <= 0.05 and entropy(torch.stack([p, 1 - p])) >= 0.9


def test_independent_outputs_are_neutral_at_a_half_each():
    net = sharp(gelu_net)
    job = image_job(net, link=Link.SIGMOID)
    p = torch.sigmoid(output(job, net, baseline(job, net, Neutral(), "1"))[0])
    assert abs(p[1].log() - math.log(0.5)) <= 0.05
    assert (torch.special.entr(p) + torch.special.entr(1 - p)).mean() / math.log(2) >= 0.9


def test_where_nothing_is_neutral_it_is_refused_with_the_numbers_reached():
    net = seeded(Residual)
    with torch.no_grad():
        net.head.weight *= 0.0
        net.head.bias.copy_(torch.tensor([6.0, 0.0, 0.0]))  # sure of class 0, whatever it sees
    for link, value in ((Link.LOGIT, "logit of 6"), (Link.PROBABILITY, r"probability of 0\.995")):
        job = image_job(net, classes=(0,), link=link)
        with pytest.raises(Unsupported, match=value) as refused:
            baseline(job, net, Neutral(), "sum")
        assert refused.value.reason == "NO_NEUTRAL_BASELINE"
        p = torch.tensor([6.0, 0, 0]).double().softmax(0)
        assert f"entropy of {entropy(p):.3f}" in str(refused.value) and "another baseline" in str(refused.value)
    with pytest.raises(Unsupported, match="one class at a time"):
        baseline(image_job(net, classes=(0, 1)), net, Neutral(), "sum")


def test_a_confident_dog_is_not_neutral_for_cat():
    # The probability of class 1 is its share of chance everywhere; class 0 takes the rest of the other two.
    class Sure(nn.Module):
        def __init__(self):
            super().__init__()
            self.sum = nn.Identity()

        def forward(self, x):
            s = self.sum(x).mean((1, 2, 3))
            q = 0.66 + 0 * s
            return torch.stack([q, 1 / 3 + 0 * s, 2 / 3 - q], 1).log()

    net = Sure()
    job = image_job(net, link=Link.PROBABILITY)
    with pytest.raises(Unsupported, match=r"entropy of 0\.6\d\d .* 0\.3333, whose .* off"):
        baseline(job, net, Neutral(), "sum")


def test_unknown_outputs_and_cosines_have_no_neutral_point():
    net = seeded(gelu_net)
    cosine = Target(OutputKind.LOGITS, Link.COSINE, references=torch.ones(1, 3))
    for target in (Target(OutputKind.AS_SERVED, Link.AS_SERVED, (0,)), cosine):
        with pytest.raises(InvalidRequest, match=r"output\.kind") as refused:
            baseline(image_job(net, target=target), net, Neutral(), "1")
        assert refused.value.field == "baseline.neutral"


def test_one_number_that_is_no_sigmoid_has_no_neutral_point():
    net = seeded(lambda: nn.Sequential(gelu_net(), nn.Linear(3, 1)))
    with pytest.raises(InvalidRequest, match="two classes or more") as refused:
        baseline(image_job(net, classes=(0,)), net, Neutral(), "0.1")
    assert refused.value.field == "baseline.neutral"
    assert aim(image_job(net, classes=(0,), link=Link.SIGMOID)).sigmoids


def test_the_search_draws_nothing_and_spends_no_budget():
    net = sharp(gelu_net)
    job = image_job(net)
    first, second = (baseline(job, net, Neutral(), "1")["1"] for _ in range(2))
    assert torch.equal(first, second)
    plan = searched(replace(job, at_layer=Neutral()), features(job, net, "1"))
    wanted = next(plan)
    assert all(not sweep.counts and sweep.ask.exact and sweep.size <= 2 for sweep in wanted)
    with pytest.raises(Stopped):
        plan.send(tuple(Folded.nothing(Stop.DEADLINE) for _ in wanted))


class White(nn.Module):
    """The network, but where the first pixel is wholly white."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) + 1e3 * (x[:, :1, 0, 0] - encode(torch.full((3, 1, 1), 254.0), SPACE)[0, 0, 0]).clamp(min=0)


def test_a_twin_that_differs_on_any_of_several_baselines_is_refused():
    net = seeded(Residual)
    other = White(net)
    job = image_job(net, others=2)

    def answer(ask, columns):
        return Answers(other if ask.model.variant else net)(ask, columns)

    y, _ = inline(checked_ends(job), answer, on=WIDE)
    torch.testing.assert_close(y, job.ends)
    white = replace(job.input, baseline=torch.full_like(job.input.pixels, 255.0))
    with pytest.raises(Unsupported, match="differs from the served model") as refused:
        inline(checked_ends(replace(job, others=(*job.others, white))), answer, on=WIDE)
    assert refused.value.reason == "TWIN_DISAGREES"
