"""page(reports) -> one HTML page of what networks cost: figures, charts, tables, a glossary.

    Path("costs.html").write_text(page([report]), encoding="utf-8")

The page is one file that needs nothing else: style, script and charts are in it, and its policy
(Content-Security-Policy) lets it load nothing and run no script but the one that sorts tables.
Here figures become text and charts; templates/report/ has the markup. Jinja escapes all text that
enters it; charts come from a `Canvas`, which escapes its own.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import log

from resnetgen._version import __version__
from resnetgen.compiler.analysis.evaluation_memory import activation_trace
from resnetgen.compiler.analysis.name_ranges import range_start
from resnetgen.compiler.analysis.rows import rows_by_node
from resnetgen.compiler.codegen.pretty import sentence
from resnetgen.compiler.frontend.shipped import TEMPLATES
from resnetgen.reports.metrics import Conditions, Metric, Value, available_metrics
from resnetgen.reports.numbers import byte_size, count, relative_change, short_number
from resnetgen.reports.plotting.charts import (
    STYLE,
    Area,
    Bars,
    DataPoint,
    Points,
    Series,
    area,
    bars,
    points,
)
from resnetgen.reports.plotting.svg import Canvas, inline, variables
from resnetgen.reports.report import Line, Report

_TEMPLATES = TEMPLATES / "report"
_HEADLINE = ("params", "macs", "activations", "depth", "peak_bytes", "training_bytes", "time")
_FOLDED_FROM = 1000  # ops: of larger networks equal ones share a row


def page(reports: Sequence[Report]) -> str:
    """The page of at least one report; all have the same conditions and metrics.

    The text depends on the reports alone: no time, no path, no order of a set.
    """
    # Not every report is a page, and this imports jinja2.
    from resnetgen.compiler.codegen.render import environment

    first, several = reports[0], len(reports) > 1
    script = _asset("page.js")
    template = environment(_TEMPLATES, html=True).get_template("page.html.jinja")
    return template.render(
        title=f"What {len(reports)} networks cost" if several else f"What {first.name} costs",
        conditions=list(_conditions(first.conditions)),
        comparison=_comparison(reports) if several else None,
        plane=plane_chart(reports) if several else None,
        sections=[_section(report) for report in reports],
        glossary=first.metrics,
        command=_command(reports),
        version=__version__,
        style=variables() + STYLE + _asset("page.css"),
        script=script,
        digest=b64encode(sha256(script.encode()).digest()).decode(),
    )


def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


# --- what applies to the whole page


def _conditions(given: Conditions) -> Iterator[tuple[str, str]]:
    """What figures depend on beside the network."""
    yield "batch", count(given.batch)
    yield "data type", given.dtype
    yield "optimizer", given.optimizer
    if given.device:
        yield "device", given.device.name


def _command(reports: Sequence[Report]) -> str:
    """A command that asks for the same figures of library networks of these names."""
    given, usual = reports[0].conditions, Conditions()
    words = ["resnetgen report", *(report.name for report in reports)]
    inputs = list(dict.fromkeys(report.network.input for report in reports))
    if len(inputs) == 1:
        words += ["--input", "x".join(map(str, inputs[0].shape))]
    for option in ("batch", "dtype", "optimizer"):
        value = getattr(given, option)
        words += [f"--{option}", str(value)] if value != getattr(usual, option) else []
    words += [word for each in given.conventions for word in ("--convention", each.name)]
    words += ["--device", given.device.key] if given.device else []
    words += ["--paths"] if given.paths else []
    columns = [each.name for each in reports[0].metrics]
    words += ["--columns", ",".join(columns)] if columns != list(available_metrics(given)) else []
    return " ".join([*words, "--format html"])


# --- one network


@dataclass(frozen=True, slots=True)
class Total:
    """A figure of the whole network, rounded and, where that differs, exact."""

    title: str
    doc: str
    text: str
    exact: str


@dataclass(frozen=True, slots=True)
class Section:
    """The part of the page about one network."""

    name: str
    doc: str
    paper: str
    input: str
    headline: tuple[Total, ...]
    totals: tuple[Total, ...]
    charts: tuple[Chart, ...]
    tables: tuple[HtmlTable, ...]
    nodes: HtmlTable


def _section(report: Report) -> Section:
    network, stages = report.network, report.lines("stage")
    headline = [each for each in report.metrics if each.name in _HEADLINE]
    others = [each for each in report.metrics if each.name not in _HEADLINE]
    charts = (stage_chart(report, stages), time_chart(report, stages), memory_chart(report))
    folded = "By block, equal ones in a row folded"
    return Section(
        report.name,
        sentence(network.doc) if network.doc else "",
        network.paper or "",
        _times(str(network.input)),
        _totals(report, headline),
        _totals(report, others),
        tuple(chart for chart in charts if chart),
        (
            *_outputs(report),
            _table(report, "By stage", "block", stages),
            _table(report, folded, "block", report.lines("block", folded=True)),
        ),
        _nodes(report),
    )


def _totals(report: Report, metrics: Iterable[Metric]) -> tuple[Total, ...]:
    totals = []
    for each in metrics:
        value = report.total.values[each.name]
        text, exact = _times(each.text(value, short=True)), _times(each.text(value))
        if each.unit == "bytes" and isinstance(value, int):
            exact = f"{count(value)} bytes"
        totals.append(Total(each.title, _meaning(each), text, exact if exact != text else ""))
    return tuple(totals)


def _meaning(metric: Metric) -> str:
    return f"{metric.doc} ({metric.unit})" if metric.unit else metric.doc


def _times(text: str) -> str:
    """`64 x 56 x 56` -> `64 × 56 × 56`."""
    return text.replace(" x ", " × ")


# --- tables


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column of figures. `unit` is below it where the figures do not name theirs."""

    title: str
    doc: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class HtmlCell:
    """A figure as text, its key for sorting where that is not the text, a remark below it."""

    text: str
    key: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class HtmlTable:
    """Rows of words and figures: `words` are the heads of the first columns, `figures` of the rest."""

    title: str
    words: tuple[str, ...]
    figures: tuple[Head, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[HtmlCell, ...]], ...]
    total: tuple[HtmlCell, ...] = ()


