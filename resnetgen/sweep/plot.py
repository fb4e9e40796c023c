"""The plot of a sweep: a self-contained SVG of all variants on two axes, and their Pareto front.

Few variants are dots; many are cells, the darker the more variants lie in one, so that the file
stays small however many there are. Colours follow the reader's light or dark theme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from resnetgen.report.columns import count
from resnetgen.sweep.files import PLOT_MARK
from resnetgen.sweep.pareto import Front

WIDTH, HEIGHT = 760, 500
LEFT, RIGHT, TOP, BOTTOM = 86, 22, 64, 62
CELL = 6  # the side of a cell
MOST_DOTS = 1_000
MOST_ON_LINE = 400  # points of the front that are drawn
SHADES = 6
LOG_FROM = 15  # the largest value is so many times the smallest: the axis is logarithmic

_STYLE = """
  svg { --ink: #1b1f24; --soft: #5f6b7a; --grid: #e3e7ec; --page: #ffffff; --dots: #2f6fab;
        --front: #c2410c; font: 12px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9aa7b4; --grid: #2a313a; --page: #0f141a; --dots: #62a8e5;
          --front: #ff9d5c } }
  .page { fill: var(--page) } text { fill: var(--ink) } .soft { fill: var(--soft) }
  .grid { stroke: var(--grid); fill: none } .cell { fill: var(--dots) }
  .dot { stroke: var(--dots); stroke-width: 5; stroke-linecap: round; stroke-opacity: 0.7 }
  .front { stroke: var(--front); stroke-width: 2; fill: none; stroke-linejoin: round }
  .marks { fill: var(--front) } .title { font-size: 16px; font-weight: 600 }
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values along one axis, in pixels from `start` to `end`."""

    least: float
    most: float
    start: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        least, most, at = (self._bent(each) for each in (self.least, self.most, value))
        return self.start + (at - least) / (most - least) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Some eight round values within the range."""
        found = _decades(self.least, self.most) if self.log else _steps(self.least, self.most)
        return [value for value in found if self.least <= value <= self.most]

    def _bent(self, value: float) -> float:
        return math.log10(value) if self.log else value


def scale(least: float, most: float, start: float, end: float) -> Scale:
    """The scale of an axis that shows a range with a little room on either side."""
    if least > 0 and most / least >= LOG_FROM:
        room = (most / least) ** 0.04
        return Scale(least / room, most * room, start, end, log=True)
    room = (most - least) * 0.05 or max(abs(most) * 0.05, 0.5)
    low = least - room
    return Scale(max(low, 0) if least >= 0 else low, most + room, start, end, log=False)


def _decades(least: float, most: float) -> Iterator[float]:
    """1, 10, 100 or 1, 2, 5, 10, 20, 50, as many as there is room for."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    step = -(-(last - first) // 8)
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    for power in range(first, last + 1, step):
        yield from (each * 10.0**power for each in steps)


def _steps(least: float, most: float) -> Iterator[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (most - least) / 7
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    for index in range(math.ceil(least / step), math.floor(most / step) + 1):
        yield index * step


def short(value: float) -> str:
    """`2500000000` -> `2.5 G`."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {letter}"
    return f"{value:.4g}"


def svg(
    title: str,
    labels: tuple[str, str],
    points: Callable[[], Iterable[tuple[float, float]]],
    front: Front,
) -> str:
    """The plot as text. `points` is called twice: for the ranges, then for the places."""
    ranges = _ranges(points())
    if ranges is None:
        return _page(title, "no variant has figures", [])
    (left, right, low, high), total = ranges
    x = scale(left, right, LEFT, WIDTH - RIGHT)
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    shaded = total > MOST_DOTS
    drawn = _cells(x, y, points()) if shaded else _dots(x, y, points())
    parts = [*_axes(x, y, labels), *drawn, *_front(x, y, front), *_legend(front, shaded)]
    return _page(title, f"{count(total)} {'variant' if total == 1 else 'variants'}", parts)


def _ranges(
    points: Iterable[tuple[float, float]],
) -> tuple[tuple[float, float, float, float], int] | None:
    left = low = math.inf
    right = high = -math.inf
    total = 0
    for x, y in points:
        left, right, low, high = min(left, x), max(right, x), min(low, y), max(high, y)
        total += 1
    return ((left, right, low, high), total) if total else None


def _page(title: str, subtitle: str, parts: Sequence[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        PLOT_MARK.decode(),
        f"<title>{escape(title)}: {escape(subtitle)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>',
        f'<text class="soft" x="{LEFT}" y="47">{escape(subtitle)}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _axes(x: Scale, y: Scale, labels: tuple[str, str]) -> Iterator[str]:
    grid = [f"M{x(value):.1f} {y.start:g}V{y.end:g}" for value in x.ticks()]
    grid += [f"M{x.start:g} {y(value):.1f}H{x.end:g}" for value in y.ticks()]
    yield f'<path class="grid" d="{"".join(grid)}"/>'
    for value in x.ticks():
        yield _text(x(value), y.start + 18, short(value), "middle")
    for value in y.ticks():
        yield _text(x.start - 8, y(value) + 4, short(value), "end")
    across, up = (
        f"{label}{', log scale' if axis.log else ''}"
        for label, axis in zip(labels, (x, y), strict=True)
    )
    yield _text((x.start + x.end) / 2, HEIGHT - 16, across, "middle")
    middle = (y.start + y.end) / 2
    turn = f'transform="rotate(-90 20 {middle:g})"'
    yield f'<text x="20" y="{middle:g}" text-anchor="middle" {turn}>{escape(up)}</text>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _dots(x: Scale, y: Scale, points: Iterable[tuple[float, float]]) -> Iterator[str]:
    """A dot a variant."""
    path = "".join(f"M{x(across):.1f} {y(up):.1f}h0" for across, up in points)
    yield f'<path class="dot" d="{path}"/>'


def _cells(x: Scale, y: Scale, points: Iterable[tuple[float, float]]) -> Iterator[str]:
    """Cells in shades: the logarithm of how many variants lie in one."""
    cells: dict[tuple[int, int], int] = {}
    for across, up in points:
        cell = int(x(across) // CELL), int(y(up) // CELL)
        cells[cell] = cells.get(cell, 0) + 1
    most = math.log(max(cells.values()) + 1)
    shades: dict[int, list[str]] = {}
    for (column, row), number in sorted(cells.items()):
        shade = math.ceil(SHADES * math.log(number + 1) / most)
        path = f"M{column * CELL} {row * CELL}h{CELL}v{CELL}h-{CELL}z"
        shades.setdefault(shade, []).append(path)
    for shade, paths in sorted(shades.items()):
        opacity = 0.15 + 0.85 * shade / SHADES
        yield f'<path class="cell" fill-opacity="{opacity:.2f}" d="{"".join(paths)}"/>'


def _front(x: Scale, y: Scale, front: Front) -> Iterator[str]:
    """A line from point to point; the points too where they are few."""
    places = [(x(point.x), y(point.y)) for point in front]
    drawn = places[:: -(-len(places) // MOST_ON_LINE)]
    drawn += places[-1:] if drawn[-1:] != places[-1:] else []
    line = "L".join(f"{across:.1f} {down:.1f}" for across, down in drawn)
    yield f'<path class="front" d="M{line}"/>'
    if len(drawn) <= 40:
        yield "".join(
            f'<circle class="marks" cx="{across:.1f}" cy="{down:.1f}" r="3.5"/>'
            for across, down in drawn
        )


def _legend(front: Front, shaded: bool) -> Iterator[str]:
    """What the line and the marks are, in the corner above the plot."""
    end = WIDTH - RIGHT
    thinned = ", thinned" if front.thinned else ""
    yield _text(end, 28, f"Pareto front of {count(len(front))}{thinned}", "end")
    yield _text(end, 47, "variants, stronger where more lie" if shaded else "variants", "end")
    yield f'<path class="front" d="M{end + 5} 24h14"/>'
    yield f'<path class="dot" d="M{end + 12} 43h0"/>'
