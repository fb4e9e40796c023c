"""A figure that somebody has read -> the convention that counts it, and the network.

    match(read_figure("4.12G"), [("resnet50", typed)])  ->  ptflops-modules, 4,121,925,096
    match(read_figure("3.8e9"), ...)  ->  macs, 3,857,973,248, of a sibling that strides in the first 1x1

A figure is matched at the precision at which it is written: 4.12G means 4.115e9 to 4.125e9. If no
count rounds to it, one that begins with these digits matches: the 3.8e9 of the paper is cut off.
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
NEAREST = 3  # how many counts are listed if none matches

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
    """How a count matches a figure."""

    rounded = "rounded"
    cut = "cut off"
    nearest = "nearest"


# Factors and kinds of match; each pair is tried if those before match nothing.
_READINGS: tuple[tuple[tuple[Fraction, ...], MatchKind], ...] = (
    ((_ONCE,), MatchKind.rounded),
    ((_ONCE,), MatchKind.cut),
    (tuple(_TIMES), MatchKind.rounded),
)


@dataclass(frozen=True, slots=True)
class WrittenFigure:
    """A figure as written; `unit` is the value of one in its last digit."""

    text: str
    value: Fraction
    unit: Fraction
    of: str | None  # OPERATIONS or PARAMETERS; None if it does not say

    def span(self, kind: MatchKind) -> tuple[Fraction, Fraction]:
        """From the least number that is written like this to the first that is not."""
        if kind is MatchKind.cut:
            return self.value, self.value + self.unit
        return self.value - self.unit / 2, self.value + self.unit / 2


@dataclass(frozen=True, slots=True)
class FigureMatch:
    """A count of a network that a figure may mean."""

    network: str
    by: tuple[str, ...]  # the conventions with this count, or PARAMETERS
    count: int
    factor: Fraction  # the figure is so many times the count
    off: float  # relative to the figure: how much larger the multiple is
    kind: MatchKind


def read_figure(text: str) -> WrittenFigure:
    """`4.12G`, `4.1 GFLOPs`, `8.18e9`, `3.8x10^9`, `25.6M params`. Raises ValueError."""
    read = _FIGURE.fullmatch(text.strip())
    if not read:
        raise ValueError(f"`{text}` is not a figure such as 4.12G, 4.1 GFLOPs or 25.6M")
    power = int(read["exponent"] or 0) + _SCALES.get((read["scale"] or "").lower(), 0)
    value = Fraction(read["digits"].replace(",", "")) * 10**power
    unit = Fraction(10**power, 10 ** len(read["decimals"] or ""))
    of = OPERATIONS if read["operations"] else PARAMETERS if read["parameters"] else None
    return WrittenFigure(text.strip(), value, unit, of)


def match(
    figure: WrittenFigure, networks: Sequence[tuple[str, TypedInstance]]
) -> list[FigureMatch]:
    """The counts that round to a figure, else begin with it, else round to twice or half of it.

    If there is none, the nearest. The first network is the one in question; others are considered if
    the results of their stages have the same shapes.
    """
    shapes = _stage_shapes(networks[0][1])
    alike = [each for each in networks if _stage_shapes(each[1]) == shapes]
    known = [each for name, typed in alike for each in _counts(figure, name, typed)]
    for factors, kind in _READINGS:
        low, high = figure.span(kind)
        matches = [
            _figure_match(figure, *each, factor, kind)
            for each in known
            for factor in factors
            if low <= each[2] * factor < high
        ]
        if matches:
            return matches
    once = (_figure_match(figure, *each, _ONCE, MatchKind.nearest) for each in known)
    return sorted(once, key=lambda each: abs(each.off))[:NEAREST]


def _stage_shapes(typed: TypedInstance) -> list[TensorType]:
    return [row.result for row in rows_by_stage(typed)]


def _counts(
    figure: WrittenFigure, name: str, typed: TypedInstance
) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """The distinct counts of a network, each with its conventions."""
    if figure.of != PARAMETERS:
        by: dict[int, list[str]] = {}
        for convention in conventions().values():
            by.setdefault(network_operations(convention, typed), []).append(convention.name)
        for number, names in by.items():
            yield name, tuple(names), number
    if figure.of != OPERATIONS:
        yield name, (PARAMETERS,), typed.cost.params


def _figure_match(
    figure: WrittenFigure,
    network: str,
    by: tuple[str, ...],
    number: int,
    factor: Fraction,
    kind: MatchKind,
) -> FigureMatch:
    off = float((number * factor - figure.value) / figure.value) if figure.value else inf
    return FigureMatch(network, by, number, factor, off, kind)


def siblings(
    document: Document, overrides: Mapping[str, object] | None = None
) -> list[tuple[str, Document]]:
    """Library networks that may be meant: those that differ only in what stages are made of.

    They extend the same spec in the end and have the same family, stages and input, under the same
    overrides; the block, the shortcut, the stem or the norm differ. Networks for which an override is
    an error are left out.
    """
    own, related = library.canonical_text(document.tree), []
    for path in library.network_files():
        if not _related(document, library.load(path.stem), "family"):
            continue
        try:
            other = library.load(path.stem, overrides)
        except SpecError:
            continue
        alike = _related(document, other, "input", "stages", "nodes")
        if alike and library.canonical_text(other.tree) != own:
            related.append((path.stem, other))
    return related


def _related(one: Document, other: Document, *keys: str) -> bool:
    """Whether two specs extend the same one in the end, and agree in some keys."""
    return one.sources[-1].name == other.sources[-1].name and all(
        _content(one, key) == _content(other, key) for key in keys
    )


def _content(document: Document, key: str) -> str:
    tree = document.tree.entries.get(key)
    return library.canonical_text(tree) if tree else ""


def match_lines(figure: WrittenFigure, matches: Sequence[FigureMatch]) -> list[str]:
    """The lines of `report --match`: what the figure may mean, or what comes nearest to it."""
    rows = [("network", "counted by", "count", "off")]
    for each in matches:
        by = _TIMES[each.factor] + ", ".join(each.by)
        rows.append((each.network, by, count(each.count), f"{each.off:+.2%}"))
    return [_title(figure, matches[0].kind), *align(rows, "<<>>")]


def _title(figure: WrittenFigure, kind: MatchKind) -> str:
    if kind is MatchKind.nearest:
        return f"nothing counts {figure.text}; the nearest:"
    low, high = (f"{float(bound):,.1f}".removesuffix(".0") for bound in figure.span(kind))
    return f"{figure.text} is {low} to {high}, {kind}:"
