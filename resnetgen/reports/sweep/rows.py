"""The rows of a sweep: their columns, the condition on them (`--where`), their lines in the file.

    variant,layer3.blocks,params,macs,error            {"variant": 0, "layer3.blocks": 1, ...}
    0,1,19971624,2997813248,

The number of the variant comes first, then the varied values, named by their paths, then the
figures, and last the error. Formats are CSV (RFC 4180) and JSON Lines (jsonlines.org). One row is
one line, so that a file which was cut off can be resumed. Where there is no figure or no error, the
cell is empty, or null.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import IO, Any

from resnetgen.compiler.diagnostics.model import Note, SpecError, did_you_mean
from resnetgen.compiler.frontend.expressions import (
    Expr,
    ExpressionError,
    Value,
    evaluate,
    free_names,
    parse,
)
from resnetgen.reports.numbers import expand_suffixes
from resnetgen.reports.sweep.evaluator import Figures
from resnetgen.reports.sweep.space import Factor, Space, option_error

# --- columns


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a row."""

    name: str
    unit: str
    doc: str


VARIANT = Column(
    "variant", "", "number of the variant, from 0; the last varied path changes fastest"
)
ERROR = Column("error", "", "code and message of the first error of a variant that has one")
FIGURES = (  # in the order of `Figures`
    Column("params", "elements", "trained parameters"),
    Column("buffers", "elements", "elements of the state_dict that are not trained"),
    Column("macs", "multiply-adds", "of convolutions and linear layers, for one image"),
    Column("flops", "operations", "two for each multiply-add"),
    Column("activations", "elements", "of the results of all ops in evaluation, for one image"),
)
FIGURE_NAMES = tuple(column.name for column in FIGURES)


