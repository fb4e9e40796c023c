"""Text tables: cells in aligned columns, as plain text or as Markdown.

    align([("name", "params"), ("conv1", "9,408")], "<>")  ->  name   params
                                                               conv1   9,408

`align` is the only way in which text is put in columns. A `Grid` is a whole table, with a title,
heads and a total; plain text, Markdown and the terminal (`terminal.py`) lay out the same grids.
Nothing here knows what the cells mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GAP = "  "


def align(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Rows of cells -> lines; `sides` has one `<` or `>` a column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [GAP.join(map(_padded, row, sides, widths)).rstrip() for row in rows]


def _padded(cell: str, side: str, width: int) -> str:
    return f"{cell:{side}{width}}"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table for people. `sides` has one `<` or `>` a column; `shares` a number from 0 to 1 a row."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sides: str
    total: tuple[str, ...] | None = None
    shares: tuple[float, ...] = ()  # the share of the whole of each row: of the time, or the work
    remarks: tuple[str, ...] = ()  # lines below the table

    @property
    def lines(self) -> list[tuple[str, ...]]:
        """The cells of all lines: the heads, the rows, the total."""
        return [self.heads, *self.rows, *([self.total] if self.total else [])]


def plain(grid: Grid) -> list[str]:
    """The lines of a grid as text, without title and remarks."""
    return align(grid.lines, grid.sides)


def markdown(grid: Grid) -> list[str]:
    """The same as a Markdown table (GitHub Flavored Markdown, section 4.10)."""
    rules = ["---:" if side == ">" else "---" for side in grid.sides]
    total = [[f"**{cell}**" if cell else "" for cell in grid.total]] if grid.total else []
    rows = [grid.heads, rules, *grid.rows, *total]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in escaped]


def as_text(grids: Iterable[Grid]) -> str:
    """Grids with titles and remarks as plain text, an empty line between two."""
    parts = ([*filter(None, [grid.title]), *plain(grid), *grid.remarks] for grid in grids)
    return _joined(parts)


def as_markdown(grids: Iterable[Grid]) -> str:
    """Grids with titles and remarks as Markdown, remarks as a list."""
    parts = []
    for grid in grids:
        title = [f"**{grid.title}**", ""] if grid.title else []
        remarks = ["", *(f"- {line}" for line in grid.remarks)] if grid.remarks else []
        parts.append([*title, *markdown(grid), *remarks])
    return _joined(parts)


def _joined(parts: Iterable[Sequence[str]]) -> str:
    return "\n\n".join(map("\n".join, parts)) + "\n"
