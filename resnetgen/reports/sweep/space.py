"""The space of a sweep: which values vary, and the variants that they make.

    layer3.blocks=1..40   layer4.width=256,384,512   ->  40 x 3 variants, the last path varies fastest

A variant is its number; its values follow from the number, so that no list of variants is ever made.

Faults of options, told at the part of their text that is wrong.

--vary a=5..1   ->   error[wrong-value]: the range `5..1` is empty, marked in `a=5..1`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import prod

from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Source, Span, SpecError
from resnetgen.compiler.frontend.inheritance import as_yaml
from resnetgen.compiler.frontend.yaml_reader import parse_value, python_value

MOST_VALUES = 100_000  # of one path
MOST_VARIANTS = 100_000_000
_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?\Z")


@dataclass(frozen=True, slots=True)
class FactorValue:
    """A value as it is written, and what it says."""

    text: str
    value: object

    @property
    def is_number(self) -> bool:
        """Whether it is a number or a truth value, as arithmetic takes them."""
        return isinstance(self.value, int | float)


@dataclass(frozen=True, slots=True)
class Factor:
    """A path into the spec, as for `--set`, and the values that it takes in turn."""

    path: str
    settings: tuple[FactorValue, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether all its values are numbers."""
        return all(setting.is_number for setting in self.settings)


@dataclass(frozen=True, slots=True)
class Space:
    """The product of some factors."""

    factors: tuple[Factor, ...]

    @property
    def count(self) -> int:
        """The number of variants."""
        return prod(len(factor.settings) for factor in self.factors)

    def choice(self, variant: int) -> tuple[int, ...]:
        """The index of each factor's value in the variant of a number, from 0."""
        indices = []
        for factor in reversed(self.factors):
            variant, index = divmod(variant, len(factor.settings))
            indices.append(index)
        return tuple(reversed(indices))

    def settings(self, choice: Sequence[int]) -> Iterator[tuple[str, FactorValue]]:
        """The path and the value of each factor."""
        for factor, index in zip(self.factors, choice, strict=True):
            yield factor.path, factor.settings[index]


def space_of(vary: Mapping[str, str | Iterable[object]]) -> Space:
    """`{"layer3.blocks": range(1, 41), "block": "basic,bottleneck"}` -> the space. Raises SpecError."""
    texts = (
        f"{path}={values if isinstance(values, str) else ','.join(map(as_yaml, values))}"
        for path, values in vary.items()
    )
    return parse_space(list(texts))


def parse_space(texts: Sequence[str]) -> Space:
    """`["layer3.blocks=1..40", "layer4.width=256,384"]` -> the space. Raises SpecError."""
    factors: dict[str, Factor] = {}
    for text in texts:
        factor = parse_factor(text)
        if factor.path in factors:
            raise _fault(text, factor.path, f"`{factor.path}` is varied twice")
        factors[factor.path] = factor
    space = Space(tuple(factors.values()))
    if space.count > MOST_VARIANTS:
        message = f"{space.count:,} variants; a sweep has at most {MOST_VARIANTS:,}"
        raise _fault(texts[-1], texts[-1], message, "take a larger step: `64..512..64`")
    return space


def parse_factor(text: str) -> Factor:
    """`PATH=VALUES`: numbers, words and `[...]` parted by commas, `FIRST..LAST`, `FIRST..LAST..STEP`.

    Both ends of a range belong to it. Raises SpecError for what is empty, doubled or not a value.
    """
    path, equals, values = text.partition("=")
    path = path.strip()
    if not equals or not path.strip(". "):
        help = "say `--vary layer3.blocks=1..40`"
        raise _fault(text, text, f"`{text}` is not PATH=VALUES", help)
    settings: dict[tuple[type, str], FactorValue] = {}
    for part in _parts(values):
        if not part:
            raise _fault(text, values, f"`{path}` has an empty value")
        for setting in _settings(text, path, part):
            key = (type(setting.value), repr(setting.value))
            if key in settings:
                raise _fault(text, part, f"`{path}` takes the value `{setting.text}` twice")
            settings[key] = setting
            if len(settings) > MOST_VALUES:
                raise _fault(text, part, f"`{path}` takes more than {MOST_VALUES:,} values")
    return Factor(path, tuple(settings.values()))


def _parts(values: str) -> Iterator[str]:
    """The values between commas that stand in no bracket and in no quotes."""
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


def _settings(text: str, path: str, part: str) -> Iterator[FactorValue]:
    """The values of one part: those of a range, or one."""
    if found := _RANGE.match(part):
        yield from _range(text, part, *found.groups())
        return
    if ".." in part and part[0] not in "\"'[{":
        help = "a range is `1..40`, or `64..512..64` with a step; both ends belong to it"
        raise _fault(text, part, f"`{part}` is not a range of numbers", help)
    value = python_value(parse_value(part, f"--vary {path}"))
    yield FactorValue(part, value)


def _range(text: str, part: str, first: str, last: str, step: str | None) -> Iterator[FactorValue]:
    start, end, by = Decimal(first), Decimal(last), Decimal(step or 1)
    if not by:
        raise _fault(text, part, f"the step of `{part}` is 0")
    if (end - start) * by < 0:
        help = f"say `{last}..{first}`" if not step else "the step points away from the end"
        raise _fault(text, part, f"the range `{part}` is empty", help)
    whole = all("." not in each for each in (first, last, step or ""))
    for index in range(int((end - start) // by) + 1):
        number = start + index * by
        yield FactorValue(str(number), int(number) if whole else float(number))


def _fault(text: str, part: str, message: str, help: str | None = None) -> SpecError:
    """A fault of one `--vary`, at the part of it that is wrong."""
    return wrong_option("--vary", text, part, message, help)


def wrong_option(
    option: str,
    text: str,
    part: str,
    message: str,
    help: str | None = None,
    *notes: Note,
    code: str = "wrong-value",
) -> SpecError:
    """A fault of a text of an option, at the first place where `part` stands as a word."""
    found = re.search(rf"(?<![\w.]){re.escape(part)}(?![\w.])", text)
    at = found.start() if found else 0
    span = Span(Source(option, text), 1, at + 1, at + 1 + len(part))
    return SpecError([Diagnostic(code, message, span, notes, help)])
