"""Masks over the words of a text: each word's embeddings mixed with those of a token that stands for no particular one.

    x~ = l z + (1 - l) b        z, b [L, D]: what the embedding layer gives for the text and for the blank token
    x~c = (1 - l) z + l b       l [L]: the lambda of the word that each token is a piece of

The mixture stands in place of the embedding layer's output, before positions and normalisation. Special tokens, and
those that are no word's, keep their own embeddings on both sides. b is [MASK] where the twin has one, else [PAD], or
the tokens of `baseline.text.replacement`.

A text longer than the model takes is several windows (windows.py), and every term the mean over them. The served
model cuts such a text and sees its first window only; the mask is of what the twin makes of all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import torch

from sidelight.core.ask import Activation, Forward, Gradient
from sidelight.core.errors import Unsupported
from sidelight.core.fold import Collect, Fold, Out
from sidelight.core.inputs import Input, TextInput, TokenInput
from sidelight.core.job import Job
from sidelight.core.predictor import Twin
from sidelight.core.sweep import Folded, Placement, Plan, Rows, Stopped, Sweep
from sidelight.masks.field import Field, WordField
from sidelight.masks.options import Options
from sidelight.masks.robust import noise, snapped
from sidelight.masks.scene import Evidences, evidence_weights, probabilities
from sidelight.masks.windows import Window, windows
from sidelight.path.layers import twin_of

# Lengths are filled up to a multiple, so that texts of like length share a batch. A longer text gains less by that,
# since it fills the cores by itself, and pays more for it.
BUCKET, SHORT, FINE = 8, 32, 4  # tokens; the finer multiple is that of texts longer than `SHORT`
CHANGE = 1e-4  # of an output, relative to its largest number, that padding may make

Ends = tuple[torch.Tensor, torch.Tensor]  # z [W, L, D] and b [W, M, L, D]
Row = tuple[int, int, int, int]  # window, baseline, mask, side: 0 what is kept, 1 the rest


@dataclass(frozen=True, eq=False)
class TextScene:
    """W windows of L tokens over M baselines. Rows of a sweep: windows, baselines, masks, what is kept and the rest."""

    job: Job
    options: Options
    windows: tuple[Window, ...]
    ids: torch.Tensor  # [W, L] int64
    ends: Ends  # float64
    layer: str  # where they are
    column: str  # of the token ids
    _placed: dict[Placement, Ends] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,), of a mask."""
        return self.job.input.shape

    @property
    def targets(self) -> int:
        return self.job.target.count

    def field(self, options: Options) -> Field:
        return WordField(self.shape[0], options)

    def rows(self, masks: torch.Tensor, targets: Sequence[int], step: int, draws: bool) -> Sweep[Evidences]:
        o = self.options
        drawn = snapped(masks.detach().double(), o.snap if draws else 0.0, self.job.stream, step)
        eps = self._noise(step) if draws and o.noise else None
        kept = torch.stack([filled(w.spread(drawn.masks), self.ids.shape[1], 1.0) for w in self.windows])  # [W, A, L]
        shares = torch.stack([kept, 1 - kept], 2)  # [W, A, 2, L]: how much of z is there
        w = self._weights[list(targets)]  # [A, 2, 2K]
        index = self._index(len(masks))

        def render(rows: range, on: Placement) -> tuple[Rows, Sequence[Row]]:
            part = index[rows.start : rows.stop]
            z, b = self._on(on)
            a = torch.empty((len(part), *z.shape[1:]), dtype=on.dtype, device=on.device)
            # Row by row: how an operation over several is cut up, and so its last bits, would depend on their number.
            for x, (i, m, k, side) in zip(a, part, strict=True):
                torch.lerp(b[i, m], z[i], shares[i, k, side].to(on.device, on.dtype).unsqueeze(1), out=x)
                if eps is not None:
                    x[: eps[i].shape[1]] += eps[i][side].to(on.device, on.dtype)
            which = torch.tensor(part)
            columns = {self.column: self.ids[which[:, 0]].to(on.device), f"a.{self.layer}": a}
            return {**columns, "w": w[which[:, 2], which[:, 3]].to(on.device)}, part

        ask = Gradient(self.job.differentiable, (self.layer,), o.evidence, exact=True)
        fold = _Masked(self, len(masks), drawn.free)
        return Sweep(ask, len(index), render, fold, ("tokens", self.layer, *self.ends[0].shape[1:]))

    @cached_property
    def differences(self) -> torch.Tensor:
        """z - b, [W, M, L, D]."""
        return self.ends[0].unsqueeze(1) - self.ends[1]

    @cached_property
    def _weights(self) -> torch.Tensor:
        return evidence_weights(self.job, self.options)  # [T, 2, 2K]

    def _noise(self, step: int) -> list[torch.Tensor]:
        """Of each window [2, its tokens, D]."""
        o, width = self.options, self.ends[0].shape[-1]
        return [noise(len(w.ids), width, o.noise, self.job.stream, step, i) for i, w in enumerate(self.windows)]

    def _index(self, masks: int) -> list[Row]:
        return list(product(range(len(self.windows)), range(self.ends[1].shape[1]), range(masks), range(2)))

    def _on(self, on: Placement) -> Ends:
        """On the device, once a request."""
        if on not in self._placed:
            z, b = (end.to(on.device, on.dtype) for end in self.ends)
            self._placed[on] = z, b
        return self._placed[on]


