"""`report` and `show`: the contract of the JSON, the tables, the ways to change the input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnetgen import pipeline
from resnetgen.cli import report_options
from resnetgen.reports import papers
from resnetgen.reports.formats import DATA_FORMATS, FORMATS


def test_json_of_one_spec_is_an_object(call) -> None:
    done = call("report", "resnet50", "--format", "json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["network"] == "resnet50"
    assert report["input"] == [3, 224, 224]
    counts = {
        "params": 25557032,
        "macs": 4089184256,
        "flops": 8178368512,
        "activations": pipeline.compile_spec("resnet50").cost.activations,
    }
    assert report["totals"].items() >= counts.items()
    assert [stage["name"] for stage in report["stages"]] == [
        "stem", "layer1", "layer2", "layer3", "layer4", "head",
    ]  # fmt: skip
    assert report["stages"][1]["out"] == [256, 56, 56]
    assert report["stages"][-1]["out"] == [1000]
    assert "nodes" not in report


def test_json_of_several_specs_is_a_list(call, tiny: Path) -> None:
    reports = json.loads(call("report", "resnet50", str(tiny), "--format", "json").stdout)
    assert [report["network"] for report in reports] == ["resnet50", "tiny"]


@pytest.mark.parametrize("by", ["node", "block"])
def test_nodes_of_the_json_sum_to_the_totals(call, by: str) -> None:
    report = json.loads(call("report", "resnet50", "--format", "json", "--by", by).stdout)
    assert set(report["nodes"][0]) >= {"name", "op", "in", "out", "params", "macs"}
    for key in ("params", "macs", "activations"):
        assert sum(node[key] for node in report["nodes"]) == report["totals"][key]
        assert sum(stage[key] for stage in report["stages"]) == report["totals"][key]


def test_nodes_of_the_json_are_those_of_the_graph(call) -> None:
    report = json.loads(call("report", "googlenet", "--format", "json", "--by", "node").stdout)
    graph = pipeline.compile_spec("googlenet").checked_graph
    found = {node["name"]: (node["op"], tuple(node["out"])) for node in report["nodes"]}
    assert found == {node.name: (node.op, node.type.shape) for node in graph.nodes}


def test_the_table_has_a_row_for_each_stage_and_a_total(call) -> None:
    lines = call("report", "resnet152").stdout.splitlines()
    assert lines[0] == "resnet152, input 3 x 224 x 224"
    assert lines[1].split() == [
        "name",
        "block",
        "output",
        "parameters",
        "multiply-adds",
        "activations",
    ]
    assert lines[2].startswith("stem ")
    assert lines[-1].split()[:3] == ["total", "60,192,808", "11,513,626,624"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_the_table_by_node_shows_what_goes_in(call) -> None:
    lines = call("report", "resnet50", "--by", "node").stdout.splitlines()
    assert lines[2].split()[:8] == ["conv1", "convolution", "3", "x", "224", "x", "224", "64"]
    assert len(lines) == 3 + len(pipeline.compile_spec("resnet50").checked_graph.nodes)


def test_several_specs_are_one_table(call) -> None:
    lines = call("report", "resnet50", "resnet152").stdout.splitlines()
    assert lines[0].split() == [
        "network", "input", "parameters", "multiply-adds", "FLOPs", "activations",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:]] == ["resnet50", "resnet152"]
    assert lines[2].split()[6:12] == ["60,192,808", "+135.5", "%", "11,513,626,624", "+181.6", "%"]


def test_several_specs_by_stage_are_a_table_each(call) -> None:
    out = call("report", "resnet50", "resnet152", "--by", "stage").stdout
    assert out.count("total") == 2
    assert "\n\nresnet152, input" in out


def test_by_total_is_one_row(call) -> None:
    assert len(call("report", "resnet50", "--by", "total").stdout.splitlines()) == 2


def test_input_changes_channels_and_size(call) -> None:
    report = json.loads(
        call("report", "resnet50", "--input", "4x320x256", "--format", "json").stdout
    )
    assert report["input"] == [4, 320, 256]
    assert report["stages"][0]["out"] == [64, 80, 64]


def test_set_changes_the_spec(call) -> None:
    changed = call("report", "resnet152", "--set", "layer3.blocks=6", "--set", "layer2.blocks=4")
    assert "25,557,032" in changed.stdout


def test_set_reaches_every_spec(call) -> None:
    done = call("report", "resnet50", "resnet152", "--set", "head.classes=10", "--format", "json")
    assert [report["stages"][-1]["out"] for report in json.loads(done.stdout)] == [[10], [10]]


@pytest.mark.parametrize(
    "options",
    [
        ["--input", "3"],
        ["--input", "3x"],
        ["--input", "0x224x224"],
        ["--input", "3x224x224x224x2"],
        ["--input", "3x1e3x5"],
        ["--input", ""],
        ["--set", "layer3.blocks"],
        ["--set", "=3"],
        ["--set", "layr3.blocks=11"],
        ["--set", "layer3.blocks=[1"],
        ["--by", "layer"],
        ["--format", "xml"],
        ["--columns", "prams"],
        ["--columns", ","],
        ["--columns", "time"],  # without a device
        ["--device", "h300"],
        ["--device", "v100", "--dtype", "bfloat16"],
        ["--dtype", "float12"],
        ["--batch", "0"],
        ["--optimizer", "adm"],
        ["--convention", "fvcor"],
        ["--budget", "mac < 4e9"],
        ["--budget", "macs <"],
        ["--match", "many"],
        ["--match", ""],
        ["--paper"],
        ["-o", "costs.yaml"],
        ["-o", "costs"],
        ["-o", "costs.csv", "--format", "json"],
        ["-o", "nowhere/costs.csv"],
    ],
)
def test_a_wrong_call_ends_with_2(call, options: list[str]) -> None:
    done = call("report", "resnet50", *options)
    assert done.exit_code == 2
    assert done.stderr
    assert not done.stdout


def test_errors_of_all_specs_are_reported(call, folder: Path) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(f"network: {name}\n", encoding="utf-8")
    done = call("report", "a.yaml", "resnet50", "b.yaml")
    assert done.exit_code == 1
    assert not done.stdout
    assert "a.yaml:1:1: error[missing-key]" in done.stderr
    assert "b.yaml:1:1: error[missing-key]" in done.stderr


@pytest.mark.parametrize(
    ("option", "wrong", "hint"),
    [
        ("--columns", "prams", "did you mean `params`?"),
        ("--device", "h20", "did you mean `h200`?"),
        ("--convention", "fvcor", "did you mean `fvcore`?"),
        ("--optimizer", "adm", "did you mean `adam`?"),
    ],
)
def test_a_misspelt_name_gets_a_suggestion(call, option: str, wrong: str, hint: str) -> None:
    assert hint in call("report", "resnet50", option, wrong).stderr


@pytest.mark.parametrize("option", ["--columns", "--device", "--convention"])
def test_names_are_explained(call, option: str) -> None:
    done = call("report", option, "help")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 5


def test_every_format_is_implemented() -> None:
    assert list(FORMATS) == [each.value for each in report_options.FORMATS]
    assert {*DATA_FORMATS} < {*FORMATS}
    assert {*papers.PAPER_FORMATS} < {*FORMATS}


@pytest.mark.parametrize(
    ("old", "new"),
    [(["report", "resnet18", "--format", "table"], ["report", "resnet18", "--format", "text"]),
     (["diff", "resnet18", "resnet34", "--format", "markdown"], ["diff", "resnet18", "resnet34", "--format", "md"])],
)  # fmt: skip
def test_other_spellings_of_a_format_are_accepted(call, old: list[str], new: list[str]) -> None:
    assert call(*old).stdout == call(*new).stdout != ""


def test_a_format_that_a_command_does_not_have(call) -> None:
    done = call("diff", "resnet18", "resnet34", "--format", "csv")
    assert done.exit_code == 2
    assert "there is no format 'csv'" in done.stderr


def test_a_file_is_written_in_the_format_of_its_suffix(call, folder: Path) -> None:
    for suffix, start in {
        "json": "{\n",
        "csv": "network,name,op,in,out,params,",
        "md": "**resnet18, input",
        "html": "<!DOCTYPE html>",
        "txt": "resnet18, input",
    }.items():
        done = call("report", "resnet18", "-o", f"costs.{suffix}")
        assert (done.exit_code, done.stdout) == (0, f"wrote costs.{suffix}\n")
        assert (folder / f"costs.{suffix}").read_text(encoding="utf-8").startswith(start)


def test_a_spec_is_not_written_over(call, tiny: Path) -> None:
    before = tiny.read_text(encoding="utf-8")
    assert call("report", "resnet18", "-o", str(tiny)).exit_code == 2
    assert tiny.read_text(encoding="utf-8") == before


def test_nothing_is_written_for_a_wrong_spec(call, folder: Path) -> None:
    (folder / "wrong.yaml").write_text("network: wrong\n", encoding="utf-8")
    assert call("report", "wrong.yaml", "-o", "costs.csv").exit_code == 1
    assert [path.name for path in folder.iterdir()] == ["wrong.yaml"]


def test_columns_choose_the_figures(call) -> None:
    lines = call("report", "resnet50", "--by", "node", "--columns", "field,stride,depth").stdout
    assert lines.splitlines()[2].split()[-3:] == ["7", "2", "1"]
    assert lines.splitlines()[-1].split() == ["total", "224", "224", "50"]


def test_a_budget_that_is_exceeded_ends_with_1_after_the_report(call) -> None:
    done = call("report", "resnet18", "resnet50", "--budget", "macs < 4G, params < 26M")
    assert done.exit_code == 1
    assert "resnet50" in done.stdout
    assert done.stderr.count("error[over-budget]") == 1
    assert (
        "resnet50 is over its budget: macs is 4,089,184,256, 89,184,256 (2.2%) more" in done.stderr
    )


def test_a_budget_that_is_kept_is_silent(call) -> None:
    done = call("report", "resnet50", "--budget", "macs < 4.1e9", "--budget", "fvcore < 4.2G",
                "--convention", "fvcore")  # fmt: skip
    assert (done.exit_code, done.stderr) == (0, "")


def test_a_convention_is_a_column_and_is_explained(call) -> None:
    done = call("report", "resnet50", "--convention", "fvcore", "--convention", "thop", "--explain")
    assert "4,111,512,576" in done.stdout
    assert "4,133,742,592" in done.stdout
    assert "+22,230,016" in done.stdout  # the sum of the reasons


def test_one_convention_is_compared_with_ours(call) -> None:
    assert "+22,328,320" in call("report", "resnet50", "--convention", "fvcore", "--explain").stdout


def test_a_figure_is_matched(call) -> None:
    assert "resnet50_v1" in call("report", "resnet50", "--match", "3.86G").stdout


def test_the_roofline_of_a_device(call) -> None:
    done = call("report", "resnet50", "--device", "h200", "--batch", "256", "--dtype", "bfloat16",
                "--format", "json")  # fmt: skip
    totals = json.loads(done.stdout)["totals"]
    assert totals["bound"] == "memory"
    assert totals["images_per_second"] == pytest.approx(256 / totals["time"])
    assert totals["time"] < totals["eager_time"]


@pytest.mark.parametrize("dtype", ["float32", "tf32", "bfloat16", "float16", "int8"])
def test_every_type_has_a_report(call, dtype: str) -> None:
    done = call("report", "resnet18", "--dtype", dtype, "--format", "json")
    assert done.exit_code == 0
    totals = json.loads(done.stdout)["totals"]
    width = {"float32": 4, "tf32": 4, "int8": 1}.get(dtype, 2)
    assert totals["weight_bytes"] == width * 11689512
    assert ("training_bytes" in totals) == (dtype != "int8")


def test_paths(call) -> None:
    totals = json.loads(call("report", "resnet152", "--paths", "--format", "json").stdout)["totals"]
    assert (totals["shortest_path"], totals["longest_path"], totals["depth"]) == (6, 152, 152)


def test_the_papers(call) -> None:
    done = call("report", "--paper")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["ResNet-152", "60,192,808", "11,282,415,616", "11.3", "G"] in rows
    assert json.loads(call("report", "--paper", "--format", "json").stdout)
    assert call("report", "--paper", "--format", "csv").exit_code == 2


def test_a_report_needs_a_spec(call) -> None:
    assert call("report").exit_code == 2


def test_show_prints_the_elaborated_network(call) -> None:
    done = call("show", "resnet50", "--set", "layer1.blocks=9")
    assert done.exit_code == 0
    assert "8 x bottleneck 2" in done.stdout
