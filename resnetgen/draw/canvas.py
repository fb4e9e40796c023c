"""The elements of an SVG, written one after the other.

    canvas.rect(10, 10, 80, 16, "convolution")
    canvas.text(14, 21, "conv 3×3, 64", "label")

Colours are classes of the style sheet, so that one drawing serves light, dark and paper.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

Point = tuple[float, float]


class Canvas:
    """Collects elements; coordinates are in pixels, y downwards. All text is escaped here."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def group(self, kind: str, tip: str = "") -> Iterator[None]:
        """What is drawn inside belongs together; `tip` is shown where the pointer rests on it."""
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
        """A line of text on the baseline y; `turned` reads upwards."""
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


def document(canvas: Canvas, size: Point, title: str, description: str, style: str) -> str:
    """What a canvas holds as a whole SVG, `size` pixels wide and high, on a background."""
    width, height = map(number, size)
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-labelledby="title desc">',
        f'<title id="title">{escaped(title)}</title>',
        f'<desc id="desc">{escaped(description)}</desc>',
        f"<style>\nsvg{{max-width:100%;height:auto}}\n{style}</style>",
        f'<rect width="{width}" height="{height}" class="page"/>',
        *canvas.lines,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


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
    """Text that XML 1.0 can hold: markup escaped, control characters shown as `\\x07`."""
    safe = "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )
    return html.escape(safe)
