"""unread_nodes(instances) -> the nodes whose values go nowhere, in each instance of each block.

    gate: {op: conv, ...}                                    error[unread]: nothing reads the node
    join: {op: mul, inputs: [x, gate], when: gated}          `gate` in `layer1.0`

A call reads only those of its operands that the called instance reads: an input that a block ignores
in this instance is not read. So the flat graph has no node that leads nowhere, which `check_graph`
confirms independently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from resnetgen.compiler.ir.nodes import Block, Instance, InstanceNode
from resnetgen.compiler.passes.module_paths import numbered_paths


@dataclass(frozen=True, slots=True)
class Unread:
    """A node that nothing reads in an instance.

    `elsewhere`: it is read in another instance of the block. `before_last`: it is a stage in which a
    block ignores the result of the one before it.
    """

    instance: Instance
    node: InstanceNode
    elsewhere: bool = False
    before_last: bool = False


def unread_nodes(instances: Sequence[Instance]) -> list[Unread]:
    """One for each node of a block; `instances` has callees before their callers."""
    reads = Reads()
    unread: dict[tuple[Block, str], Unread] = {}
    read: set[tuple[Block, str]] = set()
    for instance in instances:
        found = list(reads.add(instance))
        for each in found:
            unread.setdefault((instance.block, each.node.key), each)
        nodes = {node.key for node in instance.nodes} - {each.node.key for each in found}
        read |= {(instance.block, key) for key in nodes}
    return [replace(each, elsewhere=key in read) for key, each in unread.items()]


class Reads:
    """Which of their inputs the instances read, callees first."""

    def __init__(self) -> None:
        self.inputs_of: dict[Instance, frozenset[str]] = {}

    def add(self, instance: Instance) -> Iterator[Unread]:
        """Adds an instance; its nodes that nothing reads."""
        values = {*instance.outputs, *self.values_read(instance.nodes)}
        self.inputs_of[instance] = frozenset(values).intersection(instance.block.inputs)
        for node in instance.nodes:
            if node.key not in values:
                yield Unread(instance, node)
            elif not self.is_sequence(node):
                yield Unread(instance, node, before_last=True)

    def values_read(self, nodes: Iterable[InstanceNode]) -> Iterator[str]:
        """The values that some nodes read: of a call, those that the called block reads."""
        for node in nodes:
            for position, name in enumerate(node.inputs):
                # Only the first block of a stage reads its first operand; each reads the others.
                runs = node.runs if position else node.runs[:1]
                if not runs or any(self._reads_input(run.instance, position) for run in runs):
                    yield name

    def is_sequence(self, node: InstanceNode) -> bool:
        """Whether each block of a stage reads the block before it."""
        later = [run.instance for run in node.runs if run.count > 1]
        later += [run.instance for run in node.runs[1:]]
        return all(self._reads_input(each, 0) for each in later)

    def _reads_input(self, instance: Instance, position: int) -> bool:
        return instance.block.inputs[position] in self.inputs_of[instance]


def path_of(instance: Instance, instances: Sequence[Instance]) -> str:
    """The module path of the first call of an instance; empty for the network."""
    calls: dict[Instance, tuple[Instance, str]] = {}
    for caller in reversed(instances):
        for node, paths in zip(caller.nodes, numbered_paths(caller.nodes), strict=True):
            number = 0
            for run in node.runs:
                calls.setdefault(run.instance, (caller, paths[number]))
                number += run.count
    components: list[str] = []
    while instance in calls:
        instance, path = calls[instance]
        components.insert(0, path)
    return ".".join(components)
