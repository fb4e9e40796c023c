"""A figure that somebody has read -> which convention gives it, on which network.

match(read_figure("4.12G"), [("resnet50", measured)])  ->  ptflops-modules, 4,121,925,096
match(read_figure("3.8e9"), ...)  ->  macs, 3,857,973,248, of a sibling that strides in the first 1x1

A figure is matched at the precision at which it is written: 4.12G means 4.115e9 to 4.125e9, or, where
nothing rounds to it, what begins with these digits (the 3.8e9 of the paper is cut off, not rounded).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import inf

from resnetgen.compiler.analysis.rows import rows_by_stage
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.library import Document
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.compiler.passes.infer_types import TypedInstance
from resnetgen.reports.conventions import conventions, network_operations
from resnetgen.reports.numbers import count
from resnetgen.reports.table_layout import align

OPERATIONS, PARAMETERS = "operations", "parameters"
NEAREST = 3  # how many are told where nothing matches

_SCALES = {"k": 3, "m": 6, "g": 9, "b": 9, "t": 12, "million": 6, "billion": 9}
_FIGURE = re.compile(
    r"""(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<decimals>\d+))?)
        (?:\s*(?:e|[x×*]\s*10\s*\^?)\s*(?P<exponent>\+?\d{1,2}))?
        \s*(?P<scale>[kmgbt]|million|billion)?
        \s*(?:(?P<operations>flops?|macs?|ops|mult-adds|multiply-adds)
             |(?P<parameters>params?|parameters))?""",
    re.VERBOSE | re.IGNORECASE,
)
_ONCE = Fraction(1)
_TIMES: Mapping[Fraction, str] = {_ONCE: "", Fraction(2): "twice ", Fraction(1, 2): "half of "}


class MatchKind(StrEnum):
    """How a count gives a figure."""

    rounded = "rounded"
    cut = "cut off"
    nearest = "nearest"


_READINGS: tuple[
    tuple[tuple[Fraction, ...], MatchKind], ...
] = (  # a later one where the first fail
    ((_ONCE,), MatchKind.rounded),
    ((_ONCE,), MatchKind.cut),
    (tuple(_TIMES), MatchKind.rounded),
)


@dataclass(frozen=True, slots=True)
class WrittenFigure:
    """A figure as written; `unit` is what one more in its last digit would add."""

    text: str
    value: Fraction
    unit: Fraction
    of: str | None  # OPERATIONS, PARAMETERS, or None where it does not say

    def span(self, fit: MatchKind) -> tuple[Fraction, Fraction]:
        """From the least number that is written so up to the first that is not."""
        if fit is MatchKind.cut:
            return self.value, self.value + self.unit
        return self.value - self.unit / 2, self.value + self.unit / 2


@dataclass(frozen=True, slots=True)
class FigureMatch:
    """A count of a network that a figure may be."""

    network: str
    by: tuple[str, ...]  # the conventions that give the count, or PARAMETERS
    count: int
    factor: Fraction  # the figure is so many times the count
    off: float  # by how much of the figure the multiple is larger; smaller where negative
    kind: MatchKind


def read_figure(text: str) -> WrittenFigure:
    """`4.12G`, `4.1 GFLOPs`, `8.18e9`, `3.8x10^9`, `25.6M params`. ValueError if it is none."""
    found = _FIGURE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"`{text}` is not a figure such as 4.12G, 4.1 GFLOPs or 25.6M")
    power = int(found["exponent"] or 0) + _SCALES.get((found["scale"] or "").lower(), 0)
    value = Fraction(found["digits"].replace(",", "")) * 10**power
    unit = Fraction(10**power, 10 ** len(found["decimals"] or ""))
    of = OPERATIONS if found["operations"] else PARAMETERS if found["parameters"] else None
    return WrittenFigure(text.strip(), value, unit, of)


def match(
    figure: WrittenFigure, networks: Sequence[tuple[str, TypedInstance]]
) -> list[FigureMatch]:
    """The counts that round to a figure, else begin with it, else twice or half of which does.

    Where there is none, the nearest. The first network is the one that was asked about; another is
    looked at where its stages hand on the same shapes.
    """
    shapes = _handed_on(networks[0][1])
    alike = [each for each in networks if _handed_on(each[1]) == shapes]
    known = [each for name, measured in alike for each in _counts(figure, name, measured)]
    for factors, fit in _READINGS:
        low, high = figure.span(fit)
        found = [
            _against(figure, *each, factor, fit)
            for each in known
            for factor in factors
            if low <= each[2] * factor < high
        ]
        if found:
            return found
    once = (_against(figure, *each, _ONCE, MatchKind.nearest) for each in known)
    return sorted(once, key=lambda each: abs(each.off))[:NEAREST]


def _handed_on(measured: TypedInstance) -> list[TensorType]:
    return [row.result for row in rows_by_stage(measured)]


def _counts(
    figure: WrittenFigure, name: str, measured: TypedInstance
) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """The distinct counts of a network, and which conventions give each."""
    if figure.of != PARAMETERS:
        by: dict[int, list[str]] = {}
        for convention in conventions().values():
            by.setdefault(network_operations(convention, measured), []).append(convention.name)
        for number, names in by.items():
            yield name, tuple(names), number
    if figure.of != OPERATIONS:
        yield name, (PARAMETERS,), measured.cost.params


def _against(
    figure: WrittenFigure,
    network: str,
    by: tuple[str, ...],
    number: int,
    factor: Fraction,
    fit: MatchKind,
) -> FigureMatch:
    off = float((number * factor - figure.value) / figure.value) if figure.value else inf
    return FigureMatch(network, by, number, factor, off, fit)


def siblings(
    document: Document, overrides: Mapping[str, object] | None = None
) -> list[tuple[str, Document]]:
    """Library networks that could have been meant: those that vary only what stages are made of.

    They go back to the same spec by `extends` and have the same family, stages and input, under the
    same overrides; the block, the shortcut, the stem or the norm differ. A network that an override
    does not suit is left out.
    """
    asked, found = library.canonical_text(document.tree), []
    for path in library.network_files():
        if not _related(document, library.load(path.stem), "family"):
            continue
        try:
            other = library.load(path.stem, overrides)
        except SpecError:
            continue
        alike = _related(document, other, "input", "stages", "nodes")
        if alike and library.canonical_text(other.tree) != asked:
            found.append((path.stem, other))
    return found


def _related(one: Document, other: Document, *keys: str) -> bool:
    """Whether two specs extend the same one in the end, and agree in some keys."""
    return one.sources[-1].name == other.sources[-1].name and all(
        _content(one, key) == _content(other, key) for key in keys
    )


def _content(document: Document, key: str) -> str:
    tree = document.tree.entries.get(key)
    return library.canonical_text(tree) if tree else ""


def match_lines(figure: WrittenFigure, matches: Sequence[FigureMatch]) -> list[str]:
    """The lines of `report --match`: what the figure may be, or what comes nearest to it."""
    rows = [("network", "counted by", "count", "off")]
    for each in matches:
        by = _TIMES[each.factor] + ", ".join(each.by)
        rows.append((each.network, by, count(each.count), f"{each.off:+.2%}"))
    return [_title(figure, matches[0].kind), *align(rows, "<<>>")]


def _title(figure: WrittenFigure, fit: MatchKind) -> str:
    if fit is MatchKind.nearest:
        return f"nothing counts {figure.text}; the nearest:"
    low, high = (f"{float(bound):,.1f}".removesuffix(".0") for bound in figure.span(fit))
    return f"{figure.text} is {low} to {high}, {fit}:"
