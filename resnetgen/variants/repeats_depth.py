"""depth(root) -> int: how many layers deep a network is, as the field names networks.

    resnet50: 1 (stem) + 3 x (3 + 4 + 6 + 3) + 1 (classifier)     ->  50
    resnet20: 1 (stem) + 2 x (3 + 3 + 3) + 1 (classifier)         ->  20

A layer has weights: a convolution, or a linear layer. The stem is one layer, however many
convolutions it has; the body and the head are as deep as the longest way through them, which takes
no shortcut of a block, and at a product goes along the value that is gated: the layers of an
attention unit do not count. One walk over the distinct instances, so 1202 layers cost what 20 cost.

Some names of networks count otherwise. Wide ResNet (arXiv 1605.07146) calls 6n + 4 what is 6n + 2
here: it counts its three projections and no classifier. SENet-154 counts the three convolutions of
its stem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resnetgen.graph.ir import SHORTCUT, Instance, OpCall, Passes, Placed, Run
from resnetgen.graph.ops import OPS

_GATED = "mul"  # the op whose first operand is the value, and whose others are gates


def depth(root: Instance) -> int:
    """Layers on the way from a network's input to the deepest of its outputs."""
    ends = _Depths().walk(root, dict.fromkeys(root.inputs, 0))
    return max(ends[name] for name in root.outputs)


class _Depths:
    """The depths of the blocks of one network; each distinct one is walked once."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int | None, ...]] = {}

    def walk(self, instance: Instance, start: Mapping[str, int]) -> dict[str, int]:
        """The depth of each value of an instance that follows from some of its inputs."""
        values = dict(start)
        for index in instance.schedule:
            placed = instance.placed[index]
            found = self.behind(placed, [values.get(name) for name in placed.inputs])
            if found is not None:
                is_stem = "stem" in (placed.group, placed.key)
                values[placed.key] = min(found, 1) if is_stem else found
        return values

    def behind(self, placed: Placed, sources: Sequence[int | None]) -> int | None:
        """The depth of a node's result, from those of its inputs; None where none of them has one."""
        if isinstance(placed.what, OpCall):
            ways = sources[:1] if placed.what.op == _GATED else sources
            return _longest(ways, OPS[placed.what.op].is_weighted)
        if isinstance(placed.what, Passes) or placed.node.target == SHORTCUT:
            return sources[0]
        for run in placed.what:
            sources = (self.repeated(run, sources), *sources[1:])
        return sources[0]

    def repeated(self, run: Run, sources: Sequence[int | None]) -> int | None:
        """The depth behind equal blocks in a row, all of which read the same further inputs."""
        through = self.through(run.instance)
        first = _longest([_sum(*pair) for pair in zip(sources, through, strict=True)])
        return first if through[0] is None else _sum(first, through[0] * (run.count - 1))

    def through(self, instance: Instance) -> tuple[int | None, ...]:
        """The layers from each input of a block to its output; None where no way leads there."""
        if id(instance) not in self.known:
            ends = [self.walk(instance, {name: 0}) for name in instance.inputs]
            self.known[id(instance)] = tuple(end.get(instance.outputs[0]) for end in ends)
        return self.known[id(instance)]


def _longest(ways: Sequence[int | None], layers: int = 0) -> int | None:
    """The longest of some ways, and some layers more; None where there is no way."""
    return max((way + layers for way in ways if way is not None), default=None)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
