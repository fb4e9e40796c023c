"""Where the marks of a plot lie: bars, areas, points, in pixels. Templates make SVG of them.

bars(("layer1", "layer2"), [Series("parameters", (215808.0, ...), ("215.81 K", ...))], 720)
    ->  Bars(720, 64, ...): a row a name, a panel a series, a bar with its figure in each

y runs downwards, as in SVG. Labels have room for the widest of the common fonts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from resnetgen.reports.plotting import scales
from resnetgen.reports.plotting.scales import Scale, round_step

_SIZE = 12 * 1.15  # of type: common fonts are up to so much wider than Helvetica
_LINE = 14.0

Told = Callable[[float], str]  # a figure as text


def text_width(text: str) -> float:
    """At most how wide a label is, in pixels."""
    return scales.width(text, _SIZE)


def fitted(text: str, room: float) -> str:
    """The text, or as much of its beginning as surely fits."""
    return scales.fitted(text, room, _SIZE)


# --- bars


@dataclass(frozen=True, slots=True)
class Series:
    """A figure of each row, with how it is told. `inner` is drawn within: a part of the figure."""

    title: str
    values: Sequence[float]
    texts: Sequence[str]
    inner: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from x to the right, `inner` of it filled darker, and its figure behind its end."""

    x: float
    y: float
    length: float
    inner: float
    text: str


@dataclass(frozen=True, slots=True)
class BarPanel:
    """The bars of one series; `nested` where each has a part drawn within."""

    title: str
    nested: bool
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


_ROW, _THICK, _HEAD, _GAP = 24.0, 14.0, 24.0, 20.0


def bars(names: Sequence[str], series: Sequence[Series], width: float) -> Bars:
    """Horizontal bars, the series beside each other, each with a scale of its own from zero."""
    label = min(max(map(text_width, names), default=0), width * 0.28)
    left = label + 12
    room = (width - left - _GAP * (len(series) - 1)) / len(series)
    tops = [_HEAD + _ROW * index + (_ROW - _THICK) / 2 for index in range(len(names))]
    panels = [
        _panel(each, left + (room + _GAP) * number, room, tops)
        for number, each in enumerate(series)
    ]
    labels = tuple(
        (top + _THICK / 2, fitted(name, label), name) for top, name in zip(tops, names, strict=True)
    )
    return Bars(width, _HEAD + _ROW * len(names), _HEAD, _THICK, labels, tuple(panels))


def _panel(series: Series, x: float, room: float, tops: Sequence[float]) -> BarPanel:
    longest = room - max(map(text_width, series.texts), default=0) - 6
    scale = longest / (max(series.values, default=0) or 1)
    inner = series.inner or [0.0] * len(series.values)
    rows = zip(tops, series.values, inner, series.texts, strict=True)
    found = (Bar(x, top, value * scale, part * scale, text) for top, value, part, text in rows)
    return BarPanel(series.title, bool(series.inner), x, tuple(found))


# --- an area


@dataclass(frozen=True, slots=True)
class Band:
    """Neighbouring steps of one group: where they lie, and a label if it fits, `turned` if need be."""

    x: float
    width: float
    label: str
    turned: bool
    tip: str


@dataclass(frozen=True, slots=True)
class Area:
    """A figure over steps. Ticks are (place, text); `peak` is where it is highest."""

    width: float
    height: float
    left: float
    right: float
    top: float
    floor: float
    outline: str
    bands: tuple[Band, ...]
    y_ticks: tuple[tuple[float, str], ...]
    peak: tuple[float, float]


_AXIS, _ABOVE = 64.0, 28.0


def area(
    values: Sequence[float], groups: Sequence[str], unit: float, told: Told, width: float
) -> Area:
    """A step for each of at least one value, from zero; neighbours of one group are a band.

    Ticks are round numbers of `unit`.
    """
    height, right = round(width * 0.2) + 120.0, width - 1
    bottom = height - 2
    step = (right - _AXIS) / len(values)
    ticks = linear_ticks(max(values), unit)
    y = Scale(0, ticks[-1] or 1, bottom, _ABOVE)
    heights = [y(value) for value in values]
    peak = max(range(len(values)), key=lambda index: values[index])
    return Area(
        width,
        height,
        _AXIS,
        right,
        _ABOVE,
        bottom,
        _steps(heights, step, bottom),
        tuple(_bands(values, groups, told, step, bottom - _ABOVE)),
        tuple((y(tick), told(tick)) for tick in ticks),
        (_AXIS + step * (peak + 0.5), heights[peak]),
    )


def _steps(heights: Sequence[float], step: float, bottom: float) -> str:
    """The outline as path data, equal neighbours as one line; it starts and ends on the ground."""
    parts, end = [f"M{_AXIS:g} {bottom:g}"], 0
    for height, run in groupby(heights):
        end += len(list(run))
        parts.append(f"V{height:.1f}H{_AXIS + step * end:.1f}")
    return "".join(parts) + f"V{bottom:g}Z"


