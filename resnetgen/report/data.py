"""Reports as data: JSON and CSV. Names and units are those of `metrics.py`.

{"network": "resnet50", "input": [3, 224, 224], "totals": {"params": 25557032, ...}, "stages": [...]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from resnetgen.report.assemble import Line, Report
from resnetgen.report.metrics import Value


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
