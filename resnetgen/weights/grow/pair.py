"""pair_nodes(small, large) -> Pairing: which nodes of the larger network are those of the smaller.

    layer3.5.conv1  is paired      the same name, op, attributes and inputs
    layer4.0.conv1  is paired      its input, layer3.22.act3, is equivalent to layer3.5.act3
    layer3.6.bn3    is added       its weights start at zero, and so does its result
    layer3.6.add    is added       bn3 is zero, so it is equivalent to its other input, layer3.5.act3
    layer3.6.act3   is added       a relu of what a relu made is equivalent to it

Nodes that are the identity in evaluation, such as drop path, are left out on both sides.

Nothing here knows the names or the ends of blocks: properties of the ops decide. Every op with
weights is linear in them, so its result is zero where they are.

Raises `cannot-grow` at the first node that would compute something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, SpecError
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.infer_types import INPUT


@dataclass(frozen=True, slots=True)
class GraphPair:
    """The two networks: flat graphs with types."""

    small: Graph
    large: Graph


@dataclass(frozen=True, slots=True)
class NodePair:
    """A node of the smaller network, and the node of the larger one that computes the same."""

    small: Node
    large: Node

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values that both read, by their names in the smaller network."""
        return self.small.inputs


@dataclass(frozen=True, slots=True)
class Pairing:
    """How the smaller network is contained in the larger one."""

    graphs: GraphPair  # as they are in evaluation
    pairs: tuple[NodePair, ...]  # in order of execution
    joins: tuple[str, ...]  # the sums of added blocks, each of which starts as the identity
    zeroed: tuple[Node, ...]  # the nodes of added blocks whose weights start at zero


def pair_nodes(small: Graph, large: Graph) -> Pairing:
    """Pairs flat graphs with types. Raises SpecError `cannot-grow` for the first difference."""
    graphs = GraphPair(_in_evaluation(small), _in_evaluation(large))
    _check_nodes_remain(graphs)
    counterparts = {node.name: node for node in graphs.small.nodes}
    added = AddedNodes({name: node.op for name, node in counterparts.items()})
    pairs = []
    for node in graphs.large.nodes:
        counterpart = counterparts.get(node.name)
        if counterpart is None:
            added.add(node)
            continue
        pair = NodePair(counterpart, node)
        _check_pair(graphs, pair, added)
        added.add_paired(node)
        pairs.append(pair)
    _check_outputs(graphs, added)
    zeroed = {node.name: node for nodes in added.joins.values() for node in nodes}
    return Pairing(graphs, tuple(pairs), tuple(added.joins), tuple(zeroed.values()))


def _in_evaluation(graph: Graph) -> Graph:
    """The graph without the nodes that are the identity in evaluation."""
    replaced: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = _replace(replaced, node.inputs)
        if OPS[node.op].training_only or OPS[node.op].is_identity(node.attributes):
            replaced[node.name] = inputs[0]
        else:
            nodes.append(replace(node, inputs=inputs))
    return replace(
        graph,
        nodes=tuple(nodes),
        outputs=_replace(replaced, graph.outputs),
        train_outputs=_replace(replaced, graph.train_outputs),
    )


