"""Which ops read a value, past calls that do nothing and across the borders of blocks.

    unit: {nodes: {conv: ...}}
    a: {op: unit}, norm: {op: norm}     ->  `norm` reads `a.conv`

An instance may be called at several places; then the readers of its result are those of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from resnetgen.compiler.ir.nodes import Instance, InstanceNode, PassThrough
from resnetgen.compiler.passes.instantiate import instances_below

# None: something outside of the block reads the value, or of the network.
Readers = frozenset[InstanceNode | None]


class ValueReaders:
    """The readers of the values of a network; each distinct instance is walked once."""

    def __init__(self, root: Instance) -> None:
        self.root = root
        self.inside: dict[int, Mapping[str, Readers]] = {}
        self.results: dict[int, Readers] = {}
        # By instance: the callers, their nodes, and the index among what the node runs.
        self.calls: dict[int, list[tuple[Instance, InstanceNode, int]]] = {}
        for caller in instances_below(root):
            for node in caller.nodes:
                for at, run in enumerate(node.runs):
                    self.calls.setdefault(id(run.instance), []).append((caller, node, at))

    def of(self, instance: Instance, key: str) -> Readers:
        """The ops that read a value of an instance; None if it is a result of the network."""
        readers = self._inside(instance)[key]
        return (readers - {None}) | self._of_result(instance) if None in readers else readers

    def _of_result(self, instance: Instance) -> Readers:
        """The readers of the result of an instance, at all places where it is called."""
        if instance is self.root:
            return frozenset([None])
        if id(instance) not in self.results:
            readers = Readers()
            for caller, node, at in self.calls[id(instance)]:
                behind = self.of(caller, node.key)
                if node.runs[at].count > 1:
                    readers |= self._entering(node, at, behind)
                readers |= self._entering(node, at + 1, behind)
            self.results[id(instance)] = readers
        return self.results[id(instance)]

    def _entering(self, node: InstanceNode, at: int, behind: Readers) -> Readers:
        """The readers of a value that enters what a node runs, at an index; `behind` it are others."""
        readers = Readers([None])
        for run in node.runs[at:]:
            inside = self._inside(run.instance)[run.instance.block.inputs[0]]
            readers = (readers - {None}) | inside
            if None not in inside:
                return readers
        return (readers - {None}) | behind

    def _inside(self, instance: Instance) -> Mapping[str, Readers]:
        """The readers of each value of an instance; None is whoever reads its result."""
        if id(instance) not in self.inside:
            readers = dict.fromkeys([*instance.inputs, *(n.key for n in instance.nodes)], Readers())
            readers |= dict.fromkeys(instance.outputs, Readers([None]))
            for index in reversed(instance.schedule):  # after all that read it
                node = instance.nodes[index]
                for operand, name in enumerate(node.inputs):
                    if name in readers:
                        readers[name] |= self._reading(node, operand, readers[node.key])
            self.inside[id(instance)] = readers
        return self.inside[id(instance)]

    def _reading(self, node: InstanceNode, operand: int, behind: Readers) -> Readers:
        """The ops that read an operand of a node, if `behind` it are the readers of its result."""
        if isinstance(node.callee, PassThrough):
            return behind
        if node.op:
            return Readers([node])
        if operand == 0:
            return self._entering(node, 0, behind)
        inputs = ((run.instance, run.instance.block.inputs[operand]) for run in node.runs)
        readers = Readers().union(*(self._inside(block)[name] for block, name in inputs))
        return (readers - {None}) | {node} if None in readers else readers
