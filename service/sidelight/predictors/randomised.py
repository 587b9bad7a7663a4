"""Copies of a network with random weights from a layer on, for sanity checks (Adebayo et al., NeurIPS 2018)."""

import copy
from collections import OrderedDict

import torch
from torch import nn

from sidelight.core.errors import Unknown
from sidelight.core.stream import Stream
from sidelight.predictors.listing import Listing

RANDOMISED = "randomised"
KEPT = 2


class Copies:
    """Of `module`, by their variants "randomised:<layer>:<seed>"; the last few are kept."""

    def __init__(self, module: nn.Module, listing: Listing) -> None:
        self._module, self._listing = module, listing
        self._made: OrderedDict[tuple[str, int], nn.Module] = OrderedDict()

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
        return self._made[key]

    @torch.no_grad()
    def _randomised(self, layer: str, stream: Stream) -> nn.Module:
        """With normal weights, of each tensor's own mean and spread, in `layer` and all that begins after it."""
        made = copy.deepcopy(self._module)
        for name in self._listing.since(layer):
            for key, weight in made.get_submodule(name).named_parameters(recurse=False):
                drawn = stream.child(f"{name}.{key}").normal(range(1), weight.numel())
                spread = weight.std(correction=0) if weight.numel() > 1 else weight.abs()
                weight.copy_(weight.mean() + spread * torch.from_numpy(drawn).view(weight.shape).to(weight))
        return made
