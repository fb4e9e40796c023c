"""What is drawn of reports: which figures, of which stages, with which words.

by_stage(report, stages)  ->  Figure("bars", "Parameters and multiply-adds by stage", ...)

A chart is drawn where all its figures are wanted, and where there is something to see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

from resnetgen.graph.memory import profile
from resnetgen.graph.rows import rows_by_node
from resnetgen.report.assemble import Line, Report
from resnetgen.report.columns import brief, count
from resnetgen.report.figures import shown, size
from resnetgen.report.metrics import Metric, Value
from resnetgen.report.plots import Area, Bars, Item, Points, Series, area, bars, points

# A plot is drawn twice, for wide windows and for telephones; the style sheet shows one of them.
_WIDTHS = (560, 340)
_PLANE_WIDTHS = (860, 340)

_FOLD = re.compile(r"-\d+\.| - ")  # what `folded_name` puts behind the first of equal blocks


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot in each width. `kind` names the macro of the template that draws it.

    `names` are those of the axes of a plane, or of what the colours of bars stand for.
    """

    kind: str
    title: str
    remark: str
    plots: tuple[Bars | Area | Points, ...]
    names: tuple[str, ...] = ()


def plane(reports: Sequence[Report]) -> Figure | None:
    """Every network as a point, by multiply-adds and parameters."""
    across, up = (_metric(reports[0], name) for name in ("macs", "params"))
    if across is None or up is None:
        return None
    items = []
    for report in reports:
        cost = report.measured.cost
        if cost.macs and cost.params:
            tip = f"{report.name}: {_told(across, cost.macs)}, {_told(up, cost.params)}"
            items.append(Item(report.name, cost.macs, cost.params, tip))
    if not items:
        return None
    remark = f"Both axes are logarithmic. {_left_out(len(reports) - len(items))}".rstrip()
    plots = tuple(points(items, brief, width) for width in _PLANE_WIDTHS)
    title = _title(f"{up.title} and {across.title}")
    return Figure("plane", title, remark, plots, (across.title, up.title))


def by_stage(report: Report, stages: Sequence[Line]) -> Figure | None:
    """Parameters and multiply-adds of each stage, beside each other."""
    wanted = [each for name in ("params", "macs") if (each := _metric(report, name))]
    lines = [line for line in stages if any(line.values[each.name] for each in wanted)]
    if not lines:
        return None
    series = [
        Series(
            each.title,
            [_number(line.values[each.name]) for line in lines],
            [shown(each, line.values[each.name], short=True) for line in lines],
        )
        for each in wanted
    ]
    plots = _bars(lines, series)
    title = _title(f"{' and '.join(each.title for each in wanted)} by stage")
    return Figure("bars", title, _left_out(len(stages) - len(lines)), plots)


def bounds(report: Report, stages: Sequence[Line]) -> Figure | None:
    """The least time of each stage on the device, and what is left of it after fusion."""
    given = report.conditions
    eager, fused = (_metric(report, name) for name in ("eager_time", "time"))
    if given.device is None or eager is None or fused is None:
        return None
    lines = [line for line in stages if line.values[eager.name]]
    if not lines:
        return None
    pairs = [(line.values[eager.name], line.values[fused.name]) for line in lines]
    series = Series(
        fused.title,
        [_number(whole) for whole, _ in pairs],
        [f"{shown(eager, whole)}, fused {shown(fused, part)}" for whole, part in pairs],
        [_number(part) for _, part in pairs],
    )
    remark = f"Lower bounds for a batch of {count(given.batch)} in {given.dtype} (roofline)."
    title = f"Least time on {given.device.name} by stage"
    return Figure(
        "bars", title, remark, _bars(lines, [series]), ("one op after the other", "fused")
    )


def memory(report: Report) -> Figure | None:
    """Bytes of activations that are alive while each op of evaluation runs."""
    given = report.conditions
    if _metric(report, "peak_bytes") is None:
        return None
    alive = profile(report.measured, given.batch, given.dtype)
    if not alive:
        return None
    groups = list(_stages(report, [name for name, _ in alive]))
    values = [amount for _, amount in alive]
    at, most = max(alive, key=lambda each: each[1])
    unit = 1024 ** int(log(max(most, 1), 1024))
    plots = tuple(area(values, groups, unit, size, width) for width in _WIDTHS)
    remark = f"Most at {at}: {size(most)}, without weights. Equal blocks in a row are drawn once."
    return Figure("area", "Activations alive along depth, in evaluation", remark, plots)


def _stages(report: Report, names: Sequence[str]) -> Iterator[str]:
    """The stages of nodes; of a name with folded blocks (`layer3.1-35.conv1`) that of the first."""
    known: dict[str, str] = {}
    for row in rows_by_node(report.measured):
        parts = row.name.split(".")
        known |= {".".join(parts[:end]): row.group for end in range(1, len(parts) + 1)}
    return (known[_FOLD.split(name, maxsplit=1)[0]] for name in names)


def _metric(report: Report, name: str) -> Metric | None:
    """The metric, if it is wanted."""
    return next((each for each in report.metrics if each.name == name), None)


def _bars(lines: Sequence[Line], series: Sequence[Series]) -> tuple[Bars, ...]:
    names = [line.row.name for line in lines]
    return tuple(bars(names, series, width) for width in _WIDTHS)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _left_out(number: int) -> str:
    return f"Not shown: {count(number)} at zero." if number else ""


def _told(metric: Metric, value: Value) -> str:
    return f"{shown(metric, value)} {metric.title}"


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]
