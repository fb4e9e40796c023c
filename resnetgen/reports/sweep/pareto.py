"""The Pareto front of a sweep, and the plot of all variants with it.

    macs,-params   ->   the variants that no other beats: fewer multiply-adds, more parameters

`Front` accepts one point at a time. A front that outgrows its bound is thinned: every point on it
is still a variant, but it may be one that only a dropped point beats.

The plot is a self-contained SVG. Few variants are dots; many are counted in cells, which are darker
the more variants they contain, so that the file stays small however many there are. Colours follow
the reader's light or dark theme.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resnetgen.compiler.codegen.files import Stamp, text_digest
from resnetgen.compiler.diagnostics.model import did_you_mean
from resnetgen.reports.numbers import count, short_number
from resnetgen.reports.plotting.scales import Scale
from resnetgen.reports.plotting.svg import FONTS, Canvas, Palette, Point, document, themed
from resnetgen.reports.sweep.space import option_error

# --- the front

MAX_POINTS = 20_000


@dataclass(frozen=True, slots=True)
class Axis:
    """A column, and whether less of it is better."""

    name: str
    minimize: bool


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A variant on two axes."""

    x: float
    y: float
    variant: int


def parse_axes(text: str, columns: Sequence[str]) -> tuple[Axis, Axis]:
    """`macs,-params` -> two axes; a minus means that more is better. Raises SpecError."""
    parts = [part.strip() for part in text.split(",")]
    axes = [Axis(part.removeprefix("-").strip(), not part.startswith("-")) for part in parts]
    if len(axes) != 2 or axes[0].name == axes[1].name:
        help = "say `--pareto macs,-params`: fewer multiply-adds, more parameters"
        raise option_error("--pareto", text, text, "a front has two axes", help)
    for axis in axes:
        if axis.name not in columns:
            help = did_you_mean(axis.name, columns) or f"known are {', '.join(columns)}"
            message = f"the rows have no column of numbers `{axis.name}`"
            raise option_error("--pareto", text, axis.name, message, help)
    return axes[0], axes[1]


@dataclass(slots=True)
class Front:
    """The points that no other point beats, sorted by x from best to worst; y then improves."""

    axes: tuple[Axis, Axis]
    most: int = MAX_POINTS
    thinned: bool = False
    _xs: list[float] = field(default_factory=list)  # less is better
    _ys: list[float] = field(default_factory=list)  # less is better; falls along the front
    _variants: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._xs)

    def __iter__(self) -> Iterator[FrontPoint]:
        x_sign, y_sign = (1 if axis.minimize else -1 for axis in self.axes)
        for x, y, variant in zip(self._xs, self._ys, self._variants, strict=True):
            yield FrontPoint(x_sign * x, y_sign * y, variant)

    def add(self, x: float, y: float, variant: int) -> None:
        """Adds a point and removes those that it beats; of equal points the first stays."""
        x, y = (x if self.axes[0].minimize else -x), (y if self.axes[1].minimize else -y)
        at = bisect_right(self._xs, x)
        if at and self._ys[at - 1] <= y:
            return
        first = bisect_left(self._xs, x)
        last = first
        while last < len(self._ys) and self._ys[last] >= y:
            last += 1
        self._xs[first:last], self._ys[first:last], self._variants[first:last] = [x], [y], [variant]
        if len(self._xs) > self.most:
            self._thin()

    def _thin(self) -> None:
        """Drops every other point except the ends."""
        self.thinned = True
        inner = slice(1, len(self._xs) - 1, 2)
        del self._xs[inner], self._ys[inner], self._variants[inner]


# --- the plot

WIDTH, HEIGHT = 760, 500
LEFT, RIGHT, TOP, BOTTOM = 86, 22, 64, 62
CELL = 6  # the side of a cell
MAX_DOTS = 1_000
MAX_ON_LINE = 400  # points of the front that are drawn
MAX_MARKS = 40  # above this, the points of the front have no marks
SHADES = 6
MIN_TICKS = 4
LOG_FROM = 15  # an axis is logarithmic if its largest value is this many times its smallest

_TYPE = f"""\
text{{font:12px {FONTS}}}
.title{{font-size:16px;font-weight:700}}
.grid,.front{{fill:none}}
.dot{{stroke-width:5;stroke-linecap:round;stroke-opacity:.7}}
.front{{stroke-width:2;stroke-linejoin:round}}
"""

PLOT = Stamp.at_the_top(r"<!-- Drawn by resnetgen sweep \(plot ([0-9a-f]{16})\)\. -->\n")

Points = Iterable[Point]


def plot_svg(
    title: str, labels: tuple[str, str], points: Callable[[], Points], front: Front
) -> str:
    """The plot as text. `points` is called twice: for the ranges, then for the positions."""
    canvas = Canvas()
    canvas.text(LEFT, 28, title, "title")
    total = _draw(canvas, labels, points, front) if len(front) else 0
    summary = f"{count(total)} {'variant' if total == 1 else 'variants'}"
    summary = summary if total else "no variant has figures"
    canvas.text(LEFT, 47, summary, "soft")
    style = _TYPE + themed(_colours)
    drawn = document(canvas, (WIDTH, HEIGHT), f"{title}: {summary}", " and ".join(labels), style)
    return f"<!-- Drawn by resnetgen sweep (plot {text_digest(drawn)}). -->\n{drawn}"


