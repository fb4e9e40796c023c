"""arrange(sizes, sources, ends) -> DrawingLayout: where the nodes of a diagram are, and how edges run.

    x ----+         layer 0
    [f]   |         layer 1     the main column is a longest path;
    (+) <-+         layer 2     the edge that passes layer 1 runs beside its boxes

Four steps, each a section below:

1. `assign_layers`: the layer of each node, and its axis across.
2. `route_edges`: the vertical line of each edge, its lane.
3. `_tracks`: the horizontal lines between layers, none of them on another.
4. `_heights`: the heights that follow, from the top down.

Edges are horizontal between layers, and vertical where there is no box: no edge crosses a box. Only
sizes are known here, not what the nodes are. Crossings of edges are not minimised: order within a
layer is by barycentre, once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resnetgen.reports.plotting.svg import Point

COLUMN_GAP = 15.0  # between boxes of a layer
LANE_GAP = 13.0  # between vertical lines
CLEARANCE = 6.0  # between a box and a line beside it
TRACK = 8.0  # between horizontal lines
LABEL = 13.0  # the height of a label below a node
ARROW = 9.0  # what an arrow head needs above a node


@dataclass(frozen=True, slots=True)
class Size:
    """The extent of a node around its axis, where edges enter and leave it."""

    left: float
    right: float
    height: float
    label: float = 0.0  # the width of the text right of the axis, below the node
    join: bool = False  # edges may enter at its sides

    @property
    def reach(self) -> float:
        """How far node and label extend to the right of the axis."""
        return max(self.right, self.label)


@dataclass(frozen=True, slots=True)
class Route:
    """An edge: its ends, which operand of the target it is, and its corners."""

    source: int
    target: int
    operand: int
    points: tuple[Point, ...]
    passes: bool  # at least one layer


@dataclass(frozen=True, slots=True)
class DrawingLayout:
    """Axes and upper ends of the nodes, and the edges; y grows downwards from 0."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    layers: tuple[int, ...]
    rows: tuple[tuple[float, float], ...]  # top and height of each layer
    main: frozenset[int]  # the nodes of the straight column
    routes: tuple[Route, ...]
    left: float
    right: float
    height: float


def arrange(
    sizes: Sequence[Size],
    sources: Sequence[Sequence[int]],
    ends: Sequence[int],
    least: Mapping[int, float] | None = None,
    gap: float = 0.0,
) -> DrawingLayout:
    """Arranges nodes, each of which comes after those that it reads.

    The main column ends at the deepest of `ends`, the first of these. `least` gives layers a least
    height in pixels; `gap` is the least space below a layer for labels, before lines and arrow heads.
    """
    nodes = assign_layers(sizes, sources, ends)
    edges = route_edges(nodes)
    tracks = _tracks(_horizontals(edges, nodes))
    heights = _heights(nodes, tracks, least or {}, gap)
    routes = tuple(_route(heights, number, edge) for number, edge in enumerate(edges))
    lanes = [x for route in routes for x, _ in route.points]
    return DrawingLayout(
        tuple(nodes.x),
        heights.y,
        tuple(nodes.layer),
        heights.rows,
        nodes.main,
        routes,
        min([*lanes, *map(nodes.left, range(len(sizes)))]),
        max([*lanes, *map(nodes.right, range(len(sizes)))]),
        sum(heights.rows[-1]),
    )


