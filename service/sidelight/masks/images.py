"""Images under masks: rows are mixed where the model takes them, and only masks and their gradients travel.

    x~ = b + lambda (x - b),   x~c = b + (1 - lambda) (x - b)              in the model's own space, of each baseline b
    d/d lambda_u (-log p - log(1 - q)) = sum_c (x - b)_cu (d log(1 - q) / d x~c_cu - d log p / d x~_cu)

The twin of a model that takes whole numbers is given any: to round them would hide the small steps of a mask from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from sidelight.core.ask import INPUT, Gradient
from sidelight.core.errors import InvalidRequest
from sidelight.core.fold import Fold, Out
from sidelight.core.inputs import ImageInput, encode
from sidelight.core.job import Job
from sidelight.core.sweep import Placement, Rows, Sweep
from sidelight.masks.field import Field, ImageField
from sidelight.masks.options import Comprehensiveness, Options
from sidelight.masks.scene import Evidences, by_baseline, evidence_weights, joined, probabilities

MAX_ROWS = 512  # of one step


class ImageScene:
    """An image over M baselines. Rows of a sweep: baseline by baseline, mask by mask, what is kept and then the rest.

    Raises InvalidRequest where one step would have more than `MAX_ROWS` rows.
    """

    def __init__(self, job: Job, options: Options) -> None:
        assert job.ends is not None  # known once the target is resolved
        self._job, self._options = job, options
        self._inputs = tuple(_mixed(x) for x in (job.input, *job.others))
        self.targets, self.shape = job.target.count, self._inputs[0].shape
        if (rows := 2 * self.targets * len(self._inputs)) > MAX_ROWS:
            raise InvalidRequest(
                "baseline",
                f"fewer of them, or fewer classes: {len(self._inputs)} for {self.targets} classes are {rows} rows in "
                f"every step, at most {MAX_ROWS}",
            )
        self._differences = [_Difference(x) for x in self._inputs]
        self._weights = evidence_weights(job, options)  # [T, 2, 2K]

    def field(self, options: Options) -> Field:
        return ImageField(self.shape, options)

    def rows(self, masks: torch.Tensor, targets: Sequence[int], step: int, draws: bool) -> Sweep[Evidences]:
        """Nothing is drawn for images."""
        keep = torch.stack([masks, 1 - masks], 1).flatten(0, 1)  # [2A, H, W]
        w = self._weights[list(targets)].flatten(0, 1)  # [2A, 2K]
        each = len(keep)

        def render(rows: range, on: Placement) -> tuple[Rows, None]:
            there = keep.to(on.device, on.dtype)
            x, chosen = [], []
            for m, part in by_baseline(rows, each):
                x.append(self._inputs[m].blend(there[part], on)[self._inputs[m].name])
                chosen.append(w[part])
            return {f"a.{INPUT}": joined(x), "w": torch.cat(chosen).to(on.device)}, None

        ask = Gradient(self._job.differentiable, (INPUT,), self._options.evidence, exact=True)
        fold = _Masked(self._differences, len(masks), self.shape, self._options.comprehensiveness)
        return Sweep(ask, each * len(self._inputs), render, fold, self._inputs[0].like)


def _mixed(x: object) -> ImageInput:
    assert isinstance(x, ImageInput)
    return replace(x, space=replace(x.space, integer=False)) if x.space.integer else x


@dataclass(frozen=True, eq=False)
class _Difference:
    """x - b as the model takes it, but for the place of its channels."""

    input: ImageInput
    _placed: dict[torch.device, torch.Tensor] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """The axis of the channels where the model has them."""
        return 0 if self.input.space.layout == "NCHW" else 2

    def on(self, device: torch.device) -> torch.Tensor:
        """[C, H, W] float64, on the device once a request."""
        if device not in self._placed:
            x, b = (encode(pixels, self.input.space) for pixels in (self.input.pixels, self.input.baseline))
            self._placed[device] = (x - b).to(device).double().movedim(self.channels, 0).contiguous()
        return self._placed[device]


class _Masked(Fold[Evidences]):
    """Scores row by row, and what each row's gradient says of its mask, summed in row order."""

    def __init__(
        self, differences: Sequence[_Difference], masks: int, shape: tuple[int, ...], form: Comprehensiveness
    ) -> None:
        self._differences, self._masks, self._shape, self._form = differences, masks, shape, form
        self._s = torch.full((len(differences) * masks * 2,), torch.nan, dtype=torch.float64)
        self._gradient: torch.Tensor | None = None

    def add(self, rows: range, memo: None, out: Out) -> None:
        self._s[rows.start : rows.stop] = out["s"].cpu()
        g = out[f"g.{INPUT}"]
        if self._gradient is None:
            self._gradient = torch.zeros((self._masks, *self._shape), dtype=torch.float64, device=g.device)
        # Row by row: how an operation over several is cut up, and so its last bits, would depend on their number.
        for row, part in zip(rows, g, strict=True):
            m, i = divmod(row, 2 * self._masks)
            a, rest = divmod(i, 2)
            channels = part.movedim(self._differences[m].channels, 0)
            for difference, down in zip(self._differences[m].on(g.device), channels, strict=True):
                self._gradient[a].addcmul_(difference, down.double(), value=1 if rest else -1)  # d s / d keep

    def value(self) -> Evidences:
        assert self._gradient is not None  # at least one row was added
        s = self._s.view(len(self._differences), self._masks, 2)
        p, q = probabilities(s, self._form)
        gradient = self._gradient.cpu() / len(self._differences)
        return Evidences(s[..., 0].mean(0), s[..., 1].mean(0), p.mean(0), q.mean(0), gradient)
