"""Results as JSON, tables and a plot, on figures that nobody measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from resnetgen.runtime.bench import machine
from resnetgen.runtime.bench.machine import machine_info
from resnetgen.runtime.bench.plot import svg
from resnetgen.runtime.bench.results import (
    DEFINITIONS,
    Case,
    OutputError,
    Results,
    SideResult,
    read,
)
from resnetgen.runtime.bench.sides import sides
from resnetgen.runtime.bench.table import help_lines, markdown_tables, text_tables

OURS = SideResult("contiguous", [0.02, 0.01, 0.03], [(None, 0.5)], 2**20, OutputError(1e-6, 5e-7))
SLOW = SideResult(
    "channels_last", [0.04, 0.05, 0.03], [(10.0, 20.0)], 3 * 2**20, OutputError(2e-6, 1e-6)
)
GONE = SideResult(reason="has no network tiny")
MACHINE = {
    "cpu": "A processor", "cores": 4, "flags": ["avx2"], "system": "Linux x86_64", "python": "3.11.7",
    "versions": {"torch": "2.13.0"}, "load": 0.1, "date": "2026-11-21T00:00:00+00:00", "threads": 2,
}  # fmt: skip


def results(*cases: dict[str, SideResult]) -> Results:
    """Results of batches 1, 2, ... of a network."""
    found = [Case(batch, "float32", each) for batch, each in enumerate(cases, 1)]
    return Results(MACHINE, "tiny", 1234, "inference", found)


def rows(text: str) -> list[list[str]]:
    """The cells of the first table."""
    lines = text.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


# --- JSON


def test_json_is_read_as_it_was_written() -> None:
    written = results({"optimized": OURS, "compile": SLOW, "timm": GONE})
    assert read(written.json()) == written
    found = json.loads(written.json())
    assert found["definitions"] == DEFINITIONS
    assert found["cases"][0]["sides"]["compile"] == {
        "layout": "channels_last",
        "steady": [0.04, 0.05, 0.03],
        "cold": [[10.0, 20.0]],
        "memory": 3 * 2**20,
        "error": {"max": 2e-6, "norm": 1e-6},
        "reason": None,
    }


def test_a_cold_start_is_shown_with_and_after_the_toolchain() -> None:
    assert (SLOW.first_output_with_toolchain, SLOW.first_output) == (30.0, 20.0)
    assert (OURS.first_output_with_toolchain, OURS.first_output) == (0.5, 0.5)
    assert GONE.first_output_with_toolchain is GONE.first_output is GONE.median_call is None


def test_medians_of_cold_starts_are_of_each_clock() -> None:
    runs = SideResult(cold=[(1.0, 9.0), (5.0, 1.0), (2.0, 2.0)])
    assert (runs.first_output_with_toolchain, runs.first_output) == (6.0, 2.0)


# --- tables


def test_a_table_has_medians_and_ratios_to_optimized() -> None:
    heads, slow, ours = rows(text_tables(results({"compile": SLOW, "optimized": OURS})))
    assert heads == [
        "side", "memory format", "median", "least", "most", "images/s", "times", "cold", "times",
        "after the toolchain", "times", "memory", "error",
    ]  # fmt: skip
    assert slow == [
        "compile", "channels_last", "40 ms", "30 ms", "50 ms", "25", "2", "30 s", "60", "20 s",
        "40", "3.0 MiB", "2.0e-06",
    ]  # fmt: skip
    assert ours[6] == "1"


def test_the_first_side_is_the_base_where_optimized_was_not_timed() -> None:
    table = rows(text_tables(results({"optimized": GONE, "compile": SLOW, "eager": OURS})))
    assert [row[0] for row in table] == ["side", "compile", "eager"]
    assert [row[6] for row in table] == ["times", "1", "0.5"]


def test_a_side_without_figures_is_named_once_below() -> None:
    only_one = SideResult(reason="not in bfloat16, only in float32")
    text = text_tables(
        results({"optimized": OURS, "timm": GONE, "eager": OURS}, {"optimized": OURS, "timm": GONE, "eager": only_one})
    )  # fmt: skip
    assert text.endswith(
        "\ntimm: has no network tiny\neager: not in bfloat16, only in float32  (2 x float32)\n"
    )
    assert "A processor, cores: 4, threads: 2, load before: 0.1; torch 2.13.0" in text


def test_columns_without_a_figure_are_left_out() -> None:
    text = text_tables(results({"eager": SideResult("contiguous", [0.01])}))
    assert "cold" not in text
    assert "memory " not in text.replace("memory format", "")


def test_a_case_in_which_nothing_was_measured_is_a_head_alone() -> None:
    assert "timm: has no network" in text_tables(results({"timm": GONE}))


def test_markdown_is_a_table_with_a_list_below() -> None:
    lines = markdown_tables(results({"optimized": OURS, "timm": GONE})).splitlines()
    assert lines[0].startswith("**tiny, 1,234 parameters, inference, 1 image, float32**")
    assert lines[2].startswith("| side | memory format | median |")
    assert lines[-1] == "- timm: has no network tiny"


def test_help_explains_every_side_and_every_figure() -> None:
    text = "\n".join(help_lines(sides()))
    for word in (*sides(), *DEFINITIONS):
        assert word in text


# --- the plot


def bars(drawing: str) -> list[tuple[str, float]]:
    """Class and length of each bar."""
    found = ET.fromstring(drawing).iter("{http://www.w3.org/2000/svg}rect")
    wide = ((each.get("class") or "", float(each.get("width") or 0)) for each in found)
    return [each for each in wide if each[0] in ("bar", "ours")]


def test_bars_are_as_long_as_times_and_cold_ones_as_their_logarithms() -> None:
    drawn = bars(svg(results({"optimized": OURS, "compile": SLOW, "timm": GONE})))
    assert [kind for kind, _ in drawn] == ["ours", "bar"] * 2
    (_, ours), (_, slow), (_, quick), (_, cold) = drawn
    assert slow / ours == pytest.approx(2, rel=0.01)
    # 0.5 s and 30 s above 0.1 s: 0.70 and 2.48 powers of ten
    assert cold / quick == pytest.approx(2.4771 / 0.6990, rel=0.01)


def test_a_plot_without_cold_starts_has_no_logarithms() -> None:
    drawing = svg(results({"eager": SideResult("contiguous", [0.01])}))
    assert "log" not in drawing
    assert len(bars(drawing)) == 1


def test_nothing_measured_can_be_drawn() -> None:
    assert bars(svg(results({"timm": GONE}))) == []


# --- the machine


def test_a_machine_is_described_by_what_times_depend_on(tmp_path) -> None:
    about = tmp_path / "cpuinfo"
    about.write_text(
        "model name\t: A processor\nflags\t\t: fpu avx2 amx_tile\n\nmodel name\t: Another\n"
    )
    found = machine_info(["torch", "not-installed-anywhere"], about)
    assert found["cpu"] == "A processor"
    assert found["flags"] == ["avx2", "amx_tile"]
    assert list(found["versions"]) == ["torch"]


def test_a_machine_without_cpuinfo_is_described_too(tmp_path) -> None:
    assert machine_info([], tmp_path / "none")["cpu"]


def test_the_load_is_what_the_cores_do_while_nothing_is_measured(monkeypatch) -> None:
    ticks = iter([[9, 0, 0, 90, 5, 0, 0, 0], [29, 0, 5, 110, 10, 0, 0, 0]])
    monkeypatch.setattr(machine, "_ticks", lambda stat: next(ticks))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(machine.Path, "exists", lambda self: True)
    assert machine_info([])["load"] == 2.0
