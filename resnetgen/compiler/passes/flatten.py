"""flatten(network, root) -> Graph: every op of the network, each with its own name.

    layer1: {blocks: 3}  ->  layer1.0.conv1, layer1.0.bn1, ..., layer1.2.act3

infer_flat_types(graph) -> Graph: the same, with the type of each node.

    conv1: convolution(input)  ->  conv1: convolution(input) : 64 x 112 x 112

check_graph(graph): raises InvalidGraph unless networkx confirms its invariants.

Invariant: nodes are in the order of execution; `registration_rank` is the order of registration, which is that
of the state_dict. The flat types and costs are computed a second time, op by op, to check
`infer_types.py`. So the flat graph of a sound network is sound: an error here is a defect of the
compiler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnetgen.compiler.ir.nodes import Graph, Instance, InstanceNode, Network, Node, OpCall
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.schedule import needed_for
from resnetgen.compiler.ir.shape_rules import TensorType, Weight
from resnetgen.compiler.passes.infer_types import INPUT, Cost
from resnetgen.compiler.passes.module_paths import numbered_paths, registered_modules, shared_paths

if TYPE_CHECKING:
    import networkx


def flatten(network: Network, root: Instance) -> Graph:
    """The flat graph, without types."""
    flattener = Flattener({path: rank for rank, path in enumerate(registration_order(root))})
    names = flattener.emit_instance(root, {root.block.inputs[0]: INPUT}, Location("", ""))
    outputs = tuple(names[key] for key in root.outputs)
    count = len(network.outputs)
    graph = Graph(
        network.name, network.input, tuple(flattener.nodes), outputs[:count], outputs[count:]
    )
    return _mark_training(graph)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a node is: its name and module path, which nodes may share; or the prefixes of an instance."""

    name: str
    module: str


class Flattener:
    """The nodes so far. `registration_ranks`: the place of each module path in that order."""

    def __init__(self, registration_ranks: Mapping[str, int]) -> None:
        self.registration_ranks = registration_ranks
        self.nodes: list[Node] = []

    def emit_instance(
        self, instance: Instance, names: dict[str, str], prefix: Location
    ) -> dict[str, str]:
        """Emits the ops of an instance; adds the names of its values to `names`, those of its inputs."""
        paths = numbered_paths(instance.nodes)
        shared = shared_paths(paths)
        for index in instance.schedule:
            node = instance.nodes[index]
            locations = [
                Location(prefix.name + (node.key if path in shared else path), prefix.module + path)
                for path in paths[index]
            ]
            if node.op:
                names[node.key] = self.emit_op(node, node.op, names, locations[0])
            elif node.runs:
                names[node.key] = self.emit_blocks(node, names, locations)
            else:
                names[node.key] = names[node.inputs[0]]
        return names

    def emit_op(
        self, node: InstanceNode, call: OpCall, names: Mapping[str, str], location: Location
    ) -> str:
        """Emits an op; returns its name."""
        inputs = tuple(names[key] for key in node.inputs)
        flat = Node(
            location.name,
            location.module,
            call.name,
            inputs,
            call.attributes,
            in_channels=0,  # and no type, until `infer_flat_types`
            registration_rank=self.registration_ranks.get(location.module, -1),
            span=node.block_node.span,
        )
        self.nodes.append(flat)
        return flat.name

    def emit_blocks(
        self, node: InstanceNode, names: Mapping[str, str], locations: Sequence[Location]
    ) -> str:
        """Emits the blocks that a node runs; returns the name of their result."""
        sources = [names.get(key) for key in node.inputs]
        for location, instance in zip(locations, _blocks_of(node), strict=True):
            pairs = zip(instance.block.inputs, sources, strict=True)
            inside = Location(f"{location.name}.", f"{location.module}.")
            inner = self.emit_instance(instance, {key: name for key, name in pairs if name}, inside)
            sources[0] = inner[instance.outputs[0]]
        assert sources[0] is not None
        return sources[0]


def _blocks_of(node: InstanceNode) -> list[Instance]:
    return [run.instance for run in node.runs for _ in range(run.count)]


def registration_order(instance: Instance, prefix: str = "") -> list[str]:
    """The paths of all modules that are ops, as torch registers them."""
    order: list[str] = []
    for path, node, number in registered_modules(instance):
        if node.op:
            order.append(prefix + path)
        elif node.runs:
            order += registration_order(_blocks_of(node)[number], f"{prefix}{path}.")
    return order


