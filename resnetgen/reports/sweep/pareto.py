"""The Pareto front of a sweep: the variants that no other beats on both of two axes.

    macs,-params   ->   fewer multiply-adds are better, and more parameters

Points come one at a time. A front that outgrows its bound is thinned: every point on it is a
variant, but a point may be there that one left out would beat.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnetgen.compiler.diagnostics.model import did_you_mean
from resnetgen.reports.sweep.space import wrong_option

MOST_POINTS = 20_000


@dataclass(frozen=True, slots=True)
class Axis:
    """A column, and whether less of it is better."""

    name: str
    less: bool


@dataclass(frozen=True, slots=True)
class Point:
    """A variant on two axes."""

    x: float
    y: float
    row: Any


def parse_axes(text: str, columns: Sequence[str]) -> tuple[Axis, Axis]:
    """`macs,-params` -> two axes; a minus says that more is better. Raises SpecError."""
    parts = [part.strip() for part in text.split(",")]
    axes = [Axis(part.removeprefix("-").strip(), not part.startswith("-")) for part in parts]
    if len(axes) != 2 or axes[0].name == axes[1].name:
        help = "say `--pareto macs,-params`: fewer multiply-adds, more parameters"
        raise wrong_option("--pareto", text, text, "a front has two axes", help)
    for axis in axes:
        if axis.name not in columns:
            help = did_you_mean(axis.name, columns) or f"there are {', '.join(columns)}"
            message = f"the rows have no column of numbers `{axis.name}`"
            raise wrong_option("--pareto", text, axis.name, message, help)
    return axes[0], axes[1]


@dataclass(slots=True)
class Front:
    """The points that no other beats; sorted by x, the better first, so that y gets better too."""

    axes: tuple[Axis, Axis]
    most: int = MOST_POINTS
    thinned: bool = False
    _xs: list[float] = field(default_factory=list)  # less is better
    _ys: list[float] = field(default_factory=list)  # less is better; falls along the front
    _rows: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._xs)

    def __iter__(self) -> Iterator[Point]:
        x_sign, y_sign = (1 if axis.less else -1 for axis in self.axes)
        for x, y, row in zip(self._xs, self._ys, self._rows, strict=True):
            yield Point(x_sign * x, y_sign * y, row)

    def add(self, x: float, y: float, row: Any) -> None:
        """Takes a point in, and those out that it beats; of equal points the first stays."""
        x, y = (x if self.axes[0].less else -x), (y if self.axes[1].less else -y)
        at = bisect_right(self._xs, x)
        if at and self._ys[at - 1] <= y:
            return
        first = bisect_left(self._xs, x)
        last = first
        while last < len(self._ys) and self._ys[last] >= y:
            last += 1
        self._xs[first:last], self._ys[first:last], self._rows[first:last] = [x], [y], [row]
        if len(self._xs) > self.most:
            self._thin()

    def _thin(self) -> None:
        """Leaves out every other point, but not the ends."""
        self.thinned = True
        inner = slice(1, len(self._xs) - 1, 2)
        del self._xs[inner], self._ys[inner], self._rows[inner]
