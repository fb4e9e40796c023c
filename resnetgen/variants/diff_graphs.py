"""What differs between two flat graphs: nodes, and keys of the state_dict.

    node_changes(before, after).changed  ->  {layer1.0.conv2: {groups: (1, 32)}}
    key_changes(before, after).reshaped  ->  {layer1.0.conv2.weight: ((64, 64, 3, 3), (64, 2, 3, 3))}

Nodes are matched by name, keys as they are. What is equal is left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnetgen.compiler.analysis.rows import rows_by_node
from resnetgen.compiler.ir.init_rules import InitRule
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.passes.flatten import state_dict, weights_of
from resnetgen.pipeline import Compiled
from resnetgen.weights.match import Shape

BeforeAfter = tuple[Any, Any]

# Properties of a node beside its attributes. No attribute has these names: they are reserved keys of
# nodes, or have spaces in them.
RESULT_SHAPE = "shape of the result"
INIT_OF = "init of "  # a tensor; without this property it starts as torch initialises it


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """The nodes of a network with their properties, and its state_dict."""

    graph: Graph
    properties: Mapping[str, Mapping[str, Any]]  # by name of the node
    keys: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """Nodes that one graph has, and nodes of both that differ: in properties, or in shape alone."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: Mapping[str, Mapping[str, BeforeAfter]]
    reshaped: Mapping[str, BeforeAfter]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed or self.reshaped)


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Keys that one state_dict has, and keys of both with another shape or place in the order."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    reshaped: Mapping[str, tuple[Shape, Shape]]
    reordered: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.reshaped or self.reordered)


def summarize(compiled: Compiled) -> NetworkSummary:
    """A network as it is compared."""
    graph = compiled.flat_graph
    roles = {row.name: row.nodes[0][0].node.role for row in rows_by_node(compiled.typed)}
    axes = len(graph.input.size)
    properties = {}
    for node in graph.nodes:
        properties[node.name] = _properties(node)
        if weights_of(node, axes):
            properties[node.name] |= _initial_weights(
                compiled.network.init, node.op, roles.get(node.name)
            )
    return NetworkSummary(graph, properties, state_dict(graph))


def _properties(node: Node) -> dict[str, Any]:
    properties = {"op": node.op, "inputs": node.inputs, RESULT_SHAPE: node.type, **node.attributes}
    if node.module != node.name:
        properties["as"] = node.module
    if node.training:
        properties["in training only"] = True
    return properties


def _initial_weights(init: Mapping[str, InitRule], op: str, role: str | None) -> dict[str, Any]:
    """The rules for the tensors of a node: those of its op, overridden by those of its role."""
    rules = [init[name].rules for name in (op, role) if name and name in init]
    return {f"{INIT_OF}{name}": rule.plain for each in rules for name, rule in each.items()}


def node_changes(before: NetworkSummary, after: NetworkSummary) -> NodeChanges:
    """What differs between the nodes of two graphs."""
    changed, reshaped = {}, {}
    for name, old in before.properties.items():
        new = after.properties.get(name)
        if new is None or new == old:
            continue
        pairs = {
            key: (old.get(key), new.get(key))
            for key in dict.fromkeys((*old, *new))
            if old.get(key) != new.get(key)
        }
        if [*pairs] == [RESULT_SHAPE]:
            reshaped[name] = pairs[RESULT_SHAPE]
        else:
            changed[name] = pairs
    removed, added = _removed_and_added(before.properties, after.properties)
    return NodeChanges(removed, added, changed, reshaped)


def key_changes(before: NetworkSummary, after: NetworkSummary) -> KeyChanges:
    """What differs between the keys of two state_dicts."""
    common = [key for key in before.keys if key in after.keys]
    reshaped = {
        key: (before.keys[key], after.keys[key])
        for key in common
        if before.keys[key] != after.keys[key]
    }
    places = {key: place for place, key in enumerate(after.keys)}
    in_order = set(_longest_increasing([places[key] for key in common]))
    reordered = tuple(key for key in common if places[key] not in in_order)
    return KeyChanges(*_removed_and_added(before.keys, after.keys), reshaped, reordered)


def _removed_and_added(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _without(before, after), _without(after, before)


def _without(names: Iterable[str], others: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _longest_increasing(numbers: Sequence[int]) -> list[int]:
    """A longest increasing subsequence of distinct numbers, by patience sorting.

    `ends[n]` is the smallest number that ends an increasing subsequence of n + 1 numbers.
    """
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        place = bisect_left(ends, number)
        before[number] = ends[place - 1] if place else None
        ends[place : place + 1] = [number]
    increasing: list[int] = []
    last = ends[-1] if ends else None
    while last is not None:
        increasing.append(last)
        last = before[last]
    return increasing[::-1]
