"""depth(root) -> int: how many layers deep a network is, as the field names networks.

    resnet50: 1 (stem) + 3 x (3 + 4 + 6 + 3) + 1 (classifier)     ->  50
    resnet20: 1 (stem) + 2 x (3 + 3 + 3) + 1 (classifier)         ->  20

A layer is a convolution or a linear layer. The stem counts as one, however many convolutions it
has. Body and head are as deep as the longest path through them that takes no shortcut of a block; at
a product it follows the value that is gated, so the layers of an attention unit do not count.
Each distinct instance is visited once, so a network of 1202 layers takes no longer than one of 20.

Some names of networks count otherwise. Wide ResNet (arXiv 1605.07146) calls 6n + 4 what is 6n + 2
here: it counts its three projections and no classifier. SENet-154 counts the three convolutions of
its stem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resnetgen.compiler.ir.nodes import (
    SHORTCUT,
    Instance,
    InstanceNode,
    PassThrough,
    RepeatedBlock,
)

_GATED = "mul"  # the op whose first operand is the value, and whose others are gates


def depth(root: Instance) -> int:
    """Layers from a network's input to the deepest of its outputs."""
    depths = _Depths().values(root, dict.fromkeys(root.inputs, 0))
    return max(depths[name] for name in root.outputs)


class _Depths:
    """Computes depths, and caches those of blocks."""

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[int | None, ...]] = {}

    def values(self, instance: Instance, inputs: Mapping[str, int]) -> dict[str, int]:
        """The depth of each value of an instance that depends on the given inputs."""
        depths = dict(inputs)
        for index in instance.schedule:
            node = instance.nodes[index]
            result = self.result(node, [depths.get(name) for name in node.inputs])
            if result is not None:
                is_stem = "stem" in (node.group, node.key)
                depths[node.key] = min(result, 1) if is_stem else result
        return depths

    def result(self, node: InstanceNode, inputs: Sequence[int | None]) -> int | None:
        """The depth of a node's result; None where none of its inputs has one."""
        if node.op:
            followed = inputs[:1] if node.op.name == _GATED else inputs
            return _longest(followed, node.op.definition.is_weighted)
        if isinstance(node.callee, PassThrough) or node.block_node.target == SHORTCUT:
            return inputs[0]
        for run in node.runs:
            inputs = (self.repeated(run, inputs), *inputs[1:])
        return inputs[0]

    def repeated(self, run: RepeatedBlock, inputs: Sequence[int | None]) -> int | None:
        """The depth after equal blocks in a row, all of which read the same further inputs."""
        block = self.block(run.instance)
        first = _longest([_sum(*pair) for pair in zip(inputs, block, strict=True)])
        return first if block[0] is None else _sum(first, block[0] * (run.count - 1))

    def block(self, instance: Instance) -> tuple[int | None, ...]:
        """The layers from each input of a block to its output; None where no path leads there."""
        if id(instance) not in self._blocks:
            depths = [self.values(instance, {name: 0}) for name in instance.inputs]
            output = instance.outputs[0]
            self._blocks[id(instance)] = tuple(each.get(output) for each in depths)
        return self._blocks[id(instance)]


def _longest(paths: Sequence[int | None], layers: int = 0) -> int | None:
    """The longest path, extended by some layers; None where there is none."""
    return max((path + layers for path in paths if path is not None), default=None)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
