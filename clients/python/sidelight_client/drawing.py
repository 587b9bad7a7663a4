"""Drawings of lines, areas, words and pictures, once as SVG for HTML and once as pixels: the same in both."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from sidelight_client import pictures

SCALE = 2  # pixels of a drawing's unit, so that it is sharp
Point: TypeAlias = tuple[float, float]
PLAIN = str.maketrans({"→": "->", "−": "-", "×": "x", "–": "-", "≥": ">=", "≤": "<="})  # what Pillow's own font lacks
ANCHORS = {"start": "l", "middle": "m", "end": "r"}


@dataclass(frozen=True)
class Line:
    """A polyline; `dashes` are the lengths of dash and gap."""

    points: Sequence[Point]
    colour: str
    width: float = 1.0
    dashes: float = 0.0

    def svg(self) -> str:
        dashed = f" stroke-dasharray='{self.dashes:g}'" if self.dashes else ""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)
        style = f"fill='none' stroke='{self.colour}' stroke-width='{self.width:g}' stroke-linejoin='round'"
        return f"<polyline {style}{dashed} points='{points}'/>"

    def paint(self, on: ImageDraw.ImageDraw) -> None:
        for piece in self._pieces():
            on.line([(x * SCALE, y * SCALE) for x, y in piece], self.colour, round(self.width * SCALE), joint="curve")

    def _pieces(self) -> Sequence[Sequence[Point]]:
        """Dashes of a straight line; all of any other."""
        if not self.dashes:
            return [self.points]
        (x0, y0), (x1, y1) = self.points
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
        count = max(int(length / (2 * self.dashes) + 0.5), 1)
        ends = ((i / count, min((i + 0.5) / count, 1.0)) for i in range(count))
        return [[(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in end] for end in ends]


@dataclass(frozen=True)
class Box:
    """A filled rectangle, with an outline where `edge` is a colour."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    edge: str = "none"
    title: str = ""  # told where the pointer rests

    def svg(self) -> str:
        size = f"x='{self.x:.1f}' y='{self.y:.1f}' width='{self.width:.1f}' height='{self.height:.1f}'"
        return f"<rect {size} fill='{self.fill}' stroke='{self.edge}'><title>{escape(self.title)}</title></rect>"

    def paint(self, on: ImageDraw.ImageDraw) -> None:
        corners = (self.x, self.y, self.x + max(self.width, 0.5), self.y + max(self.height, 0.5))
        fill, edge = (None if c == "none" else c for c in (self.fill, self.edge))
        on.rectangle([c * SCALE for c in corners], fill, edge, SCALE)


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    at: Point
    radius: float
    colour: str
    title: str = ""

    def svg(self) -> str:
        (x, y), title = self.at, escape(self.title)
        place = f"cx='{x:.1f}' cy='{y:.1f}' r='{self.radius:g}'"
        return f"<circle {place} fill='{self.colour}'><title>{title}</title></circle>"

    def paint(self, on: ImageDraw.ImageDraw) -> None:
        (x, y), r = self.at, self.radius
        on.ellipse([(x - r) * SCALE, (y - r) * SCALE, (x + r) * SCALE, (y + r) * SCALE], self.colour)


@dataclass(frozen=True)
class Words:
    """One line of text; (x, y) is on its baseline."""

    at: Point
    text: str
    size: float = 12.0
    colour: str = "#333"
    anchor: str = "start"  # start, middle, end
    turned: bool = False  # reads upwards

    def svg(self) -> str:
        x, y = self.at
        turn = f" transform='rotate(-90 {x:.1f} {y:.1f})'" if self.turned else ""
        style = f"font-size='{self.size:g}' fill='{self.colour}' text-anchor='{self.anchor}'"
        return f"<text x='{x:.1f}' y='{y:.1f}' {style}{turn}>{escape(self.text)}</text>"

    def paint(self, on: ImageDraw.ImageDraw) -> None:
        (x, y), font = self.at, ImageFont.load_default(self.size * SCALE)
        text = self.text.translate(PLAIN)
        if not self.turned:
            on.text((x * SCALE, y * SCALE), text, self.colour, font, anchor=f"{ANCHORS[self.anchor]}s")
            return
        _, top, right, bottom = on.textbbox((0, 0), text, font, anchor="ls")
        tile = Image.new("L", (round(right) + 2, round(bottom - top) + 2))
        ImageDraw.Draw(tile).text((0, -top), text, 255, font, anchor="ls")
        tile = tile.rotate(90, expand=True)
        shift = {"start": 1.0, "middle": 0.5, "end": 0.0}[self.anchor] * tile.height
        on.bitmap((round(x * SCALE + top), round(y * SCALE - shift)), tile, self.colour)


@dataclass(frozen=True)
class Photo:
    """A PNG in a box, its shape kept, with an edge."""

    png: bytes
    x: float
    y: float
    width: float
    height: float
    title: str = ""

    def svg(self) -> str:
        data = base64.b64encode(self.png).decode()
        size = f"x='{self.x:.1f}' y='{self.y:.1f}' width='{self.width:.1f}' height='{self.height:.1f}'"
        return f"<image {size} href='data:image/png;base64,{data}'><title>{escape(self.title)}</title></image>"

    def paint_on(self, canvas: Image.Image) -> None:
        image = pictures.opened(self.png).convert("RGB")
        image = image.resize((round(self.width * SCALE), round(self.height * SCALE)), Image.Resampling.LANCZOS)
        canvas.paste(image, (round(self.x * SCALE), round(self.y * SCALE)))


Shape: TypeAlias = Line | Box | Dot | Words | Photo


@dataclass
class Drawing:
    """Shapes in the order in which they are laid over one another."""

    width: float
    height: float
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """On top."""
        self.shapes += shapes

    def svg(self) -> str:
        """As an element of a page."""
        size = f"width='{self.width:g}' height='{self.height:g}' viewBox='0 0 {self.width:g} {self.height:g}'"
        head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} font-family='sans-serif'>"
        ground = f"<rect width='{self.width:g}' height='{self.height:g}' fill='white'/>"
        return f"{head}{ground}{''.join(shape.svg() for shape in self.shapes)}</svg>"

    def image(self) -> Image.Image:
        """As RGB pixels, `SCALE` for each unit."""
        canvas = Image.new("RGB", (round(self.width * SCALE), round(self.height * SCALE)), "white")
        on = ImageDraw.Draw(canvas)
        for shape in self.shapes:
            if isinstance(shape, Photo):
                shape.paint_on(canvas)
            else:
                shape.paint(on)
        return canvas
