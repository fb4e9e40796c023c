"""The papers' ledger: what was published beside what the compiler computes.

Table 1   ResNet-152   11.3 G published   11,282,415,616 computed   rounds to it

The figures are data (`tables/papers.yaml`). A published figure agrees where the computed one gives
it when rounded to as many digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.reports.formats import Shown, as_json, as_markdown, as_text
from resnetgen.reports.numbers import count, rounded
from resnetgen.reports.table_layout import Grid
from resnetgen.reports.tables import read_table

# What a network of the library costs, with overrides.
CostOf = Callable[[str, Mapping[str, str]], Cost]
_FIGURES = {"params": "parameters", "macs": "multiply-adds"}


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of a paper's table: published figures as printed, and the cost, where the library has the network."""

    label: str
    published: Mapping[str, str]
    error: str
    cost: Cost | None

    def computed(self, figure: str) -> int | None:
        """A figure of the network, or None."""
        return getattr(self.cost, figure) if self.cost else None

    def agrees(self, figure: str) -> bool | None:
        """Whether the computed figure rounds to the published one; None where one is missing."""
        value, printed = self.computed(figure), self.published.get(figure)
        if value is None or printed is None:
            return None
        exact = Decimal(printed)
        return Decimal(value).quantize(_last_digit(exact)) == exact


def _last_digit(number: Decimal) -> Decimal:
    """`1.8e9` -> `1e8`."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal(1).scaleb(exponent)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of a paper, and the two figures that it compares."""

    text: str
    figure: str
    less: tuple[str, int]
    than: tuple[str, int]

    @property
    def holds(self) -> bool:
        """Whether the first is the smaller."""
        return self.less[1] < self.than[1]


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of a paper."""

    name: str
    title: str
    paper: str
    entries: tuple[PublishedRow, ...]
    claims: tuple[Claim, ...]


def ledger(cost_of: CostOf) -> Iterator[PaperTable]:
    """The tables, in the order of the data."""
    for table in read_table("papers")["tables"]:
        yield PaperTable(
            table["table"],
            table["title"],
            table["paper"],
            tuple(_entry(row, cost_of) for row in table["rows"]),
            tuple(_claim(claim, cost_of) for claim in table.get("claims", ())),
        )


def _entry(row: Mapping[str, Any], cost_of: CostOf) -> PublishedRow:
    published = {figure: row[figure] for figure in _FIGURES if figure in row}
    cost = cost_of(row["network"], row.get("set", {})) if "network" in row else None
    return PublishedRow(row["label"], published, row.get("error", ""), cost)


def _claim(claim: Mapping[str, Any], cost_of: CostOf) -> Claim:
    figure = claim["figure"]
    sides = [(claim[side], getattr(cost_of(claim[side], {}), figure)) for side in ("less", "than")]
    return Claim(claim["text"], figure, *sides)


def grid(table: PaperTable) -> Grid:
    """A row an entry: what the library's network has, and what was published of it."""
    published = [
        figure for figure in _FIGURES if any(figure in each.published for each in table.entries)
    ]
    errors = any(each.error for each in table.entries)
    heads = ["network"]
    for figure, title in _FIGURES.items():
        heads += [title, "published"] if figure in published else [title]
    rows = []
    for entry in table.entries:
        cells = [entry.label]
        for figure in _FIGURES:
            value = entry.computed(figure)
            cells.append(count(value) if value is not None else "-")
            cells += [_published(entry, figure)] if figure in published else []
        rows.append((*cells, entry.error) if errors else tuple(cells))
    if errors:
        heads.append("published error %")
    title = f"{table.name} of {table.paper}: {table.title}"
    return Grid(title, tuple(heads), tuple(rows), "<" + ">" * (len(heads) - 1))


def _published(entry: PublishedRow, figure: str) -> str:
    printed = entry.published.get(figure)
    if printed is None:
        return ""
    return rounded_as_printed(printed) + ("  " if entry.agrees(figure) is not False else " *")


def remarks(table: PaperTable) -> list[str]:
    """What stands below a table: claims, and what its marks mean."""
    lines = [told(claim) for claim in table.claims]
    if any(entry.agrees(figure) is False for entry in table.entries for figure in _FIGURES):
        lines.append("* the computed figure does not round to it")
    if any(entry.cost is None for entry in table.entries):
        lines.append("- the library does not have this network")
    return lines


def rounded_as_printed(printed: str) -> str:
    """`11.3e9` -> `11.3 G`."""
    digits, _, exponent = printed.partition("e")
    return f"{digits} {({'6': 'M', '9': 'G'})[exponent]}"


def told(claim: Claim) -> str:
    """A claim and the figures, on one line."""
    (first, less), (second, than) = claim.less, claim.than
    verdict = "holds" if claim.holds else "does not hold"
    figures = f"{first} {rounded(less)}, {second} {rounded(than)} {_FIGURES[claim.figure]}"
    return f'"{claim.text}" {verdict}: {figures}, {less / than:.0%}'


def as_data(table: PaperTable) -> dict[str, Any]:
    """A table as plain data."""
    return {
        "table": table.name,
        "title": table.title,
        "paper": table.paper,
        "rows": [
            {
                "label": entry.label,
                "error": entry.error or None,
                **{
                    figure: {
                        "published": entry.published.get(figure),
                        "computed": entry.computed(figure),
                        "agrees": entry.agrees(figure),
                    }
                    for figure in _FIGURES
                },
            }
            for entry in table.entries
        ],
        "claims": [
            {
                "text": claim.text,
                "holds": claim.holds,
                "figure": claim.figure,
                "less": dict([claim.less]),
                "than": dict([claim.than]),
            }
            for claim in table.claims
        ],
    }


def _tables(ledger: Iterable[PaperTable]) -> Iterator[Shown]:
    return ((grid(table), remarks(table)) for table in ledger)


# The forms of the ledger by name, as `forms.FORMS` has those of reports.
PAPER_FORMATS: Mapping[str, Callable[[Iterable[PaperTable]], str]] = {
    "table": lambda ledger: as_text(_tables(ledger)),
    "md": lambda ledger: as_markdown(_tables(ledger)),
    "json": lambda ledger: as_json([as_data(table) for table in ledger]) + "\n",
}
