"""The cost of any variant of a spec, or the error that the compiler reports for it.

    costs = Costs(read_base("resnet50", {}), parse_space(["layer3.blocks=1..40"]))
    costs.of((10,))   ->   Figures(params=31_142_952, ...)

Variants that differ only in numbers share one symbolic network (`evaluator.py`); each choice of
words, blocks or sizes has a network of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.passes.elaborate import elaborate
from resnetgen.compiler.passes.infer_types import infer_types
from resnetgen.compiler.passes.instantiate import instantiate
from resnetgen.reports.sweep.evaluator import Evaluator, Figures, figures_of
from resnetgen.reports.sweep.space import Space
from resnetgen.reports.sweep.symbols import BaseSpec, symbolic_network, variant_document

MAX_NETWORKS = 128  # that are remembered at a time
MAX_VERDICTS = 10_000  # that are remembered of one network

Choice = tuple[int, ...]  # of some factors: the index of each one's value


class Costs:
    """The costs of the variants of one spec; what they share is computed once."""

    def __init__(self, base: BaseSpec, space: Space) -> None:
        self.base = base
        self.space = space
        numeric = [factor.is_numeric for factor in space.factors]
        self.words = tuple(index for index, each in enumerate(numeric) if not each)
        self.numbers = tuple(index for index, each in enumerate(numeric) if each)
        # By the choice of words: the numbers that are names in its networks, and the other numbers.
        self.split: dict[Choice, tuple[Choice, Choice]] = {}
        # By the choice of words and of the other numbers.
        self.networks: dict[tuple[Choice, Choice], Evaluator | None] = {}

    def of(self, choice: Sequence[int]) -> Figures | str:
        """The figures of a variant, or the code and the message of its first error."""
        evaluator = self.evaluator(choice)
        if evaluator is None:
            return self.compiled(choice)
        result = evaluator.figures(choice)
        if isinstance(result, Figures):
            return result
        known = evaluator.verdicts.get(result.reason)
        if known is not None:
            return known
        verdict = self.compiled(choice)
        if isinstance(verdict, str) and result.reason is not None:
            if len(evaluator.verdicts) > MAX_VERDICTS:
                evaluator.verdicts.clear()
            evaluator.verdicts[result.reason] = verdict
        return verdict

    def compile(self, choice: Sequence[int]) -> Figures:
        """The figures of a variant, compiled as by every other command. Raises SpecError."""
        network = elaborate(variant_document(self.base, self.space, choice))
        return figures_of(infer_types(network, instantiate(network)).cost)

    def compiled(self, choice: Sequence[int]) -> Figures | str:
        """The same, with the first error as text."""
        try:
            return self.compile(choice)
        except SpecError as error:
            first = error.diagnostics[0]
            return f"{first.code}: {first.message}"

    def evaluator(self, choice: Sequence[int]) -> Evaluator | None:
        """The evaluator of a variant's network; None if none of its numbers can be a name."""
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
        evaluator = self.networks[key]
        if evaluator and evaluator.is_full:
            evaluator = self.networks[key] = Evaluator(evaluator.symbolic, self.space)
        return evaluator

    def names_in(self, choice: Sequence[int]) -> Choice:
        """The numbers that are names in the networks of a choice of words."""
        try:
            return symbolic_network(self.base, self.space, choice, self.numbers).named
        except SpecError:
            return ()

    def network(self, choice: Sequence[int], named: Choice) -> Evaluator | None:
        """The evaluator of a new network; None if not all of these numbers can be names in it."""
        try:
            symbolic = symbolic_network(self.base, self.space, choice, named)
        except SpecError:
            return None
        return Evaluator(symbolic, self.space) if symbolic.named == named else None

    def make_room(self) -> None:
        """Forgets all networks if there are many."""
        if max(len(self.networks), len(self.split)) > MAX_NETWORKS:
            self.networks.clear()
            self.split.clear()
