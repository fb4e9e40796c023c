"""transfer(state, small, pairing, maps) -> Growth: fills the tensors of the larger network, in place.

    layer1.0.conv1.weight   rows copied, columns shared among the copies of a channel
    layer1.0.bn1.weight     copied with its channel, like the statistics
    layer3.6.bn3.weight     zero: the added block is the identity

The columns that read copies of one channel get unequal shares of its column, different ones in each
row. With equal shares the copies would get equal gradients and stay equal for ever, and the added
width would learn nothing. Chen et al. 2015, section 2.2, add noise for that; unequal shares leave
the function as it is. All shares but the last have few bits, so they sum to the column exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.flatten import weights_of
from resnetgen.weights.grow.pair import NodePair, Pairing
from resnetgen.weights.grow.widen import ChannelMap, is_identity

if TYPE_CHECKING:
    import torch

SEED = 0
_MIN_DRAW, _MAX_DRAW = 0.5, 1.5  # shares are proportional to random numbers between these


@dataclass(frozen=True, slots=True)
class Growth:
    """How many tensors of the larger network came from where."""

    moved: int  # unchanged
    widened: int
    zeroed: int
    fresh: int  # of added blocks, at their initial weights


def transfer(
    state: Mapping[str, torch.Tensor],
    small: Mapping[str, torch.Tensor],
    pairing: Pairing,
    maps: Mapping[str, ChannelMap],
) -> Growth:
    """Overwrites the state_dict of the larger network, whose added blocks keep their initial weights."""
    import torch

    axes = len(pairing.graphs.large.input.size)
    generator = torch.Generator().manual_seed(SEED)
    moved = widened = zeroed = 0
    for pair in pairing.pairs:
        for each in weights_of(pair.large, axes):
            before = small[f"{pair.small.module}.{each.name}"]
            after = _widened(before, pair, maps, generator)
            state[f"{pair.large.module}.{each.name}"].copy_(after)
            moved += after is before
            widened += after is not before
    for node in pairing.zeroed:
        for each in weights_of(node, axes):
            if each.trained:
                state[f"{node.module}.{each.name}"].zero_()
                zeroed += 1
    return Growth(moved, widened, zeroed, len(state) - moved - widened - zeroed)


def _widened(
    before: torch.Tensor, pair: NodePair, maps: Mapping[str, ChannelMap], generator: torch.Generator
) -> torch.Tensor:
    """The tensor with copied rows and shared columns; itself where there is nothing to copy."""
    import torch

    source, result = maps[pair.inputs[0]], maps[pair.small.name]
    if before.ndim == 0 or (is_identity(source) and is_identity(result)):
        return before
    rows = before[torch.tensor(result)]
    if not OPS[pair.small.op].makes_channels or before.ndim == 1:
        return rows
    groups = pair.large.attributes.get("groups", 1)
    return _share_columns(rows, torch.tensor(source), groups, generator)


def _share_columns(
    rows: torch.Tensor, source: torch.Tensor, groups: int, generator: torch.Generator
) -> torch.Tensor:
    """(out, narrow, *kernel) -> (out, wide, *kernel), where the copies of a column sum to it.

    `source` has the channel that each of the `groups * wide` input channels is a copy of.
    """
    import torch

    narrow, kernel = rows.shape[1], (1,) * (rows.ndim - 2)
    columns = (source.reshape(groups, -1) % narrow).repeat_interleave(len(rows) // groups, dim=0)
    draws = torch.rand(columns.shape, generator=generator, dtype=torch.float64)
    wanted = _MIN_DRAW + (_MAX_DRAW - _MIN_DRAW) * draws
    shares = wanted / _sums(wanted, columns, narrow).gather(1, columns)

    columns, shares = (each.reshape(*each.shape, *kernel) for each in (columns, shares))
    parts = (rows.take_along_dim(columns, 1) * shares).bfloat16().double()
    rest = rows - _sums(parts, columns.expand_as(parts), narrow)
    parts += torch.where(_is_last(columns), rest.take_along_dim(columns, 1), 0)
    return parts.to(rows.dtype)


def _sums(parts: torch.Tensor, columns: torch.Tensor, narrow: int) -> torch.Tensor:
    """The sum of the copies of each column."""
    sums = parts.new_zeros(len(parts), narrow, *parts.shape[2:])
    return sums.scatter_add(1, columns, parts)


def _is_last(columns: torch.Tensor) -> torch.Tensor:
    """Whether no copy of the same column follows in its row."""
    import torch

    places = torch.arange(columns.shape[1]).reshape(1, -1, *columns.shape[2:]).expand_as(columns)
    last = torch.zeros_like(columns).scatter_reduce(1, columns, places, "amax")
    return last.gather(1, columns) == places