def _mark_training(graph: Graph) -> Graph:
    """Marks the nodes that only the training outputs need."""
    if not graph.train_outputs:
        return graph
    needed = needed_for(graph.outputs, {node.name: node.inputs for node in graph.nodes})
    return replace(
        graph, nodes=tuple(replace(node, training=node.name not in needed) for node in graph.nodes)
    )


# --- types


def infer_flat_types(graph: Graph) -> Graph:
    """The graph with a type at every node."""
    types: dict[str, TensorType] = {INPUT: graph.input}
    nodes: list[Node] = []
    for node in graph.nodes:
        sources = [types[name] for name in node.inputs]
        types[node.name] = OPS[node.op].shape(node.attributes, sources)
        nodes.append(replace(node, type=types[node.name], in_channels=sources[0].channels))
    return replace(graph, nodes=tuple(nodes))


# --- what follows from a typed graph


def weights_of(node: Node, axes: int) -> tuple[Weight, ...]:
    """The tensors of a node in the state_dict: parameters, buffers and counters. `axes` are spatial."""
    return OPS[node.op].weights(node.attributes, node.in_channels, axes)


def state_dict(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The keys of the state_dict in order, with their shapes."""
    axes = len(graph.input.size)
    ordered = sorted(graph.nodes, key=lambda node: node.registration_rank)
    return {
        f"{node.module}.{weight.name}": weight.shape
        for node in ordered
        for weight in weights_of(node, axes)
    }


def graph_cost(graph: Graph) -> Cost:
    """The sum over all nodes, which must be the cost that `infer_types` computes."""
    total = Cost()
    types = {INPUT: graph.input} | {node.name: node.type for node in graph.nodes if node.type}
    for node in graph.nodes:
        weights = weights_of(node, len(graph.input.size))
        source, result = types[node.inputs[0]], types[node.name]
        total += Cost(
            sum(weight.elements for weight in weights if weight.trained),
            sum(weight.elements for weight in weights if not weight.trained),
            0 if node.training else OPS[node.op].macs(node.attributes, source, result),
            0 if node.training or OPS[node.op].training_only else result.elements,
        )
    return total


# --- the check by networkx


OUTPUTS = "<outputs>"  # a node that reads every output


class InvalidGraph(AssertionError):
    """An invariant of the flat graph is violated: a defect of the compiler."""


def to_networkx(graph: Graph) -> networkx.MultiDiGraph:
    """The graph for networkx: one edge for each operand, so that `add(x, x)` has two."""
    import networkx

    digraph = networkx.MultiDiGraph(name=graph.name)
    digraph.add_node(INPUT, type=graph.input)
    for node in graph.nodes:
        digraph.add_node(node.name, op=node.op, type=node.type)
    for node in graph.nodes:
        for operand, name in enumerate(node.inputs):
            digraph.add_edge(name, node.name, operand=operand)
    return digraph


def check_graph(graph: Graph) -> None:
    """Cycles, order, reachability from the input and to an output, and types along every edge."""
    import networkx

    digraph = to_networkx(graph)
    if not networkx.is_directed_acyclic_graph(digraph):
        raise InvalidGraph(f"{graph.name}: a cycle {networkx.find_cycle(digraph)}")
    if len(digraph) != len(graph.nodes) + 1:
        raise InvalidGraph(f"{graph.name}: two nodes of one name")
    reachable = networkx.descendants(digraph, INPUT) | {INPUT}
    digraph.add_edges_from((name, OUTPUTS) for name in (*graph.outputs, *graph.train_outputs))
    reaching = networkx.ancestors(digraph, OUTPUTS)
    stray = [
        node.name for node in graph.nodes if node.name not in reachable or node.name not in reaching
    ]
    if stray:
        raise InvalidGraph(f"{graph.name}: {stray[0]} is on no path from the input to an output")
    _check_order_and_types(graph)


def _check_order_and_types(graph: Graph) -> None:
    types = {INPUT: graph.input}
    for node in graph.nodes:
        if any(name not in types for name in node.inputs):
            raise InvalidGraph(f"{graph.name}: {node.name} comes before what it reads")
        if node.type != OPS[node.op].shape(node.attributes, [types[name] for name in node.inputs]):
            raise InvalidGraph(
                f"{graph.name}: the type of {node.name} does not follow from its inputs"
            )
        assert node.type is not None
        types[node.name] = node.type
