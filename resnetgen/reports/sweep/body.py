"""What the body of a network as a whole decides about its nodes.

    a norm is the only reader of conv1   ->   the bias of conv1, which was left open, costs nothing

Nodes of the body are evaluated one at a time; how a node relates to the others are its connections.
From all of them, the compiler's own rules decide which convolutions have a bias, which nodes are
computed in training only, and whether the body is free of errors.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from resnetgen.compiler.ir.nodes import InstanceNode, Network, PassThrough
from resnetgen.compiler.ir.schedule import needed_for
from resnetgen.compiler.passes.module_paths import is_stateless
from resnetgen.compiler.passes.stages import decide_biases
from resnetgen.reports.sweep.node_cost import body_of, has_conflict


@dataclass(frozen=True, slots=True, eq=False)
class Connections:
    """How the instance nodes of a body node relate to other nodes."""

    nodes: tuple[InstanceNode, ...]
    sources: Mapping[str, str | None]  # which of them computes each name that the body node defines
    reads: frozenset[str]  # the values that they read

    def keys(self, index: int) -> Iterator[Hashable]:
        """Keys under which connections of a node are interchangeable: if no paths overlap; always."""
        key: Hashable = index, self.reads, *self.sources.items(), *map(_key_in_body, self.nodes)
        yield key
        yield key, *map(_key_of_module, self.nodes)


def _key_in_body(node: InstanceNode) -> Hashable:
    """Everything about a node that matters to others of the body, if no two paths overlap."""
    kind = isinstance(node.callee, PassThrough), node.op is not None and node.op.definition.is_norm
    return node.key, node.inputs, kind, _has_open_bias(node), _path_prefixes(node)


def _key_of_module(node: InstanceNode) -> Hashable:
    """Everything about a node that decides whether its modules and others may be at their paths."""
    shared: Hashable = None
    if node.op and not node.op.definition.has_weights:
        shared = node.op.name, tuple(node.op.attributes.items())
    elif node.runs and all(is_stateless(run.instance) for run in node.runs):
        # `Connections` keep the instances alive, so that each `id` is unique.
        shared = tuple(id(run.instance) for run in node.runs)
    return node.paths, shared


def _has_open_bias(node: InstanceNode) -> bool:
    return node.op is not None and node.op.attributes.get("bias", True) is None


def _path_prefixes(node: InstanceNode) -> tuple[tuple[str, ...], ...]:
    """What the paths of a node begin with, whatever the number of its blocks."""
    path = node.block_node.path
    paths = (path,) if node.scope is None and "<" in path else node.paths
    return tuple(
        tuple(takewhile(lambda each: not {*each} & {*"<*"}, path.split("."))) for path in paths
    )


def _may_overlap(nodes: Sequence[InstanceNode]) -> bool:
    """Whether a path of a node may be that of another, or inside it."""
    prefixes = [prefix for node in nodes for prefix in _path_prefixes(node)]
    return any(
        one[: len(other)] == other[: len(one)]
        for at, one in enumerate(prefixes)
        for other in prefixes[:at]
    )


@dataclass(frozen=True, slots=True, eq=False)
class NetworkBody:
    """What the body as a whole decides."""

    id: int
    is_sound: bool
    may_overlap: bool  # whether it also depends on the paths of all modules
    biased: frozenset[str]  # convolutions that were left open and have a bias
    training_only: frozenset[str]


def decide_body(network: Network, connections: Sequence[Connections], id: int) -> NetworkBody:
    """What a body decides, given the connections of each of its nodes in the order of declaration."""
    sources: dict[str, str | None] = {name: name for name in network.root.inputs}
    for each in connections:
        sources |= each.sources
    nodes = [node for each in connections for node in each.nodes]
    decided = decide_biases(nodes)
    biased = {
        node.key
        for node, each in zip(nodes, decided, strict=True)
        if _has_open_bias(node) and each.op and each.op.attributes["bias"]
    }
    outputs = [sources[output.key] for output in network.outputs]
    results = {*outputs, *(sources[output.key] for output in network.train_outputs)}
    inputs = {node.key: node.inputs for node in nodes}
    needed = needed_for([each for each in outputs if each], inputs)
    training_only = inputs.keys() - needed if network.train_outputs else set()
    read = results.union(*(each.reads for each in connections))
    may_overlap = _may_overlap(nodes)  # if not, each node was checked for conflicts on its own
    conflict = may_overlap and has_conflict(body_of(network.root, nodes))
    is_sound = None not in results and read.issuperset(inputs) and not conflict
    return NetworkBody(id, is_sound, may_overlap, frozenset(biased), frozenset(training_only))
