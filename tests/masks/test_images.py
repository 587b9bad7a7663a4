"""Rows of images under masks: what is mixed, what comes back, in every layout and however it is tiled."""

from dataclasses import replace

import pytest
import torch
from differentiable import WIDE, Answers
from inline import inline
from mask_nets import RAW, SPACE, image_job, small_net
from sidelight.core.ask import INPUT
from sidelight.core.errors import InvalidRequest
from sidelight.core.evidence import Evidence
from sidelight.core.inputs import encode
from sidelight.core.predictor import PixelSpace
from sidelight.core.sweep import Placement
from sidelight.core.target import OutputKind
from sidelight.masks.images import ImageScene
from sidelight.masks.options import IMAGE_CNN, Comprehensiveness
from torch import nn

SOFTMAX = replace(IMAGE_CNN, evidence=Evidence.SOFTMAX)
SIZE = (12, 10)


def masks(count=1, seed=2):
    torch.manual_seed(seed)
    return torch.rand(count, *SIZE, dtype=torch.float64)


def asked(sweep, net, tile=16, on=WIDE, **more):
    """What a sweep is answered with."""

    def plan():
        return (yield sweep).value

    return inline(plan(), Answers(net, **more), tile, on)


def by_the_book(job, net, mask, options=SOFTMAX, target=0):
    """-log p - log(1 - q), p and q of one mask [H, W], every baseline rendered by itself; differentiable."""
    total, c = 0.0, job.target.classes[target]
    for x in (job.input, *job.others):
        z, b = encode(x.pixels, x.space).double(), encode(x.baseline, x.space).double()
        keep = mask.unsqueeze(0) if x.space.layout == "NCHW" else mask.unsqueeze(2)
        p = net((keep * z + (1 - keep) * b).unsqueeze(0)).softmax(1)[0, c]
        q = net(((1 - keep) * z + keep * b).unsqueeze(0)).softmax(1)[0, c]
        ratio = options.comprehensiveness is Comprehensiveness.LOG_RATIO
        total = total - p.log() + (q.log() if ratio else -(1 - q).log())
    return total / (1 + len(job.others))


