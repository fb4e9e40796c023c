"""infer(held) -> Outcome: every network that the keys and shapes of a file may belong to.

Three kinds are looked for, and the first that there is ends the search:

    as published    a network of the library, unchanged
    in numbers      one with other depths, widths, groups, classes, input channels
    in parts        one with the stem, block, attention, shortcut, norm or head of another

Each candidate is compiled whole and holds exactly the tensors of the file. Those that compute the
same are one. What no tensor shows, such as a stride, makes several candidates of one kind; what
nobody published cannot be excluded by keys, and is not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.ir.shape_rules import ShapeError
from resnetgen.weights.infer.checkpoint import CheckpointShapes, in_own_names
from resnetgen.weights.infer.depth import with_depths
from resnetgen.weights.infer.design import Design, Trials, meaning
from resnetgen.weights.infer.families import Family, could_match, families, from_members, kinds
from resnetgen.weights.infer.parts import mixed
from resnetgen.weights.infer.solve import Solver

_NEAR = 3  # families whose nearest design is told where nothing fits


@dataclass(frozen=True)
class SearchResult:
    """What was found of a file."""

    held: CheckpointShapes  # under the names that fit
    candidates: tuple[Design, ...]
    nearest: Design | None  # where there is no candidate


def infer(
    held: CheckpointShapes, trials: Trials, progress: Callable[[str], None] = lambda _: None
) -> SearchResult:
    """The candidates for a file, in its own names or in those of a dialect; else the nearest."""
    nearest: tuple[float, CheckpointShapes, Design | None] = -1.0, held, None
    for reading in in_own_names(held):
        search = _Search(reading, trials)
        found = search.candidates(progress)
        if found:
            return SearchResult(reading, found, None)
        design, alike = search.nearest()
        nearest = max(nearest, (alike, reading, design), key=lambda each: each[0])
    return SearchResult(nearest[1], (), nearest[2])


class _Search:
    """The search for one reading of a file."""

    def __init__(self, held: CheckpointShapes, trials: Trials) -> None:
        self.held = held
        self.trials = trials
        self.solver = Solver(held, trials)
        self.families = sorted(families(), key=self.unlikeness)
        self.tried: list[Design] = []

    def unlikeness(self, family: Family) -> int:
        """How many kinds of tensors only one side has."""
        return len(kinds(family.head, self.trials) ^ self.held.kinds)

    def candidates(self, progress: Callable[[str], None]) -> tuple[Design, ...]:
        """All candidates of the first kind that there is."""
        progress("comparing with the library")
        alike = [each for each in self.families if could_match(each.head, self.held, self.trials)]
        published = self.settled(each for family in alike for each in self.unchanged(family))
        return published or self.in_numbers(alike, progress) or self.in_parts(progress)

    def unchanged(self, family: Family) -> Iterator[Design]:
        """The members that have the depths of the file."""
        deep = with_depths(family.head, self.held, self.trials)
        if deep:
            yield from (each for each in family.members if each.blocks == deep.blocks)

    def in_numbers(
        self, alike: Iterable[Family], progress: Callable[[str], None]
    ) -> tuple[Design, ...]:
        """Networks of the library with other numbers."""
        found = []
        for family in alike:
            progress(f"solving for the numbers of {family.head.base}")
            found += self.fitted(family.head, family)
        return self.settled(found)

    def in_parts(self, progress: Callable[[str], None]) -> tuple[Design, ...]:
        """Networks of the library with parts of others, and other numbers."""
        own = {family.head.base: family for family in self.families}
        heads = [family.head for family in self.families]
        for number, designs in enumerate(mixed(heads, self.held, self.trials), 1):
            progress(f"solving for the numbers of mixtures of {number + 1}")
            fitting = (each for each in designs if could_match(each, self.held, self.trials))
            found = self.settled(
                each for design in fitting for each in self.fitted(design, own[design.base])
            )
            if found:
                return found
        return ()

    def fitted(self, design: Design, family: Family) -> list[Design]:
        """A design of a family with the depths and numbers of the file, told from each member."""
        with suppress(SpecError, ShapeError):
            deep = with_depths(design, self.held, self.trials)
            if deep:
                solved = self.solver.solve(deep)
                self.tried.append(solved)
                if self.trials.shapes(solved) == self.held.shapes:
                    bearing = self.solver.bearing(self.trials.cut(deep)).moved
                    return from_members(solved, family, bearing, self.trials)
        return []

    def settled(self, designs: Iterable[Design]) -> tuple[Design, ...]:
        """Those that hold the tensors of the file, of equal ones the one with fewest changes.

        Where the order of the file is that of some, the others are not its network.
        """
        found: dict[object, Design] = {}
        for design in sorted(designs, key=lambda each: len(each.changes)):
            with suppress(SpecError, ShapeError):
                what = meaning(self.trials.graph(self.trials.cut(design)))
                if what not in found and self.trials.holds(design, self.held):
                    found[what] = design
        candidates = [*found.values()]
        order = [*self.held.shapes]
        ordered = [each for each in candidates if [*(self.trials.shapes(each) or ())] == order]
        return tuple(sorted(ordered or candidates, key=lambda each: each.base))

    def nearest(self) -> tuple[Design | None, float]:
        """The design that shares most tensors with the file, and which share."""
        for family in self.families[:_NEAR]:
            self.fitted(family.head, family)
        alike = [(self.trials.likeness(each, self.held), each) for each in self.tried]
        best = max(alike, key=lambda pair: pair[0], default=(0.0, None))
        return best[1], best[0]
