"""The cost of any variant of a spec, or what the compiler has against it.

    costs = Costs(base_of("resnet50", {}), parse_space(["layer3.blocks=1..40"]))
    costs.of((10,))   ->   Figures(params=31_142_952, ...)

Variants that differ by numbers alone share one symbolic network; each choice of words, blocks or
sizes has its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.infer_types import measure
from resnetgen.compiler.passes.instantiate import instantiate
from resnetgen.reports.sweep.evaluate import Evaluator, Figures, figures_of
from resnetgen.reports.sweep.space import Space
from resnetgen.reports.sweep.symbols import Base, symbolic, variant_document

MOST_NETWORKS = 128  # that are remembered at a time
MOST_JUDGED = 10_000  # faults that are remembered of one network

Choice = tuple[int, ...]  # of some factors


class Costs:
    """The costs of the variants of one spec; what they share is computed once."""

    def __init__(self, base: Base, space: Space) -> None:
        self.base = base
        self.space = space
        numeric = [factor.is_numeric for factor in space.factors]
        self.words = tuple(index for index, each in enumerate(numeric) if not each)
        self.numbers = tuple(index for index, each in enumerate(numeric) if each)
        # By the choice of words: the numbers that are names in its networks, and those that are not.
        self.split: dict[Choice, tuple[Choice, Choice]] = {}
        # By the choice of words and of the numbers that are not.
        self.networks: dict[tuple[Choice, Choice], Evaluator | None] = {}

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
        words = tuple([choice[index] for index in self.words])
        if words not in self.split:
            self.make_room()
            named = self.names_in(choice)
            self.split[words] = named, tuple(each for each in self.numbers if each not in named)
        named, others = self.split[words]
        if not named:
            return None
        key = words, tuple([choice[index] for index in others])
        if key not in self.networks:
            self.make_room()
            self.networks[key] = self.network(choice, named)
        found = self.networks[key]
        if found and found.is_full:
            found = self.networks[key] = Evaluator(found.symbolic, self.space)
        return found

    def names_in(self, choice: Sequence[int]) -> Choice:
        """The numbers that are names in the networks of a choice of words."""
        try:
            return symbolic(self.base, self.space, choice, self.numbers).named
        except SpecError:
            return ()

    def network(self, choice: Sequence[int], named: Choice) -> Evaluator | None:
        """The network of a choice; None where not all of these numbers can be names in it."""
        try:
            found = symbolic(self.base, self.space, choice, named)
        except SpecError:
            return None
        return Evaluator(found, self.space) if found.named == named else None

    def make_room(self) -> None:
        """Forgets all networks once there are many."""
        if max(len(self.networks), len(self.split)) > MOST_NETWORKS:
            self.networks.clear()
            self.split.clear()