def columns_of(space: Space, figures: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a sweep that writes some figures."""
    varied = (Column(factor.path, "", "varied") for factor in space.factors)
    return VARIANT, *varied, *(FIGURES[FIGURE_NAMES.index(name)] for name in figures), ERROR


# --- the condition

_DOT = "\N{MIDDLE DOT}"  # valid in a Python name, and as long as a dot: columns stay right
_PATH = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)+")


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on variants: an expression over varied paths and figures.

        layer3.blocks >= 4 and macs < 5G and block == bottleneck

    The language is that of specs, with paths as names; a word that varies means itself. Numbers may
    have a suffix, as in budgets.
    """

    text: str
    expr: Expr
    names: tuple[str, ...]  # the columns that it reads, as written
    words: Mapping[str, Value]

    @property
    def reads_figures(self) -> bool:
        """Whether it needs the costs of a variant."""
        return any(name in FIGURE_NAMES for name in self.names)

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a variant with these values and figures gets a row. Raises SpecError."""
        known = {name.replace(".", _DOT): row[name] for name in self.names if name in row}
        try:
            kept = evaluate(self.expr, {**self.words, **known})
        except ExpressionError as error:
            values = ", ".join(f"`{name}` is {row[name]}" for name in self.names if name in row)
            notes = [Note(f"in a variant where {values}")] if values else []
            message = str(error).replace(_DOT, ".")
            raise _where_error(self.text, self.text, message, None, *notes) from None
        if not isinstance(kept, bool):
            help = "compare it with something: `macs < 5e9`"
            message = f"this is {kept}, neither true nor false"
            raise _where_error(self.text, self.text, message, help)
        return kept


def parse_where(text: str, space: Space) -> Where:
    """The condition in a text. Raises SpecError, which marks the wrong part of the text."""
    try:
        expr = parse(expand_suffixes(_PATH.sub(lambda match: match[0].replace(".", _DOT), text)))
    except ExpressionError as error:
        raise _where_error(text, text, str(error).replace(_DOT, ".")) from None
    columns = [*(factor.path for factor in space.factors), *FIGURE_NAMES]
    words: dict[str, Value] = {
        str(each.value): str(each.value)
        for factor in space.factors
        for each in factor.values
        if isinstance(each.value, str)
    }
    names = tuple(name.replace(_DOT, ".") for name in dict.fromkeys(free_names(expr)))
    for name in names:
        if name not in columns and name not in words:
            hint = did_you_mean(name, [*columns, *words]) or f"known are {', '.join(columns)}"
            raise _where_error(text, name, f"`{name}` is not varied and is not a figure", hint)
    return Where(text, expr, tuple(name for name in names if name in columns), words)


def _where_error(
    text: str, part: str, message: str, help: str | None = None, *notes: Note
) -> SpecError:
    return option_error("--where", text, part, message, help, *notes, code="expression")


# --- lines


class Csv:
    """Rows of cells separated by commas, under a line of column names."""

    def __init__(self, space: Space, figures: Sequence[str]) -> None:
        self.names = [column.name for column in columns_of(space, figures)]
        self.head = ",".join(map(_quoted, self.names)) + "\n"
        self.cells = [[_quoted(each.text) for each in factor.values] for factor in space.factors]
        self.indices = [FIGURE_NAMES.index(name) for name in figures]
        self.none = "," * (len(figures) - 1)

    def line(self, variant: int, choice: Sequence[int], result: Figures | str) -> str:
        """`12,5,384,25557032,...,`"""
        cells = [cells[index] for cells, index in zip(self.cells, choice, strict=True)]
        if isinstance(result, str):
            return f"{variant},{','.join(cells)},{self.none},{_quoted(result)}\n"
        cells += [str(result[index]) for index in self.indices]
        return f"{variant},{','.join(cells)},\n"

    def variant_of(self, line: str) -> int:
        """The number before the first comma. Raises ValueError."""
        return int(line.partition(",")[0])

    def read(self, file: IO[str], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Some columns, as numbers, of each row that has figures."""
        pick = itemgetter(*(self.names.index(name) for name in names))
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            if not row[-1]:
                yield tuple(map(_number, pick(row)))


class JsonLines:
    """One object per line."""

    head = ""

    def __init__(self, space: Space, figures: Sequence[str]) -> None:
        self.cells = [_members(factor) for factor in space.factors]
        self.indices = [FIGURE_NAMES.index(name) for name in figures]

    def line(self, variant: int, choice: Sequence[int], result: Figures | str) -> str:
        """`{"variant": 12, "layer3.blocks": 5, ..., "error": null}`"""
        cells = [cells[index] for cells, index in zip(self.cells, choice, strict=True)]
        if isinstance(result, str):
            cells += [f'"{FIGURE_NAMES[index]}": null' for index in self.indices]
            error = json.dumps(result)
        else:
            cells += [f'"{FIGURE_NAMES[index]}": {result[index]}' for index in self.indices]
            error = "null"
        return f'{{"variant": {variant}, {", ".join(cells)}, "error": {error}}}\n'

    def variant_of(self, line: str) -> int:
        """The member `variant`. Raises ValueError."""
        row = json.loads(line)
        if not isinstance(row, dict) or type(row.get("variant")) is not int:
            raise ValueError("not a row of a sweep")
        return int(row["variant"])

    def read(self, file: IO[str], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Some columns of each row that has figures."""
        for line in file:
            row = json.loads(line)
            if row["error"] is None:
                yield tuple(row[name] for name in names)


RowFormat = Csv | JsonLines


def row_format(suffix: str, space: Space, figures: Sequence[str]) -> RowFormat | None:
    """The format of a file with this suffix; None if there is none."""
    formats: dict[str, type[RowFormat]] = {".csv": Csv, ".jsonl": JsonLines}
    format = formats.get(suffix.lower())
    return format(space, figures) if format else None


def _members(factor: Factor) -> list[str]:
    """`"layer3.blocks": 5` for each value."""
    name = json.dumps(factor.path)
    return [f"{name}: {json.dumps(each.value)}" for each in factor.values]


def _quoted(text: str) -> str:
    """A cell of CSV. A row is one line, so a line break becomes a space."""
    text = " ".join(text.splitlines())
    if any(char in text for char in ',"') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def _number(cell: str) -> float:
    return float(cell) if not cell.lstrip("-").isdigit() else int(cell)
