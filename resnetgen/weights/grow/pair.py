"""pair(small, large) -> Pairing: which node of the larger network does what one of the smaller did.

    layer3.5.conv1  is  layer3.5.conv1    by name: the same op, attributes and inputs
    layer4.0.conv1  is  layer4.0.conv1    its input, layer3.22.act3, stands for layer3.5.act3
    layer3.6.bn3    is added, and starts at zero

What passes its input on in evaluation, such as drop path, is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resnetgen.graph.ir import Graph, Node
from resnetgen.graph.ops import OPS
from resnetgen.weights.grow.added import Added
from resnetgen.weights.grow.fault import Ends, cannot_grow


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
