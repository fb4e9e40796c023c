"""The elements of an SVG, written one after the other.

    canvas.rect(10, 10, 80, 16, "convolution")
    canvas.text(14, 21, "conv 3×3, 64", "label")

Colours are classes of the style sheet, so that one drawing serves light, dark and paper.

Colours and type of a drawing: light, and dark where the screen is; paper is light.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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


# Sizes of type in pixels. A page of A4 shows ResNet-152 at 0.94: TEXT is then 6.3 points high.
NAME, DOC, STAGE, LONG_STAGE, STRONG, TEXT = 20.0, 11.0, 12.0, 9.5, 10.0, 9.0

# Fonts that systems have, of nearly one width (see reports/plotting/scales.py); nothing is loaded.
FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one scheme. `kinds` gives fill and stroke for each kind of op."""

    page: str
    band: str
    frame: str
    line: str
    rail: str
    text: str
    muted: str
    edge: str
    skip: str
    parameters: str
    multiply_adds: str
    kinds: Mapping[str, tuple[str, str]]


LIGHT = Palette(
    page="#ffffff",
    band="#f5f7fa",
    frame="#ffffff",
    line="#d3dae4",
    rail="#e3e8ef",
    text="#1c2430",
    muted="#5a6676",
    edge="#7c8898",
    skip="#e0562b",
    parameters="#3f78c9",
    multiply_adds="#8a63c9",
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
    edge="#7d8896",
    skip="#ff8a5c",
    parameters="#6ea8fe",
    multiply_adds="#b392f0",
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

_TYPE = f"""\
text{{font-family:{FONTS};font-size:{TEXT:g}px}}
.name{{font-size:{NAME:g}px;font-weight:700}}
.doc{{font-size:{DOC:g}px}}
.stage-name{{font-size:{STAGE:g}px;font-weight:700}}
.long{{font-size:{LONG_STAGE:g}px}}
.block-title,.panel-name{{font-size:{STRONG:g}px;font-weight:700}}
.sign{{font-size:12px}}
.edge,.skip{{fill:none;stroke-width:1.2}}
.skip{{stroke-width:1.7}}
.head{{stroke:none}}
.training{{stroke-dasharray:4 3}}
.op,.box,.card,.frame,.tagged,.pill{{stroke-width:.8}}
"""

# One page of paper, however long the drawing is.
_PAPER = """\
@page{margin:8mm}
@media print{svg{max-height:100vh}}
"""


def style_sheet() -> str:
    """The CSS of every drawing."""
    return f"{_TYPE}{themed(_colours)}{_PAPER}"


def themed(colours: Callable[[Palette], Mapping[str, str]]) -> str:
    """Rules by selector as CSS: for light, and for dark where the screen is."""
    light, dark = (
        [f"{selector}{{{rule}}}\n" for selector, rule in colours(palette).items()]
        for palette in (LIGHT, DARK)
    )
    inner = "".join(f"  {rule}" for rule in dark)
    return f"{''.join(light)}@media screen and (prefers-color-scheme:dark){{\n{inner}}}\n"


def _colours(palette: Palette) -> Mapping[str, str]:
    rules = {
        ".page": f"fill:{palette.page}",
        ".band": f"fill:{palette.band}",
        ".frame,.pill": f"fill:{palette.frame};stroke:{palette.line}",
        ".box,.card": f"fill:{palette.frame};stroke:{palette.edge}",
        ".tagged": f"fill:{palette.frame};stroke:{palette.skip}",
        ".rail": f"fill:{palette.rail}",
        ".bar.parameters": f"fill:{palette.parameters}",
        ".bar.multiply-adds": f"fill:{palette.multiply_adds}",
        "text": f"fill:{palette.text}",
        ".doc,.note,.shape": f"fill:{palette.muted}",
        ".edge": f"stroke:{palette.edge}",
        ".skip": f"stroke:{palette.skip}",
        ".edge.head": f"fill:{palette.edge}",
        ".skip.head": f"fill:{palette.skip}",
    }
    for kind, (fill, stroke) in palette.kinds.items():
        rules[f".op.{kind}"] = f"fill:{fill};stroke:{stroke}"
    return rules
