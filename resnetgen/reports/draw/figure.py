"""Diagram -> Figure: the sizes of its nodes, their layout, and how it is drawn.

A figure is the body of a network, or the inside of a block. The page draws the figure of the network;
that of a block is in a panel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError
from resnetgen.reports.draw.diagram import (
    Diagram,
    DiagramNode,
    DrawnAs,
    FoldedBlocks,
    label_text,
)
from resnetgen.reports.draw.layout import DrawingLayout, Route, Size, arrange
from resnetgen.reports.draw.shapes import (
    BlockBox,
    JoinShape,
    Stack,
    boxes_height,
    draw_boxes,
    outer_shortcut,
    skip_edges,
    stack,
)
from resnetgen.reports.draw.style import TEXT
from resnetgen.reports.plotting.svg import Canvas
from resnetgen.reports.plotting.text_width import fit_text, text_width

LINE = 12.0  # the height of a line of text
PILL = 18.0
BESIDE = 6.0  # between a line and the text beside it
GAP_INSIDE, GAP_OUTSIDE = 0.0, 16.0  # below the layers of a block, of the network
MAX_EDGES = 4_000  # of one figure; where lines run takes time that grows with their square
BAND = 6.0  # how far the background of a row extends beyond it


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Blocks in a row: their box in the network, and the figure of their inside."""

    box: BlockBox
    figure: Figure

    def within(self) -> Iterator[Panel]:
        """This panel and those of the blocks inside, outer before inner."""
        yield self
        for panels in self.figure.panels.values():
            for panel in panels:
                yield from panel.within()


def panels_of(diagram: Diagram) -> dict[int, tuple[Panel, ...]]:
    """The panels of each node that has blocks."""
    return {
        index: tuple(map(_panel, node.blocks))
        for index, node in enumerate(diagram.nodes)
        if node.blocks
    }


def _panel(blocks: FoldedBlocks) -> Panel:
    inside = figure(blocks.inside, panels_of(blocks.inside))
    return Panel(BlockBox(blocks, outer_shortcut(blocks.inside, inside.layout.main)), inside)


def figure(
    diagram: Diagram,
    panels: Mapping[int, tuple[Panel, ...]],
    of_network: bool = False,
    least: Mapping[int, float] | None = None,
) -> Figure:
    """The figure of a block or a network; `least` gives its layers a least height.

    Raises SpecError where nobody could follow the lines.
    """
    stacks = {
        index: stack(node.cells, of_network)
        for index, node in enumerate(diagram.nodes)
        if node.form is DrawnAs.CHAIN
    }
    sizes = tuple(
        _size(diagram, index, stacks.get(index), panels.get(index, ()), of_network)
        for index in range(len(diagram.nodes))
    )
    sources = [node.sources for node in diagram.nodes]
    if (edges := sum(map(len, sources))) > MAX_EDGES:
        message = f"{edges:,} lines between nodes; a drawing has at most {MAX_EDGES:,}"
        raise SpecError([Diagnostic("limit", message)])
    ends = [index for index, node in enumerate(diagram.nodes) if node.form is DrawnAs.OUTPUT]
    layout = arrange(sizes, sources, ends, least, GAP_OUTSIDE if of_network else GAP_INSIDE)
    skips = skip_edges(diagram, layout)
    return Figure(diagram, sizes, stacks, panels, layout, skips, of_network)


# --- sizes


def _size(
    diagram: Diagram,
    index: int,
    stack: Stack | None,
    panels: Sequence[Panel],
    of_network: bool,
) -> Size:
    node = diagram.nodes[index]
    label = _label_width(diagram, index, of_network)
    if stack:
        half = stack.width / 2
        return Size(half, half + stack.beside, stack.height, label)
    if panels:
        boxes = [panel.box for panel in panels]
        left = max(each.width / 2 for each in boxes)
        return Size(left, max(each.right for each in boxes), boxes_height(boxes), label)
    if node.form is DrawnAs.JOIN:
        join = JoinShape(label_text(node.cells[0].label))
        return Size(join.width / 2, join.width / 2, join.height, label, join=True)
    text = _end_text(diagram, node, of_network)
    half = text_width(text, TEXT) / 2 + (10 if of_network else 2)
    return Size(half, half, PILL if of_network else LINE * bool(text))