# --- 1. layers and axes


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes by index, each after those that it reads, with layers and axes."""

    sizes: Sequence[Size]
    sources: Sequence[Sequence[int]]  # what each reads
    layer: Sequence[int]
    layers: Sequence[Sequence[int]]  # the nodes of each layer
    main: frozenset[int]  # the nodes of the straight column
    x: list[float]  # their axes

    def left(self, node: int) -> float:
        """The left end of a node."""
        return self.x[node] - self.sizes[node].left

    def right(self, node: int) -> float:
        """The right end of a node with its label."""
        return self.x[node] + self.sizes[node].reach

    def passed(self, source: int, target: int) -> list[int]:
        """The nodes of the layers between two nodes."""
        between = self.layers[self.layer[source] + 1 : self.layer[target]]
        return [node for layer in between for node in layer]

    def clear(self, x: float, nodes: Sequence[int]) -> bool:
        """Whether a vertical line meets none of some nodes."""
        return not any(
            self.left(node) - CLEARANCE < x < self.right(node) + CLEARANCE for node in nodes
        )

    def shut_off(self, x: float, target: int) -> bool:
        """Whether another box of its layer is between a node and a vertical line."""
        low, high = sorted((x, self.x[target]))
        return any(
            self.right(node) > low and self.left(node) < high
            for node in self.layers[self.layer[target]]
            if node != target
        )


def assign_layers(
    sizes: Sequence[Size], sources: Sequence[Sequence[int]], ends: Sequence[int]
) -> Nodes:
    """Layers and axes.

        x            layer 0, axis 0        the main column is a longest path to an end;
        [f]   [g]    layer 1, axes 0, 70    the other nodes of a layer are left and right of it

    The layer of a node is that of the longest path to it (Sugiyama, Tagawa and Toda 1981); the order
    within a layer is that of the barycentres of what its nodes read.
    """
    layer: list[int] = []
    for reads in sources:
        layer.append(1 + max((layer[source] for source in reads), default=-1))
    layers: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for node, own in enumerate(layer):
        layers[own].append(node)
    main = _main_path(sizes, sources, layer, max(ends, key=lambda node: layer[node]))
    nodes = Nodes(sizes, sources, layer, layers, main, [0.0] * len(sizes))
    for each in layers:
        _set_axes(nodes, each)
    return nodes


def _main_path(
    sizes: Sequence[Size], sources: Sequence[Sequence[int]], layer: Sequence[int], end: int
) -> frozenset[int]:
    """A longest path to `end`; of several, the one with the highest boxes."""
    best: list[float] = []
    before: list[int | None] = []
    for node, reads in enumerate(sources):
        near = [source for source in reads if layer[source] == layer[node] - 1]
        chosen = max(near, key=lambda source: (best[source], -source), default=None)
        before.append(chosen)
        best.append(sizes[node].height + (best[chosen] if chosen is not None else 0))
    path: set[int] = set()
    here: int | None = end
    while here is not None:
        path.add(here)
        here = before[here]
    return frozenset(path)


def _set_axes(nodes: Nodes, layer: Sequence[int]) -> None:
    """Sets the axes of a layer: 0 for the main column, the others left and right of it."""
    wish = {node: _barycentre(nodes, node) for node in layer}
    order = sorted(layer, key=lambda node: (wish[node] if node not in nodes.main else 0.0, node))
    middle = next((place for place, node in enumerate(order) if node in nodes.main), None)
    after, edge = order, -float("inf")
    if middle is not None:
        axis = order[middle]
        before = order[:middle] if len(order) > 2 else []
        after = [node for node in order if node != axis and node not in before]
        edge = nodes.left(axis)
        for node in reversed(before):
            nodes.x[node] = min(wish[node], edge - COLUMN_GAP - nodes.sizes[node].reach)
            edge = nodes.left(node)
        edge = nodes.right(axis)
    for node in after:
        nodes.x[node] = max(wish[node], edge + COLUMN_GAP + nodes.sizes[node].left)
        edge = nodes.right(node)


def _barycentre(nodes: Nodes, node: int) -> float:
    read = [nodes.x[source] for source in nodes.sources[node]]
    return sum(read) / len(read) if read else 0.0


# --- 2. lanes


@dataclass(slots=True)
class Edge:
    """An edge whose verticals are known: its lane, and where it enters the target."""

    source: int
    target: int
    operand: int
    lane: float
    port: float  # the x where it enters from above
    side: int = 0  # -1, 1: it enters at the left, at the right


@dataclass(slots=True)
class _Verticals:
    """The vertical lines so far: at each x the owner, and the first and last layer."""

    taken: dict[float, list[tuple[int, int, int]]] = field(default_factory=dict)
    own: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def free(self, x: float, first: int, last: int, source: int) -> bool:
        """Whether a line of the source is clear of those of others, and on or clear of its own."""
        return not any(
            start <= last and first <= stop and (owner != source or x != other)
            for other, lines in self.taken.items()
            if abs(x - other) < LANE_GAP - 1
            for owner, start, stop in lines
        )

    def take(self, x: float, first: int, last: int, source: int) -> None:
        """Adds a line. A shorter one of the same value in the same place adds nothing."""
        lines = self.taken.setdefault(x, [])
        if not any(o == source and a <= first and last <= b for o, a, b in lines):
            lines.append((source, first, last))
        if x not in self.own[source]:
            self.own[source].append(x)


def route_edges(nodes: Nodes) -> list[Edge]:
    """The edges with their lanes.

        x ----+         the lane of (x, +) is the vertical beside [f];
        [f]   |         it enters the join at its right side
        (+) <-+

    An edge that passes layers has one lane, clear of boxes and of the lines of other values: beside
    the boxes, or where its source, its target or another edge of its source already has a line.
    Values that are read farthest away come last and get the outer lanes.
    """
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
    lines = _Verticals()
    edges = []
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
        edges.append(edge)
    return edges


def _port(nodes: Nodes, target: int, operand: int) -> float:
    """Where an operand enters from above: the one of the main column on the axis, others beside it."""
    reads, size = nodes.sources[target], nodes.sizes[target]
    straight = next((i for i, source in enumerate(reads) if source in nodes.main), 0)
    if operand == straight or size.join:
        return nodes.x[target]
    others = [i for i in range(len(reads)) if i != straight]
    room = min(size.left, size.right)
    return nodes.x[target] + room * (others.index(operand) + 1) / (len(others) + 1)


def _enter_at_side(edge: Edge, nodes: Nodes, lines: _Verticals) -> None:
    """Makes an edge enter its join at a side if nothing is in the way."""
    size, axis = nodes.sizes[edge.target], nodes.x[edge.target]
    passed = [*nodes.passed(edge.source, edge.target), edge.target]
    lane = _lane(edge, nodes, lines, passed)
    side = 1 if lane > axis else -1
    reach = size.right if side > 0 else size.left
    if abs(lane - axis) > reach + CLEARANCE and not nodes.shut_off(lane, edge.target):
        edge.lane, edge.side = lane, side


def _lane(edge: Edge, nodes: Nodes, lines: _Verticals, passed: Sequence[int]) -> float:
    """The lane of an edge: below its source, above its target, where another edge of the source
    runs, else right of the boxes.
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


