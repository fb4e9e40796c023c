"""A difference as data, nothing folded: what `diff --format json` prints.

{"before": {"network": "resnet50", ...}, "equal": false, "spec": [...], "nodes_added": [...], ...}
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from resnetgen.graph.measure import Cost
from resnetgen.graph.rules import TensorType
from resnetgen.language.reader import plain
from resnetgen.variants.diff import Difference
from resnetgen.variants.diff_graph import RESULT, Shape, View

FIGURES = ("params", "macs", "flops", "activations")


def as_data(found: Difference) -> dict[str, Any]:
    """Plain data; every list has an object for each path, stage, node or key that differs."""
    before, after = found.views
    nodes, keys = found.nodes, found.keys
    differing = {**nodes.changed, **{n: {RESULT: pair} for n, pair in nodes.resized.items()}}
    return {
        "before": _network(before, found.costs[0]),
        "after": _network(after, found.costs[1]),
        "equal": found.equal,
        "networks_equal": found.networks_equal,
        "spec": [
            {"path": each.path, "before": _tree(each.before), "after": _tree(each.after)}
            for each in found.spec
        ],
        "interface": [_pair(key, pair) for key, pair in found.interface.items()],
        "stages": [
            {"name": name, "before": old and asdict(old), "after": new and asdict(new)}
            for name, (old, new) in found.stages.items()
        ],
        "cost": [_figure(name, found.costs) for name in FIGURES],
        "nodes_removed": [_node(before, name) for name in nodes.removed],
        "nodes_added": [_node(after, name) for name in nodes.added],
        "nodes_changed": [
            {"name": name, "facts": [_pair(fact, pair) for fact, pair in facts.items()]}
            for name, facts in differing.items()
        ],
        "keys_removed": [_key(key, before.keys[key]) for key in keys.removed],
        "keys_added": [_key(key, after.keys[key]) for key in keys.added],
        "keys_reshaped": [
            {"key": key, "before": list(old), "after": list(new)}
            for key, (old, new) in keys.reshaped.items()
        ],
        "keys_moved": list(keys.moved),
    }


def _network(seen: View, cost: Cost) -> dict[str, Any]:
    graph = seen.graph
    totals = {name: getattr(cost, name) for name in FIGURES}
    return {"network": graph.name, "input": list(graph.input.shape), **totals}


def _tree(tree: Any) -> Any:
    return None if tree is None else plain(tree)


def _figure(name: str, costs: tuple[Cost, Cost]) -> dict[str, Any]:
    old, new = (getattr(cost, name) for cost in costs)
    return {
        "name": name,
        "before": old,
        "after": new,
        "difference": new - old,
        "ratio": new / old if old else None,
    }


def _node(seen: View, name: str) -> dict[str, Any]:
    return {"name": name, **{fact: _value(each) for fact, each in seen.facts[name].items()}}


def _pair(name: str, pair: tuple[Any, Any]) -> dict[str, Any]:
    return {"name": name, "before": _value(pair[0]), "after": _value(pair[1])}


def _key(key: str, shape: Shape) -> dict[str, Any]:
    return {"key": key, "shape": list(shape)}


def _value(value: Any) -> Any:
    if isinstance(value, TensorType):
        return list(value.shape)
    return list(value) if isinstance(value, tuple) else value