def _colours(palette: Palette) -> Mapping[str, str]:
    return {
        ".page": f"fill:{palette.page}",
        "text": f"fill:{palette.text}",
        ".soft": f"fill:{palette.muted}",
        ".grid": f"stroke:{palette.line}",
        ".dot": f"stroke:{palette.parameters}",
        ".cell": f"fill:{palette.parameters}",
        ".front": f"stroke:{palette.skip}",
        ".mark": f"fill:{palette.skip}",
    }


def _draw(
    canvas: Canvas, labels: tuple[str, str], points: Callable[[], Points], front: Front
) -> int:
    """Draws the axes, the variants, the front and the legend; returns the number of variants."""
    left = low = math.inf
    right = high = -math.inf
    total = 0
    for across, up in points():
        left, right = min(left, across), max(right, across)
        low, high = min(low, up), max(high, up)
        total += 1
    x = axis_scale(left, right, LEFT, WIDTH - RIGHT)
    y = axis_scale(low, high, HEIGHT - BOTTOM, TOP)
    _draw_axes(canvas, x, y, labels)
    positions = ((x(across), y(up)) for across, up in points())
    if total > MAX_DOTS:
        _draw_cells(canvas, positions)
    else:
        canvas.outline("".join(f"M{across:.1f} {down:.1f}h0" for across, down in positions), "dot")
    _draw_front(canvas, [(x(point.x), y(point.y)) for point in front])
    _draw_legend(canvas, front, total > MAX_DOTS)
    return total


def axis_scale(least: float, most: float, start: float, end: float) -> Scale:
    """The scale of an axis that shows a range with a little room on either side."""
    if least > 0 and most / least >= LOG_FROM:
        room = (most / least) ** 0.04
        return Scale(least / room, most * room, start, end, log=True)
    room = (most - least) * 0.05 or max(abs(most) * 0.05, 0.5)
    low = least - room
    return Scale(max(low, 0) if least >= 0 else low, most + room, start, end)


def _draw_axes(canvas: Canvas, x: Scale, y: Scale, labels: tuple[str, str]) -> None:
    for value in x.ticks(MIN_TICKS):
        canvas.outline(f"M{x(value):.1f} {y.start:g}V{y.end:g}", "grid")
        canvas.text(x(value), y.start + 18, short_number(value), "tick", "middle")
    for value in y.ticks(MIN_TICKS):
        canvas.outline(f"M{x.start:g} {y(value):.1f}H{x.end:g}", "grid")
        canvas.text(x.start - 8, y(value) + 4, short_number(value), "tick", "end")
    across, up = (
        f"{label}{', log scale' if axis.log else ''}"
        for label, axis in zip(labels, (x, y), strict=True)
    )
    canvas.text((x.start + x.end) / 2, HEIGHT - 16, across, "axis", "middle")
    canvas.text(20, (y.start + y.end) / 2, up, "axis", "middle", turned=True)


def _draw_cells(canvas: Canvas, positions: Points) -> None:
    """Cells in shades: the logarithm of the number of variants in each."""
    cells = Counter((int(across // CELL), int(down // CELL)) for across, down in positions)
    most = math.log(max(cells.values()) + 1)
    shades: dict[int, list[str]] = {}
    for (column, row), number in sorted(cells.items()):
        shade = math.ceil(SHADES * math.log(number + 1) / most)
        path = f"M{column * CELL} {row * CELL}h{CELL}v{CELL}h-{CELL}z"
        shades.setdefault(shade, []).append(path)
    for shade, paths in sorted(shades.items()):
        canvas.outline("".join(paths), "cell", 0.15 + 0.85 * shade / SHADES)


def _draw_front(canvas: Canvas, positions: Sequence[Point]) -> None:
    """A line from point to point, with a mark on each point if there are few."""
    drawn = list(positions[:: -(-len(positions) // MAX_ON_LINE)])
    drawn += positions[-1:] if drawn[-1] != positions[-1] else []
    line = "L".join(f"{across:.1f} {down:.1f}" for across, down in drawn)
    canvas.outline(f"M{line}", "front")
    for across, down in drawn if len(drawn) <= MAX_MARKS else ():
        canvas.circle(across, down, 3.5, "mark")


def _draw_legend(canvas: Canvas, front: Front, shaded: bool) -> None:
    """What the line and the marks mean, in the corner above the plot."""
    end = WIDTH - RIGHT
    thinned = ", thinned" if front.thinned else ""
    label = "variants, stronger where more lie" if shaded else "variants"
    canvas.text(end, 28, f"Pareto front of {count(len(front))}{thinned}", "legend", "end")
    canvas.text(end, 47, label, "legend", "end")
    canvas.outline(f"M{end + 5} 24h14", "front")
    canvas.outline(f"M{end + 12} 43h0", "dot")
