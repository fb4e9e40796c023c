"""SVG: the canvas on which every picture is drawn, whole files, and the one palette.

    canvas = Canvas()
    canvas.rect(10, 10, 80, 16, "op convolution")
    canvas.text(14, 21, "conv 3×3, 64", "label")
    document(canvas, (100, 40), "A title", "What it shows", style)  ->  <svg xmlns=...>...</svg>

Elements have classes, never colours. Style sheets give classes the colours of LIGHT, and those of
DARK where the reader's screen is dark, so one picture serves both; paper is light.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

Point = tuple[float, float]


class Canvas:
    """Collects elements; coordinates are in pixels, y downwards. All text is escaped here."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def group(self, kind: str, tip: str = "") -> Iterator[None]:
        """Groups what is drawn inside; `tip` is shown where the pointer rests on it."""
        self.lines.append(f'<g class="{kind}">')
        if tip:
            self.lines.append(f"<title>{escaped(tip)}</title>")
        yield
        self.lines.append("</g>")

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, radius: float = 3
    ) -> None:
        """A box; x and y are its upper left corner."""
        place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        self.lines.append(f'<rect {place} rx="{number(radius)}" class="{kind}"/>')

    def circle(self, x: float, y: float, radius: float, kind: str) -> None:
        """A circle around a point."""
        place = f'cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"'
        self.lines.append(f'<circle {place} class="{kind}"/>')

    def text(
        self, x: float, y: float, text: str, kind: str, anchor: str = "start", turned: bool = False
    ) -> None:
        """A line of text on the baseline y; `turned` reads upwards, on the baseline x."""
        place = f'x="{number(x)}" y="{number(y)}"'
        if turned:
            place = f'transform="translate({number(x)} {number(y)}) rotate(-90)"'
        if anchor != "start":
            place += f' text-anchor="{anchor}"'
        self.lines.append(f'<text {place} class="{kind}">{escaped(text)}</text>')

    def path(self, points: Sequence[Point], kind: str, radius: float = 6) -> None:
        """A line along points, its corners rounded."""
        self.outline(rounded_path(points, radius), kind)

    def outline(self, path: str, kind: str, opacity: float = 1) -> None:
        """A shape that is given as path data (SVG 2, section 9.3)."""
        shade = f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
        self.lines.append(f'<path d="{path}" class="{kind}"{shade}/>')

    def arrow(self, points: Sequence[Point], kind: str, radius: float = 6) -> None:
        """A line with a head at its last point."""
        (x0, y0), (x, y) = points[-2], points[-1]
        dx, dy = sign(x - x0), sign(y - y0)
        self.path([*points[:-1], (x - 3 * dx, y - 3 * dy)], kind, radius)
        tip = [(x, y), (x - 5 * dx + 3 * dy, y - 5 * dy + 3 * dx)]
        tip.append((x - 5 * dx - 3 * dy, y - 5 * dy - 3 * dx))
        corners = " ".join(f"{number(a)},{number(b)}" for a, b in tip)
        self.lines.append(f'<polygon points="{corners}" class="{kind} head"/>')


# --- whole pictures


def document(canvas: Canvas, size: Point, title: str, description: str, style: str) -> str:
    """An SVG file of what was drawn, `size` pixels wide and high, on a background."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {_box(size)} role="img" aria-labelledby="title desc">',
        f'<title id="title">{escaped(title)}</title>',
        f'<desc id="desc">{escaped(description)}</desc>',
        f"<style>\nsvg{{max-width:100%;height:auto}}\n{style}</style>",
        f'<rect width="{number(size[0])}" height="{number(size[1])}" class="page"/>',
        *canvas.lines,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def inline(canvas: Canvas, size: Point, title: str, kind: str) -> str:
    """The same for use within an HTML page, whose style sheet colours it."""
    head = f'<svg class="{kind}" role="img" {_box(size)}>\n<title>{escaped(title)}</title>'
    return "\n".join([head, *canvas.lines, "</svg>"])


def _box(size: Point) -> str:
    width, height = map(number, size)
    return f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'


# --- paths and text


def rounded_path(points: Sequence[Point], radius: float) -> str:
    """The `d` of a path whose segments are horizontal or vertical."""
    points = _without_repeats(points)
    parts = [f"M{_pair(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        bend = min(radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
        parts.append(f"L{_pair(_towards(corner, before, bend))}")
        parts.append(f"Q{_pair(corner)} {_pair(_towards(corner, after, bend))}")
    parts.append(f"L{_pair(points[-1])}")
    return "".join(parts)


def _without_repeats(points: Sequence[Point]) -> list[Point]:
    kept = [points[0]]
    kept += [point for before, point in itertools.pairwise(points) if point != before]
    return kept if len(kept) > 1 else kept * 2


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _towards(start: Point, end: Point, length: float) -> Point:
    return (
        start[0] + sign(end[0] - start[0]) * length,
        start[1] + sign(end[1] - start[1]) * length,
    )


def sign(value: float) -> int:
    """-1, 0 or 1."""
    return (value > 0) - (value < 0)


def _pair(point: Point) -> str:
    return f"{number(point[0])} {number(point[1])}"


def number(value: float) -> str:
    """A coordinate with one decimal at most; the same text on every machine."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def escaped(text: str) -> str:
    """Text that XML 1.0 can contain: markup escaped, control characters shown as `\\x07`."""
    safe = "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )
    return html.escape(safe)


