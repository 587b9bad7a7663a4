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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sidelight.core.ask import INPUT
from sidelight.core.errors import InvalidRequest, Unsupported
from sidelight.core.inputs import ImageInput, Input, TextInput, TokenInput
from sidelight.core.job import Step
from sidelight.core.predictor import Twin, Unit
from sidelight.path.tokens import PairedTokens

Shape = tuple[int, ...]
Shown = tuple[torch.Tensor, float, tuple[Step, ...]]  # map, rest, display steps


@dataclass(frozen=True)
class Grid:
    """Where a layer of an image model has its positions."""

    channels: int  # the axis that is summed over
    size: tuple[int, int]  # h, w
    before: int = 0  # tokens before those of the grid


def positional(x: Input, layer: str, shape: Shape) -> bool:
    """Whether a layer whose values have this shape (-1: it varies) has positions of the input `x`."""
    x = _origin(x)
    if isinstance(x, ImageInput):
        return -1 in shape[-2:] or grid(x, layer, shape) is not None
    if layer == INPUT or len(shape) != 2:
        return False
    return not isinstance(x, TokenInput) or shape[0] in (-1, len(x.ids))


def check(x: Input, shapes: Mapping[str, Shape], twin: Twin | None = None, field: str = "layers") -> None:
    """Raises InvalidRequest, on `field`, for a layer without positions."""
    for layer, shape in shapes.items():
        if not positional(x, layer, shape):
            raise InvalidRequest(field, _mend(x, layer, shape, twin))


def positions(x: Input, raw: Mapping[str, torch.Tensor], twin: Twin | None = None, field: str = "layers") -> Shown:
    """Map [*x.shape] float64 of attributions `raw` [*A_l] by layer, what no position stands for, and the steps taken.

    Several layers give the sum of their maps. Raises InvalidRequest, on `field`, where a layer has no positions.
    """
    x = _origin(x)
    check(x, {layer: tuple(a.shape) for layer, a in raw.items()}, twin, field)
    if isinstance(x, ImageInput):
        return _pixels(x, raw)
    if isinstance(x, TokenInput):
        return torch.stack([_features(a) for a in raw.values()]).sum(0), 0.0, ()
    assert isinstance(x, TextInput)
    return _units(x, raw, twin, field)


def _origin(x: Input) -> Input:
    return x.origin if isinstance(x, PairedTokens) else x


# -- images ----------------------------------------------------------------------------------------------------------


def grid(x: ImageInput, layer: str, shape: Shape) -> Grid | None:
    """The positions of a layer of this shape, or None. Tokens must be patches as square as the pixels."""
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


def _pixels(x: ImageInput, raw: Mapping[str, torch.Tensor]) -> Shown:
    total, rest = torch.zeros(x.shape, dtype=torch.float64), 0.0
    sizes, left_out = [], False
    for layer, a in raw.items():
        found = grid(x, layer, tuple(a.shape))
        assert found is not None  # checked
        cells = a.double().cpu().sum(found.channels)
        rest += float(cells[: found.before].sum()) if found.before else 0.0
        left_out = left_out or found.before > 0
        cells = cells[found.before :].view(found.size)
        if found.size != x.shape:
            sizes.append(f"{found.size[0]} x {found.size[1]}")
        total += spread(cells, x.shape)
    sum_shown = float(total.sum())
    steps = [Step("class token left out", sum_shown)] if left_out else []
    if sizes:
        steps.append(Step(f"{' and '.join(sizes)} cells spread over the pixels, bilinear, sum kept", sum_shown))
    return total, rest, tuple(steps)


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


def _features(a: torch.Tensor) -> torch.Tensor:
    """[L, D] -> [L] float64."""
    return a.double().cpu().sum(1)


def _units(x: TextInput, raw: Mapping[str, torch.Tensor], twin: Twin | None, field: str) -> Shown:
    if twin is None or twin.pieces is None:
        raise Unsupported(
            "NO_PIECES",
            "twin",
            "the twin does not tell which characters its tokens stand for: its module needs a function "
            "`pieces(text)`; token ids can be explained without",
        )
    share = shares(x.units, twin.pieces(x.text))  # [units, L]
    for layer, a in raw.items():
        if len(a) != share.shape[1]:
            raise InvalidRequest(field, _mend(x, layer, tuple(a.shape), twin))
    tokens = torch.stack([_features(a) for a in raw.values()]).sum(0)
    shown = share @ tokens
    rest = float((1 - share.sum(0)) @ tokens)
    return shown, rest, (Step("tokens summed over words, special tokens left out", float(shown.sum())),)


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
