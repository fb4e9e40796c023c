"""page(reports) -> one HTML page of what networks cost: figures, charts, tables, a glossary.

    Path("costs.html").write_text(page([report]), encoding="utf-8")

The page is one file that needs nothing else: style, script and plots are in it, and its policy
(Content-Security-Policy) lets it load nothing and run no script but the one that sorts tables.
Here figures become text; templates/report/ has the markup. Jinja escapes every text that enters it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

from resnetgen import __version__
from resnetgen.codegen.header import sentence
from resnetgen.language.folders import TEMPLATES
from resnetgen.report.assemble import Line, Report
from resnetgen.report.charts import Figure, bounds, by_stage, memory, plane
from resnetgen.report.columns import count
from resnetgen.report.figures import change, shown
from resnetgen.report.metrics import Conditions, Metric, Value, metrics

if TYPE_CHECKING:
    import jinja2

_HEADLINE = ("params", "macs", "activations", "depth", "peak_bytes", "training_bytes", "time")
_FOLDED_FROM = 1000  # ops: of larger networks equal ones share a row


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column of figures. `unit` stands below it where the figures do not name theirs."""

    title: str
    doc: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as text, what it is sorted by where the text does not say it, a remark below it."""

    text: str
    key: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of words and figures: `words` are the heads of the first columns, `figures` of the rest."""

    title: str
    words: tuple[str, ...]
    figures: tuple[Head, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Cell, ...]], ...]
    total: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Total:
    """A figure of the whole network, as people speak of it and, where that differs, exactly."""

    title: str
    doc: str
    text: str
    exact: str


@dataclass(frozen=True, slots=True)
class Section:
    """What the page says of one network."""

    name: str
    doc: str
    paper: str
    input: str
    headline: tuple[Total, ...]
    totals: tuple[Total, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    nodes: Table


def page(reports: Sequence[Report]) -> str:
    """The page of at least one report; all have the same conditions and metrics.

    The text depends on the reports alone: no time, no path, no order of a set.
    """
    first, several = reports[0], len(reports) > 1
    style, script = _asset("page.css"), _asset("page.js")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=f"What {len(reports)} networks cost" if several else f"What {first.name} costs",
            conditions=list(_conditions(first.conditions)),
            comparison=_comparison(reports) if several else None,
            plane=plane(reports) if several else None,
            sections=[_section(report) for report in reports],
            glossary=first.metrics,
            command=_command(reports),
            version=__version__,
            style=style,
            script=script,
            digest=b64encode(sha256(script.encode()).digest()).decode(),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        finalize=_rounded,
    )


def _rounded(value: object) -> object:
    """Places in plots to a tenth of a pixel."""
    return round(value, 1) if isinstance(value, float) else value


def _asset(name: str) -> str:
    return (TEMPLATES / "report" / name).read_text(encoding="utf-8")


# --- what holds for the whole page


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
    words += ["--columns", ",".join(columns)] if columns != list(metrics(given)) else []
    return " ".join([*words, "--format html"])


def _comparison(reports: Sequence[Report]) -> Table:
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
    return Table(title, ("network", "input"), _heads(first.metrics), tuple(rows))


def _difference(metric: Metric, report: Report, first: Report) -> str:
    if report is first:
        return ""
    told = change(report.total.values[metric.name], first.total.values[metric.name])
    return told.replace("-", "−")


# --- one network


def _section(report: Report) -> Section:
    network, stages = report.network, report.lines("stage")
    headline = [each for each in report.metrics if each.name in _HEADLINE]
    others = [each for each in report.metrics if each.name not in _HEADLINE]
    figures = (by_stage(report, stages), bounds(report, stages), memory(report))
    folded = "By block, equal ones in a row folded"
    return Section(
        report.name,
        sentence(network.doc) if network.doc else "",
        network.paper or "",
        _times(str(network.input)),
        _totals(report, headline),
        _totals(report, others),
        tuple(figure for figure in figures if figure),
        (
            *_outputs(report),
            _table(report, "By stage", "block", stages),
            _table(report, folded, "block", report.lines("block", folded=True)),
        ),
        _nodes(report),
    )


def _totals(report: Report, figures: Iterable[Metric]) -> tuple[Total, ...]:
    found = []
    for each in figures:
        value = report.total.values[each.name]
        text, exact = _times(shown(each, value, short=True)), _times(shown(each, value))
        if each.unit == "bytes" and isinstance(value, int):
            exact = f"{count(value)} bytes"
        found.append(Total(each.title, _meaning(each), text, exact if exact != text else ""))
    return tuple(found)


# --- tables


def _outputs(report: Report) -> Iterator[Table]:
    """Channels and reduction of each output, if there are several."""
    if len(report.outputs) < 2:
        return
    heads = (
        Head("channels", "channels of the output"),
        Head("reduction", "input pixels between neighbouring positions of the output", "pixels"),
    )
    rows = tuple(
        ((each.name,), (Cell(count(each.channels)), Cell(f"{each.reduction:g}")))
        for each in report.outputs
    )
    yield Table("Outputs", ("output",), heads, rows)


def _nodes(report: Report) -> Table:
    """Every op; equal ones in a row folded where a network has very many."""
    lines = report.lines("node", folded=report.measured.instance.size > _FOLDED_FROM)
    ops = sum(line.row.count for line in lines)
    folded = f", equal ones in a row folded to {count(len(lines))}" if ops > len(lines) else ""
    return _table(report, f"By node: {count(ops)} ops{folded}", "op", lines)


def _table(report: Report, title: str, what: str, lines: Sequence[Line]) -> Table:
    figures = report.of_lines
    rows = tuple((_words(line), _cells(figures, line)) for line in lines)
    heads = _heads(figures)
    return Table(title, ("name", what, "output"), heads, rows, _cells(figures, report.total))


def _words(line: Line) -> tuple[str, ...]:
    row = line.row
    return row.name, row.op if row.op != row.name else "", _times(str(row.result))


def _heads(figures: Iterable[Metric]) -> tuple[Head, ...]:
    return tuple(Head(each.title, _meaning(each), _unit_below(each)) for each in figures)


def _unit_below(metric: Metric) -> str:
    """Bytes and times have their unit beside each figure; some titles are units."""
    return "" if metric.unit in ("bytes", "seconds", metric.title) else metric.unit


def _meaning(metric: Metric) -> str:
    return f"{metric.doc} ({metric.unit})" if metric.unit else metric.doc


def _cells(figures: Iterable[Metric], line: Line) -> tuple[Cell, ...]:
    return tuple(_cell(each, line.values[each.name]) for each in figures)


def _cell(metric: Metric, value: Value, remark: str = "") -> Cell:
    """A figure; it is sorted by its value, of several axes by the largest."""
    text = _times(shown(metric, value))
    if isinstance(value, tuple):
        value = max(value)
    plain = isinstance(value, int) and text == count(value)
    told = isinstance(value, int | float) and not plain
    return Cell(text, f"{value:.9g}" if told else "", remark)


def _times(text: str) -> str:
    """`64 x 56 x 56` -> `64 × 56 × 56`, as it is printed."""
    return text.replace(" x ", " × ")
