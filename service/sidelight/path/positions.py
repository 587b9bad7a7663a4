"""From attributions at layers to a map over the positions of the input: pixels, tokens or words.

    map_p = sum_l sum_j A_lj        over the features j of layer l at position p

    images   [C, H, W] or [H, W, C]   the input itself: the channels of a pixel
             [C, h, w] or [h, w, C]   a map of features: the channels of a cell, spread over its pixels
             [t, D]                   tokens, t = h w of them or one more before: likewise; that class token to `rest`
    tokens   [L, D]                   the features of a token
    text     [L, D]                   those of the tokens of a unit (a word); special tokens to `rest`

Spreading is bilinear, with shares that add up to 1 for each cell: what the map and `rest` add up to is R.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F

from sidelight.core.ask import INPUT
from sidelight.core.errors import InvalidRequest
from sidelight.core.inputs import ImageInput, Input, TextInput
from sidelight.core.job import Step
from sidelight.core.predictor import Twin, Unit
from sidelight.path.tokens import PairedTokens

Shape = tuple[int, ...]
Cells = dict[str, torch.Tensor]  # by layer, the channels summed
Shown = tuple[torch.Tensor, float, tuple[Step, ...]]  # map, rest, display steps


@dataclass(frozen=True)
class Grid:
    """Where a layer has its positions. Its whole shape tells, and no sum of channels does: keep it."""

    channels: int  # the axis that is summed over
    size: Shape  # h, w of an image model; of tokens how many there are
    before: int = 0  # tokens before those of the grid


Grids = Mapping[str, Grid]  # by layer


def positional(x: Input, layer: str, shape: Shape) -> bool:
    """Whether a layer whose values have this shape (-1: it varies) has positions of the input `x`."""
    return (isinstance(x, ImageInput) and -1 in shape[-2:]) or grid(x, layer, shape) is not None


def grids(x: Input, shapes: Mapping[str, Shape], twin: Twin | None = None, field: str = "layers") -> Grids:
    """Of layers by name. Raises InvalidRequest, on `field`, for one without positions."""
    found = {}
    for layer, shape in shapes.items():
        one = grid(x, layer, shape)
        if one is None:
            raise InvalidRequest(field, _mend(x, layer, shape, twin))
        found[layer] = one
    return found


def grid(x: Input, layer: str, shape: Shape) -> Grid | None:
    """The positions of a layer of this shape, or None."""
    if isinstance(x, ImageInput):
        return _grid(x, layer, shape)
    if layer == INPUT or len(shape) != 2:
        return None
    if not isinstance(x, TextInput) and shape[0] not in (-1, len(x.ids)):  # type: ignore[attr-defined]
        return None
    return Grid(1, shape[:1])


def positions(
    x: Input,
    raw: Mapping[str, torch.Tensor],
    where: Grids,
    twin: Twin | None = None,
    display: Mapping[str, Callable[[Cells], Cells]] = MappingProxyType({}),
) -> Shown:
    """Map [*x.shape] float64 of attributions `raw` [*A_l] by layer, what no position stands for, and the steps taken.

    `raw` may have one channel, their sum. `display` are changes by name that the cells of positions undergo before they
    are laid over those of the input; the rest is what it was. Several layers give the sum of their maps.
    """
    x = x.origin if isinstance(x, PairedTokens) else x
    whole = {layer: a.double().cpu().sum(where[layer].channels) for layer, a in raw.items()}
    if isinstance(x, TextInput):
        assert twin is not None and twin.pieces is not None  # else the text had not come here as its tokens
        share = shares(x.units, twin.pieces(x.text))  # [units, L]
        within = share.sum(0) > 0
        cells, others = ({layer: c[of] for layer, c in whole.items()} for of in (within, ~within))
        what = "special tokens"
    else:
        cells = {layer: c[where[layer].before :].view(where[layer].size) for layer, c in whole.items()}
        others = {layer: c[: where[layer].before] for layer, c in whole.items()}
        what = "class token"
    steps = [Step(f"{what} left out", _sum(cells))] if any(c.numel() for c in others.values()) else []
    for name, change in display.items():
        cells = change(cells)
        steps.append(Step(name, _sum(cells)))
    if isinstance(x, ImageInput):
        shown = torch.stack([spread(c, x.shape) for c in cells.values()]).sum(0)
        coarse = [f"{c.shape[0]} x {c.shape[1]}" for c in cells.values() if c.shape != x.shape]
        if coarse:
            name = f"{' and '.join(coarse)} cells spread over the pixels, bilinear, sum kept"
            steps.append(Step(name, float(shown.sum())))
    else:
        shown = torch.stack(list(cells.values())).sum(0)
    if isinstance(x, TextInput):
        shown = share[:, within] @ shown
        steps.append(Step("tokens summed over words", float(shown.sum())))
    return shown, _sum(others), tuple(steps)


def _sum(cells: Cells) -> float:
    return sum(float(c.sum()) for c in cells.values())


# -- images ----------------------------------------------------------------------------------------------------------


def _grid(x: ImageInput, layer: str, shape: Shape) -> Grid | None:
    """Of an image model. Tokens must be patches as square as the pixels."""
    height, width = x.shape
    if layer == INPUT:
        return Grid(0 if x.space.layout == "NCHW" else 2, (height, width))
    if len(shape) == 3:
        first, last = (shape[1], shape[2]), (shape[0], shape[1])  # the sizes, should channels be first, or last
        channels = 2 if _alike(last, x.shape) and not _alike(first, x.shape) else 0
        size = last if channels == 2 else first
        return Grid(channels, size) if min(size) > 0 and math.prod(size) > 1 else None
    if len(shape) == 2:
        for before in (0, 1):
            side = math.isqrt(max(shape[0] - before, 0) * height // width)  # h = sqrt(t H / W)
            if side > 1 and height % side == 0:
                patch = height // side
                if width % patch == 0 and side * (width // patch) == shape[0] - before:
                    return Grid(1, (side, width // patch), before)
    return None


def _alike(size: tuple[int, int], image: tuple[int, ...]) -> bool:
    """Whether a map has the proportions of the image, but for rounding."""
    return abs(size[0] * image[1] - size[1] * image[0]) <= max(image)


def spread(cells: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[h, w] -> [H, W] float64: bilinear, each cell's value shared out among its pixels, so the sum stays."""
    cells = cells.double()
    if tuple(cells.shape) == tuple(size):
        return cells
    down, across = (_shares(n, to) for n, to in zip(cells.shape, size, strict=True))
    return down @ cells @ across.T


