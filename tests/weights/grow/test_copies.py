"""Maps of channels."""

from __future__ import annotations

import pytest

from resnetgen.weights.grow.widen import ChannelMap, Grouping, copied_groups, spread


@pytest.mark.parametrize(
    ("before", "after", "grouping", "expected"),
    [
        (4, 4, Grouping(1, 1), (0, 1, 2, 3)),
        (4, 4, Grouping(2, 2), (0, 1, 2, 3)),
        (2, 5, Grouping(1, 1), (0, 1, 0, 1, 0)),
        (4, 8, Grouping(2, 2), (0, 1, 0, 1, 2, 3, 2, 3)),
        (4, 8, Grouping(2, 4), (0, 1, 2, 3, 0, 1, 2, 3)),
        (4, 9, Grouping(2, 3), (0, 1, 0, 2, 3, 2, 0, 1, 0)),
    ],
)
def test_spread_copies_groups_whole(
    before: int, after: int, grouping: Grouping, expected: ChannelMap
) -> None:
    channels = spread(before, after, grouping)
    assert channels == expected
    groups = copied_groups(channels, before, grouping)
    assert groups == tuple(n % grouping.before for n in range(grouping.after))


@pytest.mark.parametrize(
    ("channels", "grouping"),
    [
        ((0, 1, 2, 3, 0, 1, 2, 3), Grouping(2, 2)),  # mixed
        ((0, 0, 2, 3), Grouping(2, 2)),  # channel 1 has no copy
        ((0, 1, 0, 2, 3, 2), Grouping(2, 2, evenly=True)),
        ((0, 1, 2), Grouping(1, 1)),  # channel 3 has no copy
    ],
)
def test_groups_that_are_not_whole_copies(channels: ChannelMap, grouping: Grouping) -> None:
    assert copied_groups(channels, 4, grouping) is None
