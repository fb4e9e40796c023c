"""edges(nodes) -> where each edge of a diagram runs from its source down to its target.

    x ----+         the lane of (x, +) is the vertical beside [f];
    [f]   |         it enters the join at its right side
    (+) <-+

An edge that passes layers runs in one vertical lane, where no box stands and no line of another
value: beside the boxes, or where its source, its target or another edge of its source has one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from resnetgen.draw.columns import CLEARANCE, Nodes

LANE_GAP = 13.0


@dataclass(slots=True)
class Edge:
    """An edge whose verticals are known: that of its lane, and where it enters the target."""

    source: int
    target: int
    operand: int
    lane: float
    port: float  # the x where it enters from above
    side: int = 0  # -1, 1: it enters at the left, at the right


@dataclass(slots=True)
class _Lines:
    """The verticals that are taken: at each x the owner, and its first and last layer."""

    taken: dict[float, list[tuple[int, int, int]]] = field(default_factory=dict)
    own: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def free(self, x: float, first: int, last: int, source: int) -> bool:
        """Whether a line of the source there meets no line of another, nor one of its own askew."""
        return not any(
            start <= last and first <= stop and (owner != source or x != other)
            for other, lines in self.taken.items()
            if abs(x - other) < LANE_GAP - 1
            for owner, start, stop in lines
        )

    def take(self, x: float, first: int, last: int, source: int) -> None:
        """Notes a line. A shorter one of the same value in the same place adds nothing."""
        lines = self.taken.setdefault(x, [])
        if not any(o == source and a <= first and last <= b for o, a, b in lines):
            lines.append((source, first, last))
        if x not in self.own[source]:
            self.own[source].append(x)


def edges(nodes: Nodes) -> list[Edge]:
    """The edges; those of values that are read farthest away come last and get the outer lanes."""
    layer = nodes.layer
    pairs = [
        (layer[target] - layer[source], target, operand, source)
        for target, reads in enumerate(nodes.sources)
        for operand, source in enumerate(reads)
    ]
    farthest: dict[int, int] = defaultdict(int)
    for span, _, _, source in pairs:
        farthest[source] = max(farthest[source], span)
    pairs.sort(key=lambda pair: (farthest[pair[3]], pair[3], -pair[0], pair[1:3]))
    lines = _Lines()
    found = []
    for span, target, operand, source in pairs:
        edge = Edge(source, target, operand, nodes.x[source], _port(nodes, target, operand))
        if nodes.sizes[target].join and not (span == 1 and {source, target} <= nodes.main):
            _enter_at_side(edge, nodes, lines)
        if not edge.side:
            passed = nodes.passed(source, target)
            edge.lane = edge.port if span == 1 else _lane(edge, nodes, lines, passed)
        if span > 1 or edge.side:
            last = layer[target] - (0 if edge.side else 1)
            lines.take(edge.lane, layer[source] + 1, last, source)
        found.append(edge)
    return found


def _port(nodes: Nodes, target: int, operand: int) -> float:
    """Where an operand enters from above: the straight one on the axis, others beside it."""
    reads, size = nodes.sources[target], nodes.sizes[target]
    straight = next((i for i, source in enumerate(reads) if source in nodes.main), 0)
    if operand == straight or size.join:
        return nodes.x[target]
    others = [i for i in range(len(reads)) if i != straight]
    room = min(size.left, size.right)
    return nodes.x[target] + room * (others.index(operand) + 1) / (len(others) + 1)


def _enter_at_side(edge: Edge, nodes: Nodes, lines: _Lines) -> None:
    """Lets an edge enter its join at a side where nothing stands in the way."""
    size, axis = nodes.sizes[edge.target], nodes.x[edge.target]
    passed = [*nodes.passed(edge.source, edge.target), edge.target]
    lane = _lane(edge, nodes, lines, passed)
    side = 1 if lane > axis else -1
    reach = size.right if side > 0 else size.left
    if abs(lane - axis) > reach + CLEARANCE and not nodes.shut_off(lane, edge.target):
        edge.lane, edge.side = lane, side


def _lane(edge: Edge, nodes: Nodes, lines: _Lines, passed: Sequence[int]) -> float:
    """The vertical of an edge: below its source, above its target, where another edge of the
    source runs, else right of the boxes.
    """
    source = edge.source
    first, last = nodes.layer[source] + 1, nodes.layer[edge.target]
    for x in (nodes.x[source], edge.port, *lines.own[source]):
        if nodes.clear(x, passed) and lines.free(x, first, last, source):
            return x
    lane = max((nodes.right(node) for node in passed), default=0.0) + LANE_GAP
    while not lines.free(lane, first, last, source):
        lane += LANE_GAP / 2
    return lane
