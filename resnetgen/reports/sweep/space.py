"""`--vary`: the values that vary, and the variants that they make.

    layer3.blocks=1..40   layer4.width=256,384,512   ->  40 x 3 variants, the last path varies fastest

A variant is a number, and its values are computed from that number: there is no list of variants. A
wrong option is an error that marks the wrong part of its text:

    --vary a=5..1   ->   error[wrong-value]: the range `5..1` is empty
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import prod

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Source, Span, SpecError
from resnetgen.compiler.frontend.tree import python_value
from resnetgen.compiler.frontend.yaml_reader import parse_value
from resnetgen.compiler.frontend.yaml_writer import value_to_flow

MAX_VALUES = 100_000  # of one path
MAX_VARIANTS = 100_000_000
_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?\Z")


@dataclass(frozen=True, slots=True)
class FactorValue:
    """A value as it was written, and as it was parsed."""

    text: str
    value: object

    @property
    def is_number(self) -> bool:
        """Whether arithmetic accepts it: a number, true or false."""
        return isinstance(self.value, int | float)


@dataclass(frozen=True, slots=True)
class Factor:
    """A path into the spec, as for `--set`, and its values in order."""

    path: str
    values: tuple[FactorValue, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether all its values are numbers."""
        return all(each.is_number for each in self.values)


@dataclass(frozen=True, slots=True)
class Space:
    """The product of some factors."""

    factors: tuple[Factor, ...]

    @property
    def count(self) -> int:
        """The number of variants."""
        return prod(len(factor.values) for factor in self.factors)

    def choice(self, variant: int) -> tuple[int, ...]:
        """The index of each factor's value in a variant; variants are numbered from 0."""
        indices = []
        for factor in reversed(self.factors):
            variant, index = divmod(variant, len(factor.values))
            indices.append(index)
        return tuple(reversed(indices))

    def values(self, choice: Sequence[int]) -> Iterator[tuple[str, FactorValue]]:
        """The path and the value of each factor."""
        for factor, index in zip(self.factors, choice, strict=True):
            yield factor.path, factor.values[index]


def space_of(vary: Mapping[str, str | Iterable[object]]) -> Space:
    """`{"layer3.blocks": range(1, 41), "block": "basic,bottleneck"}` -> the space. Raises SpecError."""
    texts = (
        f"{path}={values if isinstance(values, str) else ','.join(map(value_to_flow, values))}"
        for path, values in vary.items()
    )
    return parse_space(list(texts))


def parse_space(texts: Sequence[str]) -> Space:
    """`["layer3.blocks=1..40", "layer4.width=256,384"]` -> the space. Raises SpecError."""
    factors: dict[str, Factor] = {}
    for text in texts:
        factor = parse_factor(text)
        if factor.path in factors:
            raise _error(text, factor.path, f"`{factor.path}` is varied twice")
        factors[factor.path] = factor
    space = Space(tuple(factors.values()))
    if space.count > MAX_VARIANTS:
        message = f"{space.count:,} variants; a sweep has at most {MAX_VARIANTS:,}"
        raise _error(texts[-1], texts[-1], message, "use a larger step, such as `64..512..64`")
    return space


def parse_factor(text: str) -> Factor:
    """`PATH=VALUES`: numbers, words and `[...]` separated by commas, `FIRST..LAST`, `FIRST..LAST..STEP`.

    A range includes both ends. Raises SpecError for an empty, repeated or malformed value.
    """
    path, equals, values = text.partition("=")
    path = path.strip()
    if not equals or not path.strip(". "):
        help = "say `--vary layer3.blocks=1..40`"
        raise _error(text, text, f"`{text}` is not PATH=VALUES", help)
    parsed: dict[tuple[type, str], FactorValue] = {}
    for part in _split(values):
        if not part:
            raise _error(text, values, f"`{path}` has an empty value")
        for each in _parse_values(text, path, part):
            key = (type(each.value), repr(each.value))
            if key in parsed:
                raise _error(text, part, f"`{path}` has the value `{each.text}` twice")
            parsed[key] = each
            if len(parsed) > MAX_VALUES:
                raise _error(text, part, f"`{path}` has more than {MAX_VALUES:,} values")
    return Factor(path, tuple(parsed.values()))


def _split(values: str) -> Iterator[str]:
    """The values between commas, leaving brackets and quoted text whole."""
    depth, quote, start = 0, "", 0
    for at, char in enumerate(values):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth <= 0:
            yield values[start:at].strip()
            start = at + 1
    yield values[start:].strip()


def _parse_values(text: str, path: str, part: str) -> Iterator[FactorValue]:
    """The values of a range, or a single value."""
    if match := _RANGE.match(part):
        yield from _range(text, part, *match.groups())
        return
    if ".." in part and part[0] not in "\"'[{":
        help = "a range is `1..40`, or `64..512..64` with a step; both ends are included"
        raise _error(text, part, f"`{part}` is not a range of numbers", help)
    yield FactorValue(part, python_value(parse_value(part, f"--vary {path}")))


def _range(text: str, part: str, first: str, last: str, step: str | None) -> Iterator[FactorValue]:
    start, end, by = Decimal(first), Decimal(last), Decimal(step or 1)
    if not by:
        raise _error(text, part, f"the step of `{part}` is 0")
    if (end - start) * by < 0:
        help = f"say `{last}..{first}`" if not step else "the step points away from the end"
        raise _error(text, part, f"the range `{part}` is empty", help)
    whole = all("." not in each for each in (first, last, step or ""))
    for index in range(int((end - start) // by) + 1):
        number = start + index * by
        yield FactorValue(str(number), int(number) if whole else float(number))


def _error(text: str, part: str, message: str, help: str | None = None) -> SpecError:
    """An error in one `--vary`, which marks the wrong part."""
    return option_error("--vary", text, part, message, help)


def option_error(
    option: str,
    text: str,
    part: str,
    message: str,
    help: str | None = None,
    *notes: Note,
    code: str = "wrong-value",
) -> SpecError:
    """An error in the text of an option, which marks the first occurrence of `part` as a word."""
    match = re.search(rf"(?<![\w.]){re.escape(part)}(?![\w.])", text)
    at = match.start() if match else 0
    span = Span(Source(option, text), 1, at + 1, at + 1 + len(part))
    return SpecError([Diagnostic(code, message, span, notes, help)])
