"""`python -m benchmarks`: how made-up figures are rendered, and how measurements are run and stored."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import cold, front_end, inference, library, memory, plans, regions, targets
from benchmarks.bench import run_bench
from benchmarks.page import SECTIONS, regenerate
from benchmarks.processes import environment, in_turn, run_module
from benchmarks.results import Measurement, OnProgress, Result, Section, read, run, write
from benchmarks.tables import duration, provenance, spread
from benchmarks.targets import Target

MACHINE = {
    "cpu": "a CPU",
    "cores": 2,
    "flags": ["avx2"],
    "python": "3.11.7",
    "versions": {"torch": "2.13.0", "timm": "1.0"},
    "load": 0.5,
    "date": "2026-11-21T09:30:00+00:00",
}
NOTHING: dict[str, Any] = dict.fromkeys(SECTIONS, ())


def result(name: str, figures: Any, **machine: Any) -> Result:
    """A result that took a minute."""
    return Result(name, 60.0, MACHINE | machine, figures)


def section(*measurements: Measurement) -> Section:
    """One that tells figures as they are."""
    return Section(
        "a", measurements, lambda found: [f"{each.figures}" for each in found], ("timm",)
    )


def broken(rounds: int, say: OnProgress) -> None:
    """A measurement whose child fails."""
    raise subprocess.CalledProcessError(3, ["child"], stderr="why\n")


def bench(name: str, *cases: dict[str, Any]) -> Result:
    """What bench measures, with some cases."""
    network = name.partition("-")[2]
    figures = {"machine": MACHINE, "network": network, "parameters": 1, "mode": "inference"}
    return result(name, figures | {"cases": list(cases), "definitions": {}})


def case(batch: int, dtype: str, **sides: Any) -> dict[str, Any]:
    return {"batch": batch, "dtype": dtype, "sides": sides}


def cells(lines: list[str], row: int) -> list[str]:
    """A row of a table; the heads are row 0, and a rule is under them."""
    return lines[row].strip("| ").split(" | ")


# --- tables


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], "-"),
        ([2.0], "2.00 s"),
        ([0.0301, 0.04, 0.02], "30.1 ms (20.0-40.0)"),
        ([150.2, 149.0, 160.0], "150 s (149-160)"),
    ],
)
def test_the_median_is_shown_with_the_least_and_the_most(times: list[float], expected: str) -> None:
    assert spread(times) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(40, "40 s"), (720, "12 min"), (9000, "2.5 h")])
def test_durations_are_shown_in_large_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_section_says_when_and_where_it_was_measured() -> None:
    results = [result("a-x", None), result("a-y", None, load=0.9, date="2026-11-22T01:00:00+00:00")]
    assert provenance(section(Measurement("a-x", "", 1, broken)), results) == (
        "*2026-11-21 to 2026-11-22; a CPU, 2 cores (avx2), Python 3.11.7, torch 2.13.0, timm 1.0. "
        "Load before a measurement 0.5 to 0.9. `python -m benchmarks a` takes 2 min.*"
    )


def test_a_machine_that_was_not_quiet_is_reported() -> None:
    results = [result("a-x", None), result("a-y", None, load=1.1)]
    assert "**the machine was not quiet**" in provenance(section(), results)


# --- targets


def verdict(found: list[tuple[str, float]], **bounds: Any) -> list[str]:
    target = Target("speed", figures=lambda _: iter(found), part="A part, cold", **bounds)
    return targets._row(target, found)


def test_the_worst_figure_decides() -> None:
    found = [("a", 1.6), ("b", 1.4)]
    link = "[A part, cold](#a-part-cold)"
    assert verdict(found, bound=1.3) == ["speed", "at least 1.3", "1.4 (b)", "reached", link]
    assert verdict(found, bound=1.5)[2:4] == ["1.4 (b)", "**missed** in 1 of 2"]
    assert verdict(found, bound=1.5, at_most=True)[1:4] == [
        "at most 1.5",
        "1.6 (a)",
        "**missed** in 1 of 2",
    ]


def test_a_goal_beyond_the_bound_is_shown_separately() -> None:
    assert verdict([("a", 1.6)], bound=1.3, goal=2)[1:4] == [
        "at least 1.3, goal 2",
        "1.6",
        "reached",
    ]
    assert verdict([("a", 2.6)], bound=1.3, goal=2)[3] == "reached, and the goal"
    assert verdict([("a", 1.2)], bound=1.3, goal=2)[3] == "**missed**"


def test_what_was_not_measured_is_not_reached() -> None:
    rows = targets.target_table(NOTHING)[2:]
    assert len(rows) == len(targets.TARGETS)
    assert all("| not measured |  |" in row for row in rows)


def test_a_figure_is_not_rounded_to_its_bound() -> None:
    assert verdict([("a", 1.299)], bound=1.3)[2:4] == ["1.299", "**missed**"]


# --- sections


def test_cold_starts_are_shown_on_both_clocks() -> None:
    sides = {"optimized": {"cold": [[None, 0.5]]}, "torchvision-compile": {"cold": [[10.0, 20.0]]}}
    found = bench("cold-resnet50", case(1, "float32", **sides))
    assert cells(cold.render([found]), 2) == [
        "`resnet50`",
        "0.50 s",
        "30.0 s",
        "60",
        "20.0 s",
        "40",
    ]
    rows = targets.target_table({**NOTHING, "cold": [found]})
    assert sum("| at least 30 | 60 | reached |" in row for row in rows) == 1


def test_a_plot_is_written_beside_the_page(tmp_path: Path) -> None:
    results, page = tmp_path / "results", tmp_path / "page.md"
    results.mkdir()
    page.write_text("<!-- results: cold -->\n<!-- end -->\n", encoding="utf-8")
    sides = {"optimized": {"cold": [[None, 0.5]]}, "torchvision-compile": {"reason": "none"}}
    write(bench("cold-resnet50", case(1, "float32", **sides)), results)
    assert command.main(["--page"], results, page) == 0
    assert "![cold-resnet50](images/performance/cold-resnet50.svg)" in page.read_text(
        encoding="utf-8"
    )
    plot = tmp_path / "images/performance/cold-resnet50.svg"
    assert plot.read_text(encoding="utf-8").startswith("<svg")


def test_a_side_without_figures_has_its_reason() -> None:
    ours = {"steady": [0.01, 0.03, 0.02], "error": {"max": 2e-6, "norm": 1e-6}}
    sides = {"optimized": ours, "compile": {"steady": [0.03]}, "freezing": {"reason": "broken"}}
    found = bench("inference-resnet18", case(16, "float32", **sides))
    lines = inference.render([found])
    assert cells(lines, 2) == [
        "`resnet18`, 16, float32",
        "20.0 ms (10.0-30.0)",
        "1.0e-06",
        "-",
        "30.0 ms (1.50)",
        "-",
        "-",
    ]
    assert lines[-1] == "- `freezing`: broken (`resnet18`, 16, float32)"
    rows = targets.target_table({**NOTHING, "inference": [found]})
    assert sum("| at least 1.2 | 1.5 | reached |" in row for row in rows) == 1
    assert not any("1.3 | 1.5" in row for row in rows)


def test_sides_that_one_network_has_are_in_a_table_of_their_own() -> None:
    few = {"optimized": {"steady": [0.01]}, "compile": {"steady": [0.02]}}
    more = few | {"timm": {"steady": [0.05]}}
    results = [
        bench("inference-resnet18", case(1, "float32", **few)),
        bench("inference-resnet50", case(1, "float32", **more)),
    ]
    lines = inference.render(results)
    [row] = [line for line in lines if "(5.00)" in line]
    assert row.startswith("| `resnet50`, 1, float32 | 10.0 ms | - | 50.0 ms (5.00) |")


def test_sides_are_compared_with_what_a_matrix_product_reaches() -> None:
    """ResNet-18 takes 1,814,073,344 multiply-adds: at 10^11 a second, 18 ms."""
    products = {"512": [1.0], "1024": [0.01, 1024**3 / 1e11, 0.02]}
    limit = result(inference.LIMIT, {"float32": products})
    sides = {"optimized": {"steady": [0.02]}, "compile": {"steady": [0.04]}}
    found = bench("inference-resnet18", case(1, "float32", **sides))
    lines = inference.render([limit, found])
    assert "| `resnet18`, 1, float32 | 100 | 0.91 | - | 0.45 | - | - |" in lines
    rows = targets.target_table({**NOTHING, "inference": [limit, found]})
    assert sum("| at least 1.3 | 2 | reached |" in row for row in rows) == 1


def test_memory_is_shown_in_mebibytes() -> None:
    sides = {"optimized": {"memory": 3 << 20}, "eager": {"memory": 5 << 20}, "compile": {}}
    lines = memory.render([bench("memory-resnet50", case(1, "float32", **sides, onnxruntime={}))])
    assert "| `resnet50`, 1, float32 | 3 | 5 | - | - |" in lines


def test_regions_are_shown_on_both_clocks_and_with_their_steady_speed() -> None:
    whole, parts = {"toolchain": 10.0, "cold": 30.0}, {"toolchain": 10.0, "cold": 10.0}
    figures = {
        "image": [3, 32, 32],
        "cold": {"whole": [whole], "regions": [parts]},
        "steady": {"whole": [0.9], "regions": [1.0]},
    }
    results = [
        result("regions-resnet152-training", figures),
        result("regions-resnet56", {**figures, "steady": None}),
    ]
    lines = regions.render(results)
    assert cells(lines, 2)[0] == "`resnet152`, 32 x 32, training step"
    assert cells(lines, 2)[4:] == ["3.00", "2.00", "0.90 s", "1.00 s", "0.900"]
    assert cells(lines, 3)[0] == "`resnet56`, 32 x 32, inference"
    rows = targets.target_table({**NOTHING, "regions": results})
    expected = "2 (resnet152-training, the toolchain's start-up included) | reached, and the goal"
    assert any(expected in row for row in rows)
    assert any("| 0.9 | reached |" in row for row in rows)


def test_a_loaded_plan_is_compared_with_making_one() -> None:
    found = result("plans-resnet50", {"optimize": [0.4, 0.5, 0.6], "load": [0.1]})
    assert cells(plans.render([found]), 2) == ["`resnet50`", "0.50 s (0.40-0.60)", "0.10 s", "5.0"]


def test_networks_over_a_bound_are_named() -> None:
    def network(name: str, float32: float, bfloat16: float) -> dict[str, Any]:
        off = {"float32": float32, "bfloat16": bfloat16}
        return {"network": name, **off, "eager_float32": 1e-7, "eager_bfloat16": 1e-3}

    figures = [network("good", 2e-7, 5e-3), network("bad", 1e-7, 2e-2)]
    lines = library.render([result("library", figures)])
    assert cells(lines, 2)[:4] == ["float32", "2", "2.0e-07", "`good`"]
    assert cells(lines, 3)[-3:] == ["1 over 1e-02", "1.0e-03", "0 over 1e-02"]
    assert [line for line in lines if line.startswith("| `bad`")]
    assert not [line for line in lines if line.startswith("| `good`")]


# --- running


def silent(_: str) -> None:
    """Shows nothing."""


def test_sides_run_in_turn() -> None:
    order: list[str] = []
    sides = {name: partial(order.append, name) for name in "ab"}
    assert in_turn(sides, 2) == {"a": [None, None], "b": [None, None]}
    assert order == ["a", "b", "a", "b"]


def test_a_child_that_fails_has_what_it_wrote() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_module("benchmarks.nothing")
    assert "No module named benchmarks.nothing" in caught.value.stderr


def test_a_bench_that_writes_nothing_says_why() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_bench("resnet18", "--side", "hope")
    assert "hope" in caught.value.stderr


@pytest.mark.slow
def test_a_child_can_import_torchvision_whatever_its_operators() -> None:
    script = "import torchvision; print(torchvision.models.get_model_builder('resnet18'))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=environment(peers=True), check=True, capture_output=True, text=True
    )
    assert "function resnet18" in done.stdout


@pytest.mark.slow
def test_a_measurement_is_run_stored_and_rendered(tmp_path: Path) -> None:
    depth = Measurement("front_end", "", 1, partial(front_end.measure, ["depth"]))
    write(run(depth, None, silent), tmp_path)
    [found] = read("front_end", tmp_path)
    assert found.took > sum(front_end.wall_times(found.figures["pairs"]["depth"]["other"]))
    page = regenerate("a\n<!-- results: front_end -->\nold\n<!-- end -->\nb\n", tmp_path)
    assert page.startswith("a\n<!-- results: front_end -->\n| pair |")
    assert f"{front_end.relative_time(found, 'depth'):.1f} |" in page
    assert page.endswith("*\n<!-- end -->\nb\n")


def test_where_a_measurement_fails_the_others_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- results: a -->\n<!-- end -->\n", encoding="utf-8")
    results.mkdir()
    measurements = (
        Measurement("a-broken", "fails", 1, broken),
        Measurement("a-whole", "goes well", 2, lambda rounds, say: rounds),
    )
    monkeypatch.setitem(SECTIONS, "a", section(*measurements))
    assert command.main(["a", "--rounds", "7"], results, page) == 1
    stderr = capsys.readouterr().err
    assert "a-broken failed: Command '['child']'" in stderr
    assert "\n  why\n" in stderr
    assert [each.figures for each in read("a", results)] == [7]
    assert page.read_text(encoding="utf-8").startswith("<!-- results: a -->\n7\n\n*")
    assert command.main(["a-whole"], results, page) == 0
    assert [each.figures for each in read("a", results)] == [2]


@pytest.mark.parametrize("rounds", ["0", "-1", "two"])
def test_there_is_at_least_one_round(rounds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--list", "--rounds", rounds])
    assert f"{rounds} is not a number of rounds" in capsys.readouterr().err


def test_a_name_that_is_not_a_measurement_is_refused() -> None:
    with pytest.raises(SystemExit, match="no measurement is named hopes"):
        command.main(["hopes"])
