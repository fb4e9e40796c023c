"""The forms of a report by name: what `--format` says, or the suffix of a file.

FORMS["csv"]([report], "stage")  ->  "network,name,op,in,out,params,macs,...
resnet50,stem,..."

Tables are a grid and the remarks below it; plain text and Markdown lay out the same ones.

Reports as data: JSON and CSV. Names and units are those of `metrics.py`.

{"network": "resnet50", "input": [3, 224, 224], "totals": {"params": 25557032, ...}, "stages": [...]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from resnetgen.reports.metrics import METRICS, Conditions, Value
from resnetgen.reports.report import Line, Report
from resnetgen.reports.table_layout import Grid, comparison, grid, markdown, outputs, plain, remarks

Shown = tuple[Grid, Sequence[str]]  # a table, and what is said below it

FOR_PROGRAMS = ("json", "csv", "html")  # forms that hold all there is
_OF_PEOPLE = ("params", "macs", "flops", "activations")
_OF_MEMORY = ("weight_bytes", "peak_bytes", "kept_bytes", "training_bytes")


def figures_of(form: str, known: Sequence[str], *, several: bool, memory: bool) -> list[str]:
    """The figures that a form shows where nobody names any: all for programs, for people the few.

    Those are the counts, FLOPs only beside another network, what was asked for by an option of its
    own, and what depends on a batch if `memory`.
    """
    if form in FOR_PROGRAMS:
        return list(known)
    shown = [name for name in _OF_PEOPLE if several or name != "flops"]
    asked = [name for name in known if name not in METRICS or not METRICS[name].asked(Conditions())]
    of_memory = [name for name in _OF_MEMORY if name in known] if memory else []
    return [*shown, *asked, *of_memory]


def tables(
    reports: Sequence[Report], by: str, *, folded: bool = False, short: bool = False
) -> Iterator[Shown]:
    """A table a report, and one of its outputs if it has several; by `total` one for all reports.

    `folded` makes one row of equal blocks in a row, `short` rounds large counts.
    """
    if by == "total":
        yield comparison(reports, short), ()
        return
    for report in reports:
        yield grid(report, by, folded, short), remarks(report)
        several = outputs(report)
        if several:
            yield several, ()


def as_text(found: Iterable[Shown]) -> str:
    """Tables as plain text, an empty line between two."""
    return _joined(
        [*([table.title] if table.title else []), *plain(table), *below] for table, below in found
    )


def as_markdown(found: Iterable[Shown]) -> str:
    """Tables as Markdown, what is said below each as a list."""
    parts: list[list[str]] = []
    for table, below in found:
        title = [f"**{table.title}**", ""] if table.title else []
        listed = ["", *(f"- {line}" for line in below)] if below else []
        parts.append([*title, *markdown(table), *listed])
    return _joined(parts)


def _joined(parts: Iterable[Sequence[str]]) -> str:
    return "\n\n".join(map("\n".join, parts)) + "\n"


def _json(reports: Sequence[Report], by: str) -> str:
    each = [as_data(report, by) for report in reports]
    return as_json(each if len(each) > 1 else each[0]) + "\n"


def _html(reports: Sequence[Report], by: str) -> str:
    from resnetgen.reports.html import page  # jinja2 takes 0.07 s

    return page(reports)


def as_data(report: Report, by: str = "stage") -> dict[str, Any]:
    """One report as plain data; `nodes` lists nodes or blocks where those are asked for.

    `outputs` gives channels and reduction of each output.
    """
    given = report.conditions
    data: dict[str, Any] = {
        "network": report.name,
        "input": list(report.network.input.shape),
        "conditions": {
            "batch": given.batch,
            "dtype": given.dtype,
            "optimizer": given.optimizer,
            "device": given.device.key if given.device else None,
        },
        "totals": _values(report.total),
        "outputs": [
            {"name": each.name, "channels": each.channels, "reduction": each.reduction}
            for each in report.outputs
        ],
        "stages": [_stage(line) for line in report.lines("stage")],
    }
    if by in ("node", "block"):
        data["nodes"] = [_node(line) for line in report.lines(by)]
    return data


def _stage(line: Line) -> dict[str, Any]:
    return {"name": line.row.name, "out": list(line.row.result.shape), **_values(line)}


def _node(line: Line) -> dict[str, Any]:
    row = line.row
    shapes = {"in": list(row.source.shape), "out": list(row.result.shape)}
    return {"name": row.name, "op": row.op, **shapes, **_values(line)}


def _values(line: Line) -> dict[str, Any]:
    """Axes that are alike as one number, as people speak of them; else a list."""
    return {name: _plain(value) for name, value in line.values.items()}


def _plain(value: Value) -> Any:
    if isinstance(value, tuple):
        return value[0] if len(set(value)) == 1 else list(value)
    return value


def as_json(data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Reports as JSON, a line for each row (`json.dumps` gives each number of a shape its own)."""
    if isinstance(data, Mapping):
        return _object(data, "")
    return "[\n  " + ",\n  ".join(_object(each, "  ") for each in data) + "\n]"


def _object(data: Mapping[str, Any], indent: str) -> str:
    lines = [f'{indent}  "{key}": {_value(value, indent)}' for key, value in data.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _value(value: Any, indent: str) -> str:
    import json

    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value)
    rows = f",\n{indent}    ".join(map(json.dumps, value))
    return f"[\n{indent}    {rows}\n{indent}  ]"


def as_csv(reports: Iterable[Report], by: str) -> str:
    """A row a line of each report, or a network by `total`; the first row names the columns."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, report in enumerate(reports):
        figures = [each.name for each in (report.metrics if by == "total" else report.of_lines)]
        if number == 0:
            places = ["input"] if by == "total" else ["name", "op", "in", "out"]
            writer.writerow(["network", *places, *figures])
        writer.writerows(_csv_rows(report, by, figures))
    return text.getvalue()


def _csv_rows(report: Report, by: str, figures: Sequence[str]) -> Iterator[list[Any]]:
    if by == "total":
        values = _values(report.total)
        place = _shape(report.network.input.shape)
        yield [report.name, place, *(_cell(values[each]) for each in figures)]
        return
    for line in report.lines(by):
        row, values = line.row, _values(line)
        places = (row.name, row.op, _shape(row.source.shape), _shape(row.result.shape))
        yield [report.name, *places, *(_cell(values[each]) for each in figures)]


def _shape(shape: Sequence[float]) -> str:
    return "x".join(map(str, shape))


def _cell(value: Any) -> Any:
    return _shape(value) if isinstance(value, list) else value


FORMS: Mapping[str, Callable[[Sequence[Report], str], str]] = {
    "table": lambda reports, by: as_text(tables(reports, by)),
    "json": _json,
    "csv": as_csv,
    "md": lambda reports, by: as_markdown(tables(reports, by)),
    "html": _html,
}