class _Masked(Fold[Evidences]):
    """Scores row by row, and what each row's gradient says of its mask, summed in row order."""

    def __init__(self, scene: TextScene, masks: int, free: torch.Tensor) -> None:
        self._scene, self._free = scene, free
        self._s = torch.full((*scene.differences.shape[:2], masks, 2), torch.nan, dtype=torch.float64)
        self._gradient = torch.zeros((masks, *scene.shape), dtype=torch.float64)

    def add(self, rows: range, memo: Sequence[Row], out: Out) -> None:
        self._s.view(-1)[rows.start : rows.stop] = out["s"].cpu()
        for g, (i, m, k, side) in zip(out[f"g.{self._scene.layer}"], memo, strict=True):
            along = (g.double().cpu() * self._scene.differences[i, m]).sum(1)  # [L]: d s / d share of z
            window = self._scene.windows[i]
            here = slice(window.words.start, window.words.stop)
            self._gradient[k, here].add_(window.share @ along[: len(window.ids)], alpha=1 if side else -1)

    def value(self) -> Evidences:
        p, q = probabilities(self._s, self._scene.options.comprehensiveness)
        s, p, q = self._s.mean((0, 1)), p.mean((0, 1)), q.mean((0, 1))
        gradient = self._gradient * self._free / (self._s.shape[0] * self._s.shape[1])
        return Evidences(s[:, 0], s[:, 1], p, q, gradient)


def enter_text(job: Job, options: Options) -> Plan[TextScene]:
    """Find the windows and the embeddings of text and baselines there.

    Raises Unsupported where the twin does not tell its tokens or its embedding layer, or cannot take windows of
    different lengths.
    """
    twin, column = twin_of(job), _column(job.input)
    if not twin.embedding:
        raise Unsupported(
            "NO_EMBEDDING",
            "twin",
            "the twin does not say where its token embeddings are: its module needs the layer's name as its attribute "
            "`embedding`",
        )
    found = windows((job.input, *job.others), twin)
    length = max(len(w.ids) for w in found)
    short = min(found, key=lambda w: len(w.ids))
    full, pad = _bucket(job, twin, length), 0 if twin.pad is None else twin.pad
    if len(short.ids) < full and (
        twin.pad is None or not (yield from _pads(job, column, (short.ids, filled(short.ids, full, pad))))
    ):
        if len(short.ids) < length:
            raise Unsupported(
                "NO_PAD",
                "twin",
                "the text is longer than the model takes, and its windows are of different lengths: the twin's module "
                "needs an attribute `pad`, the id of a token that it leaves out wherever it stands",
            )
        full = length
    ids = torch.stack([filled(w.ids, full, pad) for w in found])
    blanks = torch.stack([filled(w.blanks, full, pad) for w in found])  # [W, M, L]
    ends = yield from _embeddings(job, column, twin.embedding, ids, blanks)
    return TextScene(job, options, found, ids, ends, twin.embedding, column)


def _bucket(job: Job, twin: Twin, length: int) -> int:
    """What to fill `length` tokens up to: of texts, which tell what the model takes at most, and where it can."""
    shape = next((layer.shape for layer in twin.layers if layer.name == twin.embedding), (-1,))
    if not isinstance(job.input, TextInput) or twin.pad is None or twin.ids is None or shape[0] != -1:
        return length
    longer = twin.ids(" ".join([job.input.text] * (2 + BUCKET)) if length <= 2 * BUCKET else f"{job.input.text} " * 2)
    multiple = BUCKET if length <= SHORT else FINE
    return max(length, min(-(-length // multiple) * multiple, len(longer)))


def _pads(job: Job, column: str, rows: tuple[torch.Tensor, torch.Tensor]) -> Plan[bool]:
    """Whether the twin gives for padded token ids, the second row, what it gives without, but for rounding."""

    def forward(row: torch.Tensor) -> Sweep[torch.Tensor]:
        def render(rows: range, on: Placement) -> tuple[Rows, None]:
            return {column: row.unsqueeze(0).to(on.device)}, None

        return Sweep(Forward(job.differentiable), 1, render, Collect(), ("tokens", len(row)))

    answers: tuple[Folded, ...] = yield tuple(forward(row) for row in rows)
    for folded in answers:
        if not folded.rows:
            raise Stopped(folded.stop)
    bare, padded = (folded.value for folded in answers)
    return bool((padded - bare).abs().max() <= CHANGE * bare.abs().max())


def _embeddings(job: Job, column: str, layer: str, ids: torch.Tensor, blanks: torch.Tensor) -> Plan[Ends]:
    """Of W windows [W, L] and their M baselines [W, M, L]: what the embedding layer gives, in float64."""
    tokens = torch.cat([ids, blanks.flatten(0, 1)])

    def render(rows: range, on: Placement) -> tuple[Rows, None]:
        return {column: tokens[rows.start : rows.stop].to(on.device)}, None

    sweep = Sweep(
        Activation(job.differentiable, (layer,)), len(tokens), render, Collect(f"a.{layer}"), ("tokens", ids.shape[1])
    )
    folded = yield sweep
    if folded.rows < sweep.size:
        raise Stopped(folded.stop)
    z, b = folded.value.split([len(ids), len(tokens) - len(ids)])
    return z, b.view(*blanks.shape, -1)


def _column(x: Input) -> str:
    """What the model calls its input. Raises Unsupported for what has no tokens."""
    if not isinstance(x, TextInput | TokenInput):
        raise Unsupported("NO_TOKENS", "input", f"{type(x).__name__} has no tokens to mask")
    return x.name


def filled(values: torch.Tensor, length: int, by: float) -> torch.Tensor:
    """[..., L] with so many at the end."""
    return torch.nn.functional.pad(values, (0, length - values.shape[-1]), value=by)
