"""Charts: bars, an area, points. Where their marks lie, and how they are drawn.

    chart = bars(("layer1", "layer2"), [Series("parameters", (215808.0, ...), ("215.81 K", ...))], 720)
    chart.draw(canvas)     a row a name, a panel a series, a bar with its figure in each

The places of the marks are computed first, in pixels, and drawn by the chart that has them. y runs
downwards, as in SVG. Labels have room for the widest of the common fonts. A page that embeds charts
has `STYLE` and the variables of the palette (`svg.variables`) in its style sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from resnetgen.reports.plotting.scales import Scale, round_step
from resnetgen.reports.plotting.svg import Canvas
from resnetgen.reports.plotting.text_width import fit_text, text_width

STYLE = """\
.chart text{font-size:12px;fill:var(--text)}
.chart .head,.chart .tick,.chart .figure{fill:var(--muted)}
.chart .tick{font-size:11px}
.chart .grid,.chart .axis{stroke:var(--line);fill:none}
.chart .bar{fill:var(--parameters)}
.chart .bar.multiply-adds{fill:var(--multiply-adds)}
.chart .bar.whole{fill:var(--pale)}
.chart .area{fill:var(--pale);stroke:var(--parameters);stroke-linejoin:round}
.chart .border{stroke:var(--muted);stroke-opacity:.35;fill:none}
.chart .band{fill:transparent}
.chart .peak{fill:var(--skip)}
.chart .dot{fill:var(--parameters)}
.chart .lead{stroke:var(--muted);stroke-opacity:.6}
"""
_TYPE = 12 * 1.15  # for widths: common fonts are up to so much wider than Helvetica
_LINE = 14.0
_CENTRE = 4.2  # from the middle of a line of text down to its baseline
_LEFT = 64.0  # of charts with a vertical axis, for its ticks

NumberText = Callable[[float], str]
Tick = tuple[float, str]  # where it is, and its text


# --- bars


@dataclass(frozen=True, slots=True)
class Series:
    """A figure of each row, as a number and as text.

    `parts` are drawn within the bars, each a part of its figure. `kind` selects the colour.
    """

    title: str
    values: Sequence[float]
    texts: Sequence[str]
    parts: Sequence[float] = ()
    kind: str = "parameters"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from x to the right, `part` of it filled darker, and its figure behind its end."""

    x: float
    y: float
    length: float
    part: float
    text: str


@dataclass(frozen=True, slots=True)
class BarPanel:
    """The bars of one series; `kind` is `whole` where a part of each is drawn within."""

    title: str
    kind: str
    x: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """A row a name: its label, and a bar in each panel. `names` are (y, label, full name)."""

    width: float
    height: float
    top: float
    thickness: float
    names: tuple[tuple[float, str, str], ...]
    panels: tuple[BarPanel, ...]

    def draw(self, canvas: Canvas) -> None:
        """Draws names and panels; a name that is cut has its full text as a tip."""
        for y, label, name in self.names:
            with canvas.group("name", name if label != name else ""):
                canvas.text(0, y + _CENTRE, label, "label")
        for panel in self.panels:
            canvas.text(panel.x, 14, panel.title, "head")
            canvas.outline(f"M{panel.x:.1f} {self.top:g}V{self.height:g}", "axis")
            for bar in panel.bars:
                self._draw_bar(canvas, bar, panel.kind)

    def _draw_bar(self, canvas: Canvas, bar: Bar, kind: str) -> None:
        high = self.thickness
        canvas.rect(bar.x, bar.y, bar.length, high, f"bar {kind}", 0)
        if bar.part:
            canvas.rect(bar.x, bar.y + high / 4, bar.part, high / 2, "bar part", 0)
        canvas.text(bar.x + bar.length + 6, bar.y + high / 2 + _CENTRE, bar.text, "figure")


_ROW, _THICK, _HEAD, _GAP = 24.0, 14.0, 24.0, 20.0


