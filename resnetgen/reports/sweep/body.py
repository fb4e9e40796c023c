"""What the body of a network as a whole decides about its nodes.

    a norm is the only reader of conv1   ->   the bias of conv1, which was left open, costs nothing

Nodes of the body are evaluated one at a time; how a node relates to the others are its connections.
From all of them, the compiler's own rules decide which convolutions have a bias, which nodes are
computed in training only, and whether the body is free of errors.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from resnetgen.compiler.ir.nodes import InstanceNode, Network, OpCall, PassThrough
from resnetgen.compiler.ir.schedule import needed_for
from resnetgen.compiler.passes.module_paths import numbered_paths
from resnetgen.compiler.passes.stages import decide_biases
from resnetgen.reports.sweep.node_cost import Evaluated, body_of, has_conflict
from resnetgen.reports.sweep.state import BodyNode


@dataclass(frozen=True, slots=True, eq=False)
class Connections:
    """How the instance nodes of a body node relate to other nodes."""

    nodes: tuple[InstanceNode, ...]
    sources: tuple[str | None, ...]  # which of them computes each name that the body node defines


@dataclass(frozen=True, slots=True, eq=False)
class NetworkBody:
    """What the body as a whole decides."""

    id: int
    is_sound: bool
    biased: frozenset[str]  # convolutions that were left open and have a bias
    training_only: frozenset[str]


def connections_of(result: Evaluated) -> Connections:
    """The connections of a node."""
    return Connections(result.nodes, tuple(value.source for value in result.values))


def connections_key(node: BodyNode, connections: Connections) -> Hashable:
    """A key under which connections of a node are interchangeable."""
    nodes = tuple(_instance_node_key(each, node.owns_paths) for each in connections.nodes)
    return node.index, connections.sources, nodes


def _instance_node_key(node: InstanceNode, owns_paths: bool) -> Hashable:
    """Everything about an instance node that matters to other nodes of the body."""
    passes = isinstance(node.callee, PassThrough)
    is_norm = node.op is not None and node.op.definition.is_norm
    key = (node.key, node.inputs, passes, is_norm, _is_open(node))
    return key if owns_paths else (key, node.paths, _module_key(node))


def _module_key(node: InstanceNode) -> Hashable:
    """What decides whether a module may share its path; numbered modules never do."""
    if "*" in node.paths[0]:
        return None
    if isinstance(node.callee, OpCall):
        return node.callee.name, tuple(node.callee.attributes.items())
    # `Connections` keep the instances alive, so that each `id` is unique.
    return tuple(id(run.instance) for run in node.runs) if node.runs else None


def decide_body(
    network: Network, nodes: Sequence[BodyNode], connections: Sequence[Connections], id: int
) -> NetworkBody:
    """What a body decides, given the connections of each of its nodes."""
    pairs = list(zip(nodes, connections, strict=True))
    sources: dict[str, str | None] = {name: name for name in network.root.inputs}
    for node, each in pairs:
        sources |= zip(node.defines, each.sources, strict=True)
    pairs.sort(key=lambda pair: pair[0].index)
    placed = [node for _, each in pairs for node in each.nodes]
    undecided = {each.key for each in placed if _is_open(each)}
    biased = {
        each.key for each in decide_biases(placed) if each.key in undecided and _has_bias(each)
    }
    outputs = [sources[each.key] for each in network.outputs]
    results = [*outputs, *(sources[each.key] for each in network.train_outputs)]
    inputs = {each.key: each.inputs for each in placed}
    needed = needed_for([each for each in outputs if each], inputs)
    training_only = inputs.keys() - needed if network.train_outputs else ()
    is_sound = None not in results and _passes_check(network, placed, results)
    return NetworkBody(id, is_sound, frozenset(biased), frozenset(training_only))


def _passes_check(
    network: Network, nodes: Sequence[InstanceNode], outputs: Sequence[str | None]
) -> bool:
    """Whether every node is read and has a path of its own, as in `Instantiator.check`."""
    read = {name for node in nodes for name in node.inputs} | set(outputs)
    return (
        all(node.key in read for node in nodes)
        and not _shares_a_number(nodes)
        and not has_conflict(body_of(network.root, nodes))
    )


def _is_open(node: InstanceNode) -> bool:
    """Whether a convolution's bias depends on its readers."""
    return node.op is not None and node.op.attributes.get("bias", True) is None


def _has_bias(node: InstanceNode) -> bool:
    return node.op is not None and bool(node.op.attributes["bias"])


def _shares_a_number(nodes: Sequence[InstanceNode]) -> bool:
    """Whether a number chosen for a `*` is also a written one: the compiler judges those."""
    starred: dict[str, bool] = {}
    for node, paths in zip(nodes, numbered_paths(nodes), strict=True):
        for written, path in zip(node.paths, paths, strict=True):
            is_starred = "*" in written
            if path in starred and (is_starred or starred[path]):
                return True
            starred[path] = is_starred
    return False
