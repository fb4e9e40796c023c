"""The cost of any variant of a spec, or what the compiler has against it.

    costs = Costs(base_of("resnet50", {}), parse_space(["layer3.blocks=1..40"]))
    costs.of((10,))   ->   Figures(params=31_142_952, ...)

Variants that differ by numbers alone share one symbolic network; each choice of words, blocks or
sizes has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from resnetgen.graph.elaborate import elaborate
from resnetgen.graph.instantiate import instantiate
from resnetgen.graph.measure import measure
from resnetgen.language.diagnostics import SpecError
from resnetgen.sweep.evaluate import Evaluator, Figures, figures_of
from resnetgen.sweep.space import Space
from resnetgen.sweep.symbols import Base, symbolic, variant_document

MOST_NETWORKS = 128  # that are remembered at a time
MOST_JUDGED = 10_000  # faults that are remembered of one network


@dataclass(slots=True)
class _Family:
    """The networks of one choice of words: which numbers are names in them, and which are not."""

    named: tuple[int, ...]
    written: tuple[int, ...]
    networks: dict[tuple[int, ...], Evaluator | None] = field(default_factory=dict)


class Costs:
    """The costs of the variants of one spec; what they share is computed once."""

    def __init__(self, base: Base, space: Space) -> None:
        self.base = base
        self.space = space
        numeric = [factor.is_numeric for factor in space.factors]
        self.words = tuple(index for index, each in enumerate(numeric) if not each)
        self.numbers = tuple(index for index, each in enumerate(numeric) if each)
        self.families: dict[tuple[int, ...], _Family] = {}
        self.networks = 0

    def of(self, choice: Sequence[int]) -> Figures | str:
        """The figures of a variant, or the code and the message of its first fault."""
        evaluator = self.evaluator(choice)
        if evaluator is None:
            return self.compiled(choice)
        found = evaluator.figures(choice)
        if isinstance(found, Figures):
            return found
        judged = evaluator.judged.get(found.reason)
        if judged is not None:
            return judged
        verdict = self.compiled(choice)
        if isinstance(verdict, str) and found.reason is not None:
            if len(evaluator.judged) > MOST_JUDGED:
                evaluator.judged.clear()
            evaluator.judged[found.reason] = verdict
        return verdict

    def compile(self, choice: Sequence[int]) -> Figures:
        """The figures of a variant by compiling it, as every other command does. Raises SpecError."""
        network = elaborate(variant_document(self.base, self.space, choice))
        return figures_of(measure(network, instantiate(network)).cost)

    def compiled(self, choice: Sequence[int]) -> Figures | str:
        """The same, with the first fault as text."""
        try:
            return self.compile(choice)
        except SpecError as error:
            fault = error.diagnostics[0]
            return f"{fault.code}: {fault.message}"

    def evaluator(self, choice: Sequence[int]) -> Evaluator | None:
        """The network that a variant belongs to; None where no number in it can be a name."""
        family = self.family(choice)
        if not family.named:
            return None
        key = tuple([choice[index] for index in family.written])
        if key not in family.networks:
            self.make_room()
            family.networks[key] = self.network(choice, family.named)
            self.networks += 1
        return family.networks[key]

    def family(self, choice: Sequence[int]) -> _Family:
        """The family of a variant's words."""
        key = tuple([choice[index] for index in self.words])
        if key not in self.families:
            self.make_room()
            named = self.named(choice)
            written = tuple(index for index in self.numbers if index not in named)
            self.families[key] = _Family(named, written)
            self.networks += 1
        return self.families[key]

    def named(self, choice: Sequence[int]) -> tuple[int, ...]:
        """The numbers that are names in the networks of a choice of words."""
        try:
            return symbolic(self.base, self.space, choice, self.numbers).named
        except SpecError:
            return ()

    def network(self, choice: Sequence[int], named: tuple[int, ...]) -> Evaluator | None:
        """The network of a choice; None where not all of these numbers can be names in it."""
        try:
            found = symbolic(self.base, self.space, choice, named)
        except SpecError:
            return None
        return Evaluator(found, self.space) if found.named == named else None

    def make_room(self) -> None:
        """Forgets all networks once there are many."""
        if self.networks > MOST_NETWORKS:
            self.families.clear()
            self.networks = 0