class Last(nn.Module):
    """The same network for channels last."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.permute(0, 3, 1, 2))


def case(name):
    if name == "NHWC":
        return (net := Last(small_net())), image_job(net, space=replace(SPACE, layout="NHWC"), baselines=(90.0, 10.0))
    if name == "grey":
        pixels = (torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(4)) * 255).round()
        space = PixelSpace("L", 1 / 255, (0.5,), (0.25,))
        return (net := small_net(channels=1)), image_job(net, pixels=pixels, space=space)
    net = nn.Sequential(Scaled(), small_net()) if name == "whole numbers" else small_net()
    space = replace(RAW, integer=True) if name == "whole numbers" else SPACE
    return net, image_job(net, space=space, baselines=(100.0, 20.0, 230.0))


class Scaled(nn.Module):
    """0..255 to 0..1."""

    def forward(self, x):
        return x / 255


@pytest.mark.parametrize("form", Comprehensiveness)
@pytest.mark.parametrize("name", ["NCHW", "NHWC", "grey", "whole numbers"])
def test_terms_and_gradient_are_those_of_every_row_by_itself(name, form):
    net, job = case(name)
    options = replace(SOFTMAX, comprehensiveness=form)
    mask = masks()[0].requires_grad_()
    expected = by_the_book(job, net, mask, options)
    expected.backward()
    found = asked(ImageScene(job, options).rows(mask.detach().unsqueeze(0), [0], 0, True), net)
    assert (-found.log_p - found.log_not_q).item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(found.gradient[0], mask.grad, rtol=1e-5, atol=1e-9)
    assert mask.grad.abs().max() > 1e-5


@pytest.mark.parametrize("form", Comprehensiveness)
def test_p_and_q_are_means_over_baselines(form):
    net, job = case("NCHW")
    mask = masks()
    found = asked(ImageScene(job, replace(SOFTMAX, comprehensiveness=form)).rows(mask, [0], 0, True), net)
    p, q = [], []
    for x in (job.input, *job.others):
        rows = x.blend(torch.cat([mask, 1 - mask]), WIDE)["x"]
        kept, rest = net(rows).softmax(1)[:, 1].tolist()
        p.append(kept)
        q.append(rest)
    assert found.p.item() == pytest.approx(sum(p) / 3)
    assert found.q.item() == pytest.approx(sum(q) / 3)


def test_a_model_of_whole_numbers_is_asked_at_any():
    _, job = case("whole numbers")
    sweep = ImageScene(job, SOFTMAX).rows(masks(), [0], 0, True)
    x = sweep.render(range(2), WIDE)[0][f"a.{INPUT}"]
    assert x.is_floating_point()
    assert (x - x.round()).abs().max() > 0.1


def test_masks_of_several_targets_are_read_for_their_own():
    net = small_net()
    job = image_job(net, classes=(2, 0), baselines=(100.0, 20.0))
    scene, two = ImageScene(job, SOFTMAX), masks(2)
    both = asked(scene.rows(two, [0, 1], 0, True), net)
    for t in range(2):
        alone = asked(scene.rows(two[t : t + 1], [t], 0, True), net)
        expected = by_the_book(job, net, two[t], target=t).item()
        assert (-alone.log_p - alone.log_not_q).item() == pytest.approx(expected, rel=1e-6)
        for name in ("log_p", "log_not_q", "p", "q", "gradient"):
            assert torch.equal(getattr(both, name)[t], getattr(alone, name)[0]), name


@pytest.mark.parametrize("channels_last", [False, True])
def test_nothing_depends_on_how_rows_are_tiled(channels_last):
    net, job = case("NCHW")
    job = replace(job, target=replace(job.target, classes=(0, 1, 2)))
    scene, answers = ImageScene(job, IMAGE_CNN), Answers(net)
    on = Placement(channels_last=channels_last)

    def row_by_row(ask, columns):  # what a row is answered with does not depend on its neighbours, as in exact batches
        parts = [answers(ask, {n: c[i : i + 1] for n, c in columns.items()}) for i in range(len(columns["w"]))]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def plan():
        return (yield scene.rows(masks(3).float(), [0, 1, 2], 0, True)).value

    found = [inline(plan(), row_by_row, tile, on) for tile in (1, 5, 8, 18)]
    for other in found[1:]:
        for name in ("log_p", "log_not_q", "p", "q", "gradient"):
            assert torch.equal(getattr(other, name), getattr(found[0], name)), name


def test_a_render_of_some_rows_is_that_part_of_all():
    _, job = case("NCHW")
    sweep = ImageScene(job, SOFTMAX).rows(masks(2), [0, 0], 0, True)
    assert sweep.size == 12
    whole, _ = sweep.render(range(12), WIDE)
    for rows in (range(0, 3), range(3, 9), range(9, 12), range(7, 8)):
        part, _ = sweep.render(rows, WIDE)
        for name in whole:
            assert torch.equal(part[name], whole[name][rows.start : rows.stop])


def test_what_was_cut_short_is_not_a_number():
    net, job = case("NCHW")
    found = asked(replace(ImageScene(job, SOFTMAX).rows(masks(), [0], 0, True), size=3), net)
    assert found.log_p.isnan().all()


def test_probabilities_are_squeezed():
    net = nn.Sequential(small_net(), nn.Softmax(1))
    job = image_job(net, kind=OutputKind.PROBABILITIES)
    found = asked(ImageScene(job, SOFTMAX).rows(masks(), [0], 0, True), net, kind=OutputKind.PROBABILITIES)
    rows = job.input.blend(torch.cat([masks(), 1 - masks()]), WIDE)["x"]
    p, q = (0.99999 * net(rows)[:, 1] + 5e-6).tolist()
    assert found.log_p.exp().item() == pytest.approx(p)
    assert found.log_not_q.exp().item() == pytest.approx(1 - q)


def test_more_rows_a_step_than_are_sensible_are_refused():
    net = small_net()
    job = image_job(net, baselines=tuple(range(100)), classes=(0, 1, 2))
    with pytest.raises(InvalidRequest, match=r"baseline: fewer .* 600 rows in every step"):
        ImageScene(job, SOFTMAX)
