"""Ops in a line as a stack of cells: a convolution with its norm and activation is one row.

[conv 1×1, 64 | BN | relu]
[conv 3×3, 64 | BN | relu]    64 × 28 × 28     <- the shape, where it changes within the stack
[conv 1×1, 256      | BN ]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnetgen.draw.canvas import Canvas
from resnetgen.draw.diagram import Cell
from resnetgen.draw.labels import read
from resnetgen.draw.style import TEXT
from resnetgen.report.lettering import fitted, width

ROW = 16.0
GAP = 1.5
PADDING = 5.0  # left and right of a cell's text
BASELINE = 11.0
NARROWEST = 64.0
WIDEST_ROW = 190.0  # a longer unit goes on in a second row
WIDEST_CELL = 240.0
BESIDE = 7.0  # between the stack and a shape

# Kinds of ops that go on in the row of the op before them.
_GO_ON = frozenset(("normalisation", "activation", "regularisation"))


@dataclass(frozen=True, slots=True)
class Stack:
    """Rows of cells, and the shapes beside them."""

    rows: tuple[tuple[Cell, ...], ...]
    shapes: tuple[str, ...]  # one a row, "" where there is none

    @property
    def width(self) -> float:
        """The width of all rows."""
        return max(NARROWEST, *(_row_width(row) for row in self.rows))

    @property
    def height(self) -> float:
        """The height of all rows."""
        return len(self.rows) * (ROW + GAP) - GAP

    @property
    def beside(self) -> float:
        """The width that shapes take on the right."""
        widths = [width(shape, TEXT) + BESIDE for shape in self.shapes if shape]
        return max(widths, default=0.0)

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        """Draws the stack; `left` and `top` are its upper left corner."""
        for row, shape in zip(self.rows, self.shapes, strict=True):
            x = left
            spare = self.width - _row_width(row)
            alike = row[0].kind in _GO_ON
            for number, cell in enumerate(row):
                more = spare / len(row) if alike else spare * (number == 0)
                own = _cell_width(cell) + more
                _draw_cell(canvas, cell, x, top, own)
                x += own + GAP
            if shape:
                canvas.text(left + self.width + BESIDE, top + BASELINE, shape, "shape")
            top += ROW + GAP


def stack(cells: Sequence[Cell], with_shapes: bool) -> Stack:
    """The rows of some cells; the shapes of all but the last result where they are asked for."""
    rows: list[list[Cell]] = []
    for unit in _units(cells):
        if sum(map(_cell_width, unit)) + GAP * len(unit) <= WIDEST_ROW:
            rows.append(unit)
        else:
            rows += _wrapped(unit)
    shapes = ["" for _ in rows]
    if with_shapes:
        found = [[cell.changed for cell in row if cell.changed] for row in rows]
        last = max((place for place, changes in enumerate(found) if changes), default=-1)
        shapes = [
            read(changes[-1]) if changes and place != last else ""
            for place, changes in enumerate(found)
        ]
    return Stack(tuple(map(tuple, rows)), tuple(shapes))


def _units(cells: Sequence[Cell]) -> list[list[Cell]]:
    units: list[list[Cell]] = []
    for cell in cells:
        if units and cell.kind in _GO_ON:
            units[-1].append(cell)
        else:
            units.append([cell])
    return units


def _wrapped(unit: list[Cell]) -> list[list[Cell]]:
    rows: list[list[Cell]] = [[]]
    for cell in unit:
        if rows[-1] and sum(map(_cell_width, [*rows[-1], cell])) > WIDEST_ROW:
            rows.append([])
        rows[-1].append(cell)
    return rows


def _row_width(row: Sequence[Cell]) -> float:
    return sum(map(_cell_width, row)) + GAP * (len(row) - 1)


def _cell_width(cell: Cell) -> float:
    return min(width(read(cell.label), TEXT) + 2 * PADDING, WIDEST_CELL)


def _draw_cell(canvas: Canvas, cell: Cell, x: float, y: float, room: float) -> None:
    label = fitted(read(cell.label), room - PADDING, TEXT)
    with canvas.group("cell", cell.tip):
        canvas.rect(x, y, room, ROW, f"op {cell.kind}")
        canvas.text(x + room / 2, y + BASELINE, label, "label", "middle")
