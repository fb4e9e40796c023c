"""The papers' ledger: published figures beside what the compiler computes (`report --paper`).

    network      parameters   multiply-adds  published
    ResNet-152   60,192,808  11,282,415,616   11.3 G

The figures are data (`tables/papers.yaml`). A computed figure agrees with a published one if it
rounds to it at as many digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from resnetgen.compiler.passes.infer_types import Cost
from resnetgen.reports.formats import as_json
from resnetgen.reports.numbers import count, rounded
from resnetgen.reports.table_layout import Grid, as_markdown, as_text
from resnetgen.reports.tables import read_table

# The cost of a library network, with overrides.
CostOf = Callable[[str, Mapping[str, str]], Cost]
_FIGURES = {"params": "parameters", "macs": "multiply-adds"}


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of a paper's table: figures as printed, and the cost if the library has the network."""

    label: str
    published: Mapping[str, str]
    error: str
    cost: Cost | None

    def computed(self, figure: str) -> int | None:
        """A figure of the library's network; None if there is none."""
        return getattr(self.cost, figure) if self.cost else None

    def agrees(self, figure: str) -> bool | None:
        """Whether the computed figure rounds to the published one; None if either is missing."""
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
    """A sentence of a paper: a figure of one network is less than that of another."""

    text: str
    figure: str
    less: tuple[str, int]
    than: tuple[str, int]

    @property
    def holds(self) -> bool:
        """Whether it is less."""
        return self.less[1] < self.than[1]


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of a paper."""

    name: str
    title: str
    paper: str
    rows: tuple[PublishedRow, ...]
    claims: tuple[Claim, ...]


def ledger(cost_of: CostOf) -> Iterator[PaperTable]:
    """The tables, in the order of the data."""
    for table in read_table("papers")["tables"]:
        yield PaperTable(
            table["table"],
            table["title"],
            table["paper"],
            tuple(_row(row, cost_of) for row in table["rows"]),
            tuple(_claim(claim, cost_of) for claim in table.get("claims", ())),
        )


def _row(row: Mapping[str, Any], cost_of: CostOf) -> PublishedRow:
    published = {figure: row[figure] for figure in _FIGURES if figure in row}
    cost = cost_of(row["network"], row.get("set", {})) if "network" in row else None
    return PublishedRow(row["label"], published, row.get("error", ""), cost)


def _claim(claim: Mapping[str, Any], cost_of: CostOf) -> Claim:
    figure = claim["figure"]
    sides = [(claim[side], getattr(cost_of(claim[side], {}), figure)) for side in ("less", "than")]
    return Claim(claim["text"], figure, *sides)


# --- as tables


def paper_grid(table: PaperTable) -> Grid:
    """What the library's network has of each row, and what was published."""
    published = [
        figure for figure in _FIGURES if any(figure in each.published for each in table.rows)
    ]
    errors = any(each.error for each in table.rows)
    heads = ["network"]
    for figure, title in _FIGURES.items():
        heads += [title, "published"] if figure in published else [title]
    rows = []
    for row in table.rows:
        cells = [row.label]
        for figure in _FIGURES:
            value = row.computed(figure)
            cells.append(count(value) if value is not None else "-")
            cells += [_published(row, figure)] if figure in published else []
        rows.append((*cells, row.error) if errors else tuple(cells))
    if errors:
        heads.append("published error %")
    return Grid(
        f"{table.name} of {table.paper}: {table.title}",
        tuple(heads),
        tuple(rows),
        "<" + ">" * (len(heads) - 1),
        remarks=tuple(_remarks(table)),
    )


def _published(row: PublishedRow, figure: str) -> str:
    printed = row.published.get(figure)
    if printed is None:
        return ""
    return with_unit(printed) + ("  " if row.agrees(figure) is not False else " *")


def with_unit(printed: str) -> str:
    """`11.3e9` -> `11.3 G`."""
    digits, _, exponent = printed.partition("e")
    return f"{digits} {({'6': 'M', '9': 'G'})[exponent]}"


def _remarks(table: PaperTable) -> Iterator[str]:
    """The claims, and what the marks of the table mean."""
    yield from map(claim_line, table.claims)
    if any(row.agrees(figure) is False for row in table.rows for figure in _FIGURES):
        yield "* the computed figure does not round to it"
    if any(row.cost is None for row in table.rows):
        yield "- the library does not have this network"


def claim_line(claim: Claim) -> str:
    """A claim and the figures, on one line."""
    (first, less), (second, than) = claim.less, claim.than
    verdict = "holds" if claim.holds else "does not hold"
    figures = f"{first} {rounded(less)}, {second} {rounded(than)} {_FIGURES[claim.figure]}"
    return f'"{claim.text}" {verdict}: {figures}, {less / than:.0%}'


# --- as data


def as_data(table: PaperTable) -> dict[str, Any]:
    """A table as plain data."""
    return {
        "table": table.name,
        "title": table.title,
        "paper": table.paper,
        "rows": [_row_data(row) for row in table.rows],
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


def _row_data(row: PublishedRow) -> dict[str, Any]:
    figures = {
        figure: {
            "published": row.published.get(figure),
            "computed": row.computed(figure),
            "agrees": row.agrees(figure),
        }
        for figure in _FIGURES
    }
    return {"label": row.label, "error": row.error or None, **figures}


# The formats of the ledger by name, as `formats.FORMATS` has those of reports.
PAPER_FORMATS: Mapping[str, Callable[[Iterable[PaperTable]], str]] = {
    "text": lambda ledger: as_text(map(paper_grid, ledger)),
    "md": lambda ledger: as_markdown(map(paper_grid, ledger)),
    "json": lambda ledger: as_json([as_data(table) for table in ledger]) + "\n",
}
