"""arrange(sizes, sources, ...) -> Layout: where the nodes of a diagram stand and how edges run.

    x ----+            layer 0
    [f]   |            layer 1     the main column is a longest path;
    (+) <-+            layer 2     what passes a layer runs beside its boxes

Nodes stand in layers by the longest path to them (Sugiyama, Tagawa and Toda 1981, without their
dummy nodes: an edge that passes layers runs in one vertical lane). The longest path of the network
is a straight column; within a layer the others follow the barycentre of what they read. Edges are
horizontal between the layers and vertical where no box stands, so no edge crosses a box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

COLUMN_GAP = 15.0
LANE_GAP = 13.0
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
        """How far node and label reach to the right of the axis."""
        return max(self.right, self.label)


@dataclass(frozen=True, slots=True)
class Route:
    """An edge: its ends, which operand of the target it is, and its corners."""

    source: int
    target: int
    operand: int
    points: tuple[tuple[float, float], ...]
    passes: bool  # at least one layer


@dataclass(frozen=True, slots=True)
class Layout:
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
) -> Layout:
    """Places nodes, which stand after what they read. The main column ends at the deepest of
    `ends`, the first of these.

    `least` gives layers a least height in pixels; `gap` is the least space below a layer for
    labels, before lines and arrow heads.
    """
    layers = _layers(sources)
    end = max(ends, key=lambda node: layers[node])
    main = _main_path(sizes, sources, layers, end)
    x = _columns(sizes, sources, layers, main)
    edges = _edges(sizes, sources, layers, main, x)
    tracks = _tracks(_horizontals(edges, layers, x))
    rows = _rows(sizes, layers, tracks, least or {}, gap)
    y = [
        rows[layer][0] + (rows[layer][1] - size.height) / 2
        for layer, size in zip(layers, sizes, strict=True)
    ]
    lines_from = [
        top + height + _label(sizes, nodes, gap)
        for (top, height), nodes in zip(rows, _by_layer(layers), strict=True)
    ]
    places = _Places(sizes, layers, x, y, lines_from, tracks)
    routes = tuple(places.route(number, edge) for number, edge in enumerate(edges))
    lanes = [point[0] for route in routes for point in route.points]
    return Layout(
        tuple(x),
        tuple(y),
        tuple(layers),
        tuple(rows),
        frozenset(main),
        routes,
        min([*lanes, *(axis - size.left for axis, size in zip(x, sizes, strict=True))]),
        max([*lanes, *(axis + size.reach for axis, size in zip(x, sizes, strict=True))]),
        rows[-1][0] + rows[-1][1],
    )


# --- nodes


def _layers(sources: Sequence[Sequence[int]]) -> list[int]:
    layers: list[int] = []
    for reads in sources:
        layers.append(1 + max((layers[source] for source in reads), default=-1))
    return layers


def _main_path(
    sizes: Sequence[Size], sources: Sequence[Sequence[int]], layers: Sequence[int], end: int
) -> set[int]:
    """A longest path to `end`; among longest ones that with the highest nodes."""
    best: list[float] = []
    before: list[int | None] = []
    for node, reads in enumerate(sources):
        near = [source for source in reads if layers[source] == layers[node] - 1]
        chosen = max(near, key=lambda source: (best[source], -source), default=None)
        before.append(chosen)
        best.append(sizes[node].height + (best[chosen] if chosen is not None else 0))
    path: set[int] = set()
    here: int | None = end
    while here is not None:
        path.add(here)
        here = before[here]
    return path


def _columns(
    sizes: Sequence[Size],
    sources: Sequence[Sequence[int]],
    layers: Sequence[int],
    main: set[int],
) -> list[float]:
    """The axes: 0 for the main column, the others left and right of it in each layer."""
    x = [0.0] * len(sizes)
    for nodes in _by_layer(layers):
        wish = {node: _mean(x[source] for source in sources[node]) for node in nodes}
        order = sorted(nodes, key=lambda node: (wish[node] if node not in main else 0.0, node))
        middle = next((place for place, node in enumerate(order) if node in main), None)
        if middle is None:
            _spread(order, sizes, wish, x, -float("inf"))
            continue
        axis = order[middle]
        before = order[:middle] if len(order) > 2 else []
        after = [node for node in order if node != axis and node not in before]
        _spread(after, sizes, wish, x, sizes[axis].reach)
        edge = -sizes[axis].left
        for node in reversed(before):
            x[node] = min(wish[node], edge - COLUMN_GAP - sizes[node].reach)
            edge = x[node] - sizes[node].left
    return x


def _spread(
    order: Sequence[int],
    sizes: Sequence[Size],
    wish: Mapping[int, float],
    x: list[float],
    edge: float,
) -> None:
    """Places nodes from left to right, each at its wish or as near as there is room."""
    for node in order:
        x[node] = max(wish[node], edge + COLUMN_GAP + sizes[node].left)
        edge = x[node] + sizes[node].reach


def _by_layer(layers: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(max(layers) + 1)]
    for node, layer in enumerate(layers):
        found[layer].append(node)
    return found


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


# --- edges


@dataclass(slots=True)
class _Edge:
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


def _edges(
    sizes: Sequence[Size],
    sources: Sequence[Sequence[int]],
    layers: Sequence[int],
    main: set[int],
    x: Sequence[float],
) -> list[_Edge]:
    """The edges; those of values that are read farthest away come last and get the outer lanes."""
    by_layer = _by_layer(layers)
    pairs = [
        (layers[target] - layers[source], target, operand, source)
        for target, reads in enumerate(sources)
        for operand, source in enumerate(reads)
    ]
    farthest: dict[int, int] = defaultdict(int)
    for span, _, _, source in pairs:
        farthest[source] = max(farthest[source], span)
    pairs.sort(key=lambda pair: (farthest[pair[3]], pair[3], -pair[0], pair[1:3]))
    lines = _Lines()
    found = []
    for span, target, operand, source in pairs:
        port = _port(sizes, sources, target, operand, main, x)
        edge = _Edge(source, target, operand, x[source], port)
        boxes = _Boxes(by_layer, sizes, x, layers[source], layers[target], target)
        if sizes[target].join and not (span == 1 and {source, target} <= main):
            _enter_at_side(edge, boxes, lines)
        if not edge.side:
            edge.lane = port if span == 1 else _lane(edge, boxes, lines, boxes.passed)
        if span > 1 or edge.side:
            last = layers[target] - (0 if edge.side else 1)
            lines.take(edge.lane, layers[source] + 1, last, source)
        found.append(edge)
    return found


def _port(
    sizes: Sequence[Size],
    sources: Sequence[Sequence[int]],
    target: int,
    operand: int,
    main: set[int],
    x: Sequence[float],
) -> float:
    """Where an operand enters from above: the straight one on the axis, others beside it."""
    reads = sources[target]
    straight = next((i for i, source in enumerate(reads) if source in main), 0)
    if operand == straight or sizes[target].join:
        return x[target]
    room = min(sizes[target].left, sizes[target].right)
    others = [i for i in range(len(reads)) if i != straight]
    return x[target] + room * (others.index(operand) + 1) / (len(others) + 1)


@dataclass(frozen=True, slots=True)
class _Boxes:
    """What stands in the layers between two nodes, and in that of the target."""

    by_layer: Sequence[Sequence[int]]
    sizes: Sequence[Size]
    x: Sequence[float]
    first: int
    last: int
    target: int

    @property
    def passed(self) -> list[int]:
        """The nodes of the layers between."""
        return [node for layer in self.by_layer[self.first + 1 : self.last] for node in layer]

    @property
    def level(self) -> list[int]:
        """The nodes beside the target."""
        return [node for node in self.by_layer[self.last] if node != self.target]

    def clear(self, x: float, nodes: Sequence[int]) -> bool:
        """Whether a vertical line there meets none of the nodes."""
        return not any(
            self.x[node] - self.sizes[node].left - CLEARANCE
            < x
            < self.x[node] + self.sizes[node].reach + CLEARANCE
            for node in nodes
        )

    def between(self, x: float) -> bool:
        """Whether a box stands between a vertical line and the target."""
        low, high = sorted((x, self.x[self.target]))
        return any(
            self.x[node] + self.sizes[node].reach > low
            and self.x[node] - self.sizes[node].left < high
            for node in self.level
        )


def _enter_at_side(edge: _Edge, boxes: _Boxes, lines: _Lines) -> None:
    """Lets an edge enter its join at a side where nothing stands in the way."""
    size, axis = boxes.sizes[edge.target], boxes.x[edge.target]
    passed = [*boxes.passed, edge.target]
    lane = _lane(edge, boxes, lines, passed)
    side = 1 if lane > axis else -1
    reach = size.right if side > 0 else size.left
    if abs(lane - axis) > reach + CLEARANCE and not boxes.between(lane):
        edge.lane, edge.side = lane, side


def _lane(edge: _Edge, boxes: _Boxes, lines: _Lines, passed: Sequence[int]) -> float:
    """The vertical of an edge: below its source, above its target, where another edge of the
    source runs, else right of the boxes.
    """
    first, last = boxes.first + 1, boxes.last
    for x in (boxes.x[edge.source], edge.port, *lines.own[edge.source]):
        if boxes.clear(x, passed) and lines.free(x, first, last, edge.source):
            return x
    ends = (boxes.x[node] + boxes.sizes[node].reach for node in passed)
    lane = max(ends, default=0.0) + LANE_GAP
    while not lines.free(lane, first, last, edge.source):
        lane += LANE_GAP / 2
    return lane


# --- heights

# A line in the gap below a layer: that layer, what the line is, and the source or the edge.
_Key = tuple[int, int, int]
_PASSES, _LEAVES, _ARRIVES = range(3)  # to a lane beside the next layer; to it; from a lane


def _horizontals(
    edges: Sequence[_Edge], layers: Sequence[int], x: Sequence[float]
) -> dict[_Key, tuple[float, float]]:
    """The horizontal lines between layers; what leaves one node shares its line."""
    found: dict[_Key, tuple[float, float]] = {}
    for number, edge in enumerate(edges):
        lines = []
        if edge.lane != x[edge.source]:
            lines.append((_leaving(edge, layers), x[edge.source], edge.lane))
        if not edge.side and edge.lane != edge.port:
            lines.append((_arriving(edge, number, layers), edge.lane, edge.port))
        for key, one, other in lines:
            low, high = found.get(key, (one, other))
            found[key] = (min(low, one, other), max(high, one, other))
    return found


def _leaving(edge: _Edge, layers: Sequence[int]) -> _Key:
    passes = layers[edge.target] - layers[edge.source] > 1
    return layers[edge.source], _PASSES if passes else _LEAVES, edge.source


def _arriving(edge: _Edge, number: int, layers: Sequence[int]) -> _Key:
    return layers[edge.target] - 1, _ARRIVES, number


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


def _rows(
    sizes: Sequence[Size],
    layers: Sequence[int],
    tracks: Mapping[_Key, int],
    least: Mapping[int, float],
    gap: float,
) -> list[tuple[float, float]]:
    """Top and height of each layer."""
    lines: dict[int, int] = defaultdict(int)
    for key, track in tracks.items():
        lines[key[0]] = max(lines[key[0]], track + 1)
    rows: list[tuple[float, float]] = []
    top = 0.0
    for layer, nodes in enumerate(_by_layer(layers)):
        height = max(least.get(layer, 0.0), *(sizes[node].height for node in nodes))
        rows.append((top, height))
        top += height + _label(sizes, nodes, gap) + lines[layer] * TRACK + ARROW
    return rows


def _label(sizes: Sequence[Size], nodes: Sequence[int], gap: float) -> float:
    """The room below a layer before the first horizontal line."""
    return max(gap, LABEL) if any(sizes[node].label for node in nodes) else gap


@dataclass(frozen=True, slots=True)
class _Places:
    """Where everything stands, as routes need it."""

    sizes: Sequence[Size]
    layers: Sequence[int]
    x: Sequence[float]
    y: Sequence[float]
    lines_from: Sequence[float]  # the height of the first horizontal line below each layer
    tracks: Mapping[_Key, int]

    def line(self, key: _Key) -> float:
        """The height of a horizontal line."""
        return self.lines_from[key[0]] + TRACK * (self.tracks[key] + 0.5)

    def route(self, number: int, edge: _Edge) -> Route:
        """The corners of an edge."""
        source, target = edge.source, edge.target
        size, axis = self.sizes[target], self.x[source]
        points = [(axis, self.y[source] + self.sizes[source].height)]
        if edge.lane != axis:
            height = self.line(_leaving(edge, self.layers))
            points += [(axis, height), (edge.lane, height)]
        if edge.side:
            middle = self.y[target] + size.height / 2
            reach = size.right if edge.side > 0 else -size.left
            points += [(edge.lane, middle), (self.x[target] + reach, middle)]
        else:
            if edge.lane != edge.port:
                height = self.line(_arriving(edge, number, self.layers))
                points += [(edge.lane, height), (edge.port, height)]
            points.append((edge.port, self.y[target]))
        passes = self.layers[target] - self.layers[source] > 1
        return Route(source, target, edge.operand, tuple(points), passes)
