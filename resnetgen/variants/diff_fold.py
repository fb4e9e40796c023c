"""Equal lines of numbered modules as one: what people read of hundreds of names.

layer3.6.conv1, layer3.6.bn1, ..., layer3.22.act3   ->  layer3.6-22, 17 times conv1, bn1, ..., act3
layer1.0.conv2: groups 1 -> 32, layer1.1.conv2: ... ->  layer1.0-2.conv2: groups 1 -> 32
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from resnetgen.weights.names import roots

_NUMBER = re.compile(r"(?:^|(?<=\.))\d+(?=\.|$)")


@dataclass(frozen=True, slots=True)
class Folded:
    """What is said of some names that differ in one number: of `layer3.6-22`, 17 of them."""

    name: str
    said: str
    count: int


def folded(lines: Iterable[tuple[str, str]]) -> Iterator[Folded]:
    """Names, and what is said of them: those that differ in their first number alone as one."""
    groups: dict[tuple[str, str], list[int]] = {}
    for name, said in lines:
        number = _NUMBER.search(name)
        pattern = _NUMBER.sub("*", name, count=1)
        groups.setdefault((pattern, said), []).append(int(number[0]) if number else 0)
    for (pattern, said), numbers in groups.items():
        yield Folded(pattern.replace("*", ranges(numbers)), said, len(numbers))


def ranges(numbers: Sequence[int]) -> str:
    """`[0, 1, 2, 5]` -> `0-2,5`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def modules(chosen: Collection[str], names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The fewest modules that hold all chosen names and no other, with the names that each holds.

    A name that stands alone is its own module; where all are chosen, the module is ``, the network.
    """
    yield from (roots(chosen, names) or ({"": [*chosen]} if chosen else {})).items()
