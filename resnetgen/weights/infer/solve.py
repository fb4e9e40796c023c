"""Solver(held, trials).solve(design): the numbers of a spec that give the shapes of a file.

    fc.weight: predicted 1000 x 2048, held 10 x 2048   ->   head.classes = 10

The first tensor of another shape says which size is wrong. A trial of each number says which sizes
it moves; those that move the wrong one are solved for it, one at a time, and the least change that
explains every shape wins. A later tensor decides between two that explain the first; a
number may be solved again, since `groups` and `base_width` can only be told together.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from math import log2

from resnetgen.weights.infer.checkpoint import CheckpointShapes
from resnetgen.weights.infer.design import Design, Path, Trials
from resnetgen.weights.infer.numbers import Number, numbers_of
from resnetgen.weights.match import Shape

Size = tuple[str, int]  # a key, and one of the axes of its tensor
Counts = Mapping[Path, int]  # the numbers that are not as the design has them

_MOST_STATES = 60  # of the search
_WRONG = 32  # what it costs that all sizes are wrong, in octaves: the search is a greedy one
_FEWEST = 1024  # a share is no smaller than one part in so many


@dataclass(frozen=True)
class Numbers:
    """The numbers of a design that bear on shapes, and the sizes that each moves."""

    known: Mapping[Path, Number]
    moved: Mapping[Path, frozenset[Size]]

    def moving(self, size: Size) -> list[Number]:
        """The numbers that move a size."""
        return [self.known[path] for path, sizes in self.moved.items() if size in sizes]

    def design(self, design: Design, counts: Counts) -> Design:
        """A design with other numbers."""
        return design.setting({path: self.known[path].text(n) for path, n in counts.items()})

    def cost(self, counts: Counts) -> float:
        """How much has changed: each name, and by how many octaves in the stage where it is most."""
        octaves: dict[str, float] = {}
        for path, number in counts.items():
            name, before = self.known[path].name, self.known[path].count
            octaves[name] = max(octaves.get(name, 0), abs(log2(number / before)))
        return sum(1 + each for each in octaves.values())


def differences(one: Mapping[str, Shape], other: Mapping[str, Shape]) -> Iterator[Size]:
    """The sizes that differ of tensors that both have, in the order of the first."""
    for key, shape in one.items():
        if key in other and len(other[key]) == len(shape):
            pairs = enumerate(zip(shape, other[key], strict=True))
            yield from ((key, axis) for axis, (mine, yours) in pairs if mine != yours)


class Solver:
    """Solves designs for one file. Those that predict the same of the same numbers are solved once."""

    def __init__(self, held: CheckpointShapes, trials: Trials) -> None:
        self.held = held
        self.trials = trials
        self._bearing: dict[object, Numbers] = {}
        self._solved: dict[object, Counts] = {}

    def solve(self, design: Design) -> Design:
        """The design with the numbers that explain every shape, or as many as can be.

        Raises SpecError where the design does not compile.
        """
        cut = self.trials.cut(design)
        shapes = self.trials.shapes(cut) or {}
        if not any(differences(shapes, self.held.shapes)) or self._is_other(shapes):
            return design
        for by_stage in (False,) if design.parts else (False, True):
            numbers = self.bearing(cut, by_stage)
            wrong = differences(shapes, self.held.shapes)
            if any(axis < 2 and not numbers.moving((key, axis)) for key, axis in wrong):
                return design  # no number explains that
            known = self._key(cut, numbers.known)
            if known not in self._solved:
                self._solved[known] = _Search(cut, numbers, self.held, self.trials).best()
            found = numbers.design(cut, self._solved[known])
            if not any(differences(self.trials.shapes(found) or {}, self.held.shapes)):
                break
        return numbers.design(design, self._solved[known])

    def bearing(self, design: Design, by_stage: bool = False) -> Numbers:
        """The numbers of a design that move any size; `by_stage`: those of blocks in each stage too."""
        network, _ = self.trials.body(design)
        known = numbers_of(design.tree, network, by_stage)
        key = self._key(design, known)
        if key not in self._bearing:
            moved = {path: self.moved(design, number) for path, number in known.items()}
            self._bearing[key] = Numbers(
                known, {path: each for path, each in moved.items() if each}
            )
        return self._bearing[key]

    def moved(self, design: Design, number: Number) -> frozenset[Size]:
        """The sizes that a number moves."""
        before = self.trials.shapes(design) or {}
        for other in number.others:
            after = self.trials.shapes(design.setting({number.path: number.text(other)}))
            if after is not None:
                return frozenset(differences(before, after))
        return frozenset()

    def _is_other(self, shapes: Mapping[str, Shape]) -> bool:
        """Whether a tensor has another number of axes in the file: no number explains that."""
        both = shapes.keys() & self.held.shapes.keys()
        return any(len(shapes[key]) != len(self.held.shapes[key]) for key in both)

    def _key(self, design: Design, known: Mapping[Path, Number]) -> object:
        shapes = self.trials.shapes(design) or {}
        return tuple(shapes.items()), tuple(known.values())


class _Search:
    """A walk over states of the numbers, the one first that changes fewest and is least wrong."""

    def __init__(
        self, design: Design, numbers: Numbers, held: CheckpointShapes, trials: Trials
    ) -> None:
        self.design = design
        self.numbers = numbers
        self.held = held
        self.trials = trials

    def best(self) -> Counts:
        """The numbers that explain every shape; where none do, those that leave fewest wrong."""
        order = count()  # of states that are equally good, the first found is looked at first
        wrong = self.wrong({})
        nearest: tuple[int, Counts] = len(wrong), {}
        weight = _WRONG / max(1, len(wrong))
        todo: list[tuple[float, int, Counts]] = [(0, next(order), {})]
        seen: set[frozenset[tuple[Path, int]]] = set()
        while todo and len(seen) < _MOST_STATES:
            *_, counts = heapq.heappop(todo)
            wrong = self.wrong(counts)
            if not wrong:
                return counts
            nearest = min(nearest, (len(wrong), counts), key=lambda each: each[0])
            first = next((size for size in wrong if self.numbers.moving(size)), wrong[0])
            for after in self.after(counts, first):
                if frozenset(after.items()) not in seen:
                    seen.add(frozenset(after.items()))
                    cost = self.numbers.cost(after) + weight * len(self.wrong(after))
                    heapq.heappush(todo, (cost, next(order), after))
        return nearest[1]

    def shapes(self, counts: Counts) -> Mapping[str, Shape] | None:
        return self.trials.shapes(self.numbers.design(self.design, counts))

    def wrong(self, counts: Counts) -> list[Size]:
        return list(differences(self.shapes(counts) or {}, self.held.shapes))

    def after(self, counts: Counts, size: Size) -> Iterator[Counts]:
        """The states in which one more number has made a size what it is in the file."""
        for number in self.numbers.moving(size):
            found = self.solved(counts, number, size)
            if found is not None and found != number.count:
                yield {**counts, number.path: found}
            elif found is not None:
                yield {path: n for path, n in counts.items() if path != number.path}

    def solved(self, counts: Counts, number: Number, size: Size) -> int | None:
        """The count of a number that makes a size right: in proportion, else by bisection."""
        target = self.held.shapes[size[0]][size[1]]
        here, now = self.size(counts, size), counts.get(number.path, number.count)
        if not here or not target:
            return None
        for guess in (round(now * target / here), round(now * here / target)):
            if guess and self.size({**counts, number.path: guess}, size) == target:
                return guess
        return self.bisected(counts, number, size, target) if number.is_share else None

    def bisected(self, counts: Counts, number: Number, size: Size, target: int) -> int | None:
        """A size falls as its share does, in steps: blocks round to whole multiples."""

        def at(parts: int) -> int:
            return -(self.size({**counts, number.path: parts}, size) or 0)

        found = 1 + bisect_left(range(1, _FEWEST), -target, key=at)
        return found if at(found) == -target else None

    def size(self, counts: Counts, size: Size) -> int | None:
        """A size with other numbers; None where the design does not compile so."""
        shapes = self.shapes(counts)
        if shapes is None or size[0] not in shapes:
            return None
        return shapes[size[0]][size[1]]
