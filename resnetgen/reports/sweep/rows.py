"""Rows as lines of CSV (RFC 4180) or of JSON (jsonlines.org), and back.

    variant,layer3.blocks,params,macs,error            {"variant": 0, "layer3.blocks": 1, ...}
    0,1,19971624,2997813248,

One row is one line: that is how a file which was cut off is mended. Empty cells, or null, stand
where there is no figure and no fault.

The columns of a sweep's rows: what each is called, its unit, what it means.

    variant, layer3.blocks, layer4.width, params, buffers, macs, flops, activations, error

The number of the variant comes first and its fault last; between them stand the varied values, named
by their paths, and the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import IO, Any

from resnetgen.reports.sweep.evaluate import Figures
from resnetgen.reports.sweep.space import Factor, Space


class Csv:
    """Rows parted by commas, under a line of names."""

    def __init__(self, space: Space, figures: Sequence[str]) -> None:
        self.names = [column.name for column in columns_of(space, figures)]
        self.head = ",".join(map(_quoted, self.names)) + "\n"
        self.cells = [[_quoted(each.text) for each in factor.settings] for factor in space.factors]
        self.indices = [NAMES.index(name) for name in figures]
        self.none = "," * (len(figures) - 1)

    def line(self, variant: int, choice: Sequence[int], found: Figures | str) -> str:
        """`12,5,384,25557032,...,`"""
        cells = [cells[index] for cells, index in zip(self.cells, choice, strict=True)]
        if isinstance(found, str):
            return f"{variant},{','.join(cells)},{self.none},{_quoted(found)}\n"
        cells += [str(found[index]) for index in self.indices]
        return f"{variant},{','.join(cells)},\n"

    def variant_of(self, line: str) -> int:
        """The number before the first comma."""
        return int(line.partition(",")[0])

    def read(self, file: IO[str], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Some columns of each row without a fault, as numbers."""
        import csv

        pick = itemgetter(*(self.names.index(name) for name in names))
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            if not row[-1]:
                yield tuple(map(_number, pick(row)))


class JsonLines:
    """An object a line."""

    head = ""

    def __init__(self, space: Space, figures: Sequence[str]) -> None:
        self.cells = [_members(factor) for factor in space.factors]
        self.indices = [NAMES.index(name) for name in figures]

    def line(self, variant: int, choice: Sequence[int], found: Figures | str) -> str:
        """`{"variant": 12, "layer3.blocks": 5, ..., "error": null}`"""
        import json

        cells = [cells[index] for cells, index in zip(self.cells, choice, strict=True)]
        if isinstance(found, str):
            cells += [f'"{NAMES[index]}": null' for index in self.indices]
            error = json.dumps(found)
        else:
            cells += [f'"{NAMES[index]}": {found[index]}' for index in self.indices]
            error = "null"
        return f'{{"variant": {variant}, {", ".join(cells)}, "error": {error}}}\n'

    def variant_of(self, line: str) -> int:
        """The member `variant`."""
        import json

        row = json.loads(line)
        if not isinstance(row, dict) or type(row.get("variant")) is not int:
            raise ValueError("no row of a sweep")
        return int(row["variant"])

    def read(self, file: IO[str], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Some columns of each row without a fault."""
        import json

        for line in file:
            row = json.loads(line)
            if row["error"] is None:
                yield tuple(row[name] for name in names)


Format = Csv | JsonLines  # how rows are written and read


def format_of(suffix: str, space: Space, figures: Sequence[str]) -> Format | None:
    """The format of a file's suffix; None where there is none."""
    formats: dict[str, type[Format]] = {".csv": Csv, ".jsonl": JsonLines}
    found = formats.get(suffix.lower())
    return found(space, figures) if found else None


def _members(factor: Factor) -> list[str]:
    """`"layer3.blocks": 5` for each value."""
    import json

    name = json.dumps(factor.path)
    return [f"{name}: {json.dumps(setting.value)}" for setting in factor.settings]


def _quoted(text: str) -> str:
    """A cell of CSV; a row is one line, so a line break becomes a space."""
    text = " ".join(text.splitlines())
    if any(char in text for char in ',"') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def _number(cell: str) -> float:
    return float(cell) if not cell.lstrip("-").isdigit() else int(cell)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a row."""

    name: str
    unit: str
    doc: str


VARIANT = Column(
    "variant", "", "number of the variant, from 0; the last varied path changes fastest"
)
ERROR = Column("error", "", "code and message of the first fault of a variant that is refused")
FIGURES = (  # in the order of `Figures`
    Column("params", "elements", "trained parameters"),
    Column("buffers", "elements", "elements of the state_dict that are not trained"),
    Column("macs", "multiply-adds", "of convolutions and linear layers, for one image"),
    Column("flops", "operations", "two for each multiply-add"),
    Column("activations", "elements", "of the results of all ops in evaluation, for one image"),
)
NAMES = tuple(column.name for column in FIGURES)


def columns_of(space: Space, figures: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a sweep that writes some figures."""
    varied = (Column(factor.path, "", "varied") for factor in space.factors)
    return VARIANT, *varied, *(FIGURES[NAMES.index(name)] for name in figures), ERROR
