"""ChannelMap: of which channel of the smaller network each channel of the larger one is a copy.

spread(4, 8, Grouping(1, 1))  ->  0 1 2 3 0 1 2 3
spread(4, 8, Grouping(2, 2))  ->  0 1 0 1 2 3 2 3     the two groups stay apart, each twice as wide
spread(4, 8, Grouping(2, 4))  ->  0 1 2 3 0 1 2 3     the groups are copied whole
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

ChannelMap = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Into how many groups an op divides channels, in the smaller and in the larger network.

    `evenly`: it sums over a group, so that each of its channels needs as many copies.
    """

    before: int
    after: int
    evenly: bool = False


def spread(before: int, after: int, grouping: Grouping) -> ChannelMap:
    """Groups are copied in turn, and the channels of each in turn."""
    narrow, wide = before // grouping.before, after // grouping.after
    return tuple(
        group % grouping.before * narrow + channel % narrow
        for group in range(grouping.after)
        for channel in range(wide)
    )


def copied_groups(channels: ChannelMap, before: int, grouping: Grouping) -> tuple[int, ...] | None:
    """The group that each group of the larger network is a whole copy of; None where one is none.

    `before` is the number of channels in the smaller network. Whole: each channel of the group, and
    none of another, has a copy.
    """
    narrow, wide = before // grouping.before, len(channels) // grouping.after
    found = []
    for start in range(0, len(channels), wide):
        copies = Counter(channels[start : start + wide])
        group = min(copies) // narrow
        whole = copies.keys() == {*range(group * narrow, (group + 1) * narrow)}
        if not whole or (grouping.evenly and len({*copies.values()}) > 1):
            return None
        found.append(group)
    return tuple(found)


def is_identity(channels: ChannelMap) -> bool:
    """Whether every channel stays what and where it was."""
    return channels == tuple(range(len(channels)))
