"""pair(small, large) -> Pairing: which node of the larger network does what one of the smaller did.

    layer3.5.conv1  is  layer3.5.conv1    by name: the same op, attributes and inputs
    layer4.0.conv1  is  layer4.0.conv1    its input, layer3.22.act3, stands for layer3.5.act3
    layer3.6.bn3    is added, and starts at zero

What passes its input on in evaluation, such as drop path, is left out on both sides.

Added: which of the nodes that only the larger network has hand the input of their block on.

    layer3.6.bn3   holds weights: at zero its result is zero
    layer3.6.add   of layer3.6.bn3 and layer3.5.act3  ->  layer3.5.act3, once that norm is zero
    layer3.6.act3  relu of what a relu made           ->  layer3.5.act3

Nothing here knows what a block is called or where it ends: the facts of its ops decide. Every op
that holds weights is linear in them, so that its result is zero where they are.

cannot_grow(graphs, reason, node) -> SpecError: why one network does not grow into the other.

error[cannot-grow]: `resnet18` does not grow into `resnet50`: the kernel of `layer1.0.conv1` ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, SpecError
from resnetgen.compiler.ir.nodes import Graph, Node
from resnetgen.compiler.ir.op_def import NO_WEIGHTS
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.infer_types import INPUT


@dataclass(frozen=True, slots=True)
class Pair:
    """A node of both networks; `inputs` are values of the smaller, for which the larger's stand."""

    small: Node
    large: Node

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values that both read, by their names in the smaller network."""
        return self.small.inputs


@dataclass(frozen=True, slots=True)
class Pairing:
    """How the smaller network lies in the larger one."""

    ends: Ends  # with what is there in evaluation alone
    pairs: tuple[Pair, ...]  # in order of execution
    joins: tuple[str, ...]  # sums of added blocks, each of which starts as the identity
    zeroed: tuple[Node, ...]  # the nodes of added blocks whose weights start at zero


def pair(small: Graph, large: Graph) -> Pairing:
    """Pairs flat graphs with types. Raises SpecError `cannot-grow` with the first difference."""
    ends = Ends(_in_evaluation(small), _in_evaluation(large))
    _check_ends(ends)
    counterparts = {node.name: node for node in ends.small.nodes}
    added = Added({name: node.op for name, node in counterparts.items()})
    pairs = []
    for node in ends.large.nodes:
        counterpart = counterparts.get(node.name)
        if counterpart is None:
            added.add(node)
            continue
        _check(ends, Pair(counterpart, node), added)
        added.pair(node)
        pairs.append(Pair(counterpart, node))
    _check_outputs(ends, added)
    zeroed = {node.name: node for nodes in added.joins.values() for node in nodes}
    return Pairing(ends, tuple(pairs), tuple(added.joins), tuple(zeroed.values()))


def _in_evaluation(graph: Graph) -> Graph:
    """The graph without the nodes that compute nothing there."""
    passed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = _through(passed, node.inputs)
        if OPS[node.op].training_only or OPS[node.op].neutral(node.attributes):
            passed[node.name] = inputs[0]
        else:
            nodes.append(replace(node, inputs=inputs))
    return replace(
        graph,
        nodes=tuple(nodes),
        outputs=_through(passed, graph.outputs),
        train_outputs=_through(passed, graph.train_outputs),
    )


def _through(passed: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(passed.get(name, name) for name in names)


# --- what has to agree


def _check_ends(ends: Ends) -> None:
    small, large = ends.small.input, ends.large.input
    if (small.channels, len(small.size)) != (large.channels, len(large.size)):
        raise cannot_grow(ends, f"the input is {small}, and would be {large}")
    names = {node.name for node in ends.large.nodes}
    for node in ends.small.nodes:
        if node.name not in names:
            reason = f"`{node.name}` ({node.op}) would be gone"
            help = "`--from` names the smaller network, `--to` the one with more blocks or width"
            raise cannot_grow(ends, reason, node, help=help)


def _check(ends: Ends, pair: Pair, added: Added) -> None:
    for reason in _differences(pair):
        raise cannot_grow(ends, reason, pair.large)
    for before, after in zip(pair.inputs, pair.large.inputs, strict=True):
        if added.stands.get(after) != before:
            reason = f"`{pair.large.name}` reads `{before}`, and would read `{after}`"
            raise cannot_grow(ends, reason, pair.large, _why(added, after))


def _differences(pair: Pair) -> Iterator[str]:
    """What a node does otherwise, whatever the number of its channels."""
    name, before, after = pair.large.name, pair.small, pair.large
    if before.op != after.op:
        yield f"`{name}` is a {before.op}, and would be a {after.op}"
        return
    for key, attribute in OPS[before.op].attributes.items():
        old, new = before.attributes[key], after.attributes[key]
        if old != new and not attribute.of_width:
            yield f"the {key} of `{name}` is {old}, and would be {new}"
    if len(before.inputs) != len(after.inputs):
        yield f"`{name}` reads {len(before.inputs)} values, and would read {len(after.inputs)}"


def _check_outputs(ends: Ends, added: Added) -> None:
    for kind in ("outputs", "train_outputs"):
        before, after = getattr(ends.small, kind), getattr(ends.large, kind)
        if len(before) != len(after):
            raise cannot_grow(ends, f"it has {len(before)} {kind}, and would have {len(after)}")
        for old, new in zip(before, after, strict=True):
            if added.stands.get(new) != old:
                reason = f"it returns `{old}`, and would return `{new}`"
                raise cannot_grow(ends, reason, note=_why(added, new))


def _why(added: Added, name: str) -> str:
    return "" if name in added.stands else added.why(name)


class Added:
    """What is known of the values of the larger network, node by node in order of execution.

    `stands` says for which value of the smaller network one stands; `joins` are the sums that pass
    their block's input on, each with the nodes whose weights have to be zero for that.
    """

    def __init__(self, ops: Mapping[str, str]) -> None:
        self.ops = ops  # by name, of the smaller network
        self.stands = {INPUT: INPUT}
        self.joins: dict[str, tuple[Node, ...]] = {}
        self._nodes: dict[str, Node] = {}
        self._zeroed: dict[str, tuple[Node, ...]] = {}  # value -> what to zero so that it is zero

    def pair(self, node: Node) -> None:
        """Takes note of a node that the smaller network has too."""
        self.stands[node.name] = node.name

    def add(self, node: Node) -> None:
        """Takes note of one that it has not."""
        self._nodes[node.name] = node
        handed_on = self._handed_on(node)
        if handed_on is not None:
            self.stands[node.name] = handed_on
            return
        zeroed = self._zeroed_for(node)
        if zeroed is not None:
            self._zeroed[node.name] = zeroed

    def _handed_on(self, node: Node) -> str | None:
        """The value of the smaller network that a node passes on, or can be made to."""
        known = self._known(node)
        if len(known) != 1:
            return None
        value, definition = self.stands[known[0]], OPS[node.op]
        if definition.idempotent and self.ops.get(value) == node.op:
            return value
        branches = [name for name in node.inputs if name != known[0]]
        if not definition.is_sum or any(name not in self._zeroed for name in branches):
            return None
        self.joins[node.name] = tuple(chain.from_iterable(self._zeroed[n] for n in branches))
        return value

    def _known(self, node: Node) -> list[str]:
        return [name for name in node.inputs if name in self.stands]

    def _zeroed_for(self, node: Node) -> tuple[Node, ...] | None:
        """The last nodes with weights on the ways to a value; zero, they make it zero."""
        definition = OPS[node.op]
        if definition.weights is not NO_WEIGHTS:
            return (node,)
        found = [self._zeroed[name] for name in node.inputs if name in self._zeroed]
        if definition.keeps_zero == "any" and found:
            return found[0]
        if definition.keeps_zero == "all" and len(found) == len(node.inputs):
            return tuple(chain.from_iterable(found))
        return None

    def why(self, name: str) -> str:
        """Why a value of an added node stands for none of the smaller network."""
        node = self._nodes[name]
        while not self._known(node) and not OPS[node.op].is_sum:
            node = self._nodes[node.inputs[0]]
        known = self._known(node)
        if not OPS[node.op].is_sum:
            what = f"`{node.name}` ({node.op}) changes what it reads"
            return f"{what}, and no shortcut leads past it"
        if len(known) == 1:
            branch = next(name for name in node.inputs if self._lasts(name) and name != known[0])
            return f"what `{node.name}` adds cannot start at zero and learn: {self._last(branch)}"
        return f"`{node.name}` adds to nothing that its block reads: its shortcut computes too"

    def _lasts(self, name: str) -> bool:
        """Whether no weights make a value zero."""
        return name not in self._zeroed

    def _last(self, branch: str) -> str:
        """The op of a branch beyond which no zero reaches its end."""
        node = self._nodes[branch]
        while OPS[node.op].keeps_zero:
            name = next(filter(self._lasts, node.inputs))
            if name in self.stands:
                return f"there are no weights between `{node.name}` and `{name}`"
            node = self._nodes[name]
        return f"`{node.name}` ({node.op}) lets no zero through, or no gradient at zero"


@dataclass(frozen=True, slots=True)
class Ends:
    """The two networks: flat graphs with types."""

    small: Graph
    large: Graph


def cannot_grow(
    ends: Ends, reason: str, node: Node | None = None, note: str = "", help: str | None = None
) -> SpecError:
    """The one fault that ends it, at the text of a node of either network."""
    message = f"`{ends.small.name}` does not grow into `{ends.large.name}`: {reason}"
    notes = (Note(note),) if note else ()
    return SpecError([Diagnostic("cannot-grow", message, node.span if node else None, notes, help)])
