"""What masks are laid over: an input with its baselines, as rows of a model that say what each mask is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from sidelight.core.job import Job
from sidelight.core.sweep import Column, Sweep
from sidelight.core.target import outputs
from sidelight.masks.field import Field
from sidelight.masks.options import Comprehensiveness, Options


@dataclass(frozen=True, eq=False)
class Evidences:
    """What a model makes of masks [A, *shape], each for a target of its own: means over baselines and windows.

    In float64, on the CPU; NaN where a row is missing.
    """

    log_p: torch.Tensor  # [A], on the part that is kept
    log_not_q: torch.Tensor  # [A], log(1 - q) on the complement; of `log_ratio` -log q in its place
    p: torch.Tensor  # [A]
    q: torch.Tensor  # [A]
    gradient: torch.Tensor  # [A, *shape], of -log_p - log_not_q by the mask


class Scene(Protocol):
    """One input, its baselines and T targets."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a mask."""

    @property
    def targets(self) -> int:
        """T."""

    def field(self, options: Options) -> Field:
        """Where its masks come from."""

    def rows(self, masks: torch.Tensor, targets: Sequence[int], step: int, draws: bool) -> Sweep[Evidences]:
        """What masks [A, *shape] are worth, each for the target of that number among the T.

        `draws`: under the snapping and the noise of this step, which are the same whatever other targets are asked.
        """


def by_baseline(rows: range, each: int) -> list[tuple[int, slice]]:
    """The baselines that rows are over, and which of the `each` rows of that baseline they are."""
    found = []
    for m in range(rows.start // each, (rows.stop - 1) // each + 1):
        found.append((m, slice(max(rows.start - m * each, 0), min(rows.stop - m * each, each))))
    return found


def joined(parts: Sequence[Column]) -> Column:
    """Rows over several baselines one behind the other; those over one as they are."""
    if len(parts) == 1:
        return parts[0]
    tensors = [part for part in parts if isinstance(part, torch.Tensor)]
    return torch.cat(tensors) if tensors else [text for part in parts for text in part]  # type: ignore[union-attr]


def evidence_weights(job: Job, options: Options) -> torch.Tensor:
    """[T, 2, 2K] float64: of each target what reads s = log p of a kept row, and log(1 - q) or -log q of the rest."""
    assert job.ends is not None
    classes = outputs(job.ends, job.target.kind).shape[1]
    w = torch.zeros((job.target.count, 2, 2 * classes), dtype=torch.float64)
    for t, c in enumerate(job.target.classes):
        w[t, 0, c] = 1
        if options.comprehensiveness is Comprehensiveness.LOG_RATIO:
            w[t, 1, c] = -1
        else:
            w[t, 1, classes + c] = 1
    return w


def probabilities(s: torch.Tensor, comprehensiveness: Comprehensiveness) -> tuple[torch.Tensor, torch.Tensor]:
    """p and q of scores s [..., 2], of a kept row and of the rest."""
    if comprehensiveness is Comprehensiveness.LOG_RATIO:
        return s[..., 0].exp(), (-s[..., 1]).exp()
    return s[..., 0].exp(), -torch.expm1(s[..., 1])
