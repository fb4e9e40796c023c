"""`report` and `show`: the contract of the JSON, the tables, the ways to change the input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnetgen import compiler


def test_json_of_one_spec_is_an_object(call) -> None:
    done = call("report", "resnet50", "--format", "json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["network"] == "resnet50"
    assert report["input"] == [3, 224, 224]
    assert report["totals"] == {
        "params": 25557032,
        "macs": 4089184256,
        "flops": 8178368512,
        "activations": compiler.compile_spec("resnet50").cost.activations,
    }
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
    graph = compiler.compile_spec("googlenet").graph
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
    assert len(lines) == 3 + len(compiler.compile_spec("resnet50").graph.nodes)


def test_several_specs_are_one_table(call) -> None:
    lines = call("report", "resnet50", "resnet152").stdout.splitlines()
    assert lines[0].split() == [
        "network", "input", "parameters", "multiply-adds", "FLOPs", "activations",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:]] == ["resnet50", "resnet152"]
    assert lines[2].split()[-4:-1] == ["60,192,808", "11,513,626,624", "23,027,253,248"]


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
    ],
)
def test_a_wrong_call_ends_with_2(call, options: list[str]) -> None:
    done = call("report", "resnet50", *options)
    assert done.exit_code == 2
    assert done.stderr
    assert not done.stdout


def test_faults_of_all_specs_are_told(call, folder: Path) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(f"network: {name}\n", encoding="utf-8")
    done = call("report", "a.yaml", "resnet50", "b.yaml")
    assert done.exit_code == 1
    assert not done.stdout
    assert "a.yaml:1:1: error[missing-key]" in done.stderr
    assert "b.yaml:1:1: error[missing-key]" in done.stderr


def test_show_prints_the_elaborated_network(call) -> None:
    done = call("show", "resnet50", "--set", "layer1.blocks=9")
    assert done.exit_code == 0
    assert "8 x bottleneck 2" in done.stdout
