"""A report as grids: what its tables show, in the words that people read.

    tables([report], "stage")         ->  a row a stage, the total, and the figures of the whole below
    tables([report, other], "total")  ->  a row a network, and how each differs from the first

`table_layout.py` and `terminal.py` lay the grids out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnetgen.reports.metrics import Metric
from resnetgen.reports.numbers import count, relative_change
from resnetgen.reports.report import Line, Report
from resnetgen.reports.table_layout import Grid, align


def tables(
    reports: Sequence[Report], by: str, *, folded: bool = False, short: bool = False
) -> Iterator[Grid]:
    """A table a report, and one of its outputs if it has several; by `total` one for all reports.

    `folded` makes one row of equal blocks in a row, `short` rounds large counts.
    """
    if by == "total":
        yield comparison(reports, short)
        return
    for report in reports:
        yield lines_table(report, by, folded, short)
        if len(report.outputs) > 1:
            yield outputs_table(report)


# --- one network


def lines_table(report: Report, by: str, folded: bool = False, short: bool = False) -> Grid:
    """A row a line of the report, and the total."""
    figures, lines = report.line_metrics, report.lines(by, folded)
    shapes = ("input", "output") if by == "node" else ("output",)
    heads = ("name", "op" if by == "node" else "block", *shapes)
    blank = ("" for _ in shapes)
    return Grid(
        f"{report.name}, input {report.network.input}{_conditions(report)}",
        (*heads, *(each.title for each in figures)),
        tuple(_cells(line, figures, len(shapes), short) for line in lines),
        "<" * len(heads) + ">" * len(figures),
        ("total", "", *blank, *_figures(report.total, figures, short)),
        _shares(report, lines),
        tuple(_whole_figures(report)),
    )


def _cells(line: Line, figures: Sequence[Metric], shapes: int, short: bool) -> tuple[str, ...]:
    row = line.row
    op = row.op if row.op != row.name else ""
    return (
        row.name,
        op,
        *(str(row.source), str(row.result))[-shapes:],
        *_figures(line, figures, short),
    )


def _figures(line: Line, figures: Sequence[Metric], short: bool) -> list[str]:
    return [each.text(line.values[each.name], short) for each in figures]


def _conditions(report: Report) -> str:
    """`, batch 8, float32, NVIDIA A100`: what bytes and times depend on, where there are any."""
    given = report.conditions
    parts = [f", batch {given.batch}"] if given.batch > 1 else []
    if any(each.unit in ("bytes", "seconds") for each in report.metrics):
        parts.append(f", {given.dtype}")
    if given.device:
        parts.append(f", {given.device.name}")
    return "".join(parts)


def _shares(report: Report, lines: Sequence[Line]) -> tuple[float, ...]:
    """What bars show: the share of each line of the time, else of the multiply-adds, else of the
    first figure that can be summed.
    """
    additive = [each.name for each in report.line_metrics if each.additive]
    if not additive:
        return ()
    name = next((each for each in ("time", "macs") if each in additive), additive[0])
    total = report.total.values[name]
    whole = float(total) if isinstance(total, int | float) else 0.0
    values = [line.values[name] for line in lines]
    return tuple(
        value / whole if whole and isinstance(value, int | float) else 0.0 for value in values
    )


def _whole_figures(report: Report) -> list[str]:
    """The figures of the whole network that no line has: `inference peak  409.1 MiB`."""
    whole = [each for each in report.metrics if each.whole]
    rows = [(each.title, each.text(report.total.values[each.name]), each.doc) for each in whole]
    return align(rows, "<><")


def outputs_table(report: Report) -> Grid:
    """A row an output."""
    rows = [(each.name, count(each.channels), str(each.reduction)) for each in report.outputs]
    return Grid("", ("outputs", "channels", "reduction"), tuple(rows), "<>>")


# --- several networks


def comparison(reports: Sequence[Report], short: bool = False) -> Grid:
    """A row a network; figures that can be compared say how they differ from the first row's."""
    first, several = reports[0], len(reports) > 1
    heads, sides = ["network", "input"], "<<"
    for each in first.metrics:
        heads += [each.title, ""] if several else [each.title]
        sides += ">>" if several else ">"
    rows = []
    for report in reports:
        cells = [report.name, str(report.network.input)]
        for each in first.metrics:
            value, base = report.total.values[each.name], first.total.values[each.name]
            cells.append(each.text(value, short))
            if several:
                cells.append("" if report is first else relative_change(value, base))
        rows.append(tuple(cells))
    return Grid(_conditions(first).lstrip(", "), tuple(heads), tuple(rows), sides)