def bars(names: Sequence[str], series: Sequence[Series], width: float) -> Bars:
    """Horizontal bars, the series beside each other, each with a scale of its own from zero."""
    label = min(max(map(_width, names), default=0), width * 0.28)
    left = label + 12
    room = (width - left - _GAP * (len(series) - 1)) / len(series)
    tops = [_HEAD + _ROW * index + (_ROW - _THICK) / 2 for index in range(len(names))]
    panels = tuple(
        _panel(each, left + (room + _GAP) * number, room, tops)
        for number, each in enumerate(series)
    )
    labels = tuple(
        (top + _THICK / 2, fit_text(name, label, _TYPE), name)
        for top, name in zip(tops, names, strict=True)
    )
    return Bars(width, _HEAD + _ROW * len(names), _HEAD, _THICK, labels, panels)


def _panel(series: Series, x: float, room: float, tops: Sequence[float]) -> BarPanel:
    longest = room - max(map(_width, series.texts), default=0) - 6
    scale = longest / (max(series.values, default=0) or 1)
    parts = series.parts or [0.0] * len(series.values)
    rows = zip(tops, series.values, parts, series.texts, strict=True)
    made = (Bar(x, top, value * scale, part * scale, text) for top, value, part, text in rows)
    return BarPanel(series.title, "whole" if series.parts else series.kind, x, tuple(made))


def _width(text: str) -> float:
    return text_width(text, _TYPE)


# --- an area


@dataclass(frozen=True, slots=True)
class Band:
    """Neighbouring steps of one group, and a label if it fits, `turned` if there is little room."""

    x: float
    width: float
    label: str
    turned: bool
    tip: str


@dataclass(frozen=True, slots=True)
class Area:
    """A figure over steps; `peak` is where it is highest."""

    width: float
    height: float
    left: float
    right: float
    top: float
    floor: float
    outline: str
    bands: tuple[Band, ...]
    y_ticks: tuple[Tick, ...]
    peak: tuple[float, float]

    def draw(self, canvas: Canvas) -> None:
        """Draws the area, and over it the bands with their tips."""
        _draw_levels(canvas, self.y_ticks, self.left, self.right)
        canvas.outline(self.outline, "area")
        for band in self.bands:
            with canvas.group("group", band.tip):
                canvas.rect(band.x, self.top, band.width, self.floor - self.top, "band", 0)
                canvas.outline(f"M{band.x:.1f} {self.top - 22:g}V{self.floor:g}", "border")
                self._draw_label(canvas, band)
        canvas.circle(*self.peak, 3.5, "peak")

    def _draw_label(self, canvas: Canvas, band: Band) -> None:
        if band.label and band.turned:
            x, y = band.x + 4 + 2 * _CENTRE, self.top - 20
            canvas.text(x, y, band.label, "label", "end", turned=True)
        elif band.label:
            canvas.text(band.x + 4, self.top - 12, band.label, "label")


_ABOVE = 28.0


def area(
    values: Sequence[float], groups: Sequence[str], unit: float, text: NumberText, width: float
) -> Area:
    """A step for each of at least one value, from zero; neighbours of one group are a band.

    Ticks are round numbers of `unit`.
    """
    height, right = round(width * 0.2) + 120.0, width - 1
    bottom = height - 2
    step = (right - _LEFT) / len(values)
    ticks = linear_ticks(max(values), unit)
    y = Scale(0, ticks[-1] or 1, bottom, _ABOVE)
    heights = [y(value) for value in values]
    peak = max(range(len(values)), key=lambda index: values[index])
    return Area(
        width,
        height,
        _LEFT,
        right,
        _ABOVE,
        bottom,
        _steps(heights, step, bottom),
        tuple(_bands(values, groups, text, step, bottom - _ABOVE)),
        tuple((y(tick), text(tick)) for tick in ticks),
        (_LEFT + step * (peak + 0.5), heights[peak]),
    )


