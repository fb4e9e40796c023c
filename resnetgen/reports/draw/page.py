"""draw(network, typed) -> an SVG file that needs nothing else, the same bytes every time.

    <?xml version="1.0" encoding="UTF-8"?>
    <!-- Drawn by resnetgen from resnet50 (spec 0123456789abcdef, drawing fedcba9876543210). -->
    <svg ...>

`spec` is the digest of the elaborated spec, `drawing` that of everything below the comment, so that
an edited file is recognised and not replaced.

The page has a row for each layer of the network: stages with their costs on the left, the network
itself, and on the right a panel for each distinct block.

    layer2             |
    1.22 M par.    [layer2.0 ]-.      layer2.0          layer2.1-3
    ======             (+)<----'      [conv ...]        [conv ...]
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnetgen.compiler.codegen.files import Stamp, text_digest
from resnetgen.compiler.ir.nodes import Network
from resnetgen.compiler.passes.infer_types import Cost, TypedInstance
from resnetgen.reports.draw.diagram import DiagramNode, network_diagram
from resnetgen.reports.draw.figure import BAND, Figure, Panel, figure, panels_of
from resnetgen.reports.draw.style import DOC, LONG_STAGE, NAME, STAGE, STRONG, TEXT, style_sheet
from resnetgen.reports.numbers import cost_summary, rounded
from resnetgen.reports.plotting.svg import LIGHT, Canvas, document
from resnetgen.reports.plotting.text_width import fit_text, text_width

SUFFIX = ".svg"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
DRAWING = Stamp.at_the_top(
    re.escape(_HEAD)
    + r"<!-- Drawn by resnetgen from \S+ \(spec [0-9a-f]{16}, drawing ([0-9a-f]{16})\)\. -->\n"
)

MARGIN = 16.0
HEADER = 30.0  # the name; a line below it says what the network is
HEADER_DOC = 16.0
STAGE_COLUMN = 108.0  # stages and their costs
SPACE = 10.0  # between columns
INSET = 8.0  # between a band and what is in it
BAR = 104.0  # all of the network's parameters, or multiply-adds
PANEL_TITLE = 14.0
PANEL_INSET = 7.0
TITLE_SPACE = 7.0  # between the two parts of a title
WIDEST_TITLE = 230.0
WIDEST_LINE = 580.0  # panels that are wider together are in several lines
NARROWEST = 400.0
SKIP = "skip"


def draw(network: Network, typed: TypedInstance) -> str:
    """The network as an SVG."""
    canvas, size = compose(network, typed)
    title = f"The architecture of {network.name}"
    body = document(canvas, size, title, _description(network, typed), style_sheet())
    marks = f"spec {network.digest[:16]}, drawing {text_digest(body)}"
    name = network.name.replace("--", "__")  # not allowed in a comment of XML
    return f"{_HEAD}<!-- Drawn by resnetgen from {name} ({marks}). -->\n{body}"


def _description(network: Network, typed: TypedInstance) -> str:
    outputs = ", ".join(str(each) for each in typed.outputs[: len(network.outputs)])
    doc = " ".join(network.doc.split())
    text = f"{network.input} -> {outputs}; {cost_summary(typed.cost)}"
    return f"{doc}: {text}" if doc else text


def compose(network: Network, typed: TypedInstance) -> tuple[Canvas, tuple[float, float]]:
    """The whole drawing, and its size.

    The figure of the network is made twice: its layers become as high as what is beside them.
    """
    diagram = network_diagram(network, typed)
    panels = panels_of(diagram)
    rows = _rows(figure(diagram, panels, of_network=True))
    least = {layer: max(row.stages_height, row.panels_height) for layer, row in enumerate(rows)}
    body = figure(diagram, panels, of_network=True, least=least)
    panels_at = body.panels_from + SPACE
    inside = max(body.width, panels_at + max(row.panels_width for row in rows))
    content = STAGE_COLUMN + SPACE + inside + 2 * INSET
    width = max(content, NARROWEST, _header_width(network, typed)) + 2 * MARGIN
    top = MARGIN + HEADER + (HEADER_DOC if network.doc.strip() else 0)
    left = (width - content) / 2 + INSET + STAGE_COLUMN + SPACE
    canvas = Canvas()
    _draw_header(canvas, network, typed, width)
    _draw_bands(canvas, body, top, width)
    body.draw(canvas, left, top)
    for row, (start, height) in zip(rows, body.layout.rows, strict=True):
        middle = top + start + height / 2
        _draw_stages(canvas, row, middle, typed.cost)
        for spot in row.spots:
            y = middle - row.panels_height / 2 + spot.y
            _draw_panel(canvas, spot, left + panels_at + spot.x, y)
    bottom = _draw_legend(canvas, body, top + body.layout.height + SPACE, width)
    return canvas, (width, bottom + MARGIN)


# --- rows


@dataclass(frozen=True, slots=True)
class StageLabel:
    """A stage and its cost."""

    name: str
    cost: Cost

    @property
    def height(self) -> float:
        """With bars, unless it costs nothing."""
        return 44.0 if self.cost.params or self.cost.macs else 16.0


@dataclass(frozen=True, slots=True)
class Spot:
    """A panel in its row; x and y are its upper left corner."""

    panel: Panel
    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class PageRow:
    """What is beside the nodes of a layer: stages on the left, panels on the right."""

    stages: tuple[StageLabel, ...]
    spots: tuple[Spot, ...]

    @property
    def stages_height(self) -> float:
        """The height of the stages, one below the other."""
        return sum(stage.height for stage in self.stages)

    @property
    def panels_height(self) -> float:
        """The height of all lines of panels."""
        return max((spot.y + spot.height for spot in self.spots), default=0.0)

    @property
    def panels_width(self) -> float:
        """The width of the longest line of panels."""
        return max((spot.x + _panel_width(spot.panel) for spot in self.spots), default=0.0)


def _rows(figure: Figure) -> list[PageRow]:
    """One for each layer of the network."""
    return [
        PageRow(tuple(_stages(figure, layer)), tuple(_spots(list(_panels_in(figure, layer)))))
        for layer in range(len(figure.layout.rows))
    ]


def _stages(figure: Figure, layer: int) -> Iterator[StageLabel]:
    """The stages that begin in a row."""
    nodes = figure.diagram.nodes
    for index, node in enumerate(nodes):
        if figure.layout.layers[index] != layer or not _stage_name(node):
            continue
        members = [each for each in nodes if each.group == node.group] if node.group else [node]
        if members[0] is node:
            cost = sum((each.cost for each in members), Cost())
            yield StageLabel(_stage_name(node), cost)


def _stage_name(node: DiagramNode) -> str:
    """The stage of a node; the own names of ops in no stage."""
    if node.group or not node.keys:
        return node.group
    return node.keys[0] if len(node.keys) == 1 else f"{node.keys[0]} – {node.keys[-1]}"


def _panels_in(figure: Figure, layer: int) -> Iterator[Panel]:
    for index in sorted(figure.panels):
        if figure.layout.layers[index] == layer:
            for panel in figure.panels[index]:
                yield from panel.within()


def _spots(panels: Sequence[Panel]) -> Iterator[Spot]:
    """Panels beside each other, those of one line equally high."""
    y = 0.0
    for line in _lines(panels):
        x, height = 0.0, max(map(_panel_height, line))
        for panel in line:
            yield Spot(panel, x, y, height)
            x += _panel_width(panel) + SPACE
        y += height + SPACE


def _lines(panels: Sequence[Panel]) -> list[list[Panel]]:
    lines: list[list[Panel]] = []
    used = 0.0
    for panel in panels:
        if not lines or used + _panel_width(panel) > WIDEST_LINE:
            lines.append([])
            used = 0.0
        lines[-1].append(panel)
        used += _panel_width(panel) + SPACE
    return lines


def _panel_width(panel: Panel) -> float:
    name = text_width(panel.box.blocks.name, STRONG, bold=True)
    title = name + TITLE_SPACE + 1 + text_width(panel.box.title, TEXT)
    return max(panel.figure.width, min(title, WIDEST_TITLE)) + 2 * PANEL_INSET


def _panel_height(panel: Panel) -> float:
    return PANEL_TITLE + panel.figure.layout.height + 2 * PANEL_INSET


# --- drawing


def _header_width(network: Network, typed: TypedInstance) -> float:
    totals = text_width(cost_summary(typed.cost), DOC)
    return min(text_width(network.name, NAME, bold=True), 340.0) + 4 * SPACE + totals


def _draw_header(canvas: Canvas, network: Network, typed: TypedInstance, width: float) -> None:
    room = width - 2 * MARGIN
    totals = cost_summary(typed.cost)
    name = fit_text(network.name, room - text_width(totals, DOC) - 4 * SPACE, NAME, bold=True)
    canvas.text(MARGIN, MARGIN + 18, name, "name")
    canvas.text(width - MARGIN, MARGIN + 18, totals, "doc", "end")
    doc = " ".join(network.doc.split())
    if doc:
        canvas.text(MARGIN, MARGIN + 36, fit_text(doc, room, DOC), "doc")


def _draw_bands(canvas: Canvas, figure: Figure, top: float, width: float) -> None:
    """A background for each row that has nodes of the network; rows of one stage share it."""
    rows = enumerate(figure.layout.rows)
    for name, group in itertools.groupby(rows, lambda row: _stage_of_row(figure, row[0])):
        members = [row for _, row in group]
        start, end = members[0][0], sum(members[-1])
        if name:
            height = end - start + 2 * BAND
            canvas.rect(MARGIN, top + start - BAND, width - 2 * MARGIN, height, "band", 8)


def _stage_of_row(figure: Figure, layer: int) -> str:
    """The stage of a row, if possible of its node in the main column."""
    nodes = [
        index
        for index, own in enumerate(figure.layout.layers)
        if own == layer and _stage_name(figure.diagram.nodes[index])
    ]
    nodes.sort(key=lambda index: index not in figure.layout.main)
    return _stage_name(figure.diagram.nodes[nodes[0]]) if nodes else ""


def _draw_stages(canvas: Canvas, row: PageRow, middle: float, total: Cost) -> None:
    x, y = MARGIN + INSET, middle - row.stages_height / 2
    for stage in row.stages:
        with canvas.group("stage", f"{stage.name}\n{cost_summary(stage.cost)}"):
            is_long = text_width(stage.name, STAGE, bold=True) > STAGE_COLUMN
            size = LONG_STAGE if is_long else STAGE
            name = fit_text(stage.name, STAGE_COLUMN, size, bold=True)
            canvas.text(x, y + 12, name, "stage-name long" if is_long else "stage-name")
            if stage.cost.params or stage.cost.macs:
                _draw_bar(canvas, x, y + 25, stage.cost.params, total.params, "parameters")
                _draw_bar(canvas, x, y + 39, stage.cost.macs, total.macs, "multiply-adds")
        y += stage.height


def _draw_bar(canvas: Canvas, x: float, y: float, part: int, whole: int, what: str) -> None:
    canvas.text(x, y - 1, f"{rounded(part)} {what}", "note")
    canvas.rect(x, y + 1.5, BAR, 2.5, "rail", 1.2)
    if part and whole:
        canvas.rect(x, y + 1.5, max(BAR * part / whole, 1), 2.5, f"bar {what}", 1.2)


def _draw_panel(canvas: Canvas, spot: Spot, x: float, y: float) -> None:
    box, inside = spot.panel.box, spot.panel.figure
    room = _panel_width(spot.panel)
    inner = room - 2 * PANEL_INSET
    beside = inner - TITLE_SPACE - text_width(box.blocks.name, STRONG, bold=True)
    title = fit_text(box.title, max(beside, 0.45 * inner), TEXT)
    beside = inner - TITLE_SPACE - text_width(title, TEXT)
    name = fit_text(box.blocks.name, beside, STRONG, bold=True)
    across = (room - inside.width) / 2
    down = (spot.height - PANEL_TITLE - inside.layout.height) / 2
    with canvas.group("panel", box.blocks.tip):
        canvas.rect(x, y, room, spot.height, "frame", 6)
        canvas.text(x + PANEL_INSET, y + PANEL_TITLE, name, "panel-name")
        canvas.text(x + room - PANEL_INSET, y + PANEL_TITLE, title, "note", "end")
        inside.draw(canvas, x + across, y + PANEL_TITLE + down)


def _draw_legend(canvas: Canvas, figure: Figure, top: float, width: float) -> float:
    """The colours that occur, and what a skip looks like; the y at which it ends."""
    kinds = _kinds(figure)
    x, y = MARGIN, top + 4
    for kind in (kind for kind in [*LIGHT.kinds, SKIP] if kind in kinds):
        if x + 19 + text_width(kind, TEXT) > width - MARGIN:
            x, y = MARGIN, y + 16
        if kind == SKIP:
            canvas.arrow([(x, y + 5), (x + 14, y + 5)], SKIP)
        else:
            canvas.rect(x, y, 14, 10, f"op {kind}", 2.5)
        canvas.text(x + 19, y + 8.5, kind, "note")
        x += 19 + text_width(kind, TEXT) + 14
    return y + 12


def _kinds(figure: Figure) -> set[str]:
    kinds = {cell.kind for node in figure.diagram.nodes for cell in node.cells}
    kinds |= {SKIP} if figure.skips else set()
    for panels in figure.panels.values():
        for panel in panels:
            kinds |= _kinds(panel.figure)
    return kinds
