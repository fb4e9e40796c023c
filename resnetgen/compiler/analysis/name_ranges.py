"""Numbered module names for people: hundreds of them in a few words.

    name_range("layer3.1", "layer3.35")                 ->  "layer3.1-35"
    fold_names({"layer3.6.conv1": "64 channels", ..., "layer3.22.conv1": "64 channels"}.items())
                                                        ->  FoldedName("layer3.6-22.conv1", ..., 17)
    name_patterns(["layer1.0.se.fc1", "layer4.2.se.fc2"])    ->  ["layer*.*.se.fc*"]

`name_range` joins the ends of a row of equal blocks, `fold_names` combines lines that differ only in
one number of the name, and `name_patterns` shows what names look like. None of these names is parsed
again, except that `range_start` finds the first module of a range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_COMPONENT = re.compile(r"(?:^|(?<=\.))\d+(?=\.|$)")  # the 3 of `layer1.3.conv2`
_ANY_NUMBER = re.compile(r"(?<![a-z])\d+|\d+(?=\.|$)")  # and the 1 and the 2; not that of `l2norm`
_REST_OF_RANGE = re.compile(r"-\d+(?=\.|$)| - ")


def name_range(first: str, last: str) -> str:
    """`layer3.1`, `layer3.35` -> `layer3.1-35`; `conv1`, `layer1.0` -> `conv1 - layer1.0`."""
    if first == last:
        return first
    parent, dot, number = last.rpartition(".")
    same_parent = first.rpartition(".")[0] == parent
    return f"{first}-{number}" if dot and same_parent else f"{first} - {last}"


def range_start(name: str) -> str:
    """The first module of a range: `layer3.1` of `layer3.1-35.conv1`; a plain name is its own."""
    return _REST_OF_RANGE.split(name, maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class FoldedName:
    """Names that differ in one number, and the text that they share: `layer3.6-22`, 17 names."""

    name: str
    text: str
    count: int


def fold_names(lines: Iterable[tuple[str, str]]) -> Iterator[FoldedName]:
    """Lines of a name and a text; names that differ only in their first number become one."""
    groups: dict[tuple[str, str], list[int]] = {}
    for name, text in lines:
        number = _COMPONENT.search(name)
        pattern = _COMPONENT.sub("*", name, count=1)
        groups.setdefault((pattern, text), []).append(int(number[0]) if number else 0)
    for (pattern, text), numbers in groups.items():
        yield FoldedName(pattern.replace("*", number_ranges(numbers)), text, len(numbers))


def number_ranges(numbers: Sequence[int]) -> str:
    """`[0, 1, 2, 5]` -> `0-2,5`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def name_patterns(names: Iterable[str]) -> list[str]:
    """The names with every number as `*`, each pattern once, in the order of the names."""
    return list(dict.fromkeys(_ANY_NUMBER.sub("*", name) for name in names))
