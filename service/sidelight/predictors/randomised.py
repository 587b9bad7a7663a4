"""Copies of a network with random weights from a layer on, for sanity checks (Adebayo et al., NeurIPS 2018)."""

import copy
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import nn

from sidelight.core.errors import Unknown
from sidelight.core.stream import Stream
from sidelight.predictors.listing import Listing

RANDOMISED = "randomised"
KEPT = 2  # each as large as the network
KEPT_SECONDS = 60.0


class Copies:
    """Of `module`, by their variants "randomised:<layer>:<seed>"; the last few are kept, for a while."""

    def __init__(self, module: nn.Module, listing: Listing, clock: Callable[[], float] = time.monotonic) -> None:
        self._module, self._listing, self._clock = module, listing, clock
        self._made: OrderedDict[tuple[str, int], nn.Module] = OrderedDict()
        self._asked = -math.inf

    def get(self, variant: str) -> nn.Module:
        """The copy. Raises Unknown for another word, or a layer that there is not."""
        kind, _, rest = variant.partition(":")
        layer, _, seed = rest.rpartition(":")
        if kind != RANDOMISED or not seed.isdecimal():
            raise Unknown("variant", variant, (f"{RANDOMISED}:<layer>:<seed>",))
        known = [one.name for one in self._listing.layers]
        if layer not in known:
            raise Unknown("layer", layer, known)
        key = layer, int(seed)
        if key not in self._made:
            while len(self._made) >= KEPT:  # before, so that there is never one more of them in memory
                self._made.popitem(last=False)
            self._made[key] = self._randomised(layer, Stream(int(seed), RANDOMISED))
        self._made.move_to_end(key)
        self._asked = self._clock()
        return self._made[key]

    def tidy(self) -> None:
        """Drop the copies if nobody has asked for one lately."""
        if self._made and self._clock() - self._asked > KEPT_SECONDS:
            self._made.clear()

    @torch.no_grad()
    def _randomised(self, layer: str, stream: Stream) -> nn.Module:
        """With normal weights, of each tensor's own mean and spread, in `layer` and all that begins after it.

        What is never called (its weights are used by another) goes with what it is in. From the first layer on all
        weights are random: those too of what holds the layers.
        """
        made = copy.deepcopy(self._module)
        before = (made.get_submodule(name) for name in self._listing.before((layer,)))
        first = not any(True for part in before for _ in part.parameters())
        since = set(self._listing.since(layer))
        for name, part in made.named_modules():
            if not first and self._called(name) not in since:
                continue
            for key, weight in _weights(part):
                drawn = stream.child(f"{name}.{key}").normal(range(1), weight.numel())
                spread = weight.std(correction=0) if weight.numel() > 1 else weight.abs()
                weight.copy_(weight.mean() + spread * torch.from_numpy(drawn).view(weight.shape).to(weight))
        return made

    def _called(self, name: str) -> str:
        """The module itself if it is called, or else the nearest that it is in and that is; empty for the whole."""
        while name and name not in self._listing.begun:
            name = name.rpartition(".")[0]
        return name


def _weights(part: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """A module's own parameters; and buffers of a plain container, where converters put the weights of a graph."""
    yield from ((key, p) for key, p in part.named_parameters(recurse=False) if p.is_floating_point())
    if type(part) is nn.Module:  # beside them are the graph's other constants: exponents, masks
        for key, b in part.named_buffers(recurse=False):
            if b.is_floating_point() and b.numel() > 1 and b.isfinite().all():
                yield key, b
