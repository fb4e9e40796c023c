"""`resnetgen sweep`: rows, columns, the front, the plot, and the errors of wrong calls."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from resnetgen import pipeline
from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.reports.sweep.run import sweep as rows_of

DEPTH = ("resnet50", "--vary=layer3.blocks=1..4", "--vary=layer4.width=256,512")


def test_rows_of_csv(folder: Path, sweep) -> None:
    assert sweep(*DEPTH, "-o", "rows.csv").exit_code == 0
    with open("rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "variant", "layer3.blocks", "layer4.width",
        "params", "buffers", "macs", "flops", "activations", "error",
    ]  # fmt: skip
    assert [row["variant"] for row in rows] == [str(each) for each in range(8)]
    cost = pipeline.compile_spec("resnet50", **{"layer3.blocks": 3, "layer4.width": 512}).cost
    assert rows[5] == {
        "variant": "5",
        "layer3.blocks": "3",
        "layer4.width": "512",
        "params": str(cost.params),
        "buffers": str(cost.buffers),
        "macs": str(cost.macs),
        "flops": str(cost.flops),
        "activations": str(cost.activations),
        "error": "",
    }


def test_json_lines_equal_csv(folder: Path, sweep) -> None:
    varied = ("--vary=input.size=[32, 32],[64,64]", "--vary=layer1.blocks=0,2", "--vary=shortcut=projection,identity")  # fmt: skip
    assert sweep("resnet18", *varied, "-o", "rows.csv").exit_code == 0
    assert sweep("resnet18", *varied, "-o", "rows.jsonl").exit_code == 0
    with open("rows.csv", newline="") as file:
        table = list(csv.DictReader(file))
    objects = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert len(table) == len(objects) == 8
    for row, each in zip(table, objects, strict=True):
        assert list(row) == list(each)
        assert row["input.size"].replace(" ", "") == str(each["input.size"]).replace(" ", "")
        assert row["error"] == (each["error"] or "")
        for name in ("variant", "layer1.blocks", "params", "macs"):
            assert row[name] == ("" if each[name] is None else str(each[name]))


def test_a_variant_with_an_error_is_a_row_with_that_error(folder: Path, sweep) -> None:
    assert sweep("resnet50_gn", "--vary=norm.groups=1..4", "-o", "rows.jsonl").exit_code == 0
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert [row["error"] is None for row in rows] == [True, True, False, True]
    with pytest.raises(SpecError) as raised:
        pipeline.compile_spec("resnet50_gn", **{"norm.groups": 3})
    error = raised.value.diagnostics[0]
    assert rows[2]["error"] == f"{error.code}: {error.message}"
    assert rows[2]["params"] is None


def test_the_sidecar_describes_the_columns(folder: Path, sweep) -> None:
    sweep(*DEPTH, "--columns=params, macs", "-o", "rows.csv")
    meta = json.loads(Path("rows.csv.meta.json").read_text())
    head = Path("rows.csv").read_text().splitlines()[0]
    assert head == "variant,layer3.blocks,layer4.width,params,macs,error"
    assert [column["name"] for column in meta["columns"]] == head.split(",")
    assert all(column["doc"] for column in meta["columns"])
    assert meta["variants"] == 8
    assert meta["bytes"] == Path("rows.csv").stat().st_size


def test_where_drops_rows_and_keeps_their_numbers(folder: Path, sweep) -> None:
    sweep(*DEPTH, "--where=layer3.blocks > 2 and layer4.width == 256", "-o", "a.csv")
    assert [line.split(",")[0] for line in Path("a.csv").read_text().splitlines()[1:]] == ["4", "6"]
    sweep(*DEPTH, "--where=macs < 3e9", "-o", "b.jsonl")
    rows = [json.loads(line) for line in Path("b.jsonl").read_text().splitlines()]
    assert rows
    assert all(row["macs"] < 3e9 for row in rows)


def test_the_front_is_shown(folder: Path, sweep) -> None:
    done = sweep(*DEPTH, "-o", "rows.csv")
    lines = done.stdout.splitlines()
    assert lines[0] == "rows.csv: 8 variants with figures"
    assert lines[1] == "Pareto front, less macs and more params:"
    assert lines[2].split() == ["variant", "layer3.blocks", "layer4.width", "macs", "params"]
    done = sweep(*DEPTH, "-o", "rows.csv", "--pareto=activations,-layer3.blocks")
    assert "less activations and more layer3.blocks" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines()[4:]] == ["1", "2", "3", "4"]


def test_a_long_front_is_shown_in_part(folder: Path, sweep) -> None:
    done = sweep("resnet110", "--vary=layer1.blocks=1..100", "-o", "rows.csv")
    assert ", 20 of 100:" in done.stdout
    shown = [line.split()[1] for line in done.stdout.splitlines()[3:]]
    assert (len(shown), shown[0], shown[-1]) == (20, "1", "100")


def test_the_plot(folder: Path, sweep) -> None:
    done = sweep(*DEPTH, "-o", "rows.csv", "--plot=rows.svg")
    assert done.exit_code == 0
    root = ET.parse("rows.svg").getroot()
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"resnet50", "8 variants", "macs (multiply-adds)", "params (elements)"} <= set(texts)
    assert sweep(*DEPTH, "-o", "rows.csv", "--plot=rows.svg").exit_code == 0  # ours, again
    Path("rows.svg").write_text(Path("rows.svg").read_text().replace("8 variants", "8 nets"))
    assert "or was edited since" in sweep(*DEPTH, "-o", "rows.csv", "--plot=rows.svg").stderr


def test_the_python_function_yields_the_rows(folder: Path, sweep) -> None:
    sweep(*DEPTH, "--where=layer3.blocks != 2", "-o", "rows.jsonl")
    written = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    vary = {"layer3.blocks": range(1, 5), "layer4.width": [256, 512]}
    assert list(rows_of("resnet50", vary, "layer3.blocks != 2")) == written


WRONG_CALLS = {
    "an empty range": (["--vary=layer3.blocks=5..1"], "the range `5..1` is empty"),
    "a value twice": (["--vary=layer3.blocks=1,1"], "has the value `1` twice"),
    "an unknown stage": (["--vary=layr3.blocks=1..4"], "did you mean `layer3`?"),
    "an unknown key": (["--vary=layer3.blcks=1..4"], "did you mean `blocks`?"),
    "impossible depths": (["--vary=layer3.blocks=-3..0"], "must be a positive integer"),
    "a condition that does not parse": (["--vary=layer3.blocks=1..4", "--where=macs <"], "not an expression"),
    "an unknown name": (["--vary=layer3.blocks=1..4", "--where=mac < 1"], "did you mean `macs`?"),
    "a condition without a value": (["--vary=layer3.blocks=1..4", "--where=macs % 0 == 1"], "divides by zero"),
    "an unknown figure": (["--vary=layer3.blocks=1..4", "--columns=parms"], "did you mean `params`?"),
    "an unknown axis": (["--vary=layer3.blocks=1..4", "--pareto=macs,-parms"], "did you mean `params`?"),
    "a plot without its columns": (["--vary=layer3.blocks=1..4", "--columns=macs", "--plot=a.svg"], "no column of numbers `params`"),
    "set and varied": (["--vary=layer3.blocks=1..4", "--set=layer3.blocks=3"], "both set and varied"),
    "a plot nowhere": (["--vary=layer3.blocks=1..4", "--plot=nowhere/a.svg"], "there is no folder `nowhere`"),
    "a plot over another file": (["--vary=layer3.blocks=1..4", "--plot=notes.txt"], "`notes.txt` was not written by resnetgen"),
    "a plot over the rows": (["--vary=layer3.blocks=1..4", "--plot=rows.csv"], "is the file of --output"),
    "too many": (["--vary=layer3.blocks=1..90000", "--vary=layer2.blocks=1..90000"], "at most 100,000,000"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_wrong_call_is_one_clear_error_and_writes_nothing(name: str, folder: Path, sweep) -> None:
    (folder / "notes.txt").write_text("mine")
    arguments, message = WRONG_CALLS[name]
    done = sweep("resnet50", *arguments, "-o", "rows.csv")
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert [each.name for each in folder.iterdir()] == ["notes.txt"]
    assert (folder / "notes.txt").read_text() == "mine"


def test_another_suffix_is_an_error(folder: Path, sweep) -> None:
    done = sweep(*DEPTH, "-o", "rows.xlsx")
    assert done.exit_code == 2
    assert "neither .csv nor .jsonl" in " ".join(done.stderr.split())


def test_a_wrong_spec_is_reported_as_by_other_commands(folder: Path, sweep) -> None:
    Path("wrong.yaml").write_text("network: wrong\nextends: resnet18\nshortcut: projektion\n")
    done = sweep("wrong.yaml", "--vary=layer1.blocks=1..3", "-o", "rows.csv")
    assert done.exit_code == 1
    assert "wrong.yaml:3:11: error[unknown-name]" in done.stderr
    assert not Path("rows.csv").exists()
    assert sweep("nothing", "--vary=layer1.blocks=1..3", "-o", "rows.csv").exit_code == 2
