"""headline(difference, names): a difference in one line.

resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnetgen.compiler.frontend.yaml_writer import to_flow
from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.reports.numbers import relative_change, rounded
from resnetgen.variants.diff import METRIC_NAMES, Difference, StageSummary
from resnetgen.variants.diff_specs import SpecChange

MAX_WIDTH = 60  # characters of a value, or of names in one line
_MAX_HEAD = 24  # characters of a name over a column
_MAX_NAMED = 3  # stages, or changes of the spec


@dataclass(frozen=True, slots=True)
class NetworkNames:
    """What the two networks are called."""

    before: str
    after: str

    @property
    def heads(self) -> tuple[str, str]:
        """The heads of columns: the names, if they are short and differ."""
        short = max(len(self.before), len(self.after)) <= _MAX_HEAD
        fits = short and self.before != self.after
        return (self.before, self.after) if fits else ("before", "after")


def headline(difference: Difference, names: NetworkNames) -> str:
    """The names of the networks, what was changed, and what it costs."""
    between = f"{names.before} -> {names.after}"
    if difference.identical:
        return f"{between}: nothing differs"
    if difference.networks_equal:
        return f"{between}: the specs differ, the networks are equal"
    stages = list(_stage_phrases(difference))
    rest = [each for each in difference.spec if not (stages and each.path.startswith("stages."))]
    phrases = [*stages, *_spec_phrases(rest)]
    changes = f"{between}: {', '.join(phrases)}" if phrases else between
    costs = ", ".join(_cost_phrase(cost, difference.costs) for cost in ("params", "macs"))
    return f"{changes}; {costs}"


def truncated(text: str) -> str:
    """A text, shortened to one column."""
    return text if len(text) <= MAX_WIDTH else f"{text[: MAX_WIDTH - 3]}..."


def _stage_phrases(difference: Difference) -> Iterator[str]:
    """`17 more blocks in layer3`, `without layer4`."""
    pairs = {
        name: pair
        for name, pair in difference.stages.items()
        if any(each and each.blocks for each in pair)
    }
    counts = {
        name: _blocks(new) - _blocks(old) for name, (old, new) in pairs.items() if old and new
    }
    changed = {name: number for name, number in counts.items() if number}
    if len(changed) > _MAX_NAMED:
        yield f"{_more_blocks(sum(changed.values()))} in {len(changed)} stages"
    else:
        yield from (f"{_more_blocks(number)} in {name}" for name, number in changed.items())
    for phrase, missing_in in (("without", 1), ("with a new", 0)):
        names = [name for name, pair in pairs.items() if pair[missing_in] is None]
        if names:
            yield f"{phrase} {_listed(names)}"


def _blocks(stage: StageSummary) -> int:
    return stage.blocks or 1


def _more_blocks(number: int) -> str:
    word = "more" if number > 0 else "fewer"
    return f"{abs(number)} {word} block{'s' * (abs(number) != 1)}"


def _spec_phrases(changes: Sequence[SpecChange]) -> Iterator[str]:
    """Each of a few changes; of many, only their top-level keys."""
    if len(changes) <= _MAX_NAMED:
        yield from map(_spec_phrase, changes)
        return
    keys = dict.fromkeys(each.path.partition(".")[0] for each in changes)
    yield f"changes of {_listed([*keys])}"


def _spec_phrase(change: SpecChange) -> str:
    if change.after is None:
        return f"without {change.path}"
    old = f"{truncated(to_flow(change.before))} -> " if change.before else ""
    return f"{change.path} {old}{truncated(to_flow(change.after))}"


def _listed(words: Sequence[str]) -> str:
    fits = len(words) <= _MAX_NAMED + 2
    return ", ".join(words if fits else [*words[:_MAX_NAMED], "..."])


def _cost_phrase(cost: str, costs: tuple[Cost, Cost]) -> str:
    old, new = (getattr(each, cost) for each in costs)
    if old == new:
        return f"{rounded(old)} {METRIC_NAMES[cost]} as before"
    change = relative_change(new, old)
    return (
        f"{rounded(old)} -> {rounded(new)} {METRIC_NAMES[cost]}{f' ({change})' if change else ''}"
    )
