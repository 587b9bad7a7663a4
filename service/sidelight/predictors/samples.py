"""Inputs to find a network's layers with: two that differ as much as can be, but are alike in shape."""

import torch

from sidelight.core.stream import Stream
from sidelight.predictors.listing import Samples

LENGTHS = 16, 11  # of token rows, where a model takes any
_IDS = 90  # at most: small ones; 0 stands for what is not there in many
_TEXTS = "the cat sat on the mat", "a dog ran in my park", "one bird"  # the first two with as many tokens


def image_samples(probes: torch.Tensor, fixed: int | None) -> Samples:
    """A smooth pattern and noise, of the rows of `explanation.probes`; fixed: the only number of rows there may be."""
    first, second = probes[:1], probes[5:6]
    if fixed:
        one, other = (row.expand(fixed, *row.shape[1:]).contiguous() for row in (first, second))
        return Samples(one, one, None, other)
    return Samples(probes[:2], probes[:3], lambda n: torch.cat([first, second.expand(n, *second.shape[1:])]))


def token_samples(length: int, vocabulary: int, fixed: int | None, dtype: torch.dtype, device: torch.device) -> Samples:
    """Random small ids; length: the only one that the model takes, or -1; vocabulary: 0 where it is not known.

    fixed: the only number of rows there may be.
    """
    longer, shorter = (length, length) if length > 0 else LENGTHS
    most = min(_IDS, vocabulary - 1) if vocabulary else _IDS
    ids = 1 + torch.from_numpy(Stream(0, "layers").integers(range(3), longer, most))
    ids = ids.to(device=device, dtype=dtype)
    if fixed:
        one, other = (row.repeat(fixed, 1) for row in ids[:2])
        return Samples(one, one[:, :shorter], None, other)
    return Samples(ids[:2], ids[:3, :shorter], lambda n: torch.cat([ids[:1], ids[1:2].expand(n, -1)]))


def text_samples() -> Samples:
    """Short sentences."""
    first, second, short = _TEXTS
    return Samples([first] * 2, [short] * 3, lambda n: [first] + [second] * n)
