"""called_blocks(network): every block that a network may call, each once, its own body not among them.

    block: {op: bottleneck, attention: eca}  ->  imagenet, bottleneck, eca, projection, ...

What a call decides is not known yet: a slot's default is there, and also what replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnetgen.graph.ir import Binding, Block, Network, Target


def called_blocks(network: Network) -> Iterator[Block]:
    """The blocks below, as they are found."""
    seen: set[int] = set()
    todo = list(_called(network.root))
    for binding in network.ambient.values():
        todo += _targets(binding)
    while todo:
        target = todo.pop()
        if isinstance(target, Block) and id(target) not in seen:
            seen.add(id(target))
            yield target
            todo += _called(target)


def _called(block: Block) -> Iterator[Target]:
    for binding in block.slots.values():
        yield from _targets(binding)
    for node in block.nodes:
        yield node.target
        for binding in node.slots.values():
            yield from _targets(binding)


def _targets(binding: Binding) -> Iterator[Target]:
    yield binding.target
    for each in binding.slots.values():
        yield from _targets(each)
