"""The pieces of a figure, each with its size and how it is drawn.

[conv 1×1, 64 | BN | relu]                        a `Stack`: ops in a line; a convolution
[conv 3×3, 64 | BN | relu]    64 × 28 × 28        is one row with its norm and activation
[conv 1×1, 256      | BN ]

(+)                                               a `JoinShape`

 |---------.                                      a `BlockBox`: blocks of one structure,
[3 × basic] |                                     their join, and the shortcut around them
(+)<--------'                                     with a tag that names what it computes
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnetgen.reports.draw.diagram import Cell, Diagram, DrawnAs, FoldedBlocks, label_text
from resnetgen.reports.draw.layout import DrawingLayout
from resnetgen.reports.draw.style import STRONG, TEXT
from resnetgen.reports.plotting.svg import Canvas
from resnetgen.reports.plotting.text_width import fit_text, text_width

# --- ops in a line

ROW = 16.0
GAP = 1.5
CELL_PADDING = 5.0  # left and right of a cell's text
BASELINE = 11.0
NARROWEST_CELL = 64.0
WIDEST_ROW = 190.0  # a longer unit is continued in a second row
WIDEST_CELL = 240.0
SHAPE_GAP = 7.0  # between the stack and a shape

# Kinds of ops that are in the row of the op before them.
_CONTINUING = frozenset(("normalisation", "activation", "regularisation"))


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
        """The width of the shapes on the right."""
        widths = [text_width(shape, TEXT) + SHAPE_GAP for shape in self.shapes if shape]
        return max(widths, default=0.0)

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        """Draws the stack; `left` and `top` are its upper left corner."""
        width = self.width
        for row, shape in zip(self.rows, self.shapes, strict=True):
            x = left
            spare = width - _row_width(row)
            alike = row[0].kind in _CONTINUING
            for number, cell in enumerate(row):
                more = spare / len(row) if alike else spare * (number == 0)
                own = _cell_width(cell) + more
                _draw_cell(canvas, cell, x, top, own)
                x += own + GAP
            if shape:
                canvas.text(left + width + SHAPE_GAP, top + BASELINE, shape, "shape")
            top += ROW + GAP


def stack(cells: Sequence[Cell], with_shapes: bool) -> Stack:
    """The rows of some cells, and if asked for the shapes of all but the last result."""
    rows: list[list[Cell]] = []
    for unit in _units(cells):
        if sum(map(_cell_width, unit)) + GAP * len(unit) <= WIDEST_ROW:
            rows.append(unit)
        else:
            rows += _wrapped(unit)
    shapes = ["" for _ in rows]
    if with_shapes:
        changes = [[cell.changed for cell in row if cell.changed] for row in rows]
        last = max((index for index, own in enumerate(changes) if own), default=-1)
        shapes = [
            label_text(own[-1]) if own and index != last else ""
            for index, own in enumerate(changes)
        ]
    return Stack(tuple(map(tuple, rows)), tuple(shapes))


def _units(cells: Sequence[Cell]) -> list[list[Cell]]:
    """A convolution, or any other op, with the norms and activations that follow it."""
    units: list[list[Cell]] = []
    for cell in cells:
        if units and cell.kind in _CONTINUING:
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
    return min(text_width(label_text(cell.label), TEXT) + 2 * CELL_PADDING, WIDEST_CELL)


def _draw_cell(canvas: Canvas, cell: Cell, x: float, y: float, room: float) -> None:
    label = fit_text(label_text(cell.label), room - CELL_PADDING, TEXT)
    with canvas.group("cell", cell.tip):
        canvas.rect(x, y, room, ROW, f"op {cell.kind}")
        canvas.text(x + room / 2, y + BASELINE, label, "label", "middle")


# --- joins

JOIN_HEIGHT = 15.0


@dataclass(frozen=True, slots=True)
class JoinShape:
    """A circle around the sign of a join, or a box around its name."""

    label: str  # one character, or a word

    @property
    def width(self) -> float:
        """The width of the circle, or of the box."""
        return JOIN_HEIGHT if len(self.label) == 1 else text_width(self.label, TEXT) + 12

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


# --- shortcuts and skips


@dataclass(frozen=True, slots=True)
class Shortcut:
    """The path around the inside of a block."""

    sign: str  # of its join
    cells: tuple[Cell, ...]  # what is computed on the path

    def name(self, block: str) -> str:
        """The block that it is written in, or else its ops; "" if it passes its input on."""
        blocks = {cell.block for cell in self.cells} - {block}
        return " ".join(sorted(blocks)) or ", ".join(label_text(cell.label) for cell in self.cells)


def outer_shortcut(diagram: Diagram, main: frozenset[int]) -> Shortcut | None:
    """The shortcut around a whole block: the side operand of the last join before its output.

    x -> [conv ... BN] -> (+)      and x -> [conv 1×1 | BN] -> (+), whose cells are the shortcut's
    """
    outputs = [node for node in diagram.nodes if node.form is DrawnAs.OUTPUT]
    here = outputs[0].sources[0]
    while diagram.nodes[here].form is DrawnAs.CHAIN and len(diagram.nodes[here].sources) == 1:
        here = diagram.nodes[here].sources[0]
    join = diagram.nodes[here]
    if join.form is not DrawnAs.JOIN or len(join.sources) != 2:
        return None
    side = next((source for source in join.sources if source not in main), None)
    if side is None:  # both are on the main path: the shortcut computes nothing
        side = min(join.sources)
    cells: tuple[Cell, ...] = ()
    while side not in main and diagram.nodes[side].form is DrawnAs.CHAIN:
        cells = diagram.nodes[side].cells + cells
        side = diagram.nodes[side].sources[0]
    return Shortcut(label_text(join.cells[0].label), cells) if side in main else None


def skip_edges(diagram: Diagram, layout: DrawingLayout) -> frozenset[tuple[int, int, int]]:
    """The edges (source, target, operand) that go around something.

    These are the edges that pass a layer, and the side branch of every join of two values.
    """
    skips = {(each.source, each.target, each.operand) for each in layout.routes if each.passes}
    for target, node in enumerate(diagram.nodes):
        for operand in _side_operands(diagram, layout.main, target):
            skips |= set(_branch(diagram, layout.main, node.sources[operand], target, operand))
    return frozenset(skips)


def _side_operands(diagram: Diagram, main: frozenset[int], target: int) -> Iterator[int]:
    """The operands of a join of two values on the main path that are not on it themselves."""
    node = diagram.nodes[target]
    if node.form is not DrawnAs.JOIN or len(node.sources) != 2 or target not in main:
        return
    yield from (operand for operand, source in enumerate(node.sources) if source not in main)


def _branch(
    diagram: Diagram, main: frozenset[int], source: int, target: int, operand: int
) -> Iterator[tuple[int, int, int]]:
    """The edges from a join back to the start of its side branch."""
    yield source, target, operand
    node = diagram.nodes[source]
    while source not in main and len(node.sources) == 1:
        target, source = source, node.sources[0]
        yield source, target, 0
        node = diagram.nodes[source]


# --- blocks

BOX_HEIGHT = 32.0
WIDEST_BOX = 150.0
NARROWEST_BOX = 80.0
BOX_PADDING = 7.0
ABOVE = 9.0  # the line above a box, where the shortcut leaves it
BELOW = 7.0  # between the box and the join
BETWEEN = 8.0  # two boxes
ARC = 13.0  # from the box to the shortcut
TAG_GAP = 6.0  # from the box to the tag, at least
CARDS = 2.5  # from one folded block to the next
TAG = 15.0  # the height of the tag, the box on the shortcut
WIDEST_TAG = 96.0


@dataclass(frozen=True, slots=True)
class BlockBox:
    """How blocks of one structure are drawn in the network: as one box, with their shortcut."""

    blocks: FoldedBlocks
    shortcut: Shortcut | None

    @property
    def title(self) -> str:
        """`35 × bottleneck`."""
        times = f"{self.blocks.count} × " if self.blocks.count > 1 else ""
        return times + self.blocks.block.replace("_", " ")

    @property
    def tag(self) -> str:
        """The text on the shortcut."""
        name = self.shortcut.name(self.blocks.block) if self.shortcut else ""
        return fit_text(name.replace("_", " "), WIDEST_TAG - 10, TEXT)

    @property
    def tag_width(self) -> float:
        """The width of its box; 0 if there is none."""
        return text_width(self.tag, TEXT) + 10 if self.tag else 0.0

    @property
    def width(self) -> float:
        """The width of the box."""
        wanted = max(text_width(self.title, STRONG, bold=True), text_width(self.blocks.name, TEXT))
        return min(max(wanted + 2 * BOX_PADDING, NARROWEST_BOX), WIDEST_BOX)

    @property
    def join(self) -> JoinShape | None:
        """The join below the box."""
        return JoinShape(self.shortcut.sign) if self.shortcut else None

    @property
    def cards(self) -> float:
        """How far the folded blocks show behind the first."""
        return 2 * CARDS if self.blocks.count > 1 else 0.0

    @property
    def height(self) -> float:
        """From the line above to the join."""
        below = BELOW + self.join.height if self.join else 0
        return ABOVE * (self.shortcut is not None) + BOX_HEIGHT + self.cards + below

    @property
    def right(self) -> float:
        """How far box, shortcut and tag extend to the right of the axis."""
        half = self.width / 2
        if not self.shortcut:
            return half + self.cards
        return half + max(ARC + 2, TAG_GAP + self.tag_width, ARC + self.tag_width / 2)

    def draw(self, canvas: Canvas, axis: float, top: float) -> None:
        """Draws it below `top`."""
        box = top + (ABOVE if self.shortcut else 0)
        with canvas.group("repeat"):
            if self.shortcut:
                self._draw_shortcut(canvas, axis, top, box)
            self._draw_box(canvas, axis, box)

    def _draw_box(self, canvas: Canvas, axis: float, top: float) -> None:
        left, room = axis - self.width / 2, self.width - BOX_PADDING
        with canvas.group("block", self.blocks.tip):
            for shift in (self.cards, self.cards / 2) if self.cards else ():
                canvas.rect(left + shift, top + shift, self.width, BOX_HEIGHT, "card", 5)
            canvas.rect(left, top, self.width, BOX_HEIGHT, "box", 5)
            title = fit_text(self.title, room, STRONG, bold=True)
            canvas.text(axis, top + 14, title, "block-title", "middle")
            name = fit_text(self.blocks.name, room, TEXT)
            canvas.text(axis, top + 26, name, "note", "middle")

    def _draw_shortcut(self, canvas: Canvas, axis: float, top: float, box: float) -> None:
        """The line into the box and out of it, the join, and the shortcut."""
        join = self.join
        assert join is not None
        high = box + BOX_HEIGHT + self.cards + BELOW
        start, middle = top + 2, high + join.height / 2
        lane = axis + self.width / 2 + ARC
        around = [(axis, start), (lane, start), (lane, middle), (axis + join.width / 2, middle)]
        canvas.arrow([(axis, top), (axis, box)], "edge")
        canvas.path([(axis, box + BOX_HEIGHT), (axis, high)], "edge")
        canvas.arrow(around, "skip", 12)
        join.draw(canvas, axis, high, f"{self.blocks.name}: {join.label}")
        if self.tag:
            left = max(lane - self.tag_width / 2, axis + self.width / 2 + TAG_GAP)
            self._draw_tag(canvas, left, (start + middle - TAG) / 2)

    def _draw_tag(self, canvas: Canvas, left: float, top: float) -> None:
        tips = (cell.tip for cell in self.shortcut.cells) if self.shortcut else ()
        with canvas.group("tag", "\n\n".join(tips)):
            canvas.rect(left, top, self.tag_width, TAG, "tagged", 4)
            canvas.text(left + self.tag_width / 2, top + 10.5, self.tag, "note", "middle")


def boxes_height(boxes: Sequence[BlockBox]) -> float:
    """The height of boxes one below the other."""
    return sum(each.height for each in boxes) + BETWEEN * (len(boxes) - 1)


def draw_boxes(canvas: Canvas, boxes: Sequence[BlockBox], axis: float, top: float) -> None:
    """Draws boxes one below the other."""
    for number, each in enumerate(boxes):
        each.draw(canvas, axis, top)
        top += each.height
        if number < len(boxes) - 1:
            canvas.path([(axis, top), (axis, top + BETWEEN)], "edge")
        top += BETWEEN
