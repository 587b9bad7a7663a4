"""Every attribution is what a plain loop over the same network in float64 finds, at the input and at layers."""

import math

import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from path_nets import Residual, Transformer, gelu_net, image_job, relu_net, run, seeded, token_job
from path_replicas import INPUT, Head, attribution, features, hessian_along, integrated
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.target import Link, OutputKind, Target
from sidelight.path.fusion import fused
from sidelight.path.options import Attribution, Options, Path, Quadrature
from torch import nn

PLAIN = [a for a in Attribution if a is not Attribution.EXPECTED_GRADIENTS]
PLACES = [
    pytest.param(relu_net, (), INPUT, id="relu at the input"),
    pytest.param(relu_net, ("2",), "2", id="relu at a convolution"),
    pytest.param(Residual, ("stem", "sum"), "sum", id="residual at the sum"),
    pytest.param(gelu_net, ("1",), "1", id="gelu at a convolution"),
]


def pair(job, module, layer):
    """z and b [*A], and x [1, ...]."""
    on = torch.tensor([1.0, 0.0], dtype=torch.float64).view(2, *[1] * len(job.input.shape)).expand(2, *job.input.shape)
    rows = job.input.blend(on, WIDE)["x"]
    return features(module, layer, rows[:1]), features(module, layer, rows[1:]), rows[:1]


def close(a, b, tolerance=1e-9):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * float(b.abs().max() + 1e-12))


