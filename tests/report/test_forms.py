"""The forms of a report: the same figures as data, CSV, Markdown, plain text and on a terminal."""

from __future__ import annotations

import csv
import io
import json

import pytest

from resnetgen.compiler.frontend import library
from resnetgen.compiler.passes.flatten import graph_cost
from resnetgen.pipeline import compile_spec, compile_text
from resnetgen.reports.conventions import conventions
from resnetgen.reports.formats import as_csv, as_data, as_json
from resnetgen.reports.metrics import METRICS, Conditions, available_metrics
from resnetgen.reports.numbers import axes, byte_size, duration, relative_change, significant
from resnetgen.reports.report import Report
from resnetgen.reports.report_tables import comparison, lines_table
from resnetgen.reports.roofline import devices
from resnetgen.reports.table_layout import Grid, markdown, plain
from resnetgen.reports.terminal import print_grid

EVERYTHING = Conditions(
    batch=4,
    conventions=tuple(conventions().values()),
    device=devices()["a100"],
    paths=True,
)


def report(name: str, given: Conditions = EVERYTHING, figures: tuple[str, ...] = ()) -> Report:
    compiled, known = compile_spec(name), available_metrics(given)
    chosen = tuple(known[each] for each in figures or known)
    return Report(compiled.network, compiled.typed, given, chosen)


COUNTS = ("params", "macs", "activations")


@pytest.mark.parametrize("path", library.network_files(), ids=lambda path: path.stem)
def test_every_network_of_the_library_has_every_figure(path) -> None:
    """Additive figures of nodes, blocks and stages sum to the network's, which are the flat graph's."""
    found = report(path.stem)
    graph_sums = graph_cost(compile_spec(path).checked_graph)
    total = found.total.values
    assert {name: total[name] for name in ("params", "buffers", "macs", "activations")} == {
        name: getattr(graph_sums, name) for name in ("params", "buffers", "macs", "activations")
    }
    assert all(total[each.name] is not None for each in found.metrics)
    for by in ("stage", "block", "node"):
        for folded in (False, True):
            lines = found.lines(by, folded)
            for metric in found.line_metrics:
                if metric.additive:
                    parts = sum(line.values[metric.name] for line in lines)
                    assert parts == pytest.approx(total[metric.name]), (by, metric.name)
    data = as_data(found, "node")
    assert json.loads(as_json(data)) == json.loads(json.dumps(data))


def test_folded_rows_say_what_they_hold() -> None:
    lines = report("resnet152", Conditions(), COUNTS).lines("block", folded=True)
    assert [line.row.name for line in lines if "-" in line.row.name] == [
        "layer1.1-2", "layer2.1-7", "layer3.1-35", "layer4.1-2",
    ]  # fmt: skip
    assert len(report("resnet1202", Conditions(), COUNTS).lines("node", folded=True)) < 80


def test_the_json_has_a_line_for_each_row() -> None:
    data = as_data(report("resnet50", Conditions(), COUNTS))
    # Braces, a line a key, and a list of objects takes its rows and a bracket more.
    rows = len(data["stages"]) + len(data["outputs"])
    assert len(as_json(data).splitlines()) == 2 + len(data) + rows + 2
    assert json.loads(as_json([data, data])) == [data, data]


@pytest.mark.parametrize("by", ["node", "block", "stage"])
def test_csv_has_a_row_a_line_and_plain_numbers(by: str) -> None:
    found = report("resnet50")
    rows = list(csv.DictReader(io.StringIO(as_csv([found, found], by))))
    assert len(rows) == 2 * len(found.lines(by))
    assert set(rows[0]) == {
        "network",
        "name",
        "op",
        "in",
        "out",
        *(m.name for m in found.line_metrics),
    }
    assert sum(int(row["macs"]) for row in rows) == 2 * 4089184256
    assert rows[0]["in"] == "3x224x224"


def test_csv_by_total_has_a_row_a_network() -> None:
    rows = list(
        csv.DictReader(io.StringIO(as_csv([report("resnet18"), report("resnet50")], "total")))
    )
    assert [row["network"] for row in rows] == ["resnet18", "resnet50"]
    assert set(rows[0]) == {"network", "input", *(m.name for m in report("resnet18").metrics)}


def test_axes_that_differ_stay_apart() -> None:
    text = "network: x\ninput: {channels: 3, size: [9, 12]}\nhead: none\nnodes:\n"
    compiled = compile_text(text + "  a: {op: conv, out: 4, kernel: [3, 5], stride: [1, 2]}\n")
    found = Report(
        compiled.network, compiled.typed, Conditions(), (METRICS["field"], METRICS["stride"])
    )
    assert as_data(found)["totals"] == {"field": [3, 5], "stride": [1, 2]}
    assert as_csv([found], "node").splitlines()[1].endswith("3x5,1x2")
    assert plain(lines_table(found, "node"))[-1].split()[1:] == ["3", "x", "5", "1", "x", "2"]


def test_markdown_escapes_and_aligns() -> None:
    made = Grid("t", ("a|b", "n"), (("x|y", "1"),), "<>", ("total", "1"))
    assert markdown(made) == [
        r"| a\|b | n |",
        "| --- | ---: |",
        r"| x\|y | 1 |",
        "| **total** | **1** |",
    ]


def test_a_comparison_says_how_networks_differ_from_the_first() -> None:
    made = comparison([report(name, Conditions(), COUNTS) for name in ("resnet18", "resnet50")])
    assert made.rows[0][2:4] == ("11,689,512", "")
    assert made.rows[1][2:4] == ("25,557,032", "+118.6 %")


@pytest.mark.parametrize("width", [200, 90, 70, 40, 20])
def test_a_terminal_of_any_width(width: int, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    found = report("resnet152", Conditions(), COUNTS)
    print_grid(lines_table(found, "block"), lines_table(found, "block", short=True), color=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) >= 3 + len(found.lines("block"))
    if width > 40:
        assert any(line.startswith("layer3.35 ") for line in lines)


def test_bars_are_as_long_as_their_share(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    found = report("resnet152", Conditions(), COUNTS)
    print_grid(lines_table(found, "stage"), lines_table(found, "stage", short=True), color=False)
    bars = {
        line.split()[0]: line.count("█")
        for line in capsys.readouterr().out.splitlines()
        if line.strip()
    }
    assert bars["layer3"] == 8
    assert bars["layer4"] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (byte_size(0), "0 B"),
        (byte_size(1023), "1,023 B"),
        (byte_size(102228128), "97.5 MiB"),
        (byte_size(2**50 * 5000), "5,120,000.0 TiB"),
        (duration(0), "0"),
        (duration(0.00123456), "1.23 ms"),
        (duration(2.5e-7), "250 ns"),
        (duration(75), "75 s"),
        (axes((7, 7)), "7"),
        (axes((7, 5, 7)), "7 x 5 x 7"),
        (axes((0.5, -3.0)), "0.5 x -3"),
        (significant(51983.6), "51,984"),
        (significant(10.7302), "10.7"),
        (relative_change(150, 100), "+50.0 %"),
        (relative_change(100, 100), "="),
        (relative_change(3, 0), ""),
        (relative_change("memory", "memory"), ""),
    ],
)
def test_figures_as_people_read_them(text: str, expected: str) -> None:
    assert text == expected
