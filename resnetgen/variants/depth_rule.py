"""DepthRule: which repeats a network has at another depth. Integers only; it knows no network.

    base 3-4-6-3, 3 layers a block, 2 besides     depth 77  ->  3-4-15-3
    base 3-3-3, 2 layers a block, 2 besides       depth 40  ->  6-7-6

If all stages of the base have the same number of blocks, they stay as equal as possible. Otherwise
blocks are added to the stage that has the most in the base, and removed from the stage that has the
most at that point. Among equal stages the last but one is the first to get a block and the last to
lose one, as papers put most of their blocks there; then come those before it, backwards, and
finally the last stage.

The ladder of a rule has a rung for each total number of blocks, one block above the rung below it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cache
from math import gcd

Repeats = tuple[int, ...]  # blocks of each stage

DEEPEST = 10_000  # layers


@dataclass(frozen=True, slots=True)
class DepthRule:
    """How a network gets deeper: the blocks of its stages, and the layers that each block adds."""

    base: Repeats
    layers: Repeats  # of one block of each stage, at least 1
    rest: int  # layers of the stem and the head

    @property
    def is_even(self) -> bool:
        """Whether all stages of the base have the same number of blocks."""
        return len(self.base) > 1 and len(set(self.base)) == 1

    @property
    def order(self) -> Repeats:
        """The stages in the order in which they get a block."""
        *front, last = range(len(self.base))
        return (*reversed(front), last)

    @property
    def fullest(self) -> int:
        """The stage with the most blocks in the base."""
        return max(self.order, key=lambda stage: self.base[stage])

    @property
    def least(self) -> int:
        """The depth with one block in each stage."""
        return self.rest + sum(self.layers)

    def depth(self, repeats: Repeats) -> int:
        """Layers of a network with these repeats."""
        pairs = zip(self.layers, repeats, strict=True)
        return self.rest + sum(layers * count for layers, count in pairs)

    def rung(self, blocks: int) -> Repeats:
        """The repeats with a total number of blocks, at least one in each stage."""
        surplus = blocks - sum(self.base)
        if self.is_even:
            return self._level((blocks,) * len(self.base), blocks)
        if surplus <= 0:
            return self._level(self.base, blocks)
        return _more(self.base, self.fullest, surplus)

    def _level(self, most: Repeats, blocks: int) -> Repeats:
        """A total number of blocks, by removing from `most` those of the fullest stages."""

        def at(level: int) -> Repeats:
            return tuple(min(each, level) for each in most)

        repeats = at(bisect_left(range(max(most)), blocks, key=lambda level: sum(at(level))))
        surplus, highest = sum(repeats) - blocks, max(repeats)
        full = [stage for stage in reversed(self.order) if repeats[stage] == highest]
        for stage in full[:surplus]:
            repeats = _more(repeats, stage, -1)
        return repeats

    def highest_rung(self, depth: int) -> int:
        """The most blocks with which a network is no deeper than this, which is at least `least`."""
        blocks = range(len(self.base), depth + 1)
        within = bisect_right(blocks, depth, key=lambda count: self.depth(self.rung(count)))
        return blocks[within - 1]

    def repeats(self, depth: int) -> Repeats | None:
        """The repeats for a depth; None where there are none.

        They are a rung of the ladder. Where the blocks of stages differ in depth, it is the highest
        rung from which some more blocks reach the depth, and as few of these as possible.
        """
        if not self.reaches(depth):
            return None
        sums = _fewest_blocks(self.layers, self.order)
        for blocks in range(self.highest_rung(depth), 0, -1):
            rung = self.rung(blocks)
            more = sums[depth - self.depth(rung)]
            if more:
                return tuple(map(sum, zip(rung, more, strict=True)))
        raise AssertionError("a depth that can be reached is reached from one block in each stage")

    def reaches(self, depth: int) -> bool:
        """Whether any repeats have this depth."""
        over, sums = depth - self.least, _fewest_blocks(self.layers, self.order)
        if over >= len(sums):
            return over % gcd(*self.layers) == 0
        return over >= 0 and sums[over] is not None

    def below(self, depth: int) -> int | None:
        """The next smaller depth that can be reached."""
        return next(filter(self.reaches, range(depth - 1, self.least - 1, -1)), None)

    def above(self, depth: int) -> int:
        """The next larger depth that can be reached."""
        start = max(depth + 1, self.least)
        return next(filter(self.reaches, range(start, start + min(self.layers))))


def _more(repeats: Repeats, stage: int, blocks: int) -> Repeats:
    return (*repeats[:stage], repeats[stage] + blocks, *repeats[stage + 1 :])


@cache
def _fewest_blocks(layers: Repeats, order: Repeats) -> tuple[Repeats | None, ...]:
    """The fewest blocks whose layers add up to 0, 1, 2, ...; None where none do.

    Up to the square of the largest number: beyond it all multiples of the greatest common divisor
    are sums (the bound of I. Schur on the Frobenius number; A. Brauer, 1942).
    """
    table: list[Repeats | None] = [(0,) * len(layers)]
    for total in range(1, max(layers) ** 2 + 1):
        options = [
            _more(known, stage, 1)
            for stage in order
            if total >= layers[stage] and (known := table[total - layers[stage]])
        ]
        table.append(min(options, key=sum, default=None))
    return tuple(table)
