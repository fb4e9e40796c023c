"""Which edges of a diagram go around something: shortcuts of blocks, skips of networks.

x -> [conv ... BN] -> (+)          the skip of (+) starts at x;
x -> [conv 1×1 | BN] -> (+)        what it computes on its way is a box on it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnetgen.draw.diagram import Cell, Diagram, Form
from resnetgen.draw.labels import read
from resnetgen.draw.layout import Layout


@dataclass(frozen=True, slots=True)
class Skip:
    """The way around the inside of a block."""

    sign: str  # how it is joined
    cells: tuple[Cell, ...]  # what is computed on the way

    def named(self, block: str) -> str:
        """The policy that it follows, or its ops; "" where the value itself passes."""
        blocks = {cell.block for cell in self.cells} - {block}
        return " ".join(sorted(blocks)) or ", ".join(read(cell.label) for cell in self.cells)


def skip_edges(diagram: Diagram, layout: Layout) -> frozenset[tuple[int, int, int]]:
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
    if node.form is not Form.JOIN or len(node.sources) != 2 or target not in main:
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
    outputs = [node for node in diagram.nodes if node.form is Form.OUTPUT]
    here = outputs[0].sources[0]
    while diagram.nodes[here].form is Form.CHAIN and len(diagram.nodes[here].sources) == 1:
        here = diagram.nodes[here].sources[0]
    join = diagram.nodes[here]
    if join.form is not Form.JOIN or len(join.sources) != 2:
        return None
    side = next((source for source in join.sources if source not in main), None)
    if side is None:  # both are: the value itself passes
        side = min(join.sources)
    cells: tuple[Cell, ...] = ()
    while side not in main and diagram.nodes[side].form is Form.CHAIN:
        cells = diagram.nodes[side].cells + cells
        side = diagram.nodes[side].sources[0]
    return Skip(read(join.cells[0].label), cells) if side in main else None
