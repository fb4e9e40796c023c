"""transfer(state, small, pairing, maps) -> Growth: the tensors of the larger network, in place.

    layer1.0.conv1.weight   rows copied, columns shared among the copies of a channel
    layer1.0.bn1.weight     copied with its channel, like the statistics
    layer3.6.bn3.weight     zero: the added block is the identity

The columns that read copies of one channel take unequal shares of its column, other ones in each
row. With equal shares the copies would get equal gradients and stay equal for ever, and the added
width would learn nothing (Chen et al. 2015, section 2.2, add noise for that; shares change nothing).
All shares but the last have few bits, so that they sum to the column without a rounding error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.flatten import weights
from resnetgen.weights.grow.pair import Pair, Pairing
from resnetgen.weights.grow.widen import ChannelMap, is_identity

if TYPE_CHECKING:
    import torch

SEED = 0
_LEAST, _MOST = 0.5, 1.5  # of the random numbers that shares are in proportion to


@dataclass(frozen=True, slots=True)
class Growth:
    """How many tensors of the larger network came from where."""

    moved: int  # as they were
    widened: int
    zeroed: int
    fresh: int  # of added blocks, at their initial weights


def transfer(
    state: Mapping[str, torch.Tensor],
    small: Mapping[str, torch.Tensor],
    pairing: Pairing,
    maps: Mapping[str, ChannelMap],
) -> Growth:
    """Overwrites the state_dict of the larger network, whose initial weights added blocks keep."""
    import torch

    axes = len(pairing.ends.large.input.size)
    seeded = torch.Generator().manual_seed(SEED)
    moved = widened = zeroed = 0
    for pair in pairing.pairs:
        for each in weights(pair.large, axes):
            before = small[f"{pair.small.module}.{each.name}"]
            after = _widened(before, pair, maps, seeded)
            state[f"{pair.large.module}.{each.name}"].copy_(after)
            moved += after is before
            widened += after is not before
    for node in pairing.zeroed:
        for each in weights(node, axes):
            if each.trained:
                state[f"{node.module}.{each.name}"].zero_()
                zeroed += 1
    return Growth(moved, widened, zeroed, len(state) - moved - widened - zeroed)


def _widened(
    before: torch.Tensor, pair: Pair, maps: Mapping[str, ChannelMap], seeded: torch.Generator
) -> torch.Tensor:
    """The tensor with copied rows and shared columns; itself where there is nothing to copy."""
    import torch

    source, result = maps[pair.inputs[0]], maps[pair.small.name]
    if before.ndim == 0 or (is_identity(source) and is_identity(result)):
        return before
    rows = before[torch.tensor(result)]
    if not OPS[pair.small.op].makes_channels or before.ndim == 1:
        return rows
    return _shared(rows, torch.tensor(source), pair.large.attributes.get("groups", 1), seeded)


def _shared(
    rows: torch.Tensor, source: torch.Tensor, groups: int, seeded: torch.Generator
) -> torch.Tensor:
    """(out, narrow, *kernel) -> (out, wide, *kernel): every row sums to what it was.

    `source` says of which channel each of the `groups * wide` channels read is a copy.
    """
    import torch

    narrow, kernel = rows.shape[1], (1,) * (rows.ndim - 2)
    columns = (source.reshape(groups, -1) % narrow).repeat_interleave(len(rows) // groups, dim=0)
    draws = torch.rand(columns.shape, generator=seeded, dtype=torch.float64)
    wanted = _LEAST + (_MOST - _LEAST) * draws
    shares = wanted / _sums(wanted, columns, narrow).gather(1, columns)

    columns, shares = (each.reshape(*each.shape, *kernel) for each in (columns, shares))
    parts = (rows.take_along_dim(columns, 1) * shares).bfloat16().double()
    rest = rows - _sums(parts, columns.expand_as(parts), narrow)
    parts += torch.where(_is_last(columns), rest.take_along_dim(columns, 1), 0)
    return parts.to(rows.dtype)


def _sums(parts: torch.Tensor, columns: torch.Tensor, narrow: int) -> torch.Tensor:
    """The parts of each column, added up."""
    sums = parts.new_zeros(len(parts), narrow, *parts.shape[2:])
    return sums.scatter_add(1, columns, parts)


def _is_last(columns: torch.Tensor) -> torch.Tensor:
    """Whether no copy of the same column comes after it in its row."""
    import torch

    places = torch.arange(columns.shape[1]).reshape(1, -1, *columns.shape[2:]).expand_as(columns)
    last = torch.zeros_like(columns).scatter_reduce(1, columns, places, "amax")
    return last.gather(1, columns) == places
