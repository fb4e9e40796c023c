"""Where the decisions of a random program come from: a seed, or hypothesis, which shrinks them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    """Where the decisions come from: 0 is the simplest."""

    def below(self, count: int) -> int:
        """A number from 0 to count - 1."""


@dataclass
class Drawn:
    """Decisions of a seeded generator."""

    random: random.Random

    def below(self, count: int) -> int:
        return self.random.randrange(count)


@dataclass
class Shrinkable:
    """Decisions of hypothesis."""

    draw: Callable[[Any], Any]

    def below(self, count: int) -> int:
        return self.draw(st.integers(0, count - 1))  # type: ignore[no-any-return]


class Deciding:
    """Decisions in words, over the numbers of `choices`."""

    choices: Choices

    def below(self, count: int) -> int:
        return self.choices.below(count)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent
