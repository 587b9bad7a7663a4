"""Layers that are no cut: refused by name of what passes by, or taken and what passes by told."""

from dataclasses import replace

import pytest
import torch
from differentiable import WIDE
from path_nets import Residual, Transformer, image_job, run, seeded, token_job
from path_replicas import Head, features
from sidelight.core.baseline import FeatureZero
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.target import Link, OutputKind
from sidelight.path.options import Attribution
from torch import nn

IG = Attribution.INTEGRATED_GRADIENTS
CUTS = ("stem", "sum", "pool", "head")


def job_and_net(**more):
    net = seeded(Residual)
    return image_job(net, cuts=CUTS, **more), net


def rows(job):
    keep = torch.tensor([1.0, 0.0], dtype=torch.float64).view(2, 1, 1).expand(2, *job.input.shape)
    return job.input.blend(keep, WIDE)["x"]


def test_a_layer_with_a_connection_past_it_is_refused_by_name_of_what_passes_by():
    job, net = job_and_net()
    with pytest.raises(Unsupported, match=r"branch is no cut: the output of stem .* past it") as refused:
        run(job, net, IG, layers=("branch",))
    assert refused.value.reason == "NOT_A_CUT"
    assert "name stem or sum or pool" in str(refused.value)


def test_a_layer_that_all_goes_past_is_refused_by_name_of_the_input():
    job, net = job_and_net()
    job = image_job(net, cuts=("sum", "pool", "head"))
    with pytest.raises(Unsupported, match="the input reaches the output past it"):
        run(job, net, IG, layers=("branch",))


def test_a_set_is_tried_by_another_input_with_the_layers_held_fixed():
    net = seeded(Residual)
    job = image_job(net, cuts=("sum", "pool", "head"))  # as if the stem were not known as one
    found = run(job, net, IG, layers=("stem", "branch"), nodes=5)
    assert run.answers.counts == {"activation": 2, "forward": 4 + 2, "gradient": 5}
    assert found.accounts[0][0].evaluations == 13
    with pytest.raises(Unsupported, match=r"branch.0, branch.1 together are no cut"):
        run(job, net, IG, layers=("branch.0", "branch.1"))


def test_at_a_layer_that_is_no_cut_the_difference_of_whole_outputs_is_the_wrong_target_and_ours_is_right():
    job, net = job_and_net()
    found = run(job, net, IG, layers=("branch",), nodes=400, allow_partial_cut=True).accounts[0][0]
    x = rows(job)
    z, b = (features(net, "branch", row.unsqueeze(0)) for row in x)
    g = Head(net, "branch", x[:1], 1)
    y = net(x)[:, 1].detach()
    naive = float(y[0] - y[1])
    assert found.target == pytest.approx(g.value(z) - g.value(b))
    assert abs(found.error) < 1e-3 * abs(found.target)
    assert abs(found.result - naive) > 0.1 * abs(naive)
    assert found.parts["cut"] == pytest.approx(g.value(b) - float(y[1]))
    assert found.target + found.parts["cut"] == pytest.approx(naive)  # what the layer has of it, and what passes by
    assert "no cut: what passes by keeps the input's values" in found.baseline


def test_what_passes_by_is_undefined_for_a_baseline_that_no_input_has_and_that_is_said():
    job, net = job_and_net(at_layer=FeatureZero())
    found = run(job, net, IG, layers=("branch",), nodes=5, allow_partial_cut=True).accounts[0][0]
    assert "cut" not in found.parts
    assert "no input has these features" in found.baseline


def test_a_cut_induces_the_outputs_of_its_baselines():
    job, net = job_and_net()
    found = run(job, net, IG, layers=("sum",), nodes=5).accounts[0][0]
    assert (found.output, found.baseline_output) == pytest.approx(tuple(net(rows(job))[:, 1].tolist()))
    assert "cut" not in found.parts


def test_an_unknown_layer_is_named_with_those_there_are():
    job, net = job_and_net()
    with pytest.raises(InvalidRequest, match="no layer 'brunch'; there is branch"):
        run(job, net, IG, layers=("brunch",))


def test_a_layer_without_positions_is_refused_with_the_mend():
    job, net = job_and_net()
    with pytest.raises(InvalidRequest, match="a layer with positions"):
        run(job, net, IG, layers=("head",))


def test_a_model_without_a_twin_is_refused():
    job, net = job_and_net(twin=None)
    with pytest.raises(Unsupported, match="no differentiable twin"):
        run(job, net, IG)


class Saturated(nn.Module):
    """Serves probabilities that are 0 and 1 where its main branch has an image's values, whatever the other one has."""

    def __init__(self):
        super().__init__()
        self.main, self.side = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.again, self.head = nn.Identity(), nn.Linear(4, 3)

    def forward(self, x):
        h = 1e3 * self.again(self.main(x)) + self.side(x)
        return self.head(h.mean((2, 3))).softmax(1)


def test_a_set_that_is_no_cut_is_found_out_where_the_baseline_is_the_input_itself():
    job, net = job_and_net()
    job = image_job(net, cuts=("sum", "pool", "head"))
    job = replace(job, input=replace(job.input, baseline=job.input.pixels))
    with pytest.raises(Unsupported, match="together are no cut"):
        run(job, net, IG, layers=("branch.0", "branch.1"))
    run(job, net, IG, layers=("stem", "branch"), nodes=2)


def test_a_set_that_is_no_cut_is_found_out_where_it_saturates_the_output():
    net = seeded(Saturated)
    job = image_job(net, cuts=("head",), kind=OutputKind.PROBABILITIES, link=Link.PROBABILITY)
    with pytest.raises(Unsupported, match="together are no cut"):
        run(job, net, IG, layers=("main", "again"))
    run(job, net, IG, layers=("main", "side"), nodes=2)


def test_a_set_in_a_text_is_tried_by_other_tokens_though_the_baseline_is_the_text_itself():
    net = seeded(Transformer)
    job = token_job(net, [5, 5, 5], replacement=5, cuts=("block", "head"))
    with pytest.raises(Unsupported, match="together are no cut"):
        run(job, net, IG, layers=("block.linear2", "block.linear1"))
