"""features(network, root) -> what each output is: its channels, and how far it is reduced.

outputs: [layer1, layer2]  ->  Feature("layer1", 256, 4), Feature("layer2", 512, 8)
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from resnetgen.graph.ir import Instance, Network
from resnetgen.graph.strides import reduction


@dataclass(frozen=True, slots=True)
class Feature:
    """An output of a network. `reduction` is the stride of the whole path from the input."""

    name: str
    module: str
    channels: int
    reduction: int | float


def features(network: Network, root: Instance) -> tuple[Feature, ...]:
    """The outputs in evaluation, in order."""
    strides: dict[str, float] = dict.fromkeys(root.inputs, 1)
    for index in root.schedule:
        placed = root.placed[index]
        strides[placed.key] = reduction(placed, strides)
    channels = {placed.key: placed.flow.channels for placed in root.placed}
    found = []
    for output, key in zip(network.outputs, root.outputs, strict=False):
        stride = Fraction(strides[key]).limit_denominator(1024)
        reduced = stride.numerator if stride.denominator == 1 else float(stride)
        width = channels.get(key, network.input.channels)
        found.append(Feature(output.name, output.key, width, reduced))
    return tuple(found)
