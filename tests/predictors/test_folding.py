"""Folding batch norms changes nothing but rounding, and leaves alone what it cannot be sure of."""

from concurrent.futures import ThreadPoolExecutor

import torch
from sidelight.predictors.folding import folded
from torch import nn

X = torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def normed(seed=0):
    """A norm with statistics that matter."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.2, 3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


class Same(nn.Conv2d):
    """A convolution with a forward of its own."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (0, 1, 1, 0), value=2.0))


class Net(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.conv, self.bn = Same(3, 4, 2, bias=False), normed()
        self.more, self.norm = nn.Conv2d(4, 4, 3, groups=4), normed(1)
        self.how = forward

    def forward(self, x):
        return self.how(self, x)


def chain(n, x):
    return n.norm(n.more(n.bn(n.conv(x)).relu())).mean((2, 3))


def norms(module):
    return sum(isinstance(m, nn.BatchNorm2d) for m in module.modules())


def check(how, left, x=X):
    net = Net(how).eval()
    made = folded(net, x).module
    assert norms(made) == left and norms(net) == 2
    torch.testing.assert_close(made(x * 3), net(x * 3), rtol=1e-4, atol=1e-5)


def test_norms_behind_convolutions_are_folded_and_the_answer_stays():
    check(chain, left=0)


def test_a_convolution_whose_own_output_is_wanted_too_keeps_its_norm():
    def residual(n, x):
        y = n.conv(x)
        return n.norm(n.more(n.bn(y) + y)).mean((2, 3))

    check(residual, left=1)


def test_modules_used_twice_keep_their_norm():
    def twice(n, x):
        y = n.bn(n.conv(x))
        return n.norm(n.more(n.norm(n.more(y)))).mean((2, 3))

    check(twice, left=1)


class Activated(nn.BatchNorm2d):
    """A norm with an activation of its own, as some libraries have them."""

    def forward(self, x):
        return super().forward(x).relu()


def test_a_norm_that_does_more_than_norm_stays():
    net = Net(chain).eval()
    made = Activated(4).eval()
    made.load_state_dict(net.bn.state_dict())
    net.bn = made
    found = folded(net, X)
    assert found.changed == {"more"} and isinstance(found.module.bn, Activated)
    torch.testing.assert_close(found.module(X), net(X), rtol=1e-4, atol=1e-5)


def test_control_flow_on_data_is_left_alone():
    def branching(n, x):
        return chain(n, x) if x.sum() > 0 else x.mean((1, 2, 3))[:, None]

    assert folded(Net(branching).eval(), X) is None


def test_a_network_without_norms_is_left_alone():
    assert folded(nn.Conv2d(3, 4, 2).eval(), X) is None


class Separable(nn.Module):
    """A convolution in a module of its own, with its norm outside."""

    def __init__(self):
        super().__init__()
        self.depthwise, self.pointwise = nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


def test_a_module_around_a_folded_convolution_has_another_output_too():
    net = nn.Sequential(nn.Sequential(Separable()), normed(), nn.Sequential(nn.Conv2d(4, 4, 1), normed(1))).eval()
    found = folded(net, X)
    assert norms(found.module) == 0
    assert found.changed == {"0.0.pointwise", "0.0", "0", "2.0"}  # and not 2, whose norm is in it


def test_networks_that_other_threads_run_meanwhile_are_left_alone():
    other, seen = nn.Linear(3, 2), []

    def how(n, x):
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(other, torch.ones(1, 3)).result())
        return chain(n, x)

    check(how, left=0)
    assert seen and all(isinstance(y, torch.Tensor) for y in seen)


def test_inputs_given_by_name_and_tensors_of_its_own_are_no_hindrance():
    check(lambda n, x: n.norm(input=n.more(n.bn(n.conv(x)) * torch.full((), 2.0))), left=0)
