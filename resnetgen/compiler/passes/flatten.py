"""flatten(network, root) -> Graph: every op of the network, each with its own name.

    layer1: {blocks: 3}  ->  layer1.0.conv1, layer1.0.bn1, ..., layer1.2.act3

Nodes stand in the order of execution; `index` is the order of registration, which is the order of
the state_dict. Types are filled in by `shapes.py`.

infer_shapes(graph) -> Graph: every node with its type. check(graph): networkx holds it together.

    conv1: convolution(input)  ->  conv1: convolution(input) : 64 x 112 x 112

The flat graph of a sound network is sound; a failure here is a defect of the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnetgen.compiler.ir.nodes import (
    Graph,
    Instance,
    InstanceNode,
    Network,
    Node,
    OpCall,
    RepeatedBlock,
)
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.schedule import needed_for
from resnetgen.compiler.ir.shape_rules import TensorType, Weight
from resnetgen.compiler.passes.infer_types import INPUT, Cost
from resnetgen.compiler.passes.module_paths import numbered_paths, shared_paths, trie

if TYPE_CHECKING:
    import networkx


def flatten(network: Network, root: Instance) -> Graph:
    """The flat graph, without types."""
    walk = _Walk({path: rank for rank, path in enumerate(registration_order(root))})
    names = walk.instance(root, {root.block.inputs[0]: INPUT}, FlattenedAt("", ""))
    outputs = [names[key] for key in root.outputs]
    count = len(network.outputs)
    graph = Graph(
        network.name,
        network.input,
        tuple(walk.nodes),
        tuple(outputs[:count]),
        tuple(outputs[count:]),
    )
    return _mark_training(graph)


@dataclass(frozen=True, slots=True)
class FlattenedAt:
    """Where an instance stands: prefixes of names and of module paths, which differ where modules are shared."""

    name: str
    module: str


class _Walk:
    def __init__(self, ranks: Mapping[str, int]) -> None:
        self.ranks = ranks  # of module paths, in the order of registration
        self.nodes: list[Node] = []

    def instance(
        self, instance: Instance, names: dict[str, str], place: FlattenedAt
    ) -> dict[str, str]:
        """Emits the ops of an instance; gives the name of each of its values."""
        paths = numbered_paths(instance.nodes)
        shared = shared_paths(paths)
        for index in instance.schedule:
            placed, own = instance.nodes[index], paths[index]
            told = [placed.key if path in shared else path for path in own]
            places = [
                FlattenedAt(place.name + name, place.module + path)
                for name, path in zip(told, own, strict=True)
            ]
            if placed.op:
                names[placed.key] = self.op(placed, placed.op, names, places[0])
            elif placed.runs:
                names[placed.key] = self.blocks(placed, placed.runs, names, places)
            else:
                names[placed.key] = names[placed.inputs[0]]
        return names

    def op(
        self, placed: InstanceNode, call: OpCall, names: dict[str, str], place: FlattenedAt
    ) -> str:
        inputs = tuple(names[key] for key in placed.inputs)
        rank, span = self.ranks[place.module], placed.block_node.span
        node = Node(place.name, place.module, call.name, inputs, call.attributes, 0, rank, span)
        self.nodes.append(node)
        return place.name

    def blocks(
        self,
        placed: InstanceNode,
        runs: tuple[RepeatedBlock, ...],
        names: dict[str, str],
        places: list[FlattenedAt],
    ) -> str:
        sources = [names.get(key) for key in placed.inputs]
        instances = (run.instance for run in runs for _ in range(run.count))
        for place, instance in zip(places, instances, strict=True):
            pairs = zip(instance.block.inputs, sources, strict=True)
            inside = FlattenedAt(f"{place.name}.", f"{place.module}.")
            inner = self.instance(instance, {key: name for key, name in pairs if name}, inside)
            sources[0] = inner[instance.outputs[0]]
        assert sources[0] is not None
        return sources[0]


def registration_order(instance: Instance, prefix: str = "") -> list[str]:
    """The module paths of all ops, as torch registers them."""
    paths = numbered_paths(instance.nodes)
    order: list[str] = []
    for index, number in trie(instance.nodes, paths).leaves():
        placed, path = instance.nodes[index], prefix + paths[index][number]
        if placed.op:
            order.append(path)
        elif placed.runs:
            each = [run.instance for run in placed.runs for _ in range(run.count)]
            order += registration_order(each[number], f"{path}.")
    return order


def _mark_training(graph: Graph) -> Graph:
    """Marks the nodes that only the training outputs need."""
    if not graph.train_outputs:
        return graph
    needed = needed_for(graph.outputs, {node.name: node.inputs for node in graph.nodes})
    return replace(
        graph, nodes=tuple(replace(node, training=node.name not in needed) for node in graph.nodes)
    )


class BrokenGraph(AssertionError):
    """An invariant of the flat graph does not hold: a defect of the compiler."""


def infer_shapes(graph: Graph) -> Graph:
    """The graph with a type at every node."""
    types: dict[str, TensorType] = {INPUT: graph.input}
    nodes: list[Node] = []
    for node in graph.nodes:
        sources = [types[name] for name in node.inputs]
        types[node.name] = OPS[node.op].shape(node.attributes, sources)
        nodes.append(replace(node, type=types[node.name], channels=sources[0].channels))
    return replace(graph, nodes=tuple(nodes))


def as_networkx(graph: Graph) -> networkx.MultiDiGraph:
    """The graph for networkx: one edge for each operand, so that `add(x, x)` has two."""
    import networkx

    drawn = networkx.MultiDiGraph(name=graph.name)
    drawn.add_node(INPUT, type=graph.input)
    for node in graph.nodes:
        drawn.add_node(node.name, op=node.op, type=node.type)
    for node in graph.nodes:
        for operand, name in enumerate(node.inputs):
            drawn.add_edge(name, node.name, operand=operand)
    return drawn


def check(graph: Graph) -> None:
    """Cycles, order, reachability from the input and to an output, and types along every edge."""
    import networkx

    drawn = as_networkx(graph)
    if not networkx.is_directed_acyclic_graph(drawn):
        raise BrokenGraph(f"{graph.name}: a cycle {networkx.find_cycle(drawn)}")
    if len(drawn) != len(graph.nodes) + 1:
        raise BrokenGraph(f"{graph.name}: two nodes of one name")
    behind = networkx.descendants(drawn, INPUT) | {INPUT}
    drawn.add_edges_from((name, "outputs") for name in (*graph.outputs, *graph.train_outputs))
    ahead = networkx.ancestors(drawn, "outputs")
    stray = [node.name for node in graph.nodes if node.name not in behind or node.name not in ahead]
    if stray:
        raise BrokenGraph(f"{graph.name}: {stray[0]} lies on no path from the input to an output")
    seen = {INPUT: graph.input}
    for node in graph.nodes:
        if any(name not in seen for name in node.inputs):
            raise BrokenGraph(f"{graph.name}: {node.name} stands before what it reads")
        if node.type != OPS[node.op].shape(node.attributes, [seen[name] for name in node.inputs]):
            raise BrokenGraph(
                f"{graph.name}: the type of {node.name} does not follow from its inputs"
            )
        assert node.type is not None
        seen[node.name] = node.type


def weights(node: Node, axes: int) -> tuple[Weight, ...]:
    """The tensors that a node holds."""
    return OPS[node.op].weights(node.attributes, node.channels, axes)


def state_dict(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The keys of the state_dict in order, with their shapes."""
    axes = len(graph.input.size)
    ordered = sorted(graph.nodes, key=lambda node: node.index)
    return {
        f"{node.module}.{weight.name}": weight.shape
        for node in ordered
        for weight in weights(node, axes)
    }


def graph_cost(graph: Graph) -> Cost:
    """The sum over all nodes: what `measure` must give."""
    total = Cost()
    types = {INPUT: graph.input} | {node.name: node.type for node in graph.nodes if node.type}
    for node in graph.nodes:
        held = weights(node, len(graph.input.size))
        source, result = types[node.inputs[0]], types[node.name]
        total += Cost(
            sum(weight.elements for weight in held if weight.trained),
            sum(weight.elements for weight in held if not weight.trained),
            0 if node.training else OPS[node.op].macs(node.attributes, source, result),
            0 if node.training or OPS[node.op].training_only else result.elements,
        )
    return total
