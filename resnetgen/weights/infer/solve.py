"""Solves for the numbers of a design that give the shapes of a file: depths, then all others.

    solve_depths(design, ...)   layer3.0 to layer3.10 have tensors   ->  layer3: {blocks: 11}
    Solver(...).solve(design)   fc.weight: predicted 1000 x 2048,
                                in the file 10 x 2048                ->  head: {classes: 10}

Depths: the network is compiled with more blocks than it can have, and its paths are compared with
those of the file. A stage without any tensor in the file is deleted.

Hyperparameters: compiling the design with one of them changed shows which dimensions it affects.
The first mismatched dimension is solved for each hyperparameter that affects it, and a best-first
search continues from there until the least change that explains every shape is found. A later
tensor decides between two changes that explain an earlier one. One hyperparameter may be solved for
several times: `groups` and `base_width` can only be found together.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from math import log2

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.weights.infer.checkpoint import CheckpointShapes
from resnetgen.weights.infer.design import Design, DesignCompiler, SpecPath
from resnetgen.weights.infer.hyperparameters import Hyperparameter, hyperparameters_of
from resnetgen.weights.match import Shape

Dim = tuple[str, int]  # a key, and an axis of its tensor
Assignment = Mapping[SpecPath, int]  # the counts that differ from those of the design

_MAX_STATES = 60  # of a search
_MISMATCH_COST = 32  # of a state in which all dimensions are wrong: the search is greedy
_MAX_DENOMINATOR = 1024  # of a ratio


# --- depths


def solve_depths(
    design: Design, checkpoint: CheckpointShapes, compiler: DesignCompiler
) -> Design | None:
    """The design with the depths of the file; None where it does not compile with them."""
    with suppress(SpecError):
        for stage in design.blocks:  # in order: paths may count the blocks of earlier stages
            most = checkpoint.max_blocks
            paths = compiler.stage_paths(design.with_blocks({stage: most}), stage)
            if not paths:
                return None
            known = checkpoint.module_paths
            there = next((i for i, path in enumerate(paths) if path not in known), len(paths))
            design = design.with_blocks({stage: there * most // len(paths)})
        return design
    return None


# --- hyperparameters


@dataclass(frozen=True)
class Sensitivity:
    """The hyperparameters of a design, and the dimensions that each one affects."""

    hyperparameters: Mapping[SpecPath, Hyperparameter]
    affected: Mapping[SpecPath, frozenset[Dim]]  # without those that affect none

    def affecting(self, dim: Dim) -> list[Hyperparameter]:
        """The hyperparameters that affect a dimension."""
        return [self.hyperparameters[path] for path, dims in self.affected.items() if dim in dims]

    def apply(self, design: Design, assignment: Assignment) -> Design:
        """The design with other counts."""
        known = self.hyperparameters
        return design.with_overrides(
            {path: known[path].as_yaml(number) for path, number in assignment.items()}
        )

    def cost(self, assignment: Assignment) -> float:
        """The size of a change: 1 for each name, and its octaves in the stage where it changes most."""
        octaves: dict[str, float] = {}
        for path, number in assignment.items():
            name, before = self.hyperparameters[path].name, self.hyperparameters[path].count
            octaves[name] = max(octaves.get(name, 0), abs(log2(number / before)))
        return sum(1 + each for each in octaves.values())


def mismatched_dims(predicted: Mapping[str, Shape], other: Mapping[str, Shape]) -> Iterator[Dim]:
    """The dimensions that differ between tensors that both have, in the order of the first."""
    for key, shape in predicted.items():
        if key in other and len(other[key]) == len(shape):
            sizes = enumerate(zip(shape, other[key], strict=True))
            yield from ((key, axis) for axis, (one, two) in sizes if one != two)


class Solver:
    """Solves designs for one file. Designs with equal shapes and hyperparameters share a solution."""

    def __init__(self, checkpoint: CheckpointShapes, compiler: DesignCompiler) -> None:
        self.checkpoint = checkpoint
        self.compiler = compiler
        self._sensitivities: dict[object, Sensitivity] = {}
        self._solutions: dict[object, Assignment] = {}

    def solve(self, design: Design) -> Design:
        """The design with the counts that explain every shape, or as many as possible.

        Raises SpecError where the design does not compile.
        """
        short = self.compiler.shorten(design)
        shapes = self.compiler.shapes(short) or {}
        if not self._mismatches(short) or self._has_other_ranks(shapes):
            return design
        for by_stage in (False,) if design.replaced else (False, True):
            sensitivity = self.sensitivity(short, by_stage)
            for key, axis in self._mismatches(short):
                if axis < 2 and not sensitivity.affecting((key, axis)):
                    return design  # no hyperparameter explains it
            solution = self._solution(short, sensitivity)
            if not self._mismatches(sensitivity.apply(short, solution)):
                break
        return sensitivity.apply(design, solution)

    def sensitivity(self, design: Design, by_stage: bool = False) -> Sensitivity:
        """What each hyperparameter affects; `by_stage`: those of blocks in each single stage too."""
        network, _ = self.compiler.body(design)
        known = hyperparameters_of(design.tree, network, by_stage)
        key = self._key(design, known)
        if key not in self._sensitivities:
            dims = {path: self.affected_dims(design, each) for path, each in known.items()}
            affected = {path: each for path, each in dims.items() if each}
            self._sensitivities[key] = Sensitivity(known, affected)
        return self._sensitivities[key]

    def affected_dims(self, design: Design, hyperparameter: Hyperparameter) -> frozenset[Dim]:
        """The dimensions that differ with another count."""
        before = self.compiler.shapes(design) or {}
        for number in hyperparameter.probe_counts:
            value = hyperparameter.as_yaml(number)
            after = self.compiler.shapes(design.with_overrides({hyperparameter.path: value}))
            if after is not None:
                return frozenset(mismatched_dims(before, after))
        return frozenset()

    def _solution(self, design: Design, sensitivity: Sensitivity) -> Assignment:
        key = self._key(design, sensitivity.hyperparameters)
        if key not in self._solutions:
            search = _BestFirstSearch(design, sensitivity, self.checkpoint, self.compiler)
            self._solutions[key] = search.run()
        return self._solutions[key]

    def _mismatches(self, design: Design) -> list[Dim]:
        shapes = self.compiler.shapes(design) or {}
        return list(mismatched_dims(shapes, self.checkpoint.shapes))

    def _has_other_ranks(self, shapes: Mapping[str, Shape]) -> bool:
        """Whether a tensor has another rank in the file, which no hyperparameter explains."""
        common = shapes.keys() & self.checkpoint.shapes.keys()
        return any(len(shapes[key]) != len(self.checkpoint.shapes[key]) for key in common)

    def _key(self, design: Design, known: Mapping[SpecPath, Hyperparameter]) -> object:
        shapes = self.compiler.shapes(design) or {}
        return tuple(shapes.items()), tuple(known.values())


class _BestFirstSearch:
    """A search over assignments; next is the one with the smallest change and fewest mismatches."""

    def __init__(
        self,
        design: Design,
        sensitivity: Sensitivity,
        checkpoint: CheckpointShapes,
        compiler: DesignCompiler,
    ) -> None:
        self.design = design
        self.sensitivity = sensitivity
        self.checkpoint = checkpoint
        self.compiler = compiler

    def run(self) -> Assignment:
        """The assignment that explains every shape; else the one that leaves fewest mismatches."""
        order = count()  # of two equally good states, the first found comes first
        mismatches = self.mismatches({})
        nearest: tuple[int, Assignment] = len(mismatches), {}
        weight = _MISMATCH_COST / max(1, len(mismatches))
        queue: list[tuple[float, int, Assignment]] = [(0, next(order), {})]
        seen: set[frozenset[tuple[SpecPath, int]]] = set()
        while queue and len(seen) < _MAX_STATES:
            *_, state = heapq.heappop(queue)
            mismatches = self.mismatches(state)
            if not mismatches:
                return state
            nearest = min(nearest, (len(mismatches), state), key=lambda each: each[0])
            solvable = (dim for dim in mismatches if self.sensitivity.affecting(dim))
            for after in self.successors(state, next(solvable, mismatches[0])):
                if frozenset(after.items()) not in seen:
                    seen.add(frozenset(after.items()))
                    cost = self.sensitivity.cost(after) + weight * len(self.mismatches(after))
                    heapq.heappush(queue, (cost, next(order), after))
        return nearest[1]

    def successors(self, state: Assignment, dim: Dim) -> Iterator[Assignment]:
        """The states in which a change of one more count gives a dimension the size in the file."""
        for each in self.sensitivity.affecting(dim):
            number = self.solve_for(state, each, dim)
            if number == each.count:
                yield {path: n for path, n in state.items() if path != each.path}
            elif number is not None:
                yield {**state, each.path: number}

    def solve_for(self, state: Assignment, hyperparameter: Hyperparameter, dim: Dim) -> int | None:
        """The count that gives a dimension its size: by proportion, else by bisection."""
        key, axis = dim
        target, size = self.checkpoint.shapes[key][axis], self.size(state, dim)
        if not size or not target:
            return None
        path, now = hyperparameter.path, state.get(hyperparameter.path, hyperparameter.count)
        for guess in (round(now * target / size), round(now * size / target)):
            if guess and self.size({**state, path: guess}, dim) == target:
                return guess
        return self.bisect(state, path, dim, target) if hyperparameter.is_reciprocal else None

    def bisect(self, state: Assignment, path: SpecPath, dim: Dim, target: int) -> int | None:
        """The same for a ratio: the size falls with its denominator, in steps, as blocks round it."""

        def falling(denominator: int) -> int:
            return -(self.size({**state, path: denominator}, dim) or 0)

        found = 1 + bisect_left(range(1, _MAX_DENOMINATOR), -target, key=falling)
        return found if falling(found) == -target else None

    def shapes(self, state: Assignment) -> Mapping[str, Shape] | None:
        """What the design predicts with other counts."""
        return self.compiler.shapes(self.sensitivity.apply(self.design, state))

    def mismatches(self, state: Assignment) -> list[Dim]:
        """The dimensions that are then wrong."""
        return list(mismatched_dims(self.shapes(state) or {}, self.checkpoint.shapes))

    def size(self, state: Assignment, dim: Dim) -> int | None:
        """The size of a dimension; None where the design does not compile or lacks the tensor."""
        shapes = self.shapes(state)
        if shapes is None or dim[0] not in shapes:
            return None
        return shapes[dim[0]][dim[1]]