def _label_width(diagram: Diagram, index: int, of_network: bool) -> float:
    """The width of the shape below a node; 0 if it is known from elsewhere."""
    node = diagram.nodes[index]
    if node.form in (DrawnAs.INPUT, DrawnAs.OUTPUT):
        return 0.0
    readers = [each for each in diagram.nodes[index + 1 :] if index in each.sources]
    known = [diagram.nodes[node.sources[0]].shape]
    if not of_network:
        known += [each.shape for each in diagram.nodes if each.form is DrawnAs.OUTPUT]
    if node.shape in known or all(reader.form is DrawnAs.OUTPUT for reader in readers):
        return 0.0
    return BESIDE + text_width(label_text(node.shape), TEXT)


def _end_text(diagram: Diagram, node: DiagramNode, of_network: bool) -> str:
    """The text of an input or output: its name where it needs one, and its shape."""
    shape = label_text(node.shape)
    if of_network:
        return f"{fit_text(node.name, 120, TEXT)}: {shape}"
    if node.form is DrawnAs.INPUT:
        return f"{fit_text(node.name, 80, TEXT)}: {shape}" if node.name else shape
    return shape if node.shape != diagram.nodes[0].shape else ""


# --- drawing


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A diagram with sizes and layout."""

    diagram: Diagram
    sizes: tuple[Size, ...]
    stacks: Mapping[int, Stack]
    panels: Mapping[int, tuple[Panel, ...]]
    layout: DrawingLayout
    skips: frozenset[tuple[int, int, int]]
    of_network: bool

    @property
    def width(self) -> float:
        """From the leftmost to the rightmost element."""
        return self.layout.right - self.layout.left

    @property
    def panels_from(self) -> float:
        """How far right of `left` panels may begin: no lane or node of their rows is there."""
        rows = {self.layout.layers[index] for index in self.panels}
        ends = [
            self.layout.x[index] + size.reach
            for index, size in enumerate(self.sizes)
            if self.layout.layers[index] in rows
        ]
        ends += [x for route in self.layout.routes for x, _ in route.points]
        return max(ends) - self.layout.left

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        """Draws lines, then nodes; `left` and `top` are the upper left corner."""
        axis = left - self.layout.left
        for route in sorted(self.layout.routes, key=self._is_skip, reverse=True):
            self._draw_edge(canvas, route, axis, top)
        if self.of_network:
            self._draw_lane_labels(canvas, axis, top)
        for node in range(len(self.diagram.nodes)):
            self._draw_node(canvas, node, axis + self.layout.x[node], top + self.layout.y[node])

    # edges

    def _draw_edge(self, canvas: Canvas, route: Route, axis: float, top: float) -> None:
        """Draws an edge, with its shape as a tip."""
        points = [(axis + x, top + y) for x, y in route.points]
        shape = label_text(self.diagram.nodes[route.source].shape)
        kind = "skip" if self._is_skip(route) else "edge"
        if self.diagram.nodes[route.target].training:
            kind += " training"
        with canvas.group("wire", shape):
            line = canvas.path if self._has_no_head(route) else canvas.arrow
            line(points, kind, 10 if self._is_skip(route) else 5)

    def _is_skip(self, route: Route) -> bool:
        return (route.source, route.target, route.operand) in self.skips

    def _has_no_head(self, route: Route) -> bool:
        """Whether a shortcut leaves this edge before it enters a block: the box draws the rest."""
        panels = self.panels.get(route.target)
        on_axis = route.points[-1][0] == self.layout.x[route.target]
        return bool(panels and panels[0].box.shortcut and on_axis)

    def _draw_lane_labels(self, canvas: Canvas, axis: float, top: float) -> None:
        """The shapes along long vertical lines, turned, where nothing crosses them."""
        lanes: dict[tuple[int, float], _Lane] = {}  # edges that leave one node may share a lane
        horizontals = {
            (y0, min(x0, x1), max(x0, x1))
            for route in self.layout.routes
            for (x0, y0), (x1, y1) in itertools.pairwise(route.points)
            if y0 == y1
        }
        for route in self.layout.routes:
            lane = _Lane.of(route)
            known = lanes.get((route.source, lane.x), lane)
            if route.passes:
                lanes[route.source, lane.x] = max(known, lane, key=lambda each: each.end)
        for (source, _), lane in lanes.items():
            label = label_text(self.diagram.nodes[source].shape)
            start, end = lane.free(self._obstacles(lane.x, horizontals))
            if end - start > text_width(label, TEXT) + 2 * BESIDE:
                y = (start + end + text_width(label, TEXT)) / 2
                canvas.text(axis + lane.x - 3.5, top + y, label, "shape", turned=True)

    def _obstacles(
        self, x: float, horizontals: Iterable[tuple[float, float, float]]
    ) -> Iterator[tuple[float, float]]:
        """From where to where something is left of a vertical line or crosses it."""
        left = x - LINE
        yield from ((y, y) for y, start, end in horizontals if start < x and left < end)
        for index, size in enumerate(self.sizes):
            at, y = self.layout.x[index], self.layout.y[index]
            if at - size.left < x and left < at + size.reach:
                row, height = self.layout.rows[self.layout.layers[index]]
                yield y, row + height + GAP_OUTSIDE if size.label else y + size.height

    # nodes

    def _draw_node(self, canvas: Canvas, index: int, axis: float, top: float) -> None:
        node, size = self.diagram.nodes[index], self.sizes[index]
        if node.form is DrawnAs.CHAIN:
            self.stacks[index].draw(canvas, axis - self.stacks[index].width / 2, top)
        elif node.form is DrawnAs.JOIN:
            (cell,) = node.cells
            JoinShape(label_text(cell.label)).draw(canvas, axis, top, cell.tip)
        elif node.form is DrawnAs.BLOCKS:
            draw_boxes(canvas, [panel.box for panel in self.panels[index]], axis, top)
        else:
            self._draw_end(canvas, node, size, axis, top)
        if size.label:
            y = self._label_y(index, top)
            canvas.text(axis + BESIDE, y, label_text(node.shape), "shape")

    def _label_y(self, index: int, top: float) -> float:
        """The baseline of the shape below a node: in a network, between the bands of the rows."""
        if not self.of_network:
            return top + self.sizes[index].height + LINE - 2
        start, height = self.layout.rows[self.layout.layers[index]]
        return top - self.layout.y[index] + start + height + BAND + LINE - 2

    def _draw_end(
        self, canvas: Canvas, node: DiagramNode, size: Size, axis: float, top: float
    ) -> None:
        text = _end_text(self.diagram, node, self.of_network)
        if not text:
            return
        if self.of_network:
            with canvas.group("cell", text):
                kind = "pill training" if node.training else "pill"
                canvas.rect(axis - size.left, top, size.left * 2, PILL, kind, PILL / 2)
                canvas.text(axis, top + 12.5, text, "label", "middle")
        else:
            canvas.text(axis, top + 9.5, text, "shape", "middle")


@dataclass(frozen=True, slots=True)
class _Lane:
    """The longest vertical piece of an edge."""

    x: float
    start: float
    end: float

    @classmethod
    def of(cls, route: Route) -> _Lane:
        pieces = itertools.pairwise(route.points)
        (x, start), (_, end) = max(pieces, key=lambda piece: abs(piece[0][1] - piece[1][1]))
        return cls(x, start, end)

    def free(self, obstacles: Iterable[tuple[float, float]]) -> tuple[float, float]:
        """The longest stretch between obstacles, which are given by start and end."""
        here, longest = self.start, (self.start, self.start)
        for low, high in [*sorted(obstacles), (self.end, self.end)]:
            stretch = here, min(low, self.end)
            longest = max(longest, stretch, key=lambda each: each[1] - each[0])
            here = max(here, high)
        return longest
