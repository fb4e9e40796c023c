"""infer_shapes(graph) -> Graph: every node with its type. check(graph): networkx holds it together.

    conv1: convolution(input)  ->  conv1: convolution(input) : 64 x 112 x 112

The flat graph of a sound network is sound; a failure here is a defect of the compiler.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from resnetgen.graph.ir import Graph, Node
from resnetgen.graph.measure import INPUT, Cost
from resnetgen.graph.ops import OPS
from resnetgen.graph.rules import TensorType, Weight

if TYPE_CHECKING:
    import networkx


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
