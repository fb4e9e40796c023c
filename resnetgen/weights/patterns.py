"""Module paths with numbers in them, read and written: how one naming becomes another.

    Renaming.of("layer<s>.<b>.conv<k>", "res<s + 1>.<b>.conv<k>").forth("layer1.0.conv2")
    -> "res2.0.conv2", which `back` turns into `layer1.0.conv2` again

`<...>` is an expression, as in the paths of a spec. The left side names numbers, the right side
computes with one of them at a time, so that it can be solved for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from resnetgen.language.expressions import (
    Expr,
    ExpressionError,
    Name,
    Value,
    evaluate,
    free_names,
    parse,
)

_HOLE = re.compile(r"<([^<>]*)>")
_NUMBER = "(0|[1-9][0-9]{0,5})"
Numbers = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Path:
    """A path with holes for numbers: the texts around them, one more than there are holes."""

    texts: tuple[str, ...]
    holes: tuple[Expr, ...]

    @classmethod
    def of(cls, text: str) -> Path:
        """`res<s + 1>.<b>`. Raises ExpressionError."""
        parts = _HOLE.split(text)
        return cls(tuple(parts[::2]), tuple(map(parse, parts[1::2])))

    def written(self, numbers: Numbers) -> str:
        """The path with its numbers. Raises ExpressionError where one is no number of a module."""
        written = [self.texts[0]]
        for hole, text in zip(self.holes, self.texts[1:], strict=True):
            value = evaluate(hole, numbers)
            if type(value) is not int or value < 0:
                raise ExpressionError(f"{value} is no number of a module")
            written += [str(value), text]
        return "".join(written)

    def numbers(self, path: str) -> Numbers | None:
        """The numbers for which `written` gives a path; None where there are none."""
        found = _matcher(self.texts)(path)
        if found is None:
            return None
        numbers: dict[str, Value] = {}
        for hole, digits in zip(self.holes, found.groups(), strict=True):
            (name,) = set(free_names(hole))
            numbers[name] = _solved(hole, name, int(digits))
        try:
            return numbers if self.written(numbers) == path else None
        except ExpressionError:
            return None


@lru_cache(maxsize=1024)
def _matcher(texts: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile(_NUMBER.join(map(re.escape, texts))).fullmatch


def _solved(hole: Expr, name: str, value: int) -> int:
    """The number for which an expression has a value, if it grows by the same with each number."""
    if hole == Name(name):
        return value
    start, step = evaluate(hole, {name: 0}), 0
    if isinstance(start, int):
        step = int(evaluate(hole, {name: 1}) - start)  # type: ignore[operator]
        return (value - start) // step if step else 0
    return 0


@dataclass(frozen=True, slots=True)
class Renaming:
    """One line of a dialect: paths of our own, and what they are called there."""

    ours: Path
    theirs: Path

    @classmethod
    def of(cls, ours: str, theirs: str) -> Renaming:
        """Raises ExpressionError where the two cannot be read, or not be turned around."""
        left, right = Path.of(ours), Path.of(theirs)
        names = [hole.id for hole in left.holes if isinstance(hole, Name)]
        if len({*names}) < len(left.holes):
            raise ExpressionError(f"`{ours}` holds something else than names, each of them once")
        used = [set(free_names(hole)) for hole in right.holes]
        if any(len(each) != 1 for each in used):
            raise ExpressionError("each `<...>` computes with one number of the left side")
        if set().union(*used) != {*names}:
            raise ExpressionError("both sides have to hold the same numbers")
        return cls(left, right)

    def forth(self, path: str) -> str | None:
        """The name there of a path of our own; None where this line is not about it."""
        return _carried(self.ours, self.theirs, path)

    def back(self, path: str) -> str | None:
        """The path of our own that has a name there."""
        return _carried(self.theirs, self.ours, path)


def _carried(source: Path, target: Path, path: str) -> str | None:
    numbers = source.numbers(path)
    if numbers is None:
        return None
    try:
        return target.written(numbers)
    except ExpressionError:
        return None