def _replace(replaced: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(replaced.get(name, name) for name in names)


# --- what has to agree


def _check_nodes_remain(graphs: GraphPair) -> None:
    small, large = graphs.small.input, graphs.large.input
    if (small.channels, len(small.size)) != (large.channels, len(large.size)):
        raise cannot_grow(graphs, f"the input would change from {small} to {large}")
    names = {node.name for node in graphs.large.nodes}
    for node in graphs.small.nodes:
        if node.name not in names:
            reason = f"`{node.name}` ({node.op}) would be removed"
            help = "`--from` names the smaller network, `--to` the one with more blocks or width"
            raise cannot_grow(graphs, reason, node, help=help)


def _check_pair(graphs: GraphPair, pair: NodePair, added: AddedNodes) -> None:
    for reason in _differences(pair):
        raise cannot_grow(graphs, reason, pair.large)
    for before, after in zip(pair.inputs, pair.large.inputs, strict=True):
        if added.equivalent.get(after) != before:
            reason = f"`{pair.large.name}` would read `{after}` instead of `{before}`"
            raise cannot_grow(graphs, reason, pair.large, added.explain(after))


def _differences(pair: NodePair) -> Iterator[str]:
    """How two nodes differ in more than the number of their channels."""
    name, before, after = pair.large.name, pair.small, pair.large
    if before.op != after.op:
        yield f"`{name}` would change from {before.op} to {after.op}"
        return
    for key, attribute in OPS[before.op].attributes.items():
        old, new = before.attributes[key], after.attributes[key]
        if old != new and not attribute.scales_with_width:
            yield f"the {key} of `{name}` would change from {old} to {new}"
    if len(before.inputs) != len(after.inputs):
        yield f"`{name}` would read {len(after.inputs)} values instead of {len(before.inputs)}"


def _check_outputs(graphs: GraphPair, added: AddedNodes) -> None:
    for kind in ("outputs", "train_outputs"):
        before, after = getattr(graphs.small, kind), getattr(graphs.large, kind)
        if len(before) != len(after):
            reason = f"the number of {kind} would change from {len(before)} to {len(after)}"
            raise cannot_grow(graphs, reason)
        for old, new in zip(before, after, strict=True):
            if added.equivalent.get(new) != old:
                reason = f"it would return `{new}` instead of `{old}`"
                raise cannot_grow(graphs, reason, note=added.explain(new))


def cannot_grow(
    graphs: GraphPair,
    reason: str,
    node: Node | None = None,
    note: str = "",
    help: str | None = None,
) -> SpecError:
    """Why one network does not grow into the other, at a node of either."""
    message = f"`{graphs.small.name}` does not grow into `{graphs.large.name}`: {reason}"
    notes = (Note(note),) if note else ()
    return SpecError([Diagnostic("cannot-grow", message, node.span if node else None, notes, help)])


# --- added nodes


class AddedNodes:
    """Which values of the larger network can be equal to values of the smaller one.

    Nodes are added in order of execution. `equivalent` has the value of the smaller network for
    each value that is equal to one, or is so once some weights are zero; `joins` has the sums for
    which weights have to be zero, with the nodes of these weights.
    """

    def __init__(self, ops: Mapping[str, str]) -> None:
        self.ops = ops  # by name, of the smaller network
        self.equivalent = {INPUT: INPUT}
        self.joins: dict[str, tuple[Node, ...]] = {}
        self._nodes: dict[str, Node] = {}
        self._zeroing: dict[str, tuple[Node, ...]] = {}  # value -> whose weights make it zero

    def add_paired(self, node: Node) -> None:
        """A node that the smaller network has too."""
        self.equivalent[node.name] = node.name

    def add(self, node: Node) -> None:
        """A node that only the larger network has."""
        self._nodes[node.name] = node
        value = self._passed_on(node)
        if value is not None:
            self.equivalent[node.name] = value
            return
        zeroing = self._zeroing_nodes(node)
        if zeroing is not None:
            self._zeroing[node.name] = zeroing

    def _passed_on(self, node: Node) -> str | None:
        """The value of the smaller network that a node passes on, or can be made to."""
        known = self._known_inputs(node)
        if len(known) != 1:
            return None
        value, definition = self.equivalent[known[0]], OPS[node.op]
        if definition.idempotent and self.ops.get(value) == node.op:
            return value
        branches = [name for name in node.inputs if name != known[0]]
        if not definition.is_sum or any(map(self._cannot_be_zero, branches)):
            return None
        self.joins[node.name] = tuple(chain.from_iterable(self._zeroing[n] for n in branches))
        return value

    def _known_inputs(self, node: Node) -> list[str]:
        return [name for name in node.inputs if name in self.equivalent]

    def _zeroing_nodes(self, node: Node) -> tuple[Node, ...] | None:
        """The last nodes with weights before a value; zero weights there make it zero."""
        definition = OPS[node.op]
        if definition.has_weights:
            return (node,)
        zeroing = [self._zeroing[name] for name in node.inputs if name in self._zeroing]
        if definition.preserves_zero == "any" and zeroing:
            return zeroing[0]
        if definition.preserves_zero == "all" and len(zeroing) == len(node.inputs):
            return tuple(chain.from_iterable(zeroing))
        return None

    def _cannot_be_zero(self, name: str) -> bool:
        return name not in self._zeroing

    def explain(self, name: str) -> str:
        """Why a value is equivalent to none of the smaller network; empty if it is to some."""
        if name in self.equivalent:
            return ""
        node = self._nodes[name]
        while not self._known_inputs(node) and not OPS[node.op].is_sum:
            node = self._nodes[node.inputs[0]]
        known = self._known_inputs(node)
        if not OPS[node.op].is_sum:
            return f"`{node.name}` ({node.op}) changes its input, and no shortcut bypasses it"
        if len(known) == 1:
            branches = (each for each in node.inputs if each != known[0])
            reason = self._explain_branch(next(filter(self._cannot_be_zero, branches)))
            return f"what `{node.name}` adds cannot start at zero and learn: {reason}"
        return f"`{node.name}` does not add to the input of its block: its shortcut computes too"

    def _explain_branch(self, name: str) -> str:
        """Why no weights make the end of a branch zero."""
        node = self._nodes[name]
        while OPS[node.op].preserves_zero:
            name = next(filter(self._cannot_be_zero, node.inputs))
            if name in self.equivalent:
                return f"there are no weights between `{node.name}` and `{name}`"
            node = self._nodes[name]
        return (
            f"`{node.name}` ({node.op}) turns zero into something else, or has no gradient at zero"
        )
