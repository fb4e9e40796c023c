"""as_data(difference): a difference as plain data, in full; `diff --format json` prints it.

`equal`: nothing differs; `networks_equal`: the specs may, but the networks do not. `keys_moved` have
another place in the order of the state_dict. The `facts` of a node are its properties.

{"before": {"network": "resnet50", ...}, "equal": false, "spec": [...], "nodes_added": [...], ...}
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from resnetgen.compiler.frontend.tree import Tree, python_value
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.variants.diff import METRIC_NAMES, Difference
from resnetgen.variants.diff_graphs import RESULT_SHAPE, BeforeAfter, NetworkSummary
from resnetgen.weights.match import Shape


def as_data(difference: Difference) -> dict[str, Any]:
    """Each list has an object for every path, stage, node or key that differs."""
    before, after = difference.networks
    nodes, keys = difference.nodes, difference.keys
    reshaped = {name: {RESULT_SHAPE: pair} for name, pair in nodes.reshaped.items()}
    return {
        "before": _network(before, difference.costs[0]),
        "after": _network(after, difference.costs[1]),
        "equal": difference.identical,
        "networks_equal": difference.networks_equal,
        "spec": [
            {"path": each.path, "before": _tree(each.before), "after": _tree(each.after)}
            for each in difference.spec
        ],
        "interface": [_change(key, pair) for key, pair in difference.interface.items()],
        "stages": [
            {"name": name, "before": old and asdict(old), "after": new and asdict(new)}
            for name, (old, new) in difference.stages.items()
        ],
        "cost": [_metric_change(name, difference.costs) for name in METRIC_NAMES],
        "nodes_removed": [_node(before, name) for name in nodes.removed],
        "nodes_added": [_node(after, name) for name in nodes.added],
        "nodes_changed": [
            {"name": name, "facts": [_change(key, pair) for key, pair in pairs.items()]}
            for name, pairs in {**nodes.changed, **reshaped}.items()
        ],
        "keys_removed": [_key(key, before.keys[key]) for key in keys.removed],
        "keys_added": [_key(key, after.keys[key]) for key in keys.added],
        "keys_reshaped": [
            {"key": key, "before": list(old), "after": list(new)}
            for key, (old, new) in keys.reshaped.items()
        ],
        "keys_moved": list(keys.reordered),
    }


def _network(summary: NetworkSummary, cost: Cost) -> dict[str, Any]:
    graph = summary.graph
    costs = {name: getattr(cost, name) for name in METRIC_NAMES}
    return {"network": graph.name, "input": list(graph.input.shape), **costs}


def _tree(tree: Tree | None) -> object:
    return None if tree is None else python_value(tree)


def _metric_change(name: str, costs: tuple[Cost, Cost]) -> dict[str, Any]:
    old, new = (getattr(cost, name) for cost in costs)
    return {
        "name": name,
        "before": old,
        "after": new,
        "difference": new - old,
        "ratio": new / old if old else None,
    }


def _node(summary: NetworkSummary, name: str) -> dict[str, Any]:
    properties = summary.properties[name]
    return {"name": name, **{key: _json(value) for key, value in properties.items()}}


def _change(name: str, pair: BeforeAfter) -> dict[str, Any]:
    return {"name": name, "before": _json(pair[0]), "after": _json(pair[1])}


def _key(key: str, shape: Shape) -> dict[str, Any]:
    return {"key": key, "shape": list(shape)}


def _json(value: Any) -> Any:
    if isinstance(value, TensorType):
        return list(value.shape)
    return list(value) if isinstance(value, tuple) else value
