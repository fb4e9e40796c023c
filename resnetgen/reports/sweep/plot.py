"""The plot of a sweep: a self-contained SVG of all variants on two axes, and their Pareto front.

Few variants are dots; many are cells, the darker the more variants lie in one, so that the file
stays small however many there are. Colours follow the reader's light or dark theme.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from resnetgen.reports.numbers import count, short_number
from resnetgen.reports.plotting.scales import Scale
from resnetgen.reports.plotting.svg import FONTS, Canvas, Palette, Point, document, themed
from resnetgen.reports.sweep.files import PLOT_MARK
from resnetgen.reports.sweep.pareto import Front

WIDTH, HEIGHT = 760, 500
LEFT, RIGHT, TOP, BOTTOM = 86, 22, 64, 62
CELL = 6  # the side of a cell
MOST_DOTS = 1_000
MOST_ON_LINE = 400  # points of the front that are drawn
MOST_MARKS = 40  # of them that have a mark each
SHADES = 6
FEWEST_TICKS = 4
LOG_FROM = 15  # the largest value is so many times the smallest: the axis is logarithmic

_TYPE = f"""\
text{{font:12px {FONTS}}}
.title{{font-size:16px;font-weight:700}}
.grid,.front{{fill:none}}
.dot{{stroke-width:5;stroke-linecap:round;stroke-opacity:.7}}
.front{{stroke-width:2;stroke-linejoin:round}}
"""

Points = Iterable[Point]


def scale(least: float, most: float, start: float, end: float) -> Scale:
    """The scale of an axis that shows a range with a little room on either side."""
    if least > 0 and most / least >= LOG_FROM:
        room = (most / least) ** 0.04
        return Scale(least / room, most * room, start, end, log=True)
    room = (most - least) * 0.05 or max(abs(most) * 0.05, 0.5)
    low = least - room
    return Scale(max(low, 0) if least >= 0 else low, most + room, start, end)


def svg(title: str, labels: tuple[str, str], points: Callable[[], Points], front: Front) -> str:
    """The plot as text. `points` is called twice: for the ranges, then for the places."""
    canvas = Canvas()
    canvas.text(LEFT, 28, title, "title")
    total = _draw(canvas, labels, points, front) if len(front) else 0
    told = f"{count(total)} {'variant' if total == 1 else 'variants'}"
    told = told if total else "no variant has figures"
    canvas.text(LEFT, 47, told, "soft")
    style = _TYPE + themed(_colours)
    drawn = document(canvas, (WIDTH, HEIGHT), f"{title}: {told}", " and ".join(labels), style)
    return f"{PLOT_MARK.decode()}\n{drawn}"


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
    """Draws axes, variants, their front and what they are; the number of variants."""
    left = low = math.inf
    right = high = -math.inf
    total = 0
    for across, up in points():
        left, right = min(left, across), max(right, across)
        low, high = min(low, up), max(high, up)
        total += 1
    x = scale(left, right, LEFT, WIDTH - RIGHT)
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    _draw_axes(canvas, x, y, labels)
    places = ((x(across), y(up)) for across, up in points())
    if total > MOST_DOTS:
        _draw_cells(canvas, places)
    else:
        canvas.outline("".join(f"M{across:.1f} {down:.1f}h0" for across, down in places), "dot")
    _draw_front(canvas, [(x(point.x), y(point.y)) for point in front])
    _draw_legend(canvas, front, total > MOST_DOTS)
    return total


def _draw_axes(canvas: Canvas, x: Scale, y: Scale, labels: tuple[str, str]) -> None:
    for value in x.ticks(FEWEST_TICKS):
        canvas.outline(f"M{x(value):.1f} {y.start:g}V{y.end:g}", "grid")
        canvas.text(x(value), y.start + 18, short_number(value), "tick", "middle")
    for value in y.ticks(FEWEST_TICKS):
        canvas.outline(f"M{x.start:g} {y(value):.1f}H{x.end:g}", "grid")
        canvas.text(x.start - 8, y(value) + 4, short_number(value), "tick", "end")
    across, up = (
        f"{label}{', log scale' if axis.log else ''}"
        for label, axis in zip(labels, (x, y), strict=True)
    )
    canvas.text((x.start + x.end) / 2, HEIGHT - 16, across, "axis", "middle")
    canvas.text(20, (y.start + y.end) / 2, up, "axis", "middle", turned=True)


def _draw_cells(canvas: Canvas, places: Points) -> None:
    """Cells in shades: the logarithm of how many variants lie in one."""
    cells = Counter((int(across // CELL), int(down // CELL)) for across, down in places)
    most = math.log(max(cells.values()) + 1)
    shades: dict[int, list[str]] = {}
    for (column, row), number in sorted(cells.items()):
        shade = math.ceil(SHADES * math.log(number + 1) / most)
        path = f"M{column * CELL} {row * CELL}h{CELL}v{CELL}h-{CELL}z"
        shades.setdefault(shade, []).append(path)
    for shade, paths in sorted(shades.items()):
        canvas.outline("".join(paths), "cell", 0.15 + 0.85 * shade / SHADES)


def _draw_front(canvas: Canvas, places: Sequence[Point]) -> None:
    """A line from point to point; the points too where they are few."""
    drawn = list(places[:: -(-len(places) // MOST_ON_LINE)])
    drawn += places[-1:] if drawn[-1] != places[-1] else []
    line = "L".join(f"{across:.1f} {down:.1f}" for across, down in drawn)
    canvas.outline(f"M{line}", "front")
    for across, down in drawn if len(drawn) <= MOST_MARKS else ():
        canvas.circle(across, down, 3.5, "mark")


def _draw_legend(canvas: Canvas, front: Front, shaded: bool) -> None:
    """What the line and the marks are, in the corner above the plot."""
    end = WIDTH - RIGHT
    thinned = ", thinned" if front.thinned else ""
    told = "variants, stronger where more lie" if shaded else "variants"
    canvas.text(end, 28, f"Pareto front of {count(len(front))}{thinned}", "legend", "end")
    canvas.text(end, 47, told, "legend", "end")
    canvas.outline(f"M{end + 5} 24h14", "front")
    canvas.outline(f"M{end + 12} 43h0", "dot")
