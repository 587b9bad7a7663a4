"""What each step changes at random, so that no mask rests on one point of the input space (Brinner & Zarriess).

Drawn from the request's stream by the number of the step: the same whatever else is in the batch, for every target.
"""

from dataclasses import dataclass

import torch

from sidelight.core.stream import Stream


@dataclass(frozen=True, eq=False)
class Snapped:
    """Masks [T, n] of which some words are set to 0 or 1, and which words [n] are as they were."""

    masks: torch.Tensor
    free: torch.Tensor  # bool; the mask has no gradient through the others


def snapped(masks: torch.Tensor, share: float, stream: Stream, step: int) -> Snapped:
    """Each word of masks [T, n] is set to 0 with probability `share`, and to 1 with the same; at most half each."""
    n = masks.shape[-1]
    u = torch.from_numpy(stream.child("masks.snap").uniform(range(step, step + 1), n)[0])
    zero, one = u < share, u >= 1 - share
    return Snapped(masks.masked_fill(zero, 0.0).masked_fill(one, 1.0), ~(zero | one))


def noise(length: int, width: int, sd: float, stream: Stream, step: int, window: int) -> torch.Tensor:
    """Normal noise [2, length, width] float64 for the embeddings of one window, of the kept part and the complement."""
    drawn = stream.child(f"masks.noise.{window}").normal(range(2 * step, 2 * step + 2), length * width)
    return sd * torch.from_numpy(drawn).view(2, length, width)
