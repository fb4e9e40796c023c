"""Ops in a line as a stack of cells: a convolution with its norm and activation is one row.

[conv 1×1, 64 | BN | relu]
[conv 3×3, 64 | BN | relu]    64 × 28 × 28     <- the shape, where it changes within the stack
[conv 1×1, 256      | BN ]

Blocks in a row as the network shows them: folded, each with its shortcut around it.

    |----.
[3 x basic]  |       a box for blocks of one structure,
   (+)<--'           the join, and on the arc what the shortcut computes

A join: a circle around its sign, or its name.

Which edges of a diagram go around something: shortcuts of blocks, skips of networks.

x -> [conv ... BN] -> (+)          the skip of (+) starts at x;
x -> [conv 1×1 | BN] -> (+)        what it computes on its way is a box on it
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnetgen.reports.draw.diagram import Cell, Diagram, DrawnAs, Repeat, read
from resnetgen.reports.draw.layout import DrawingLayout
from resnetgen.reports.plotting.scales import fitted, width
from resnetgen.reports.plotting.svg import STRONG, TEXT, Canvas

ROW = 16.0
GAP = 1.5
CELL_PADDING = 5.0  # left and right of a cell's text
BASELINE = 11.0
NARROWEST_CELL = 64.0
WIDEST_ROW = 190.0  # a longer unit goes on in a second row
WIDEST_CELL = 240.0
SHAPE_GAP = 7.0  # between the stack and a shape

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
        return max(NARROWEST_CELL, *(_row_width(row) for row in self.rows))

    @property
    def height(self) -> float:
        """The height of all rows."""
        return len(self.rows) * (ROW + GAP) - GAP

    @property
    def beside(self) -> float:
        """The width that shapes take on the right."""
        widths = [width(shape, TEXT) + SHAPE_GAP for shape in self.shapes if shape]
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
                canvas.text(left + self.width + SHAPE_GAP, top + BASELINE, shape, "shape")
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
    return min(width(read(cell.label), TEXT) + 2 * CELL_PADDING, WIDEST_CELL)


def _draw_cell(canvas: Canvas, cell: Cell, x: float, y: float, room: float) -> None:
    label = fitted(read(cell.label), room - CELL_PADDING, TEXT)
    with canvas.group("cell", cell.tip):
        canvas.rect(x, y, room, ROW, f"op {cell.kind}")
        canvas.text(x + room / 2, y + BASELINE, label, "label", "middle")


BOX_HEIGHT = 32.0
WIDEST_BOX = 150.0
NARROWEST_BOX = 80.0
BOX_PADDING = 7.0
ABOVE = 9.0  # the line above a box, where the arc leaves it
BELOW = 7.0  # between the box and the join
BETWEEN = 8.0
ARC = 13.0  # from the box to the arc
TAG_GAP = 6.0  # from the box to the tag, at least
CARDS = 2.5  # from one folded block to the next
TAG = 15.0  # the height of the box on the arc
TAG_WIDEST = 96.0


@dataclass(frozen=True, slots=True)
class RepeatedBlocks:
    """Blocks of one structure: how they are drawn in the network."""

    repeat: Repeat
    skip: Skip | None

    @property
    def title(self) -> str:
        """`35 × bottleneck`."""
        times = f"{self.repeat.count} × " if self.repeat.count > 1 else ""
        return times + self.repeat.block.replace("_", " ")

    @property
    def tag(self) -> str:
        """What stands on the arc."""
        named = self.skip.named(self.repeat.block) if self.skip else ""
        return fitted(named.replace("_", " "), TAG_WIDEST - 10, TEXT)

    @property
    def tag_width(self) -> float:
        """The width of its box; 0 where the value itself passes."""
        return width(self.tag, TEXT) + 10 if self.tag else 0.0

    @property
    def width(self) -> float:
        """The width of the box."""
        wanted = max(width(self.title, STRONG, bold=True), width(self.repeat.name, TEXT))
        return min(max(wanted + 2 * BOX_PADDING, NARROWEST_BOX), WIDEST_BOX)

    @property
    def joint(self) -> Joint | None:
        """The join below the box."""
        return Joint(self.skip.sign) if self.skip else None

    @property
    def cards(self) -> float:
        """How far the folded blocks show behind the first."""
        return 2 * CARDS if self.repeat.count > 1 else 0.0

    @property
    def height(self) -> float:
        """From the line above to the join."""
        joined = BELOW + self.joint.height if self.joint else 0
        return ABOVE * (self.skip is not None) + BOX_HEIGHT + self.cards + joined

    @property
    def right(self) -> float:
        """How far box, arc and tag reach to the right of the axis."""
        half = self.width / 2
        if not self.skip:
            return half + self.cards
        return half + max(ARC + 2, TAG_GAP + self.tag_width, ARC + self.tag_width / 2)

    def draw(self, canvas: Canvas, axis: float, top: float) -> None:
        """Draws it below `top`."""
        box = top + (ABOVE if self.skip else 0)
        with canvas.group("repeat"):
            if self.skip:
                self._draw_skip(canvas, axis, top, box)
            self._draw_box(canvas, axis, box)

    def _draw_box(self, canvas: Canvas, axis: float, top: float) -> None:
        left, room = axis - self.width / 2, self.width - BOX_PADDING
        with canvas.group("block", self.repeat.tip):
            for shift in (self.cards, self.cards / 2) if self.cards else ():
                canvas.rect(left + shift, top + shift, self.width, BOX_HEIGHT, "card", 5)
            canvas.rect(left, top, self.width, BOX_HEIGHT, "box", 5)
            title = fitted(self.title, room, STRONG, bold=True)
            canvas.text(axis, top + 14, title, "block-title", "middle")
            canvas.text(axis, top + 26, fitted(self.repeat.name, room, TEXT), "note", "middle")

    def _draw_skip(self, canvas: Canvas, axis: float, top: float, box: float) -> None:
        """The line into the box and out of it, the join and the arc."""
        joint = self.joint
        assert joint is not None
        high = box + BOX_HEIGHT + self.cards + BELOW
        start, middle = top + 2, high + joint.height / 2
        lane = axis + self.width / 2 + ARC
        around = [(axis, start), (lane, start), (lane, middle), (axis + joint.width / 2, middle)]
        canvas.arrow([(axis, top), (axis, box)], "edge")
        canvas.path([(axis, box + BOX_HEIGHT), (axis, high)], "edge")
        canvas.arrow(around, "skip", 12)
        joint.draw(canvas, axis, high, f"{self.repeat.name}: {joint.label}")
        if self.tag:
            left = max(lane - self.tag_width / 2, axis + self.width / 2 + TAG_GAP)
            self._draw_tag(canvas, left, (start + middle - TAG) / 2)

    def _draw_tag(self, canvas: Canvas, left: float, top: float) -> None:
        tips = (cell.tip for cell in self.skip.cells) if self.skip else ()
        with canvas.group("tag", "\n\n".join(tips)):
            canvas.rect(left, top, self.tag_width, TAG, "tagged", 4)
            canvas.text(left + self.tag_width / 2, top + 10.5, self.tag, "note", "middle")


def height(blocks: Sequence[RepeatedBlocks]) -> float:
    """The height of blocks in a row."""
    return sum(each.height for each in blocks) + BETWEEN * (len(blocks) - 1)


def draw(canvas: Canvas, blocks: Sequence[RepeatedBlocks], axis: float, top: float) -> None:
    """Draws blocks in a row, from top to bottom."""
    for number, each in enumerate(blocks):
        each.draw(canvas, axis, top)
        top += each.height
        if number < len(blocks) - 1:
            canvas.path([(axis, top), (axis, top + BETWEEN)], "edge")
        top += BETWEEN


JOIN_HEIGHT = 15.0


@dataclass(frozen=True, slots=True)
class Joint:
    """How values come together; `label` is one character or a word."""

    label: str

    @property
    def width(self) -> float:
        """The width of the circle, or of the box."""
        return JOIN_HEIGHT if len(self.label) == 1 else width(self.label, TEXT) + 12

    @property
    def height(self) -> float:
        """The height of either."""
        return JOIN_HEIGHT

    def draw(self, canvas: Canvas, axis: float, top: float, tip: str) -> None:
        """Draws it around the axis."""
        with canvas.group("cell", tip):
            left = axis - self.width / 2
            canvas.rect(left, top, self.width, JOIN_HEIGHT, "op join", JOIN_HEIGHT / 2)
            if len(self.label) > 1:
                canvas.text(axis, top + 10.5, self.label, "label", "middle")
                return
            arm, middle = 4.0, top + JOIN_HEIGHT / 2
            canvas.text(axis, middle + arm, self.label, "sign", "middle")


@dataclass(frozen=True, slots=True)
class Skip:
    """The way around the inside of a block."""

    sign: str  # how it is joined
    cells: tuple[Cell, ...]  # what is computed on the way

    def named(self, block: str) -> str:
        """The policy that it follows, or its ops; "" where the value itself passes."""
        blocks = {cell.block for cell in self.cells} - {block}
        return " ".join(sorted(blocks)) or ", ".join(read(cell.label) for cell in self.cells)


def skip_edges(diagram: Diagram, layout: DrawingLayout) -> frozenset[tuple[int, int, int]]:
    """The edges (source, target, operand) that go around something.

    These are the edges that pass a layer, and the side branch of every join of two values.
    """
    found = {(each.source, each.target, each.operand) for each in layout.routes if each.passes}
    for target, node in enumerate(diagram.nodes):
        for operand in _side(diagram, layout.main, target):
            found |= set(_way_back(diagram, layout.main, node.sources[operand], target, operand))
    return frozenset(found)


def _side(diagram: Diagram, main: frozenset[int], target: int) -> Iterator[int]:
    """The operands of a join of two values that are not on the main path."""
    node = diagram.nodes[target]
    if node.form is not DrawnAs.JOIN or len(node.sources) != 2 or target not in main:
        return
    yield from (operand for operand, source in enumerate(node.sources) if source not in main)


def _way_back(
    diagram: Diagram, main: frozenset[int], source: int, target: int, operand: int
) -> Iterator[tuple[int, int, int]]:
    """The edges from a join back to where its side branch starts."""
    yield source, target, operand
    node = diagram.nodes[source]
    while source not in main and len(node.sources) == 1:
        target, source = source, node.sources[0]
        yield source, target, 0
        node = diagram.nodes[source]


def outer_skip(diagram: Diagram, main: frozenset[int]) -> Skip | None:
    """The shortcut around a whole block: the side operand of the last join before its output."""
    outputs = [node for node in diagram.nodes if node.form is DrawnAs.OUTPUT]
    here = outputs[0].sources[0]
    while diagram.nodes[here].form is DrawnAs.CHAIN and len(diagram.nodes[here].sources) == 1:
        here = diagram.nodes[here].sources[0]
    join = diagram.nodes[here]
    if join.form is not DrawnAs.JOIN or len(join.sources) != 2:
        return None
    side = next((source for source in join.sources if source not in main), None)
    if side is None:  # both are: the value itself passes
        side = min(join.sources)
    cells: tuple[Cell, ...] = ()
    while side not in main and diagram.nodes[side].form is DrawnAs.CHAIN:
        cells = diagram.nodes[side].cells + cells
        side = diagram.nodes[side].sources[0]
    return Skip(read(join.cells[0].label), cells) if side in main else None
