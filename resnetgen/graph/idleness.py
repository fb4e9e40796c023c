"""Idleness: nodes that do nothing in any instance of their block are left out of all of them.

drop_path: {op: drop_path, rate: ...}   of rate 0 in every block of the network: no module is printed
"""

from __future__ import annotations

from resnetgen.graph.ir import Block, BlockNode, OpCall, Passes, Placed
from resnetgen.graph.ops import OPS


class NotIdle(Exception):
    """A node was left out where it did nothing, and does something in a later instance of its block."""

    def __init__(self, place: tuple[Block, str]) -> None:
        super().__init__(place[1])
        self.place = place


class Idleness:
    """Nodes that do nothing in any instance of their block: rate-0 drop paths, unused slots.

    They are left out on trust, as long as none is `kept`: the walk starts anew where one turns out
    to do something elsewhere, so that its module stands in every instance or in none.
    """

    def __init__(self, kept: frozenset[tuple[Block, str]]) -> None:
        self.kept = kept
        self.left_out: set[tuple[Block, str]] = set()
        self.busy: set[tuple[Block, str]] = set()

    def leaves_out(self, block: Block, node: BlockNode) -> bool:
        """Whether a node that does nothing here is left out."""
        place = (block, node.key)
        if place in self.kept or place in self.busy:
            return False
        self.left_out.add(place)
        return True

    def works(self, block: Block, node: BlockNode) -> None:
        """Records that a node does something. Raises NotIdle where it was left out."""
        place = (block, node.key)
        if place in self.left_out:
            raise NotIdle(place)
        self.busy.add(place)


def does_nothing(placed: Placed) -> bool:
    """Whether a node passes its input as it is, and may be left out.

    Not so in a numbered container, where the numbers of the others would lose their meaning.
    """
    if isinstance(placed.what, Passes):
        return True
    numbered = placed.paths[0].rpartition(".")[2].isdigit()
    if isinstance(placed.what, OpCall) and not numbered:
        return OPS[placed.what.op].neutral(placed.what.attributes)
    return False