def _comparison(reports: Sequence[Report]) -> HtmlTable:
    """A row a network, and below its figures how they differ from those of the first."""
    first = reports[0]
    rows = []
    for report in reports:
        cells = tuple(
            _cell(each, report.total.values[each.name], _difference(each, report, first))
            for each in first.metrics
        )
        rows.append(((report.name, _times(str(report.network.input))), cells))
    title = f"Networks compared with {first.name}"
    return HtmlTable(title, ("network", "input"), _heads(first.metrics), tuple(rows))


def _difference(metric: Metric, report: Report, first: Report) -> str:
    if report is first:
        return ""
    values = (each.total.values[metric.name] for each in (report, first))
    return relative_change(*values).replace("-", "−")


def _outputs(report: Report) -> Iterator[HtmlTable]:
    """Channels and reduction of each output, if there are several."""
    if len(report.outputs) < 2:
        return
    heads = (
        Head("channels", "channels of the output"),
        Head("reduction", "input pixels between neighbouring positions of the output", "pixels"),
    )
    rows = tuple(
        ((each.name,), (HtmlCell(count(each.channels)), HtmlCell(f"{each.reduction:g}")))
        for each in report.outputs
    )
    yield HtmlTable("Outputs", ("output",), heads, rows)


def _nodes(report: Report) -> HtmlTable:
    """Every op; equal ones in a row folded where a network has very many."""
    lines = report.lines("node", folded=report.typed.instance.size > _FOLDED_FROM)
    ops = sum(line.row.count for line in lines)
    folded = f", equal ones in a row folded to {count(len(lines))}" if ops > len(lines) else ""
    return _table(report, f"By node: {count(ops)} ops{folded}", "op", lines)


def _table(report: Report, title: str, what: str, lines: Sequence[Line]) -> HtmlTable:
    metrics = report.line_metrics
    rows = tuple((_words(line), _cells(metrics, line)) for line in lines)
    heads = ("name", what, "output")
    return HtmlTable(title, heads, _heads(metrics), rows, _cells(metrics, report.total))


def _words(line: Line) -> tuple[str, ...]:
    row = line.row
    return row.name, row.op if row.op != row.name else "", _times(str(row.result))


def _heads(metrics: Iterable[Metric]) -> tuple[Head, ...]:
    return tuple(Head(each.title, _meaning(each), _unit_below(each)) for each in metrics)


def _unit_below(metric: Metric) -> str:
    """Bytes and times have their unit beside each figure; some titles are units."""
    return "" if metric.unit in ("bytes", "seconds", metric.title) else metric.unit


def _cells(metrics: Iterable[Metric], line: Line) -> tuple[HtmlCell, ...]:
    return tuple(_cell(each, line.values[each.name]) for each in metrics)


def _cell(metric: Metric, value: Value, remark: str = "") -> HtmlCell:
    """A figure; it is sorted by its value, of several axes by the largest."""
    text = _times(metric.text(value))
    if isinstance(value, tuple):
        value = max(value)
    is_exact = isinstance(value, int) and text == count(value)
    needs_key = isinstance(value, int | float) and not is_exact
    return HtmlCell(text, f"{value:.9g}" if needs_key else "", remark)


# --- charts: which figures are drawn, of which stages, with which words

