"""columns(sizes, sources, end) -> Nodes: the layer of each node of a diagram, and its axis.

    x            layer 0, axis 0        the main column is a longest path to `end`;
    [f]   [g]    layer 1, axes 0, 70    in each layer the other nodes stand left and right of it

A node stands in the layer of the longest path to it (Sugiyama, Tagawa and Toda 1981). Within a layer
the order is that of the barycentres of what the nodes read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def columns(sizes: Sequence[Size], sources: Sequence[Sequence[int]], ends: Sequence[int]) -> Nodes:
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
