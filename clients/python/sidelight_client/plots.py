"""Small curves as SVG, for HTML."""

from collections.abc import Mapping
from html import escape

import numpy as np

WIDTH, HEIGHT, LINE = 320, 120, 14  # pixels; a line of the legend
POINTS = 160  # of a curve: more than this is not seen
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2")


def curves(named: Mapping[str, np.ndarray]) -> str:
    """The curves over their steps, one colour each, named with their last numbers; empty where there are none."""
    drawn = {name: np.where(np.isfinite(y), y, np.nan) for name, y in named.items() if len(y)}
    if not drawn:
        return ""
    every = np.concatenate(list(drawn.values()))
    low, high = (np.nanmin(every), np.nanmax(every)) if np.isfinite(every).any() else (0.0, 1.0)
    lines, legend = "", ""
    for place, (name, y) in enumerate(drawn.items()):
        colour = COLOURS[place % len(COLOURS)]
        lines += f"<polyline fill='none' stroke='{colour}' points='{_points(y, low, high)}'/>"
        legend += f"<text x='{WIDTH + 8}' y='{LINE * (place + 1)}' fill='{colour}'>{escape(name)} {y[-1]:.3g}</text>"
    axis = f"<text x='0' y='{HEIGHT + LINE}'>{high:.3g} to {low:.3g} over {max(map(len, drawn.values()))} steps</text>"
    frame = f"<rect width='{WIDTH}' height='{HEIGHT}' fill='none' stroke='#ccc'/>"
    size = f"width='{WIDTH + 140}' height='{HEIGHT + LINE + 4}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} font-size='11'>{frame}{lines}{legend}{axis}</svg>"


def _points(y: np.ndarray, low: float, high: float) -> str:
    steps = np.unique(np.linspace(0, len(y) - 1, POINTS).round().astype(int))
    across = steps / max(len(y) - 1, 1) * WIDTH
    down = (high - y[steps]) / ((high - low) or 1.0) * HEIGHT
    return " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(across, down, strict=True) if np.isfinite(d))