# --- 3. horizontal lines

# A line in the gap below a layer: that layer, what the line is, and the source or the edge.
_Key = tuple[int, int, int]
_PASSES, _LEAVES, _ARRIVES = range(3)  # to a lane beside the next layer; to it; from a lane


def _horizontals(edges: Sequence[Edge], nodes: Nodes) -> dict[_Key, tuple[float, float]]:
    """The horizontal lines between layers, from x to x; edges that leave one node share a line."""
    extents: dict[_Key, tuple[float, float]] = {}
    for number, edge in enumerate(edges):
        lines = []
        if edge.lane != nodes.x[edge.source]:
            lines.append((_leaving(edge, nodes), nodes.x[edge.source], edge.lane))
        if not edge.side and edge.lane != edge.port:
            lines.append((_arriving(edge, number, nodes), edge.lane, edge.port))
        for key, one, other in lines:
            low, high = extents.get(key, (one, other))
            extents[key] = (min(low, one, other), max(high, one, other))
    return extents


def _passes(edge: Edge, nodes: Nodes) -> bool:
    """Whether an edge passes a layer."""
    return nodes.layer[edge.target] - nodes.layer[edge.source] > 1


def _leaving(edge: Edge, nodes: Nodes) -> _Key:
    what = _PASSES if _passes(edge, nodes) else _LEAVES
    return nodes.layer[edge.source], what, edge.source


