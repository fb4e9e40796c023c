"""verdict(found, names): a difference in one line, what a person wants to know first.

resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters (+74.3 %), ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnetgen.graph.measure import Cost
from resnetgen.language.expanded import flow
from resnetgen.report.columns import rounded
from resnetgen.report.figures import change
from resnetgen.variants.diff import Difference, Stage
from resnetgen.variants.diff_spec import SpecChange

LONGEST = 60  # characters of a value, or of names in one line
_LONGEST_HEAD = 24
_MOST_NAMED = 3  # stages, or changes of the spec
_FIGURES = {"params": "parameters", "macs": "multiply-adds"}


@dataclass(frozen=True, slots=True)
class Names:
    """What the two networks are called."""

    before: str
    after: str

    @property
    def heads(self) -> tuple[str, str]:
        """Over columns: the names, if they are short and differ."""
        short = max(len(self.before), len(self.after)) <= _LONGEST_HEAD
        fits = short and self.before != self.after
        return (self.before, self.after) if fits else ("before", "after")


def verdict(found: Difference, names: Names) -> str:
    """`resnet50 -> resnet101: 17 more blocks in layer3; 25.56 M -> 44.55 M parameters ...`."""
    between = f"{names.before} -> {names.after}"
    if found.equal:
        return f"{between}: nothing differs"
    if found.networks_equal:
        return f"{between}: the specs differ, the networks are equal"
    stages = list(_stages_said(found))
    rest = [each for each in found.spec if not (stages and each.path.startswith("stages."))]
    what = [*stages, *_spec_said(rest)]
    return "; ".join([f"{between}: {', '.join(what)}" if what else between, _costs_said(found)])


def _stages_said(found: Difference) -> Iterator[str]:
    """`17 more blocks in layer3`, `without layer4`."""
    pairs = {n: p for n, p in found.stages.items() if any(each and each.blocks for each in p)}
    counts = {
        name: _blocks(new) - _blocks(old) for name, (old, new) in pairs.items() if old and new
    }
    longer = {name: number for name, number in counts.items() if number}
    if len(longer) > _MOST_NAMED:
        yield f"{_more(sum(longer.values()))} in {len(longer)} stages"
    else:
        yield from (f"{_more(number)} in {name}" for name, number in longer.items())
    for word, at in (("without", 1), ("with a new", 0)):
        names = [name for name, pair in pairs.items() if pair[at] is None]
        if names:
            yield f"{word} {_listed(names)}"


def _blocks(stage: Stage) -> int:
    return stage.blocks or 1


def _more(number: int) -> str:
    word = "more" if number > 0 else "fewer"
    return f"{abs(number)} {word} block{'s' * (abs(number) != 1)}"


def _spec_said(changes: Sequence[SpecChange]) -> Iterator[str]:
    """Few changes of the spec as they are; of many, what they are about."""
    if len(changes) <= _MOST_NAMED:
        yield from map(_change_said, changes)
        return
    about = dict.fromkeys(each.path.partition(".")[0] for each in changes)
    yield f"changes of {_listed([*about])}"


def _change_said(change: SpecChange) -> str:
    if change.after is None:
        return f"without {change.path}"
    old = f"{short(flow(change.before))} -> " if change.before else ""
    return f"{change.path} {old}{short(flow(change.after))}"


def _listed(words: Sequence[str]) -> str:
    told = words if len(words) <= _MOST_NAMED + 2 else [*words[:_MOST_NAMED], "..."]
    return ", ".join(told)


def _costs_said(found: Difference) -> str:
    return ", ".join(_cost_said(figure, found.costs) for figure in _FIGURES)


def _cost_said(figure: str, costs: tuple[Cost, Cost]) -> str:
    old, new = (getattr(cost, figure) for cost in costs)
    if old == new:
        return f"{rounded(old)} {_FIGURES[figure]} as before"
    share = change(new, old)
    more = f" ({share})" if share else ""
    return f"{rounded(old)} -> {rounded(new)} {_FIGURES[figure]}{more}"


def short(text: str) -> str:
    """A text as far as a line has room for it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
