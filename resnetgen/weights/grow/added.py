"""Added: which of the nodes that only the larger network has hand the input of their block on.

    layer3.6.bn3   holds weights: at zero its result is zero
    layer3.6.add   of layer3.6.bn3 and layer3.5.act3  ->  layer3.5.act3, once that norm is zero
    layer3.6.act3  relu of what a relu made           ->  layer3.5.act3

Nothing here knows what a block is called or where it ends: the facts of its ops decide. Every op
that holds weights is linear in them, so that its result is zero where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from resnetgen.graph.ir import Node
from resnetgen.graph.measure import INPUT
from resnetgen.graph.opdef import NO_WEIGHTS
from resnetgen.graph.ops import OPS


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