def _shares(n: int, to: int) -> torch.Tensor:
    """[to, n]: what each of `to` pixels has of each of n cells in a row; columns add up to 1."""
    bilinear = F.interpolate(
        torch.eye(n, dtype=torch.float64).unsqueeze(0), size=to, mode="linear", align_corners=False
    )[0].T  # [to, n]
    if to < n:  # between pixels, cells would be skipped
        at = torch.arange(n) * to // n
        bilinear = F.one_hot(at, to).T.double()
    return bilinear / bilinear.sum(0)


# -- text ------------------------------------------------------------------------------------------------------------


def shares(units: Iterable[Unit], pieces: Iterable[Unit]) -> torch.Tensor:
    """[units, L] float64: what each unit has of each token, by the characters that they share.

    A token within one unit is all its own, also where it has space around it; one over several is theirs in
    proportion; one over none, as a special token is, has only zeros.
    """
    u, t = (torch.tensor([(p.begin, p.end) for p in ps], dtype=torch.float64).view(-1, 2) for ps in (units, pieces))
    common = torch.minimum(u[:, None, 1], t[None, :, 1]) - torch.maximum(u[:, None, 0], t[None, :, 0])
    common = common.clamp(min=0)
    return common / common.sum(0).clamp(min=1)  # at least one whole character, where there is any


# -- refusals --------------------------------------------------------------------------------------------------------


def _mend(x: Input, layer: str, shape: Shape, twin: Twin | None) -> str:
    size = "[" + ", ".join("?" if n < 0 else str(n) for n in shape) + "]"
    if isinstance(x, ImageInput):
        return (
            f"a layer with positions: the input, a map of features [C, h, w] or tokens [h w (+ 1), D] of square "
            f"patches; {layer} is {size}"
        )
    embedding = f", as {twin.embedding} is" if twin is not None and twin.embedding else ""
    if layer == INPUT:
        return f"a layer with one vector for each token{embedding}: words and ids have no gradient"
    return f"a layer with one vector for each token, [tokens, D]{embedding}; {layer} is {size}"