def _arriving(edge: Edge, number: int, nodes: Nodes) -> _Key:
    return nodes.layer[edge.target] - 1, _ARRIVES, number


def _tracks(horizontals: Mapping[_Key, tuple[float, float]]) -> dict[_Key, int]:
    """The track of each horizontal line in its gap: lines that would meet are on different tracks."""
    tracks: dict[_Key, int] = {}
    taken: dict[int, list[list[tuple[float, float]]]] = defaultdict(list)
    first: dict[int, int] = defaultdict(int)
    for key in sorted(horizontals, key=lambda key: (key[0], key[1], horizontals[key], key[2])):
        gap, what, _ = key
        arrives = what == _ARRIVES
        low, high = horizontals[key]
        rows = taken[gap]
        track = first[gap] if arrives else 0  # lines that arrive are below all that leave
        while track < len(rows) and any(
            low < right + CLEARANCE and left < high + CLEARANCE for left, right in rows[track]
        ):
            track += 1
        if track == len(rows):
            rows.append([])
        if not arrives:
            first[gap] = len(rows)
        rows[track].append((low, high))
        tracks[key] = track
    return tracks


# --- 4. heights


@dataclass(frozen=True, slots=True)
class _Heights:
    """How far down everything is."""

    nodes: Nodes
    y: tuple[float, ...]  # the upper ends of the nodes
    rows: tuple[tuple[float, float], ...]  # top and height of each layer
    lines: Mapping[_Key, float]  # the horizontal lines


def _heights(
    nodes: Nodes, tracks: Mapping[_Key, int], least: Mapping[int, float], gap: float
) -> _Heights:
    """The heights, from the top: a layer, its labels, the lines below it, room for arrow heads."""
    lines_below: dict[int, int] = defaultdict(int)
    for (layer, *_), track in tracks.items():
        lines_below[layer] = max(lines_below[layer], track + 1)
    rows: list[tuple[float, float]] = []
    lines_from: list[float] = []
    top = 0.0
    for layer, members in enumerate(nodes.layers):
        height = max(least.get(layer, 0.0), *(nodes.sizes[node].height for node in members))
        labelled = any(nodes.sizes[node].label for node in members)
        rows.append((top, height))
        lines_from.append(top + height + (max(gap, LABEL) if labelled else gap))
        top = lines_from[-1] + lines_below[layer] * TRACK + ARROW
    y = tuple(
        rows[layer][0] + (rows[layer][1] - size.height) / 2
        for layer, size in zip(nodes.layer, nodes.sizes, strict=True)
    )
    lines = {key: lines_from[key[0]] + TRACK * (track + 0.5) for key, track in tracks.items()}
    return _Heights(nodes, y, tuple(rows), lines)


def _route(heights: _Heights, number: int, edge: Edge) -> Route:
    """The corners of an edge."""
    nodes, target = heights.nodes, edge.target
    size, axis = nodes.sizes[target], nodes.x[edge.source]
    points = [(axis, heights.y[edge.source] + nodes.sizes[edge.source].height)]
    if edge.lane != axis:
        y = heights.lines[_leaving(edge, nodes)]
        points += [(axis, y), (edge.lane, y)]
    if edge.side:
        middle = heights.y[target] + size.height / 2
        reach = size.right if edge.side > 0 else -size.left
        points += [(edge.lane, middle), (nodes.x[target] + reach, middle)]
    else:
        if edge.lane != edge.port:
            y = heights.lines[_arriving(edge, number, nodes)]
            points += [(edge.lane, y), (edge.port, y)]
        points.append((edge.port, heights.y[target]))
    return Route(edge.source, target, edge.operand, tuple(points), _passes(edge, nodes))