@pytest.mark.parametrize("kind", PLAIN, ids=lambda a: a.value)
@pytest.mark.parametrize(("make", "cuts", "layer"), PLACES)
def test_an_attribution_is_the_plain_loop_and_its_account_is_right(make, cuts, layer, kind):
    module = seeded(make)
    job = image_job(module, cuts=cuts, classes=(1, 2))
    found = run(job, module, kind, layers=() if layer == INPUT else (layer,))
    z, b, x = pair(job, module, layer)
    for t, target in enumerate((1, 2)):
        g, account = Head(module, layer, x, target), found.accounts[t][0]
        wanted = attribution(kind.value, g, z, b, 0)
        assert close(account.raw[layer], wanted, 1e-6)
        assert account.result == pytest.approx(float(wanted.sum()), rel=1e-4, abs=1e-9)
        assert account.output == pytest.approx(g.value(z))
        implied = {"gradient": math.nan, "gradient_x_activation": 0, "grad_cam": 0, "layer_cam": 0, "odam": 0}
        from_ = implied.get(kind.value, 1)
        baseline = math.nan if math.isnan(from_) else g.value(from_ * b)
        assert account.baseline_output == pytest.approx(baseline, nan_ok=True)
        assert sum(account.parts.values()) == pytest.approx(account.error, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("kind", PLAIN, ids=lambda a: a.value)
def test_an_attribution_of_token_embeddings_is_the_plain_loop(kind):
    module, ids = seeded(Transformer), [3, 4, 5, 6, 7]
    job = token_job(module, ids, cuts=("embedding",))
    found = run(job, module, kind)
    z, b = (module.embedding(torch.tensor(row)).detach() for row in (ids, [0] * 5))
    wanted = attribution(kind.value, Head(module, "embedding", torch.tensor([ids]), 1), z, b, 1)
    assert close(found.accounts[0][0].raw["embedding"], wanted)
    if not found.accounts[0][0].steps:
        assert close(found.maps[0], wanted.sum(1))


@pytest.mark.parametrize("rule", [q for q in Quadrature if q not in (Quadrature.AUTO, Quadrature.ADAPTIVE)])
def test_every_fixed_rule_is_its_plain_loop_and_asks_no_end_twice(rule):
    module = seeded(gelu_net)
    job = image_job(module, cuts=("1",))
    found = run(job, module, Attribution.INTEGRATED_GRADIENTS, layers=("1",), quadrature=rule, nodes=6)
    z, b, x = pair(job, module, "1")
    wanted = integrated(Head(module, "1", x, 1), z, b, rule.value, 6)
    assert close(found.accounts[0][0].raw["1"], wanted)
    given = {Quadrature.TRAPEZOID: 2, Quadrature.RIGHT: 1, Quadrature.LEFT: 1}.get(rule, 0)
    assert run.answers.counts == {"activation": 2, "gradient": 6} | ({"forward": 2 - given} if given < 2 else {})
    assert found.accounts[0][0].evaluations == 2 + 6 + 2 - given


def test_several_layers_that_are_a_cut_together_are_interpolated_jointly():
    module = seeded(Residual)
    job = image_job(module, cuts=("stem", "sum"))
    found = run(job, module, Attribution.INTEGRATED_GRADIENTS, layers=("stem", "branch"), nodes=30)
    account = found.accounts[0][0]
    assert set(account.raw) == {"stem", "branch"}
    assert "cut" not in account.parts  # the stem alone is one
    assert abs(account.error) < 0.05 * abs(account.target)


def test_expected_gradients_come_near_the_mean_over_baselines_within_their_standard_error():
    module = seeded(gelu_net)
    job = image_job(module, others=2)
    found = run(job, module, Attribution.EXPECTED_GRADIENTS, draws=400)
    whole = run(job, module, Attribution.INTEGRATED_GRADIENTS)
    account = found.accounts[0][0]
    assert account.target == pytest.approx(whole.accounts[0][0].target)
    assert account.parts == {"monte_carlo": pytest.approx(account.error)}
    away = (found.maps - whole.maps).abs() / found.standard_error
    assert 0.5 < float(away.mean()) < 1.2  # the mean of |t| with 19 degrees of freedom is 0.82
    assert run.answers.counts["gradient"] == 150  # of integrated gradients over three baselines


@pytest.mark.parametrize("kind", PLAIN, ids=lambda a: a.value)
def test_smoothing_is_the_mean_over_noisy_copies_and_the_ends_stay(kind):
    module = seeded(gelu_net)
    job = image_job(module, cuts=("1",))
    options = {"layers": ("1",), "nodes": 5}
    plain = run(job, module, kind, **options).accounts[0][0]
    smooth = run(job, module, kind, smooth_copies=3, smooth_noise=0.1, **options).accounts[0][0]
    assert (smooth.output, smooth.baseline_output) == pytest.approx((plain.output, plain.baseline_output), nan_ok=True)
    assert sum(smooth.parts.values()) == pytest.approx(smooth.error, abs=1e-9, nan_ok=True)
    z, b, x = pair(job, module, "1")
    noise = [torch.from_numpy(job.stream.child("smooth.1").normal(range(c, c + 1), z.numel())) for c in range(3)]
    copies = [z + 0.1 * (z.max() - z.min()) * n.view(z.shape) for n in noise]
    g = Head(module, "1", x, 1)
    wanted = torch.stack([attribution(kind.value, g, copy, b, 0, n=5) for copy in copies]).mean(0)
    assert close(smooth.raw["1"], wanted, 1e-6)
    if kind is not Attribution.GRADIENT:
        mean = sum(g.value(copy) for copy in copies) / 3
        assert smooth.parts["noise"] == pytest.approx(mean - plain.output)


def test_second_order_terms_are_those_of_the_hessian():
    module = seeded(gelu_net)
    job = image_job(module, cuts=("1",))
    raw = run(job, module, Attribution.TAYLOR_SECOND_ORDER, layers=("1",)).accounts[0][0].raw["1"]
    z, b, x = pair(job, module, "1")
    g = Head(module, "1", x, 1)
    assert close(raw, (z - b) * (g.gradient(b) + 0.5 * hessian_along(g, b, z - b)), 1e-3)


def test_the_same_answer_for_any_tiles():
    module = seeded(gelu_net)
    job = image_job(module, cuts=("1",), classes=(0, 2))
    kinds = (Attribution.INTEGRATED_GRADIENTS, Attribution.LAYER_CAM, Attribution.EXPECTED_GRADIENTS)
    one, other = (run(job, module, *kinds, layers=("1",), draws=30, tile=tile) for tile in (1, 7))
    assert torch.allclose(one.maps, other.maps, rtol=1e-12, atol=0)
    for a, b in zip(one.accounts, other.accounts, strict=True):
        assert [x.result for x in a] == pytest.approx([x.result for x in b], rel=1e-12)


@pytest.mark.parametrize(
    "target",
    [
        Target(OutputKind.LOGITS, Link.PROBABILITY, (0, 2)),
        Target(OutputKind.LOGITS, Link.LOG_PROBABILITY, (1,), (0, 2)),
        Target(OutputKind.LOGITS, Link.COSINE, references=torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])),
        Target(OutputKind.LOGITS, Link.LOGIT, (0,), (1,)),
    ],
    ids=["probability", "log odds", "cosine", "margin"],
)
def test_what_is_attributed_is_the_explained_number_on_its_own_scale(target):
    module = seeded(gelu_net)
    job = image_job(module, cuts=("1",), target=target)
    found = run(job, module, Attribution.INTEGRATED_GRADIENTS, layers=("1",))
    scores = target.score(job.ends)  # [2, T]
    for t in range(target.count):
        account = found.accounts[t][0]
        assert account.output == pytest.approx(float(scores[0, t]))
        assert account.baseline_output == pytest.approx(float(scores[1, t]))
        assert abs(account.error) < 1e-7 * abs(account.target)