def _steps(heights: Sequence[float], step: float, bottom: float) -> str:
    """The outline as path data, equal neighbours as one line; it starts and ends at the bottom."""
    parts, end = [f"M{_LEFT:g} {bottom:g}"], 0
    for height, run in groupby(heights):
        end += len(list(run))
        parts.append(f"V{height:.1f}H{_LEFT + step * end:.1f}")
    return "".join(parts) + f"V{bottom:g}Z"


def _bands(
    values: Sequence[float], groups: Sequence[str], text: NumberText, step: float, room: float
) -> Iterator[Band]:
    start = 0
    for group, run in groupby(groups):
        end = start + len(list(run))
        wide = step * (end - start)
        turned = _width(group) + 4 > wide
        label = "" if wide < _LINE else fit_text(group, room, _TYPE) if turned else group
        tip = f"{group}: {text(max(values[start:end]))}"
        yield Band(_LEFT + step * start, wide, label, turned, tip)
        start = end


def linear_ticks(most: float, unit: float) -> list[float]:
    """Four to six round values from 0 to `most` or a little more, round when counted in units."""
    if most <= 0:
        return [0.0]
    step = round_step(most / unit / 5) * unit
    return [step * index for index in range(ceil(most / step - 1e-6) + 1)]


def _draw_levels(canvas: Canvas, ticks: Sequence[Tick], left: float, right: float) -> None:
    """A horizontal line at each tick, and its text on the left."""
    for y, text in ticks:
        canvas.outline(f"M{left:g} {y:.1f}H{right:g}", "grid")
        canvas.text(left - 8, y + _CENTRE, text, "tick", "end")


# --- points


@dataclass(frozen=True, slots=True)
class DataPoint:
    """What is at a point: both figures positive."""

    name: str
    x: float
    y: float
    tip: str = ""


@dataclass(frozen=True, slots=True)
class LabelBox:
    """A label, or anything that labels keep clear of, as a box; x and y are its upper left corner."""

    text: str
    x: float
    y: float
    width: float
    height: float = _LINE

    def contains(self, other: LabelBox) -> bool:
        """Whether the other box lies inside."""
        across = self.x <= other.x and other.x + other.width <= self.x + self.width
        return across and self.y <= other.y and other.y + other.height <= self.y + self.height

    def overlaps(self, other: LabelBox) -> bool:
        """Whether the boxes have more than an edge in common."""
        across = self.x < other.x + other.width and other.x < self.x + self.width
        return across and self.y < other.y + other.height and other.y < self.y + self.height


@dataclass(frozen=True, slots=True)
class PlottedPoint:
    """A point with its label; a line leads from the point to `lead` where the label is far off."""

    x: float
    y: float
    tip: str
    label: LabelBox
    lead: tuple[float, float] | None

    def draw(self, canvas: Canvas) -> None:
        """Draws the point, its label, and the line between them."""
        label, right = self.label, self.label.x + self.label.width
        with canvas.group("point", self.tip):
            if self.lead:
                end = f"{self.lead[0]:.1f} {self.lead[1]:.1f}"
                canvas.outline(f"M{self.x:.1f} {self.y:.1f}L{end}", "lead")
            canvas.circle(self.x, self.y, _DOT, "dot")
            baseline = label.y + label.height / 2 + _CENTRE
            if right < self.x:  # its own end is beside the point, however wide the font is
                canvas.text(right, baseline, label.text, "label", "end")
            else:
                canvas.text(label.x, baseline, label.text, "label")