# Each is drawn twice, for wide windows and for telephones; the style sheet shows one of them.
_WIDTHS = (560, 340)
_PLANE_WIDTHS = (860, 340)


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot in both widths. `legend` names what whole bars are, and what their parts are."""

    kind: str
    title: str
    remark: str
    plots: tuple[Bars | Area | Points, ...]
    legend: tuple[str, ...] = ()

    @property
    def pictures(self) -> Iterator[str]:
        """The plots as SVG."""
        title = f"{self.title}. {self.remark}" if self.remark else self.title
        for kind, plot in zip(("wide", "narrow"), self.plots, strict=True):
            canvas = Canvas()
            plot.draw(canvas)
            yield inline(canvas, (plot.width, plot.height), title, f"chart {kind}")


def plane_chart(reports: Sequence[Report]) -> Chart | None:
    """Every network as a point, by multiply-adds and parameters, if both metrics are shown."""
    across, up = (_metric(reports[0], name) for name in ("macs", "params"))
    if across is None or up is None:
        return None
    data = []
    for report in reports:
        cost = report.typed.cost
        if cost.macs and cost.params:
            tip = f"{report.name}: {_titled(across, cost.macs)}, {_titled(up, cost.params)}"
            data.append(DataPoint(report.name, cost.macs, cost.params, tip))
    if not data:
        return None
    remark = f"Both axes are logarithmic. {_left_out(len(reports) - len(data))}".rstrip()
    titles = across.title, up.title
    plots = tuple(points(data, titles, short_number, width) for width in _PLANE_WIDTHS)
    return Chart("plane", _capitalized(f"{up.title} and {across.title}"), remark, plots)


def stage_chart(report: Report, stages: Sequence[Line]) -> Chart | None:
    """Parameters and multiply-adds of each stage that has any, beside each other."""
    kinds = {"params": "parameters", "macs": "multiply-adds"}
    metrics = [each for name in kinds if (each := _metric(report, name))]
    lines = [line for line in stages if any(line.values[each.name] for each in metrics)]
    if not lines:
        return None
    series = [
        Series(
            each.title,
            [_number(line.values[each.name]) for line in lines],
            [each.text(line.values[each.name], short=True) for line in lines],
            kind=kinds[each.name],
        )
        for each in metrics
    ]
    title = _capitalized(f"{' and '.join(each.title for each in metrics)} by stage")
    return Chart("bars", title, _left_out(len(stages) - len(lines)), _bars(lines, series))


def time_chart(report: Report, stages: Sequence[Line]) -> Chart | None:
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
        [f"{eager.text(whole)}, fused {fused.text(part)}" for whole, part in pairs],
        [_number(part) for _, part in pairs],
    )
    remark = f"Lower bounds for a batch of {count(given.batch)} in {given.dtype} (roofline)."
    title = f"Least time on {given.device.name} by stage"
    return Chart("bars", title, remark, _bars(lines, [series]), ("one op after the other", "fused"))


def memory_chart(report: Report) -> Chart | None:
    """Bytes of activations that are alive while each op of evaluation runs."""
    given = report.conditions
    if _metric(report, "peak_bytes") is None:
        return None
    alive = activation_trace(report.typed, given.batch, given.dtype)
    if not alive:
        return None
    groups = list(_stages(report, [name for name, _ in alive]))
    values = [amount for _, amount in alive]
    at, most = max(alive, key=lambda each: each[1])
    unit = 1024 ** int(log(max(most, 1), 1024))
    plots = tuple(area(values, groups, unit, byte_size, width) for width in _WIDTHS)
    remark = (
        f"Most at {at}: {byte_size(most)}, without weights. Equal blocks in a row are drawn once."
    )
    return Chart("area", "Activations alive along depth, in evaluation", remark, plots)


def _stages(report: Report, names: Sequence[str]) -> Iterator[str]:
    """The stages of nodes; of a name with folded blocks (`layer3.1-35.conv1`) that of the first."""
    known: dict[str, str] = {}
    for row in rows_by_node(report.typed):
        parts = row.name.split(".")
        known |= {".".join(parts[:end]): row.group for end in range(1, len(parts) + 1)}
    return (known[range_start(name)] for name in names)


def _metric(report: Report, name: str) -> Metric | None:
    """The metric, if the report has it."""
    return next((each for each in report.metrics if each.name == name), None)


def _bars(lines: Sequence[Line], series: Sequence[Series]) -> tuple[Bars, ...]:
    names = [line.row.name for line in lines]
    return tuple(bars(names, series, width) for width in _WIDTHS)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _left_out(number: int) -> str:
    return f"Not shown: {count(number)} at zero." if number else ""


def _titled(metric: Metric, value: Value) -> str:
    return f"{metric.text(value)} {metric.title}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