def _bands(
    values: Sequence[float], groups: Sequence[str], told: Told, step: float, room: float
) -> Iterator[Band]:
    start = 0
    for group, run in groupby(groups):
        end = start + len(list(run))
        wide = step * (end - start)
        turned = text_width(group) + 4 > wide
        label = "" if wide < _LINE else fitted(group, room) if turned else group
        tip = f"{group}: {told(max(values[start:end]))}"
        yield Band(_AXIS + step * start, wide, label, turned, tip)
        start = end


def linear_ticks(most: float, unit: float) -> list[float]:
    """Four to six round values from 0 to `most` or a little more, round when counted in units."""
    if most <= 0:
        return [0.0]
    step = round_step(most / unit / 5) * unit
    return [step * index for index in range(ceil(most / step - 1e-6) + 1)]


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
    """A name beside its point, from `x` rightwards; a line leads to it where it stands apart."""

    text: str
    x: float
    y: float
    width: float
    height: float = _LINE

    def holds(self, other: LabelBox) -> bool:
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


@dataclass(frozen=True, slots=True)
class Points:
    """A plane with two logarithmic axes. Ticks are (place, text)."""

    width: float
    height: float
    left: float
    top: float
    right: float
    floor: float
    points: tuple[PlottedPoint, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


_DOT = 4.5
_CROWD = 3.5  # how many times as high a plane is as its labels would be, set as lines of text
_BESIDE = 4  # places beside the point itself


def points(items: Sequence[DataPoint], told: Told, width: float) -> Points:
    """A point for each of at least one item, labelled so that no label covers another or a point."""
    left, top, right = _AXIS, 12.0, width - 12
    texts = [fitted(item.name, (right - left) / 2) for item in items]
    lines = sum(map(text_width, texts)) / (right - left)
    bottom = max(width * 0.46, 220.0, _CROWD * _LINE * lines)
    height = bottom + 46
    x = _log_scale([item.x for item in items], left, right)
    y = _log_scale([item.y for item in items], bottom, top)
    places = [(x(item.x), y(item.y)) for item in items]
    dots = [LabelBox("", px - _DOT, py - _DOT, 2 * _DOT, 2 * _DOT) for px, py in places]
    frame = LabelBox("", left, top, right - left, bottom - top)
    labels: list[LabelBox] = []
    found = []
    for item, text, (px, py) in zip(items, texts, places, strict=True):
        label, near = _labelled(text, px, py, frame, dots + labels)
        labels.append(label)
        found.append(PlottedPoint(px, py, item.tip, label, None if near else _nearest(label, px)))
    return Points(
        width,
        height,
        left,
        top,
        right,
        bottom,
        tuple(found),
        tuple((x(tick), told(tick)) for tick in x.ticks()),
        tuple((y(tick), told(tick)) for tick in y.ticks()),
    )


def _labelled(
    text: str, x: float, y: float, frame: LabelBox, taken: Sequence[LabelBox]
) -> tuple[LabelBox, bool]:
    """The label at the nearest free place, and whether that is beside the point itself."""
    wide = text_width(text)
    for number, (left, middle) in enumerate(_around(x, y, wide, frame)):
        label = LabelBox(text, left, middle - _LINE / 2, wide)
        if frame.holds(label) and not any(label.overlaps(other) for other in taken):
            return label, number < _BESIDE
    return LabelBox("", x, y, 0), True  # no room at all: the tip and the table name it


def _nearest(label: LabelBox, x: float) -> tuple[float, float]:
    """The end of a label that a line from a point left or right of it reaches first."""
    side = label.x - 2 if label.x > x else label.x + label.width + 2
    return side, label.y + label.height / 2


def _around(x: float, y: float, wide: float, frame: LabelBox) -> Iterator[tuple[float, float]]:
    """Places for a label: right, left, above, below, then rows and columns further and further off."""
    yield x + 8, y
    yield x - 8 - wide, y
    yield x - wide / 2, y - 13
    yield x - wide / 2, y + 13
    rows = [(_LINE + 1) * index for index in range(ceil(frame.height / _LINE))]
    columns = [24.0 * index for index in range(ceil(frame.width / 24))]
    offsets = sorted((across + down, across, down) for across in columns for down in rows)
    for _, across, down in offsets:
        for sign in (-1, 1):
            yield x + 10 + across, y + sign * down
            yield x - 10 - across - wide, y + sign * down


def _log_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """All values with some air around them, at least a factor of four."""
    low, high = min(values), max(values)
    air = max((high / low) ** 0.12, (4 * low / high) ** 0.5, 1.15)
    return Scale(low / air, high * air, start, end, log=True)