@dataclass(frozen=True, slots=True)
class Points:
    """A plane with two logarithmic axes; `titles` are those of the horizontal and the vertical."""

    width: float
    height: float
    left: float
    top: float
    right: float
    floor: float
    titles: tuple[str, str]
    points: tuple[PlottedPoint, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]

    def draw(self, canvas: Canvas) -> None:
        """Draws axes, then points."""
        for x, text in self.x_ticks:
            canvas.outline(f"M{x:.1f} {self.top:g}V{self.floor:.1f}", "grid")
            canvas.text(x, self.floor + 16, text, "tick", "middle")
        _draw_levels(canvas, self.y_ticks, self.left, self.right)
        across, up = self.titles
        canvas.text(self.right, self.floor + 36, f"{across} →", "head", "end")
        canvas.text(0, 14, f"↑ {up}", "head")
        for point in self.points:
            point.draw(canvas)


_DOT = 4.5
_CROWD = 3.5  # how many times as high a plane is as its labels would be, set as lines of text
_BESIDE = 4  # places beside the point itself


def points(
    data: Sequence[DataPoint], titles: tuple[str, str], text: NumberText, width: float
) -> Points:
    """A point for each of at least one item, labelled so that no label covers another or a point."""
    left, top, right = _LEFT, 12.0, width - 12
    texts = [fit_text(each.name, (right - left) / 2, _TYPE) for each in data]
    lines = sum(map(_width, texts)) / (right - left)
    bottom = max(width * 0.46, 220.0, _CROWD * _LINE * lines)
    height = bottom + 46
    x = _log_scale([each.x for each in data], left, right)
    y = _log_scale([each.y for each in data], bottom, top)
    places = [(x(each.x), y(each.y)) for each in data]
    dots = [LabelBox("", px - _DOT, py - _DOT, 2 * _DOT, 2 * _DOT) for px, py in places]
    frame = LabelBox("", left, top, right - left, bottom - top)
    labels: list[LabelBox] = []
    plotted = []
    for each, label_text, (px, py) in zip(data, texts, places, strict=True):
        label, near = _labelled(label_text, px, py, frame, dots + labels)
        labels.append(label)
        lead = None if near else _nearest(label, px)
        plotted.append(PlottedPoint(px, py, each.tip, label, lead))
    return Points(
        width,
        height,
        left,
        top,
        right,
        bottom,
        titles,
        tuple(plotted),
        tuple((x(tick), text(tick)) for tick in x.ticks()),
        tuple((y(tick), text(tick)) for tick in y.ticks()),
    )


def _labelled(
    text: str, x: float, y: float, frame: LabelBox, taken: Sequence[LabelBox]
) -> tuple[LabelBox, bool]:
    """The label at the nearest free place, and whether that is beside the point itself."""
    wide = _width(text)
    for number, (left, middle) in enumerate(_around(x, y, wide, frame)):
        label = LabelBox(text, left, middle - _LINE / 2, wide)
        if frame.contains(label) and not any(label.overlaps(other) for other in taken):
            return label, number < _BESIDE
    return LabelBox("", x, y, 0), True  # no room at all: the tip and the table name it


def _nearest(label: LabelBox, x: float) -> tuple[float, float]:
    """The end of a label that a line from a point left or right of it reaches first."""
    side = label.x - 2 if label.x > x else label.x + label.width + 2
    return side, label.y + label.height / 2


def _around(x: float, y: float, wide: float, frame: LabelBox) -> Iterator[tuple[float, float]]:
    """Places for a label: right, left, above, below, then rows and columns farther and farther off."""
    yield x + 8, y
    yield x - 8 - wide, y
    yield x - wide / 2, y - 13
    yield x - wide / 2, y + 13
    rows = [(_LINE + 1) * index for index in range(ceil(frame.height / _LINE))]
    columns = [24.0 * index for index in range(ceil(frame.width / 24))]
    offsets = sorted((across + down, across, down) for across in columns for down in rows)
    for _, across, down in offsets:
        for side in (-1, 1):
            yield x + 10 + across, y + side * down
            yield x - 10 - across - wide, y + side * down


def _log_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """All values with some air around them, at least a factor of four."""
    low, high = min(values), max(values)
    air = max((high / low) ** 0.12, (4 * low / high) ** 0.5, 1.15)
    return Scale(low / air, high * air, start, end, log=True)
