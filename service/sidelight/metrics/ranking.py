"""How well scores rank what is true above what is not. Equal scores have no order: they count together."""

import torch


def precision_recall(scores: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Precision and recall [D] float64 of what has at least a score, from the highest of D different scores down.

    Of scores [U] and truth [U] bool, of which at least one is true.
    """
    values, which = scores.unique(return_inverse=True)  # ascending
    right = torch.zeros(len(values), dtype=torch.float64).index_add_(0, which, truth.double()).flip(0).cumsum(0)
    taken = which.bincount(minlength=len(values)).flip(0).cumsum(0)
    return right / taken, right / right[-1]


def average_precision(precision: torch.Tensor, recall: torch.Tensor) -> float:
    """Area under the curve's steps: sum over D of (R_d - R_{d-1}) P_d."""
    return (recall.diff(prepend=recall.new_zeros(1)) * precision).sum().item()


def trapezoid(precision: torch.Tensor, recall: torch.Tensor) -> float:
    """Area under the straight lines between the curve's points, from precision 1 at recall 0."""
    p, r = torch.cat([precision.new_ones(1), precision]), torch.cat([recall.new_zeros(1), recall])
    return torch.trapezoid(p, r).item()
