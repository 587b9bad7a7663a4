"""Which layers a network has, in which order, of which shape, and which of them are cuts."""

from dataclasses import replace

import pytest
import torch
from sidelight.core.errors import Unsupported
from sidelight.core.sweep import Placement
from sidelight.predictors.tuning import Tuned
from sidelight.predictors.twin import TwinPredictor
from torch import nn
from twin_nets import Residual, network, seeded, spec, twin


def listing(net, **options):
    return {one.name: (one.shape, one.cut) for one in twin(seeded(net), **options).twin.layers}


def test_a_residual_block_is_a_cut_and_what_is_in_it_is_not():
    found = listing(Residual)
    assert list(found.items()) == [
        ("stem", ((6, 8, 8), True)),
        ("bn", ((6, 8, 8), True)),
        ("blocks.0.act", ((6, 8, 8), False)),
        ("blocks.0.conv", ((6, 8, 8), False)),
        ("blocks.0.bn", ((6, 8, 8), False)),
        ("blocks.0", ((6, 8, 8), True)),
        ("blocks.1.act", ((6, 8, 8), False)),
        ("blocks.1.conv", ((6, 8, 8), False)),
        ("blocks.1.bn", ((6, 8, 8), False)),
        ("blocks.1", ((6, 8, 8), True)),
        ("pool", ((6, 2, 2), True)),
        ("head", ((4,), True)),
    ]  # in running order; relu, which runs twice, is none


def test_only_the_layers_that_were_named_are_listed():
    assert list(listing(Residual, layers=("blocks.1", "stem"))) == ["stem", "blocks.1"]
    with pytest.raises(Unsupported, match="no layer 'relu'"):
        listing(Residual, layers=("relu",))


class Odd(nn.Module):
    """Modules that are none: not called, of no batch, of several rows an input, of whole numbers, of no tensor."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.table, self.cut = nn.Embedding(5, 3), Fn(lambda x: x.reshape(-1, 1, 8, 8))
        self.top, self.both = Fn(lambda x: x.flatten(1).argmax(1, keepdim=True)), Fn(lambda x: {"x": x})
        self.head = nn.Linear(192, 4)

    def forward(self, x):
        offset = self.table(torch.arange(3)).mean()
        parts = self.cut(x).reshape(x.shape)
        return self.head((self.both(parts)["x"] + offset + 0 * self.top(x)[:, :, None, None]).flatten(1))


class Fn(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_modules_that_give_no_row_of_numbers_are_no_layers():
    assert listing(Odd) == {"head": ((4,), True)}


def test_a_branch_that_is_added_late_keeps_what_it_passes_from_being_a_cut():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.aside = nn.Linear(192, 6), nn.Linear(6, 4), nn.Linear(192, 4)

        def forward(self, x):
            x = x.flatten(1)
            return self.second(self.first(x)) + 1e-3 * self.aside(x)

    assert {name for name, (_, cut) in listing(Late).items() if cut} == set()


def test_the_network_is_left_as_it_was_found_also_where_it_fails():
    class Failing(Residual):
        calls = 0

        def forward(self, x):
            type(self).calls += 1
            if type(self).calls > 2:
                raise RuntimeError("no more")
            return super().forward(x)

    net = seeded(Failing).train()
    with pytest.raises(RuntimeError, match="no more"):
        twin(net, spec())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(m.training for m in net.modules())


@pytest.mark.parametrize("rows", [None, 4])
def test_outputs_that_tell_no_two_inputs_apart_make_nothing_a_cut(rows):
    class Saturated(Residual):
        def forward(self, x):
            return 1 + 1e-7 * super().forward(x)

    net = seeded(Saturated).requires_grad_(False)
    tuned = Tuned(net, Placement(), "float32")
    made = TwinPredictor(replace(network(net), fixed_rows=rows), spec(), tuned=tuned, batch_rows=4)
    assert len(made.twin.layers) == 12 and not any(one.cut for one in made.twin.layers)
    assert made._before.of(net, ("blocks.1.conv",)) == ()  # and all rows run before it
