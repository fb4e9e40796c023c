"""Grids: a report as rows of cells, which plain text, Markdown, the terminal and the page share.

grid(report)      ->  a row a line, and the total
comparison(...)   ->  a row a network, and how each differs from the first

Figures as people read them.

4089184256 -> `4,089,184,256`, or `4.09 G` where there is little room; 102228128 bytes -> `97.5 MiB`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnetgen.reports.metrics import Metric, Value
from resnetgen.reports.numbers import align, count, rounded
from resnetgen.reports.report import Line, Report


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells for people. `sides` has one `<` or `>` a column; `shares` a number from 0 to 1 a row."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sides: str
    total: tuple[str, ...] | None = None
    shares: tuple[float, ...] = ()  # how much of the whole each row is: of the time, or the work


def grid(report: Report, by: str, folded: bool = False, short: bool = False) -> Grid:
    """A row a line of the report; `short` rounds large counts."""
    figures, lines = report.of_lines, report.lines(by, folded)
    places = ("input", "output") if by == "node" else ("output",)
    heads = ("name", "op" if by == "node" else "block", *places)
    rows = [_cells(line, figures, len(places), short) for line in lines]
    blank = ("" for _ in places)
    total = ("total", "", *blank, *_figures(report.total, figures, short))
    share = _share_of(figures)
    return Grid(
        f"{report.name}, input {report.network.input}{_conditions(report)}",
        (*heads, *(each.title for each in figures)),
        tuple(rows),
        "<<" + "<" * len(places) + ">" * len(figures),
        total,
        _shares(report, lines, share) if share else (),
    )


def _cells(line: Line, figures: Sequence[Metric], places: int, short: bool) -> tuple[str, ...]:
    row = line.row
    shapes = (str(row.source), str(row.result))[-places:]
    what = row.op if row.op != row.name else ""
    return (row.name, what, *shapes, *_figures(line, figures, short))


def _figures(line: Line, figures: Sequence[Metric], short: bool) -> list[str]:
    return [shown(each, line.values[each.name], short) for each in figures]


def _conditions(report: Report) -> str:
    """What bytes and times depend on, where there are any."""
    given = report.conditions
    said = [f", batch {given.batch}"] if given.batch > 1 else []
    if any(each.unit in ("bytes", "seconds") for each in report.metrics):
        said.append(f", {given.dtype}")
    if given.device:
        said.append(f", {given.device.name}")
    return "".join(said)


def _share_of(figures: Sequence[Metric]) -> Metric | None:
    """What bars show: the time where there is one, else the multiply-adds, else what comes first."""
    additive = {each.name: each for each in figures if each.additive}
    for name in ("time", "macs"):
        if name in additive:
            return additive[name]
    return next(iter(additive.values()), None)


def _shares(report: Report, lines: Sequence[Line], metric: Metric) -> tuple[float, ...]:
    total = report.total.values[metric.name]
    whole = float(total) if isinstance(total, int | float) else 0.0
    values = [line.values[metric.name] for line in lines]
    return tuple(
        value / whole if whole and isinstance(value, int | float) else 0.0 for value in values
    )


def outputs(report: Report) -> Grid | None:
    """A row for each of several outputs."""
    if len(report.outputs) < 2:
        return None
    rows = [(each.name, count(each.channels), str(each.reduction)) for each in report.outputs]
    return Grid("", ("outputs", "channels", "reduction"), tuple(rows), "<>>")


def remarks(report: Report) -> list[str]:
    """The figures of the whole network that no line has: `inference peak  409.1 MiB`."""
    whole = [each for each in report.metrics if each.whole]
    rows = [(each.title, shown(each, report.total.values[each.name]), each.doc) for each in whole]
    return align(rows, "<><") if rows else []


def comparison(reports: Sequence[Report], short: bool = False) -> Grid:
    """A row a network; figures that can be compared say how they differ from the first row's."""
    first = reports[0]
    figures = first.metrics
    several = len(reports) > 1
    heads: list[str] = ["network", "input"]
    sides = "<<"
    for each in figures:
        heads += [each.title, ""] if several else [each.title]
        sides += ">>" if several else ">"
    rows = []
    for report in reports:
        cells = [report.name, str(report.network.input)]
        for each in figures:
            value, base = report.total.values[each.name], first.total.values[each.name]
            cells.append(shown(each, value, short))
            if several:
                cells.append("" if report is first else change(value, base))
        rows.append(tuple(cells))
    return Grid(_conditions(first).lstrip(", "), tuple(heads), tuple(rows), sides)


def plain(grid: Grid) -> list[str]:
    """The lines of a grid as text: the heads, the rows, the total."""
    return align([grid.heads, *grid.rows, *([grid.total] if grid.total else [])], grid.sides)


def markdown(grid: Grid) -> list[str]:
    """The lines of a grid as a Markdown table (GitHub Flavored Markdown, section 4.10)."""
    rules = ["---:" if side == ">" else "---" for side in grid.sides]
    rows = [grid.heads, rules, *grid.rows]
    if grid.total:
        rows.append([f"**{cell}**" if cell else "" for cell in grid.total])
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in escaped]


_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def shown(metric: Metric, value: Value, short: bool = False) -> str:
    """A value of a metric as text; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return axes(value)
    if isinstance(value, str):
        return value
    if metric.unit == "bytes":
        return size(value)
    if metric.unit == "seconds":
        return duration(value)
    if isinstance(value, float):
        return significant(value)
    return rounded(value) if short else count(value)


def axes(values: tuple[float, ...]) -> str:
    """`(7, 7)` -> `7`; `(7, 5)` -> `7 x 5`."""
    told = [significant(value) if isinstance(value, float) else count(value) for value in values]
    return told[0] if len(set(told)) == 1 else " x ".join(told)


def size(number: float) -> str:
    """Bytes -> `97.5 MiB`."""
    power = 0
    while number >= 1024 and power < len(_BINARY) - 1:
        number, power = number / 1024, power + 1
    return f"{number:,.1f} {_BINARY[power]}" if power else f"{number:,.0f} B"


def duration(seconds: float) -> str:
    """Seconds -> `1.23 ms`."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns" if seconds else "0"


def significant(value: float) -> str:
    """Three significant digits, and no more than needed: `27.5`, `51,984`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def change(value: Value, base: Value) -> str:
    """How a figure differs from another: `+135.5 %`."""
    if not isinstance(value, int | float) or not isinstance(base, int | float) or not base:
        return ""
    return f"{(value / base - 1) * 100:+.1f} %" if value != base else "="
