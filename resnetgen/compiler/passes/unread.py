"""unread_nodes(instances) -> the nodes whose values go nowhere, in each instance of each block.

    gate: {op: conv, ...}                                    error[unread]: nothing reads the node
    join: {op: mul, inputs: [x, gate], when: gated}          `gate` in `layer1.0`

A call reads only those of its operands that the called instance reads: an input that a block ignores
in this instance is not read. So the flat graph has no node that leads nowhere, which `check_graph`
confirms independently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
    inputs_read: dict[Instance, frozenset[str]] = {}
    unread: dict[tuple[Block, str], tuple[Instance, InstanceNode]] = {}
    read: set[tuple[Block, str]] = set()
    broken: list[Unread] = []
    for instance in instances:
        names = set(instance.outputs)
        for node in instance.nodes:
            names.update(_reads(node, inputs_read))
            if not _reads_one_another(node, inputs_read):
                broken.append(Unread(instance, node, before_last=True))
        inputs_read[instance] = frozenset(names).intersection(instance.block.inputs)
        for node in instance.nodes:
            key = (instance.block, node.key)
            if node.key in names:
                read.add(key)
            else:
                unread.setdefault(key, (instance, node))
    return broken + [
        Unread(instance, node, elsewhere=key in read) for key, (instance, node) in unread.items()
    ]


def _reads(node: InstanceNode, inputs_read: Mapping[Instance, frozenset[str]]) -> Iterator[str]:
    """The values that a node reads: of a call, those that the called block reads."""
    if not node.runs:
        yield from node.inputs
        return
    for position, name in enumerate(node.inputs):
        # Only the first block of a stage reads its first operand; each reads the others.
        for run in node.runs if position else node.runs[:1]:
            if run.instance.block.inputs[position] in inputs_read[run.instance]:
                yield name


def _reads_one_another(
    node: InstanceNode, inputs_read: Mapping[Instance, frozenset[str]]
) -> bool:
    """Whether each block of a stage reads the block before it."""
    later = [run.instance for run in node.runs if run.count > 1]
    later += [after.instance for _, after in pairwise(node.runs)]
    return all(each.block.inputs[0] in inputs_read[each] for each in later)


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
