"""What the nodes of a block read of one another: every value is computed, and none by itself.

nodes: {a: {inputs: b}, b: {inputs: a}}  ->  the nodes read each other in a circle: a -> b -> a
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from resnetgen.graph.faults import Faults
from resnetgen.graph.ir import Block, BlockNode
from resnetgen.graph.order import find_cycle, stable_order
from resnetgen.language.diagnostics import Note, did_you_mean


def keys_of(node: BlockNode) -> list[str]:
    """The names under which a node's values can be read: its own, and those of a block spliced in."""
    if node.path == "." and node.repeat is None and isinstance(node.target, Block):
        return [*keys_in(node.target.nodes), node.key]
    return [node.key]


def keys_in(nodes: Sequence[BlockNode]) -> list[str]:
    """The names under which the values of some nodes can be read."""
    return [key for node in nodes for key in keys_of(node)]


def check_reads(faults: Faults, nodes: Sequence[BlockNode], inputs: Sequence[str]) -> None:
    """What a node reads must be computed, and each value by one node."""
    known = {*inputs, *keys_in(nodes)}
    seen = set(inputs)
    for node in nodes:
        for name in (*node.inputs, node.otherwise):
            if name is not None and name != "none" and name not in known:
                _tell_unknown(faults, node, name, nodes, known)
        for key in keys_of(node):
            if key in seen:
                faults.record("duplicate-key", f"there are two nodes `{key}`", node.span)
            seen.add(key)


def _tell_unknown(
    faults: Faults,
    node: BlockNode,
    name: str,
    nodes: Sequence[BlockNode],
    known: Collection[str],
) -> None:
    """A node reads what nothing computes, or what is inside a stage."""
    span = node.read_spans.get(name, node.span)
    stage = next((n.key for n in nodes if n.repeat and name.startswith(f"{n.key}.")), None)
    if stage:
        message = f"`{name}` is inside the repeated `{stage}`; only its output can be read"
        faults.record("unknown-value", message, span, f"read `{stage}`")
        return
    message = f"`{node.key}` reads `{name}`, which nothing computes"
    faults.record("unknown-value", message, span, did_you_mean(name, known))


def schedule(faults: Faults, nodes: Sequence[BlockNode]) -> tuple[int, ...]:
    """A stable topological order; a cycle is a fault, told as the path that closes it."""
    producers = {key: index for index, node in enumerate(nodes) for key in keys_of(node)}
    reads = [
        [producers[name] for name in (*node.inputs, node.otherwise) if name in producers]
        for node in nodes
    ]
    order = stable_order(reads)
    if order is None:
        _tell_cycle(faults, [nodes[index] for index in find_cycle(reads)])
        return tuple(range(len(nodes)))
    return tuple(order)


def _tell_cycle(faults: Faults, nodes: Sequence[BlockNode]) -> None:
    """A circle of nodes, each of which reads the one behind it."""
    first = nodes[0]
    after = [*nodes[1:], first]
    spans = [
        next((node.read_spans[key] for key in keys_of(read) if key in node.read_spans), node.span)
        for node, read in zip(nodes, after, strict=True)
    ]
    if len(nodes) == 1:
        faults.record("cycle", f"`{first.key}` reads itself", spans[0])
        return
    path = " -> ".join(node.key for node in [*nodes, first])
    notes = [
        Note(f"`{node.key}` reads `{read.key}`", span)
        for node, read, span in zip(nodes[1:], after[1:], spans[1:], strict=True)
    ]
    message = f"the nodes read each other in a circle: {path}"
    faults.record("cycle", message, spans[0], None, *notes)
