"""infer(checkpoint, ...) -> SearchResult: every network that keys and shapes of a file may belong to.

Three kinds of networks are tried, and the first kind with a match ends the search:

    published   a network of the library, unchanged
    resized     one with other depths, widths, groups, classes, input channels
    hybrid      one with the stem, block, attention, shortcut, norm or head of another

Each candidate is compiled as a whole and has exactly the tensors of the file. Candidates that
compute the same are one. What leaves no trace in tensors, such as a stride, makes several candidates
of one kind. Non-goal: combinations that no library network has; keys cannot rule those out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.ir.shape_rules import ShapeError
from resnetgen.weights.infer.checkpoint import CheckpointShapes, Signature, interpretations
from resnetgen.weights.infer.components import hybrids
from resnetgen.weights.infer.design import Design, DesignCompiler, equivalence_key
from resnetgen.weights.infer.families import Family, families, rebase_on_members
from resnetgen.weights.infer.prune import could_match, design_signatures
from resnetgen.weights.infer.solve import Solver, solve_depths
from resnetgen.weights.library_index import is_library_key

_NEAREST_FAMILIES = 3  # that are solved for the nearest design where nothing fits

Progress = Callable[[str], None]


@dataclass(frozen=True)
class SearchResult:
    """The candidates for a file, or the nearest design."""

    checkpoint: CheckpointShapes  # under the keys that fit
    candidates: tuple[Design, ...]
    nearest: Design | None  # where there is no candidate


def infer(
    checkpoint: CheckpointShapes, compiler: DesignCompiler, progress: Progress = lambda _: None
) -> SearchResult:
    """The candidates for a file under its own keys, else under those of a dialect; else the nearest."""
    nearest: tuple[float, CheckpointShapes, Design | None] = -1.0, checkpoint, None
    for each in interpretations(checkpoint):
        search = _Search(each, compiler)
        candidates = search.candidates(progress)
        if candidates:
            return SearchResult(each, candidates, None)
        design, similarity = search.nearest()
        nearest = max(nearest, (similarity, each, design), key=lambda found: found[0])
    return SearchResult(nearest[1], (), nearest[2])


class _Search:
    """The search for one interpretation of a file."""

    def __init__(self, checkpoint: CheckpointShapes, compiler: DesignCompiler) -> None:
        self.checkpoint = checkpoint
        self.compiler = compiler
        self.solver = Solver(checkpoint, compiler)
        self.solved: list[Design] = []

    @cached_property
    def families(self) -> list[Family]:
        """All families, the nearest first."""
        return sorted(families(), key=lambda each: len(self.own(each) ^ self.checkpoint.signatures))

    def own(self, family: Family) -> frozenset[Signature]:
        """The signatures of a family."""
        return design_signatures(family.representative, self.compiler)

    def candidates(self, progress: Progress) -> tuple[Design, ...]:
        """All candidates of the first kind that has any."""
        if not all(is_library_key(name) for name, *_ in self.checkpoint.signatures):
            return ()
        progress("comparing with the library")
        possible = [each for each in self.families if self.could_match(each.representative)]
        published = (design for family in possible for design in self.published(family))
        return self.verified(published) or self.resized(possible, progress) or self.hybrid(progress)

    def could_match(self, design: Design) -> bool:
        """Whether a design is worth solving."""
        return could_match(design, self.checkpoint, self.compiler)

    def published(self, family: Family) -> Iterator[Design]:
        """The members that have the depths of the file."""
        deep = solve_depths(family.representative, self.checkpoint, self.compiler)
        if deep:
            yield from (each for each in family.members if each.blocks == deep.blocks)

    def resized(self, possible: Iterable[Family], progress: Progress) -> tuple[Design, ...]:
        """Networks of the library with other hyperparameters."""
        designs = []
        for family in possible:
            progress(f"solving for the numbers of {family.representative.base}")
            designs += self.solve(family.representative, family)
        return self.verified(designs)

    def hybrid(self, progress: Progress) -> tuple[Design, ...]:
        """Networks of the library with components of others, and other hyperparameters."""
        family_of = {family.representative.base: family for family in self.families}
        bases = [family.representative for family in self.families]
        for number, designs in enumerate(hybrids(bases, self.checkpoint, self.compiler), 1):
            progress(f"solving for combinations of {number + 1} networks")
            candidates = self.verified(
                solved
                for design in filter(self.could_match, designs)
                for solved in self.solve(design, family_of[design.base])
            )
            if candidates:
                return candidates
        return ()

    def solve(self, design: Design, family: Family) -> list[Design]:
        """A design solved for the file, as overrides of members of its family; none without a match."""
        with suppress(SpecError, ShapeError):
            deep = solve_depths(design, self.checkpoint, self.compiler)
            if deep:
                solved = self.solver.solve(deep)
                self.solved.append(solved)
                if self.compiler.shapes(solved) == self.checkpoint.shapes:
                    affecting = self.solver.sensitivity(self.compiler.shorten(deep)).affected
                    return rebase_on_members(solved, family, affecting, self.compiler)
        return []

    def verified(self, designs: Iterable[Design]) -> tuple[Design, ...]:
        """The designs with the tensors of the file, of equivalent ones that with fewest overrides.

        If some have them in the order of the file, only those.
        """
        fitting: dict[object, Design] = {}
        for design in sorted(designs, key=lambda each: len(each.overrides)):
            with suppress(SpecError, ShapeError):
                key = equivalence_key(self.compiler.graph(self.compiler.shorten(design)))
                if key not in fitting and self.compiler.fits(design, self.checkpoint):
                    fitting[key] = design
        order = [*self.checkpoint.shapes]
        ordered = [
            each for each in fitting.values() if [*(self.compiler.shapes(each) or ())] == order
        ]
        return tuple(sorted(ordered or fitting.values(), key=lambda each: each.base))

    def nearest(self) -> tuple[Design | None, float]:
        """The solved design that shares most tensors with the file, and the share."""
        known = any(is_library_key(name) for name, *_ in self.checkpoint.signatures)
        for family in self.families[:_NEAREST_FAMILIES] if known else ():
            if self.own(family) & self.checkpoint.signatures:
                self.solve(family.representative, family)
        scored = [(self.compiler.similarity(each, self.checkpoint), each) for each in self.solved]
        similarity, design = max(scored, key=lambda pair: pair[0], default=(0.0, None))
        return design, similarity
