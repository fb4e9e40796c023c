"""arrange(sizes, sources, ...) -> Layout: where the nodes of a diagram stand and how edges run.

    x ----+            layer 0
    [f]   |            layer 1     the main column is a longest path;
    (+) <-+            layer 2     what passes a layer runs beside its boxes

`columns.py` places nodes in layers and across, `lanes.py` finds the verticals of edges. What is left
is down: horizontal lines between the layers, none of them on another, and the heights that follow.
So edges are horizontal between layers and vertical where no box stands: none crosses a box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnetgen.draw.canvas import Point
from resnetgen.draw.columns import CLEARANCE, Nodes, Size, columns
from resnetgen.draw.lanes import Edge, edges

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
    nodes = columns(sizes, sources, ends)
    found = edges(nodes)
    tracks = _tracks(_horizontals(found, nodes))
    places = _places(nodes, tracks, least or {}, gap)
    routes = tuple(_route(places, number, edge) for number, edge in enumerate(found))
    lanes = [x for route in routes for x, _ in route.points]
    return Layout(
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
