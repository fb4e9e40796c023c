"""arrange(sizes, sources, ...) -> Layout: where the nodes of a diagram stand and how edges run.

    x ----+            layer 0
    [f]   |            layer 1     the main column is a longest path;
    (+) <-+            layer 2     what passes a layer runs beside its boxes

`columns.py` places nodes in layers and across, `lanes.py` finds the verticals of edges. What is left
is down: horizontal lines between the layers, none of them on another, and the heights that follow.
So edges are horizontal between layers and vertical where no box stands: none crosses a box.

edges(nodes) -> where each edge of a diagram runs from its source down to its target.

    x ----+         the lane of (x, +) is the vertical beside [f];
    [f]   |         it enters the join at its right side
    (+) <-+

An edge that passes layers runs in one vertical lane, where no box stands and no line of another
value: beside the boxes, or where its source, its target or another edge of its source has one.

columns(sizes, sources, end) -> Nodes: the layer of each node of a diagram, and its axis.

    x            layer 0, axis 0        the main column is a longest path to `end`;
    [f]   [g]    layer 1, axes 0, 70    in each layer the other nodes stand left and right of it

A node stands in the layer of the longest path to it (Sugiyama, Tagawa and Toda 1981). Within a layer
the order is that of the barycentres of what the nodes read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resnetgen.reports.plotting.svg import Point

TRACK = 8.0  # between horizontal lines
LABEL = 13.0  # the height of a label below a node
ARROW = 9.0  # what an arrow head needs above a node


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
    """Places nodes, which stand after what they read. The main column ends at the deepest of
    `ends`, the first of these.

    `least` gives layers a least height in pixels; `gap` is the least space below a layer for
    labels, before lines and arrow heads.
    """
    nodes = assign_layers(sizes, sources, ends)
    found = route_edges(nodes)
    tracks = _tracks(_horizontals(found, nodes))
    places = _places(nodes, tracks, least or {}, gap)
    routes = tuple(_route(places, number, edge) for number, edge in enumerate(found))
    lanes = [x for route in routes for x, _ in route.points]
    return DrawingLayout(
        tuple(nodes.x),
        places.y,
        tuple(nodes.layer),
        places.rows,
        nodes.main,
        routes,
        min([*lanes, *map(nodes.left, range(len(sizes)))]),
        max([*lanes, *map(nodes.right, range(len(sizes)))]),
        sum(places.rows[-1]),
    )


# --- horizontal lines

# A line in the gap below a layer: that layer, what the line is, and the source or the edge.
_Key = tuple[int, int, int]
_PASSES, _LEAVES, _ARRIVES = range(3)  # to a lane beside the next layer; to it; from a lane


def _horizontals(edges: Sequence[Edge], nodes: Nodes) -> dict[_Key, tuple[float, float]]:
    """The horizontal lines between layers; what leaves one node shares its line."""
    found: dict[_Key, tuple[float, float]] = {}
    for number, edge in enumerate(edges):
        lines = []
        if edge.lane != nodes.x[edge.source]:
            lines.append((_leaving(edge, nodes), nodes.x[edge.source], edge.lane))
        if not edge.side and edge.lane != edge.port:
            lines.append((_arriving(edge, number, nodes), edge.lane, edge.port))
        for key, one, other in lines:
            low, high = found.get(key, (one, other))
            found[key] = (min(low, one, other), max(high, one, other))
    return found


def _passes(edge: Edge, nodes: Nodes) -> bool:
    """Whether an edge passes a layer."""
    return nodes.layer[edge.target] - nodes.layer[edge.source] > 1


def _leaving(edge: Edge, nodes: Nodes) -> _Key:
    what = _PASSES if _passes(edge, nodes) else _LEAVES
    return nodes.layer[edge.source], what, edge.source


def _arriving(edge: Edge, number: int, nodes: Nodes) -> _Key:
    return nodes.layer[edge.target] - 1, _ARRIVES, number


def _tracks(horizontals: Mapping[_Key, tuple[float, float]]) -> dict[_Key, int]:
    """The height of each horizontal line within its gap: lines that would meet lie apart."""
    tracks: dict[_Key, int] = {}
    taken: dict[int, list[list[tuple[float, float]]]] = defaultdict(list)
    first: dict[int, int] = defaultdict(int)
    for key in sorted(horizontals, key=lambda key: (key[0], key[1], horizontals[key], key[2])):
        gap, what, _ = key
        arrives = what == _ARRIVES
        low, high = horizontals[key]
        rows = taken[gap]
        track = first[gap] if arrives else 0  # what arrives lies below all that leaves
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


# --- heights


@dataclass(frozen=True, slots=True)
class _Places:
    """Where everything stands."""

    nodes: Nodes
    y: tuple[float, ...]  # the upper ends of the nodes
    rows: tuple[tuple[float, float], ...]  # top and height of each layer
    lines: Mapping[_Key, float]  # the heights of the horizontal lines


def _places(
    nodes: Nodes, tracks: Mapping[_Key, int], least: Mapping[int, float], gap: float
) -> _Places:
    """The heights, from the top: a layer, its labels, the lines below it, room for arrow heads."""
    below: dict[int, int] = defaultdict(int)  # how many lines
    for (layer, *_), track in tracks.items():
        below[layer] = max(below[layer], track + 1)
    rows: list[tuple[float, float]] = []
    lines_from: list[float] = []
    top = 0.0
    for layer, members in enumerate(nodes.layers):
        height = max(least.get(layer, 0.0), *(nodes.sizes[node].height for node in members))
        labelled = any(nodes.sizes[node].label for node in members)
        rows.append((top, height))
        lines_from.append(top + height + (max(gap, LABEL) if labelled else gap))
        top = lines_from[-1] + below[layer] * TRACK + ARROW
    y = tuple(
        rows[layer][0] + (rows[layer][1] - size.height) / 2
        for layer, size in zip(nodes.layer, nodes.sizes, strict=True)
    )
    lines = {key: lines_from[key[0]] + TRACK * (track + 0.5) for key, track in tracks.items()}
    return _Places(nodes, y, tuple(rows), lines)


def _route(places: _Places, number: int, edge: Edge) -> Route:
    """The corners of an edge."""
    nodes, target = places.nodes, edge.target
    size, axis = nodes.sizes[target], nodes.x[edge.source]
    points = [(axis, places.y[edge.source] + nodes.sizes[edge.source].height)]
    if edge.lane != axis:
        height = places.lines[_leaving(edge, nodes)]
        points += [(axis, height), (edge.lane, height)]
    if edge.side:
        middle = places.y[target] + size.height / 2
        reach = size.right if edge.side > 0 else -size.left
        points += [(edge.lane, middle), (nodes.x[target] + reach, middle)]
    else:
        if edge.lane != edge.port:
            height = places.lines[_arriving(edge, number, nodes)]
            points += [(edge.lane, height), (edge.port, height)]
        points.append((edge.port, places.y[target]))
    return Route(edge.source, target, edge.operand, tuple(points), _passes(edge, nodes))


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


def route_edges(nodes: Nodes) -> list[Edge]:
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


COLUMN_GAP = 15.0
CLEARANCE = 6.0  # between a box and a line beside it


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
        """How far node and label reach to the right of the axis."""
        return max(self.right, self.label)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes by index, each behind those that it reads, and where they stand across."""

    sizes: Sequence[Size]
    sources: Sequence[Sequence[int]]  # what each reads
    layer: Sequence[int]
    layers: Sequence[Sequence[int]]  # the nodes of each layer
    main: frozenset[int]  # the nodes of the straight column
    x: list[float]  # their axes

    def left(self, node: int) -> float:
        """Where a node begins."""
        return self.x[node] - self.sizes[node].left

    def right(self, node: int) -> float:
        """Where a node ends, its label counted."""
        return self.x[node] + self.sizes[node].reach

    def passed(self, source: int, target: int) -> list[int]:
        """The nodes of the layers between two nodes."""
        between = self.layers[self.layer[source] + 1 : self.layer[target]]
        return [node for layer in between for node in layer]

    def clear(self, x: float, nodes: Sequence[int]) -> bool:
        """Whether a vertical line there meets none of some nodes."""
        return not any(
            self.left(node) - CLEARANCE < x < self.right(node) + CLEARANCE for node in nodes
        )

    def shut_off(self, x: float, target: int) -> bool:
        """Whether a box of its layer stands between a node and a vertical line."""
        low, high = sorted((x, self.x[target]))
        return any(
            self.right(node) > low and self.left(node) < high
            for node in self.layers[self.layer[target]]
            if node != target
        )


def assign_layers(sizes: Sequence[Size], sources: Sequence[Sequence[int]], ends: Sequence[int]) -> Nodes:
    """Layers and axes. The main column ends at the deepest of `ends`, the first of these."""
    layer: list[int] = []
    for reads in sources:
        layer.append(1 + max((layer[source] for source in reads), default=-1))
    layers: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for node, own in enumerate(layer):
        layers[own].append(node)
    main = _main_path(sizes, sources, layer, max(ends, key=lambda node: layer[node]))
    nodes = Nodes(sizes, sources, layer, layers, main, [0.0] * len(sizes))
    for each in layers:
        _place(nodes, each)
    return nodes


def _main_path(
    sizes: Sequence[Size], sources: Sequence[Sequence[int]], layer: Sequence[int], end: int
) -> frozenset[int]:
    """A longest path to `end`; among longest ones that with the highest nodes."""
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


def _place(nodes: Nodes, layer: Sequence[int]) -> None:
    """Places a layer: 0 is the axis of the main column, the others stand left and right of it."""
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
