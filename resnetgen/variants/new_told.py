"""What a choice of repeats is, and why, for people.

               resnet50        my77   74 layers   80 layers
layer1                3           3           3           3
layer2                4           4           4           4
layer3                6          15          14          16
layer4                3           3           3           3
depth                50          77          74          80
...
"""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.report.columns import align, count
from resnetgen.variants.repeats import Choice, Family
from resnetgen.variants.repeats_budget import Budget

Column = tuple[str, Choice]


def table(family: Family, columns: Sequence[Column]) -> list[str]:
    """Repeats, depth and costs of some choices, a column each; all of them measured."""
    costs = [family.cost(choice.repeats) for _, choice in columns]
    rows = [
        ("", *(head for head, _ in columns)),
        *(
            (stage, *(str(choice.repeats[at]) for _, choice in columns))
            for at, stage in enumerate(family.stages)
        ),
        ("depth", *(str(choice.depth) for _, choice in columns)),
        ("parameters", *(count(cost.params) for cost in costs)),
        ("multiply-adds", *(count(cost.macs) for cost in costs)),
    ]
    return align(rows, "<" + ">" * len(columns))


def reasons(family: Family, choice: Choice, budget: Budget | None) -> list[str]:
    """Why this depth, if a budget was given, and why these repeats."""
    told = [f"{choice.depth} layers are the most within {budget}."] if budget else []
    return [*told, f"Repeats {choice}: {_reason(family, choice)}."]


def _reason(family: Family, choice: Choice) -> str:
    if choice.published:
        return f"those of {choice.published}, which has the same blocks"
    if choice.repeats == family.rule.base:
        return f"{family.network.name} has them"
    none = f"no library network with these blocks has {choice.depth} layers"
    return f"{none}, so {_rule(family, choice)}"


def _rule(family: Family, choice: Choice) -> str:
    """What the rule did to the base."""
    rule, more = family.rule, sum(choice.repeats) - sum(family.rule.base)
    if rule.rung(sum(choice.repeats)) != choice.repeats:
        return "a few blocks, which differ in depth, make up the number"
    if rule.is_even:
        rest = f", and {family.stages[rule.order[0]]} is the first to get one of the rest"
        return f"all stages have equally many{rest if len(set(choice.repeats)) > 1 else ''}"
    if more > 0:
        return f"{family.stages[rule.fullest]}, which has most, gets {more} more"
    return f"{-more} are taken, each from the stage that then has most"