def test_a_single_sigmoid_is_the_pair_of_both_classes():
    module = seeded(lambda: nn.Sequential(gelu_net(), nn.Linear(3, 1), nn.Sigmoid()))
    job = image_job(module, target=Target(OutputKind.SIGMOID, Link.PROBABILITY, (0, 1)))
    found = run(job, module, Attribution.INTEGRATED_GRADIENTS)
    assert torch.allclose(found.maps[0], -found.maps[1], rtol=1e-9, atol=1e-15)
    assert found.accounts[1][0].output == pytest.approx(float(job.ends[0, 0]))


def test_a_gradient_that_is_not_finite_is_refused():
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 4), Root(), nn.Linear(4, 2)))
    with pytest.raises(Unsupported, match="not finite") as refused:
        run(image_job(module), module, Attribution.GRADIENT)
    assert refused.value.reason == "NON_FINITE_GRADIENT"


class Root(nn.Module):
    def forward(self, x):
        return (0 * x).sqrt()


def test_gradients_agree_with_finite_differences():
    module = seeded(gelu_net)
    job = image_job(module)
    raw = run(job, module, Attribution.GRADIENT).accounts[0][0].raw[INPUT]
    z, _, x = pair(job, module, INPUT)
    g = Head(module, INPUT, x, 1)
    for c, i, j in ((0, 0, 0), (1, 5, 5), (2, 11, 9)):
        step = torch.zeros_like(z)
        step[c, i, j] = 1e-5
        assert float(raw[c, i, j]) == pytest.approx((g.value(z + step) - g.value(z - step)) / 2e-5, rel=1e-5, abs=1e-9)


def test_what_has_no_baseline_says_only_that():
    told = run(image_job(seeded(gelu_net)), seeded(gelu_net), Attribution.GRADIENT).accounts[0][0]
    assert list(told.parts) == ["no_baseline"]
    assert math.isnan(told.error) and math.isnan(told.baseline_output)


@pytest.mark.parametrize(("path", "tolerance"), [(Path.GUIDED, None), (Path.STRAIGHT, 1e-2)])
def test_a_gradient_that_is_not_finite_is_refused_before_a_rule_is_led_by_it(path, tolerance):
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 4), Root(), nn.Linear(4, 2)))
    with pytest.raises(Unsupported, match="not finite") as refused:
        run(image_job(module, tolerance=tolerance), module, Attribution.INTEGRATED_GRADIENTS, path=path)
    assert refused.value.reason == "NON_FINITE_GRADIENT"
    assert run.answers.counts["gradient"] <= 5


def test_of_several_baselines_the_output_on_each_is_told():
    module = seeded(gelu_net)
    job = image_job(module, others=2)
    account = run(job, module, Attribution.INTEGRATED_GRADIENTS).accounts[0][0]
    rows = [x.blend(torch.zeros(1, *x.shape), WIDE)["x"] for x in (job.input, *job.others)]
    with torch.no_grad():
        wanted = module(torch.cat(rows))[:, 1].tolist()
    assert account.baseline_outputs == pytest.approx(wanted)
    assert account.baseline_output == pytest.approx(sum(wanted) / 3)
    assert run(image_job(module), module, Attribution.TAYLOR).accounts[0][0].baseline_outputs == ()


class Patches(nn.Module):
    """A vision transformer of one block, whose head reads the class token."""

    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Conv2d(3, width, 4, stride=4)
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.tokens = nn.Identity()
        self.block = nn.TransformerEncoderLayer(width, 2, 16, 0.0, "gelu", batch_first=True)
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        patches = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.block(self.tokens(torch.cat([self.first.expand(len(x), -1, -1), patches], 1)))[:, 0])


def test_a_layer_after_which_the_class_token_alone_is_read_is_refused_with_an_earlier_one():
    module = seeded(Patches)
    job = image_job(module, cuts=("tokens", "block", "head"), size=(16, 16))
    with pytest.raises(InvalidRequest, match=r"layer_cam\.layers: name an earlier one \(tokens\).* block "):
        cam(job, module)
    assert cam(job, module, layers=("tokens",)).maps.any()
    whole = run(job, module, Attribution.INTEGRATED_GRADIENTS, layers=("block",))  # all of it is in the rest
    assert not whole.maps.any() and float(whole.rest[0]) == pytest.approx(whole.accounts[0][0].result)


def cam(job, module, **options):
    chosen = Options("layer_cam", (Attribution.LAYER_CAM,), last=True, fuses=True, **options)
    return inline(fused(job, chosen), Answers(module), on=WIDE)
