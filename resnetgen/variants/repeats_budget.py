"""within(family, budget) -> Choice: the deepest variant of a network that costs no more.

    resnet50, Budget("macs", 6e9)  ->  Choice(3-4-14-3), 74 layers

The variants are the rungs of the rule's ladder, each a block deeper than the one below, and those
that the library has. Each that is looked at is compiled, so nothing is assumed of its cost but that
a block more is no cheaper.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from resnetgen.graph.measure import Cost
from resnetgen.language.diagnostics import Diagnostic, Note, SpecError
from resnetgen.report.columns import brief
from resnetgen.variants.repeats import Choice, Family
from resnetgen.variants.repeats_rule import DEEPEST


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a network may have of one figure: `macs` or `params`."""

    figure: str
    most: float

    def of(self, cost: Cost) -> int:
        """What a network has of it."""
        found: int = getattr(cost, self.figure)
        return found

    @property
    def unit(self) -> str:
        """What the figure counts."""
        return {"macs": "multiply-adds", "params": "parameters"}[self.figure]

    def __str__(self) -> str:
        """`6 G multiply-adds`."""
        return f"{brief(self.most)} {self.unit}"


def within(family: Family, budget: Budget) -> Choice:
    """The deepest variant that costs no more than a budget. Raises SpecError if none does."""
    for choice in _deepest_first(family, _rungs_within(family, budget)):
        if budget.of(family.cost(choice.repeats)) <= budget.most:
            return choice
    raise SpecError([_over(family, budget)])


def _rungs_within(family: Family, budget: Budget) -> range:
    """The rungs of the ladder, by blocks, that cost no more than a budget."""
    rule = family.rule
    least, most = len(rule.base), rule.highest_rung(DEEPEST)

    def cost(blocks: int) -> int:
        return budget.of(family.cost(rule.rung(blocks)))

    end = least
    while end < most and cost(end) <= budget.most:
        end = min(2 * end, most)
    beyond = least + bisect_right(range(least, end + 1), budget.most, key=cost)
    if beyond > most:
        message = f"a network of {rule.depth(rule.rung(most)):,} layers is within {budget}"
        raise SpecError([Diagnostic("limit", message, help="give a smaller budget")])
    return range(least, beyond)


def _deepest_first(family: Family, blocks: range) -> Iterator[Choice]:
    """The variants of some rungs of the ladder, and the published ones."""
    depths = {family.rule.depth(family.rule.rung(count)) for count in blocks}
    for each in sorted(depths | family.known.keys(), reverse=True):
        choice = family.choice(each)
        assert choice
        yield choice


def _over(family: Family, budget: Budget) -> Diagnostic:
    least = family.choice(family.rule.least)
    assert least
    figure = brief(budget.of(family.cost(least.repeats)))
    message = f"`{family.network.name}` is over {budget} at any depth"
    note = Note(f"with {least.depth} layers ({least}), the fewest, it has {figure}")
    return Diagnostic("over-budget", message, None, (note,))
