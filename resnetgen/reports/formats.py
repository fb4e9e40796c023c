"""The formats of a report by name: what `--format` selects, or the suffix of a file.

    FORMATS["csv"]([report], "stage")  ->  network,name,op,in,out,params,macs,...
                                           resnet50,stem,...
    FORMATS["json"]([report], "stage") ->  {"network": "resnet50", "input": [3, 224, 224], ...}

`text` and `md` are tables for people, with a few figures unless more are asked for; `json`, `csv` and
`html` have every figure. Names and units of JSON and CSV are those of `metrics.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from resnetgen.reports.metrics import METRICS, Conditions, Value
from resnetgen.reports.report import Line, Report
from resnetgen.reports.report_tables import tables
from resnetgen.reports.table_layout import as_markdown, as_text

# --- the figures of a format

DATA_FORMATS = ("json", "csv", "html")  # formats that have every figure
_FOR_PEOPLE = ("params", "macs", "flops", "activations")
_OF_MEMORY = ("weight_bytes", "peak_bytes", "kept_bytes", "training_bytes")


def default_metrics(format: str, known: Sequence[str], *, several: bool, memory: bool) -> list[str]:
    """The figures that a format shows where `--columns` names none.

    Data formats show all. Tables show the counts, FLOPs only to compare networks, figures that an
    option of their own asks for, and those that depend on a batch if `memory`.
    """
    if format in DATA_FORMATS:
        return list(known)
    counts = [name for name in _FOR_PEOPLE if several or name != "flops"]
    usual = Conditions()
    optional = [name for name in known if name not in METRICS or not METRICS[name].available(usual)]
    of_memory = [name for name in _OF_MEMORY if name in known] if memory else []
    return [*counts, *optional, *of_memory]


# --- JSON


def as_data(report: Report, by: str = "stage") -> dict[str, Any]:
    """One report as plain data; `nodes` lists nodes or blocks if the rows are these."""
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
    """Figures by name; one that is the same along every axis is a number, else a list."""
    return {name: _plain(value) for name, value in line.values.items()}


def _plain(value: Value) -> Any:
    if isinstance(value, tuple):
        return value[0] if len(set(value)) == 1 else list(value)
    return value


def as_json(data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Reports as JSON, one line a row (`json.dumps` gives each number of a shape its own line)."""
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


# --- CSV


def as_csv(reports: Iterable[Report], by: str) -> str:
    """A row a line of each report, or a network by `total`; the first row names the columns."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, report in enumerate(reports):
        figures = [each.name for each in (report.metrics if by == "total" else report.line_metrics)]
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


# --- by name


def _text(reports: Sequence[Report], by: str) -> str:
    return as_text(tables(reports, by))


def _markdown(reports: Sequence[Report], by: str) -> str:
    return as_markdown(tables(reports, by))


def _json(reports: Sequence[Report], by: str) -> str:
    each = [as_data(report, by) for report in reports]
    return as_json(each if len(each) > 1 else each[0]) + "\n"


def _html(reports: Sequence[Report], by: str) -> str:
    from resnetgen.reports.html import page  # importing jinja2 takes 0.07 s

    return page(reports)


FORMATS: Mapping[str, Callable[[Sequence[Report], str], str]] = {
    "text": _text,
    "json": _json,
    "csv": as_csv,
    "md": _markdown,
    "html": _html,
}