# --- colours

# Fonts that systems have, of nearly the same widths (`text_width.py`); none is loaded.
FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one scheme. `kinds` has fill and stroke for each kind of op."""

    page: str
    band: str
    frame: str
    line: str
    rail: str
    text: str
    muted: str
    link: str
    edge: str
    skip: str
    parameters: str
    multiply_adds: str
    pale: str  # parameters as an area
    kinds: Mapping[str, tuple[str, str]]


LIGHT = Palette(
    page="#ffffff",
    band="#f5f7fa",
    frame="#ffffff",
    line="#d3dae4",
    rail="#e3e8ef",
    text="#1c2430",
    muted="#5a6676",
    link="#2f67b8",
    edge="#7c8898",
    skip="#e0562b",
    parameters="#3f78c9",
    multiply_adds="#8a63c9",
    pale="#bcd2f0",
    kinds={
        "convolution": ("#d6e6fb", "#86b1e8"),
        "linear": ("#f9d9e4", "#e29ab5"),
        "normalisation": ("#d9f0df", "#8fcba1"),
        "activation": ("#fdeec4", "#e0c06a"),
        "resampling": ("#e6defa", "#b3a0e3"),
        "regularisation": ("#f0e4d8", "#cdb08f"),
        "join": ("#ffffff", "#7c8898"),
        "other": ("#e8ecf1", "#b4bfcc"),
    },
)

DARK = Palette(
    page="#0d1117",
    band="#151b23",
    frame="#0d1117",
    line="#30363d",
    rail="#2a313a",
    text="#e6edf3",
    muted="#9aa5b1",
    link="#6ea8fe",
    edge="#7d8896",
    skip="#ff8a5c",
    parameters="#6ea8fe",
    multiply_adds="#b392f0",
    pale="#33507a",
    kinds={
        "convolution": ("#17355c", "#3a6cab"),
        "linear": ("#54243a", "#9a4a6c"),
        "normalisation": ("#173f27", "#357a4d"),
        "activation": ("#4a3a0c", "#8a6f22"),
        "resampling": ("#362a5e", "#6b57ab"),
        "regularisation": ("#43321f", "#80633f"),
        "join": ("#0d1117", "#7d8896"),
        "other": ("#272e37", "#4b5563"),
    },
)


def themed(colours: Callable[[Palette], Mapping[str, str]]) -> str:
    """Rules by selector as CSS: for LIGHT, and for DARK where the reader's screen is dark."""
    light, dark = (
        [f"{selector}{{{rule}}}\n" for selector, rule in colours(palette).items()]
        for palette in (LIGHT, DARK)
    )
    inner = "".join(f"  {rule}" for rule in dark)
    return f"{''.join(light)}@media screen and (prefers-color-scheme:dark){{\n{inner}}}\n"


def variables() -> str:
    """The palette as variables of CSS: `--text`, `--multiply-adds`, ..."""
    names = [field.name for field in fields(Palette) if field.name != "kinds"]

    def root(palette: Palette) -> dict[str, str]:
        rules = (f"--{name.replace('_', '-')}:{getattr(palette, name)}" for name in names)
        return {":root": ";".join(rules)}

    return themed(root)
