"""Where each channel of a result comes from, for the ops that put channels elsewhere.

    pad_channels  front 1, back 1  of 2 channels  ->  zero, channel 0, channel 1, zero
    concat        of 1 and 2 channels             ->  0 of the first, 0 and 1 of the second

All other ops make channels of their own, or keep those of their inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from resnetgen.graph.rules import Attributes, TensorType


class Origin(NamedTuple):
    """A channel of an operand; of one of its positions, where these become channels."""

    operand: int
    channel: int
    position: int = 0


def concat_origins(
    attributes: Attributes, types: Sequence[TensorType]
) -> tuple[Origin | None, ...]:
    """The channels of all operands, one after the other."""
    return tuple(
        Origin(operand, channel)
        for operand, each in enumerate(types)
        for channel in range(each.channels)
    )


def pad_origins(attributes: Attributes, types: Sequence[TensorType]) -> tuple[Origin | None, ...]:
    """The channels of the input between zeros, which come from nowhere."""
    inside = (Origin(0, channel) for channel in range(types[0].channels))
    return (*[None] * attributes["front"], *inside, *[None] * attributes["back"])


def flatten_origins(
    attributes: Attributes, types: Sequence[TensorType]
) -> tuple[Origin | None, ...]:
    """All positions of the first channel, then those of the next."""
    positions = range(math.prod(types[0].size))
    return tuple(
        Origin(0, channel, position)
        for channel in range(types[0].channels)
        for position in positions
    )
