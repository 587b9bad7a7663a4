"""The picture of an intervention: the response curve, the top class along it, what the image became, and the test."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from sidelight_client.drawing import Box, Dot, Drawing, Line, Photo, Words

if TYPE_CHECKING:
    from sidelight_client.interventions import Intervention
    from sidelight_client.results import Result

WIDTH, LEFT, RIGHT = 960.0, 70.0, 190.0  # of the drawing, and of what lies beside the plot
HEIGHT, RIBBON, SSIM = 250.0, 14.0, 44.0  # of the plot, of the top class along the series, of the similarity
ROW = 8  # frames beside each other
INK, FAINT, GROUND, CHANCE = "#222222", "#8a8a8a", "#e4e4e4", "#d9d9d9"
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e08214", "#17a2b8", "#8c564b", "#e377c2")
SYMBOLS = {"degree": "°", "per cent": " %", "factor": "×", "level of 255": " levels", "pixel": " px"}
SCALES = {  # units that stand before their number
    "guidance scale": "guidance", "edit guidance scale": "edit guidance", "noising strength": "noising",
}  # fmt: skip
OTHERS = 4  # curves of other classes
SEEN = 0.01  # share of the total variation from which on a shift is worth a line
DOTS = 60  # strengths that are still seen one by one


def draw(result: "Result") -> Drawing:
    """Of a result of an interventional method."""
    found = result.intervention
    assert found is not None  # the caller asked
    drawing, plot = Drawing(WIDTH, 0.0), Plot(result, found)
    drawing.add(
        Words((LEFT, 26), f"{found.property} → {result.target_name}, {result.scale}", 17, INK),
        Words((WIDTH - 10, 26), f"{result.model}@{result.version}", 12, FAINT, "end"),
        Words((LEFT, 46), f"{score(found)} · {order(found)}", 12, INK),
        Words((LEFT, 62), flips(found), 12, INK),
    )
    bottom = plot.response(drawing, 78.0)
    bottom = plot.along(drawing, bottom)
    bottom = plot.frames(drawing, bottom + 34)
    bottom = test(drawing, found, bottom + 14)
    for line in caption(result, found):
        bottom += 15
        drawing.add(Words((LEFT, bottom), line, 11, FAINT))
    drawing.height = bottom + 14
    return drawing


class Plot:
    """What lies over the axis of strengths: the series from left to right, whichever way its strengths go."""

    def __init__(self, result: "Result", found: "Intervention") -> None:
        self.result, self.found = result, found
        explained = [] if result.target is None else [result.target.index]  # in one colour in every picture
        shown = list(dict.fromkeys([*explained, *found.top.tolist(), *(c.index for c in found.classes)]))
        self.colours = {index: COLOURS[i % len(COLOURS)] for i, index in enumerate(shown)}
        x, width = found.strengths, WIDTH - LEFT - RIGHT
        span = (x[-1] - x[0]) or 1.0
        self.across = LEFT + (x - x[0]) / span * width  # [n]

    def response(self, drawing: Drawing, top: float) -> float:
        """The explained number, and where told on the same scale, the classes. Returns where it ends."""
        found, bottom = self.found, top + HEIGHT
        explained = None if self.result.target is None else self.result.target.index
        plain = self.result.scale == self.result.top_classes_scale and not self.result.message.target.contrast
        others = [c for c in found.classes if c.index != explained] if plain else []
        others = sorted(others, key=lambda c: -float(c.values.max()))[:OTHERS]
        values = np.concatenate([found.outputs, [self.result.value], *(c.values for c in others)])
        ticks = nice(float(np.nanmin(values)), float(np.nanmax(values)))
        low, high = ticks[0], ticks[-1]

        def down(y: float) -> float:
            return bottom - (y - low) / (high - low) * HEIGHT

        for tick in ticks:
            drawing.add(Line([(LEFT, down(tick)), (WIDTH - RIGHT, down(tick))], GROUND))
            drawing.add(Words((LEFT - 8, down(tick) + 4), decimals(tick, ticks), 11, FAINT, "end"))
        drawing.add(Words((18, (top + bottom) / 2), self.result.scale, 12, INK, "middle", turned=True))
        for at in self.turns():
            drawing.add(Line([(at, top), (at, bottom)], FAINT, 1, dashes=4))
        unedited = down(self.result.value)
        drawing.add(Line([(LEFT, unedited), (WIDTH - RIGHT, unedited)], INK, 1, dashes=3))
        for c in others:
            line = [(x, down(y)) for x, y in zip(self.across, c.values, strict=True)]
            drawing.add(Line(line, self.colours[c.index], 1.2))
        colour = INK if explained is None else self.colours.get(explained, INK)
        line = [(x, down(y)) for x, y in zip(self.across, found.outputs, strict=True)]
        drawing.add(Line(line, colour, 3))
        for i, point in enumerate(line):
            told = f"{self.strength(found.strengths[i])}: {self.result.scale} {found.outputs[i]:.4g}"
            drawing.add(Dot(point, 3.4 if len(line) <= DOTS else 1.5, colour, told))
        legend = [(unedited, "unedited input", INK), (line[-1][1], self.result.target_name, colour)]
        legend += [(down(c.values[-1]), c.name, self.colours[c.index]) for c in others]
        for y, text, shade in apart(legend, 14):
            drawing.add(Words((WIDTH - RIGHT + 8, min(max(y + 4, top + 8), bottom + 30)), short(text, 26), 12, shade))
        return bottom

    def along(self, drawing: Drawing, top: float) -> float:
        """The top class, the axis, and the similarity with the input. Returns where they end."""
        found, top = self.found, top + 8
        edges = self.edges()
        for index, run in groupby(range(len(found.top)), key=lambda i: int(found.top[i])):
            places = list(run)
            left, right = edges[places[0]], edges[places[-1] + 1]
            name, colour = found.class_name(index), self.colours.get(index, FAINT)
            drawing.add(Box(left, top, right - left, RIBBON, colour, title=f"top class: {name}"))
            if right - left > 6.5 * len(name):
                drawing.add(Words(((left + right) / 2, top + RIBBON - 3), name, 10, "white", "middle"))
        drawing.add(Words((LEFT - 8, top + RIBBON - 3), "top class", 10, FAINT, "end"))
        bottom = top + RIBBON + 8 + SSIM
        for level, y in ((1.0, bottom - SSIM), (0.0, bottom)):
            drawing.add(Line([(LEFT, y), (WIDTH - RIGHT, y)], GROUND))
            drawing.add(Words((LEFT - 8, y + 4), f"{level:g}", 10, FAINT, "end"))
        same = np.clip(found.similarity, 0.0, 1.0)
        line = [(x, bottom - s * SSIM) for x, s in zip(self.across, same, strict=True) if math.isfinite(s)]
        if len(line) > 1:
            drawing.add(Line(line, FAINT, 1.5))
        drawing.add(
            Words((WIDTH - RIGHT + 8, bottom - SSIM / 2 - 2), "likeness to the", 11, FAINT),
            Words((WIDTH - RIGHT + 8, bottom - SSIM / 2 + 12), "unedited image (SSIM)", 11, FAINT),
        )
        self.axis(drawing, bottom)
        return bottom + 38

    def axis(self, drawing: Drawing, y: float) -> None:
        x = self.found.strengths
        low, high = sorted((float(x[0]), float(x[-1])))
        for tick in (ticks := nice(low, high, most=9)):
            if low <= tick <= high:
                at = LEFT + (tick - x[0]) / ((x[-1] - x[0]) or 1.0) * (WIDTH - LEFT - RIGHT)
                drawing.add(Line([(at, y), (at, y + 5)], FAINT))
                drawing.add(Words((at, y + 18), decimals(tick, ticks), 11, FAINT, "middle"))
        unit = f" in {self.found.unit}" if self.found.unit else ""
        drawing.add(Words(((LEFT + WIDTH - RIGHT) / 2, y + 36), f"strength{unit}", 12, INK, "middle"))

    def frames(self, drawing: Drawing, top: float) -> float:
        """The chosen frames, each below its strength where they fit into one row. Returns where they end."""
        found, total = self.found, len(self.found.frames)
        if not total:
            return top - 20
        in_row = min(total, ROW)
        pitch = (WIDTH - 2 * 10) / max(in_row, 6)
        for n, frame in enumerate(found.frames):
            image = frame.image
            width = pitch - 8
            height = width * image.height / image.width
            if height > 1.2 * pitch:
                width, height = width * 1.2 * pitch / height, 1.2 * pitch
            x = 10 + pitch * (n % in_row) + (pitch - width) / 2
            colour = self.colours.get(int(found.top[frame.index]), FAINT)
            if total <= ROW:
                drawing.add(Line([(self.across[frame.index], top - 28), (x + width / 2, top - 3)], CHANCE, 1.5))
            value = f"{found.outputs[frame.index]:.3g}"
            name = found.class_name(int(found.top[frame.index]))
            said = f"{self.strength(frame.strength)}: {self.result.scale} {value}, top class {name}"
            drawing.add(
                Box(x - 3, top - 3, width + 6, height + 6, colour),
                Photo(frame.png, x, top, width, height, said),
                Words((x + width / 2, top + height + 18), self.strength(frame.strength), 12, INK, "middle"),
                Words(
                    (x + width / 2, top + height + 32),
                    f"{short(self.result.target_name, 14)} {value}",
                    11,
                    INK,
                    "middle",
                ),
                Words((x + width / 2, top + height + 45), f"top: {short(name, 14)}", 11, colour, "middle"),
            )
            if n % in_row == in_row - 1 and n < total - 1:
                top += height + 66
        return top + height + 52

    def strength(self, x: float) -> str:
        return with_unit(x, self.found.unit)

    def edges(self) -> np.ndarray:
        """[n + 1]: where the share of each strength begins and ends."""
        inner = (self.across[1:] + self.across[:-1]) / 2
        return np.concatenate([self.across[:1], inner, self.across[-1:]])

    def turns(self) -> Iterator[float]:
        """Where the top class changes."""
        edges = self.edges()
        yield from (edges[i] for i in range(1, len(self.found.top)) if self.found.top[i] != self.found.top[i - 1])


def test(drawing: Drawing, found: "Intervention", top: float) -> float:
    """The score among those of the same outputs in random order. Returns where it ends."""
    s = found.significance
    if s is None or not math.isfinite(found.score):
        why = (
            "the series was not fully evaluated, and S is an estimate"
            if found.estimated
            else "there was no time for it"
        )
        drawing.add(Words((LEFT, top + 12), f"No test: {why}.", 12, INK))
        return top + 16
    largest = max(found.score, s.null_high) * 1.15 or 1.0
    width = WIDTH - LEFT - RIGHT

    def at(value: float) -> float:
        return LEFT + value / largest * width

    y = top + 22
    drawing.add(
        Words((LEFT, top + 8), "S beside the scores of the same outputs in random order", 12, INK),
        Line([(LEFT, y + 8), (WIDTH - RIGHT, y + 8)], GROUND),
        Box(at(s.null_low), y, at(s.null_high) - at(s.null_low), 16, CHANCE, title="99 % of random orders"),
        Line([(at(s.null_mean), y), (at(s.null_mean), y + 16)], FAINT, 1.5),
        Line([(at(found.score), y - 4), (at(found.score), y + 20)], INK, 3),
        Words((at(found.score), y + 33), f"S {found.score:.3g}", 12, INK, "middle"),
        Words((WIDTH - RIGHT + 8, y + 6), "grey: 99 % of random orders", 11, FAINT),
        Words((WIDTH - RIGHT + 8, y + 19), "left of it: smoother than chance", 11, FAINT),
        Words((LEFT - 8, y + 12), "0", 11, FAINT, "end"),
    )
    return y + 40


def headline(found: "Intervention") -> str:
    """The score with its N, whether it is ordered, and flips, in one line."""
    return " · ".join([score(found), order(found), flips(found)])


def score(found: "Intervention") -> str:
    """S, with the N that it depends on."""
    return f"S = {found.score:.3g} over N = {found.count}" + (" (estimated)" if found.estimated else "")


def order(found: "Intervention") -> str:
    """What the test says."""
    s = found.significance
    if s is None:
        return "no test"
    word = "ordered beyond chance" if s.significant else "not ordered beyond chance"
    p = f"p = {s.p_value_corrected:.2g}"
    return f"{word}, {p}" + ("" if s.p_value_corrected == s.p_value else f" (corrected; {s.p_value:.2g} alone)")


def flips(found: "Intervention") -> str:
    """How often the top class changes, and where it first is not the unedited input's."""
    if not found.flips and found.flips_at is None:
        return "the top class stays"
    times = {0: "the top class is another one throughout", 1: "the top class flips once"}
    words = times.get(found.flips, f"the top class flips {found.flips} times")
    at = (
        ""
        if found.flips_at is None
        else f", first another one than the input's at {with_unit(found.flips_at, found.unit)}"
    )
    return words if found.flips == 0 else words + at


