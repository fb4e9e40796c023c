"""What differs between two flat graphs: nodes, and the keys of the state_dict.

    node_changes(a, b).changed  ->  {layer1.0.conv2: {groups: (1, 32)}}
    key_changes(a, b).reshaped  ->  {layer1.0.conv2.weight: ((64, 64, 3, 3), (64, 2, 3, 3))}

Nodes are matched by name, keys by their text. Nothing is said of what is alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnetgen.compiler import Compiled
from resnetgen.graph.ir import Graph, InitRule, Node
from resnetgen.graph.rows import rows_by_node
from resnetgen.graph.shapes import state_dict, weights

Pair = tuple[Any, Any]
Shape = tuple[int, ...]
RESULT = "shape of the result"
START = "init of "  # a tensor; where a node lacks this, the tensor starts as torch has it


@dataclass(frozen=True, slots=True)
class View:
    """What a network's nodes are, by their names, and the tensors that they hold."""

    graph: Graph
    facts: Mapping[str, Mapping[str, Any]]
    keys: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """Nodes of one graph alone; of both, the facts that differ, and those whose shape alone does."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: Mapping[str, Mapping[str, Pair]]
    resized: Mapping[str, Pair]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed or self.resized)


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Keys of one state_dict alone, of other shapes, and those that stand elsewhere in the order."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    reshaped: Mapping[str, tuple[Shape, Shape]]
    moved: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.reshaped or self.moved)


def view(compiled: Compiled) -> View:
    """The flat graph of a network, as it is compared; networkx does not check it again."""
    graph = compiled.flat
    rows = rows_by_node(compiled.measured)
    roles = {row.name: row.steps[0][0].placed.role for row in rows}
    init = compiled.network.init
    axes = len(graph.input.size)
    facts = {}
    for node in graph.nodes:
        starts = _starts(init, node.op, roles.get(node.name)) if weights(node, axes) else {}
        facts[node.name] = _facts(node) | starts
    return View(graph, facts, state_dict(graph))


def _facts(node: Node) -> dict[str, Any]:
    """By words that no attribute can have: reserved keys of nodes, or more than one word."""
    facts = {"op": node.op, "inputs": node.inputs, RESULT: node.type, **node.attributes}
    if node.module != node.name:
        facts["as"] = node.module
    if node.training:
        facts["in training only"] = True
    return facts


def _starts(init: Mapping[str, InitRule], op: str, role: str | None) -> dict[str, Any]:
    """How the tensors of a node start: by the rules of its op, and over those by its role's."""
    rules = [init[name].rules for name in (op, role) if name and name in init]
    return {f"{START}{name}": rule for each in rules for name, rule in each.items()}


def node_changes(before: View, after: View) -> NodeChanges:
    """What differs between the nodes of two graphs."""
    changed, resized = {}, {}
    for name, old in before.facts.items():
        new = after.facts.get(name)
        if new is None or new == old:
            continue
        pairs = {
            fact: (old.get(fact), new.get(fact))
            for fact in dict.fromkeys((*old, *new))
            if old.get(fact) != new.get(fact)
        }
        if [*pairs] == [RESULT]:
            resized[name] = pairs[RESULT]
        else:
            changed[name] = pairs
    return NodeChanges(*_alone(before.facts, after.facts), changed, resized)


def key_changes(before: View, after: View) -> KeyChanges:
    """What differs between the keys of two state_dicts."""
    common = [key for key in before.keys if key in after.keys]
    reshaped = {
        key: (before.keys[key], after.keys[key])
        for key in common
        if before.keys[key] != after.keys[key]
    }
    places = {key: place for place, key in enumerate(after.keys)}
    kept = set(_longest_rising([places[key] for key in common]))
    moved = tuple(key for key in common if places[key] not in kept)
    return KeyChanges(*_alone(before.keys, after.keys), reshaped, moved)


def _alone(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _without(before, after), _without(after, before)


def _without(names: Iterable[str], others: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _longest_rising(numbers: Sequence[int]) -> list[int]:
    """The most of some distinct numbers that rise as they stand: all others have moved.

    Patience sorting: `ends[n]` is the least number that ends n + 1 rising ones.
    """
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        place = bisect_left(ends, number)
        before[number] = ends[place - 1] if place else None
        ends[place : place + 1] = [number]
    rising: list[int] = []
    last = ends[-1] if ends else None
    while last is not None:
        rising.append(last)
        last = before[last]
    return rising[::-1]