def caption(result: "Result", found: "Intervention") -> list[str]:
    """What the numbers say and do not say."""
    lines = [
        "S is the mean change from one strength to the next, so it depends on N: compare it at equal N only. In all, "
        f"the output moves by {found.total_variation:.3g} (total variation).",
        "p says that the outputs are ordered along the series, not that the effect is large.",
    ]
    if found.significance is None:
        lines.pop()
    if abs(found.reconstruction_shift) > SEEN * found.total_variation:
        lines.append(
            f"At the first strength the output is {found.reconstruction_shift:+.3g} from the unedited input's: of an "
            "editor that begins at no change, this is its reconstruction and not the property."
        )
    return [*lines, *(f"Warning: {w}." for w in result.warnings)]


def apart(legend: Sequence[tuple[float, str, str]], least: float) -> Iterator[tuple[float, str, str]]:
    """The entries from top to bottom, at least so far from one another."""
    last = -math.inf
    for y, text, colour in sorted(legend):
        last = max(y, last + least)
        yield last, text, colour


def nice(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers around [low, high], at most so many."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return [0.0, 1.0]
    span = high - low or abs(high) or 1.0
    raw = span / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def decimals(tick: float, ticks: Sequence[float]) -> str:
    """With as many digits as tell it from its neighbours."""
    step = ticks[1] - ticks[0]
    digits = max(0, 1 - math.floor(math.log10(step)))
    text = f"{tick:.{digits}f}" if digits < 8 else f"{tick:g}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def number(x: float) -> str:
    return f"{x:.4g}".replace("-", "−")


def with_unit(x: float, unit: str) -> str:
    """A strength in words."""
    said = number(float(f"{x:.3g}"))
    return f"{SCALES[unit]} {said}" if unit in SCALES else said + SYMBOLS.get(unit, f" {unit}" if unit else "")


def short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
