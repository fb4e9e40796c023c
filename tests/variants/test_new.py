"""`resnetgen new`: what it writes, prints and refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resnetgen.cli.app import app
from resnetgen.compiler.analysis.depth import depth
from resnetgen.compiler.frontend import library
from resnetgen.compiler.frontend.inheritance import apply_override, merge
from resnetgen.compiler.frontend.library import canonical_text
from resnetgen.compiler.frontend.tree import MapTree
from resnetgen.compiler.frontend.yaml_reader import parse_value
from resnetgen.pipeline import compile_spec
from resnetgen.variants.derived_spec import tree_difference

Call = Callable[..., Result]

MY77 = """\
# yaml-language-server: $schema=network.schema.json
# 77 layers, 35,611,688 parameters, 6.05 G multiply-adds for 3 x 224 x 224
# Repeats 3-4-15-3: no library network with these blocks has 77 layers, so layer3, which has the
# most, gets 9 more.
network: my77
doc: ResNet-77, ResNet-50 with 3-4-15-3 blocks
extends: resnet50
stages:
  layer3: {blocks: 15}
"""


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["new", *arguments])


def done(result: Result) -> str:
    """Standard output of a successful call without warnings."""
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def errors(result: Result, status: int) -> str:
    """The errors of a failed call in one line; nothing was printed."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())


# --- output


def test_the_file_has_the_changes_and_the_reasons(new: Call) -> None:
    assert done(new("my77", "--from", "resnet50", "--depth", "77")) == (
        "                    resnet50           my77      74 layers      80 layers\n"
        "layer1                     3              3              3              3\n"
        "layer2                     4              4              4              4\n"
        "layer3                     6             15             14             16\n"
        "layer4                     3              3              3              3\n"
        "depth                     50             77             74             80\n"
        "parameters        25,557,032     35,611,688     34,494,504     36,728,872\n"
        "multiply-adds  4,089,184,256  6,054,477,824  5,836,111,872  6,272,843,776\n"
        "Repeats 3-4-15-3: no library network with these blocks has 77 layers, so layer3, which has"
        " the most, gets 9 more.\n"
        "wrote my77.yaml (77 layers; 35,611,688 parameters, 6.05 G multiply-adds)\n"
    )
    assert Path("my77.yaml").read_text(encoding="utf-8") == MY77
    assert compile_spec("my77.yaml").cost == compile_spec("resnet50", **{"layer3.blocks": 15}).cost


def test_standard_output_has_the_file_alone(new: Call) -> None:
    assert done(new("my77", "--from", "resnet50", "--depth", "77", "-o", "-")) == MY77
    assert not list(Path().iterdir())


def test_a_file_and_a_folder(new: Call) -> None:
    Path("nets").mkdir()
    done(new("my-77", "--from", "resnet50", "--depth", "77", "-o", "nets"))
    done(new("my77", "--from", "resnet50", "--depth", "77", "-o", "other.yaml"))
    assert Path("other.yaml").read_text(encoding="utf-8") == MY77
    done(new("my80", "--from", "nets/my-77.yaml", "--depth", "80", "-o", "nets/"))
    assert sorted(os.listdir("nets")) == ["my-77.yaml", "my80.yaml"]


def test_specs_in_the_library_refer_to_its_schema(new: Call) -> None:
    place = library.LIBRARY / "absent77.yaml"
    assert not place.exists()
    os.chdir(library.LIBRARY)
    text = done(new("absent77", "--from", "resnet50", "--depth", "77", "-o", "-"))
    assert text.startswith("# yaml-language-server: $schema=schema/network.json\n")


@pytest.mark.parametrize("name", ["77", "null", "1e3", "0x10", "true"])
def test_names_that_yaml_reads_as_something_else_are_quoted(new: Call, name: str) -> None:
    done(new(name, "--from", "resnet50", "--depth", "77"))
    assert compile_spec(f"{name}.yaml").network.name == name
    done(new("deeper", "--from", f"{name}.yaml", "--depth", "80"))


def test_overrides_go_into_the_file(new: Call) -> None:
    settings = {
        "head.classes": "10",
        "norm": "{op: group_norm, groups: 16}",
        "layer2.width": "160",
        "block.drop_path": "0.1 * position / max(1, total - 1)",
        "input.size": "[64, 64]",
        "class": "Tiny",
    }
    given = [word for pair in settings.items() for word in ("--set", "=".join(pair))]
    output = done(new("tiny", "--from", "resnet50", "--depth", "29", *given))
    assert "resnet50, as set" in output
    by_hand = compile_spec("resnet50", **settings, **{"layer3.blocks": 2, "layer2.blocks": 2})
    found = compile_spec("tiny.yaml")
    assert depth(found.root) == 29
    assert canonical_text(found.document.tree.entries["head"]) == "{'classes':10}"
    for key in ("norm", "block", "input", "class"):
        trees = (each.document.tree.entries[key] for each in (found, by_hand))
        assert len(set(map(canonical_text, trees))) == 1, key
    assert "paper" not in Path("tiny.yaml").read_text(encoding="utf-8")


def test_overrides_without_effect_do_not_go_into_the_file(new: Call) -> None:
    same = ("--set", "head.classes=1000", "--set", "layer3.blocks=6")
    assert done(new("my77", "--from", "resnet50", "--depth", "77", "-o", "-", *same)) == MY77


def test_the_base_in_another_depth_changes_nothing_at_its_own(new: Call) -> None:
    text = done(new("same", "--from", "resnet50", "--depth", "50", "-o", "-"))
    assert text.endswith("network: same\ndoc: ResNet-50\nextends: resnet50\n")
    assert "# Repeats 3-4-6-3: resnet50 has them." in text


@pytest.mark.parametrize(
    ("base", "wanted", "reason"),
    [
        ("resnet50", 101, "3-4-23-3: those of resnet101, which has the same blocks."),
        ("resnet50", 20, "1-2-2-1: no library network with these blocks has 20 layers, so 10 are"
         " removed, each from the stage that has the most at that point."),
        ("resnet20", 38, "6-6-6: no library network with these blocks has 38 layers, so all stages"
         " have equally many."),
        ("resnet20", 40, "6-7-6: no library network with these blocks has 40 layers, so all stages"
         " have equally many, and the first extra block goes to layer2."),
    ],
)  # fmt: skip
def test_the_reason(new: Call, base: str, wanted: int, reason: str) -> None:
    assert f"Repeats {reason}\n" in done(new("net", "--from", base, "--depth", str(wanted)))


@pytest.mark.parametrize("budget", ["6e9", "6G", "6000M", "2 * 3e9"])
def test_a_budget(new: Call, budget: str) -> None:
    output = done(new("net", "--from", "resnet50", "--macs", budget))
    assert "74 layers are the most within 6 G multiply-adds.\n" in output
    assert "6,054,477,824" in output  # what the next deeper one costs
    assert depth(compile_spec("net.yaml").root) == 74
    assert "# 74 layers are the most within 6 G" in Path("net.yaml").read_text(encoding="utf-8")


def test_a_budget_of_parameters(new: Call) -> None:
    output = done(new("net", "--from", "resnet50", "--params", "44.6M"))
    assert "101 layers are the most within 44.6 M parameters.\n" in output


# --- errors


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--depth", "51"), 1, "error[unreachable-depth]: no repeats of the stages of `resnet50`"
         " make 51 layers = note: its depth is 3n + 2, where n is the number of all blocks, at"
         " least 4 = help: the nearest are 50 (3-4-6-3) and 53 (3-4-7-3)"),
        (("--depth", "5"), 1, "= help: the nearest is 14 (1-1-1-1)"),
        (("--macs", "1G"), 1, "error[over-budget]: `resnet50` is over 1 G multiply-adds"),
        ((), 2, "give one of --depth, --macs and --params"),
        (("--depth", "50", "--macs", "6G"), 2, "give one of --depth, --macs and --params"),
        (("--depth", "0"), 2, "Invalid value for '--depth'"),
        (("--depth", "99999999"), 2, "Invalid value for '--depth'"),
        (("--macs", "six"), 2, "'six' is not a number such as 6e9 or 6G"),
        (("--macs", "-6G"), 2, "'-6G' is not a number such as 6e9 or 6G"),
        (("--params", "1e400"), 2, "'1e400' is not a number such as 6e9 or 6G"),
        (("--params", "true"), 2, "'true' is not a number such as 6e9 or 6G"),
        (("--depth", "77", "-o", "nowhere/my.yaml"), 2, "there is no folder `nowhere`"),
        (("--depth", "77", "--set", "layer9.blocks=3"), 2, "`layer9`"),
        (("--depth", "77", "--set", "layer3.blocks=index"), 2, "expression"),
    ],
)  # fmt: skip
def test_wrong_arguments(new: Call, arguments: tuple[str, ...], status: int, message: str) -> None:
    result = new("net", "--from", "resnet50", *arguments)
    assert result.exit_code == status, result.output
    assert message in " ".join(result.stderr.split())
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18", "'resnet18' is the name of a library network"),
        ("mine", "'mine' is the name of the network to start from"),
        ("base", "'base' is the name of the network to start from"),
        ("a/b", "'a/b' is not a name"),
        ("torch", "'torch' is a module that the printed module imports"),
    ],
)
def test_a_wrong_name(new: Call, name: str, reason: str) -> None:
    Path("base.yaml").write_text("network: mine\nextends: resnet50\n", encoding="utf-8")
    assert reason in errors(new(name, "--from", "base.yaml", "--depth", "50"), 2)


def test_an_existing_file_is_kept_without_force(new: Call) -> None:
    done(new("my77", "--from", "resnet50", "--depth", "77"))
    again = ("my77", "--from", "resnet50", "--depth", "80")
    assert "error[file-exists]: `my77.yaml` already exists" in errors(new(*again), 2)
    assert Path("my77.yaml").read_text(encoding="utf-8") == MY77
    done(new(*again, "--force"))
    assert depth(compile_spec("my77.yaml").root) == 80


def test_an_existing_link_is_kept_without_force(new: Call) -> None:
    Path("my77.yaml").symlink_to("gone.yaml")
    assert "file-exists" in errors(new("my77", "--from", "resnet50", "--depth", "77"), 2)


def test_a_spec_cannot_replace_the_one_that_it_extends(new: Call) -> None:
    Path("base.yaml").write_text("network: mine\nextends: resnet50\n", encoding="utf-8")
    call = ("net", "--from", "base.yaml", "--depth", "77", "-o", "base.yaml", "--force")
    assert "error[file-exists]: `base.yaml` is itself an input" in errors(new(*call), 2)
    assert Path("base.yaml").read_text(encoding="utf-8").startswith("network: mine")


def test_a_base_that_cannot_be_extended_from_there(new: Call) -> None:
    Path("nets").mkdir()
    Path("nets/mine.yaml").write_text("network: mine\nextends: resnet50\n", encoding="utf-8")
    Path("mine.yml").write_text("network: mine\nextends: resnet50\n", encoding="utf-8")
    output = errors(new("net", "--from", "nets/mine.yaml", "--depth", "77"), 2)
    assert "`extends` finds `mine` only beside the new file; use `-o nets/`" in output
    output = errors(new("net", "--from", "mine.yml", "--depth", "77"), 2)
    assert "`extends` only finds NAME.yaml, not `mine.yml`" in output
    done(new("net", "--from", "nets/mine.yaml", "--depth", "77", "-o", "-"))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("resnet50.yaml", "network: resnet50\nextends: resnet34\n"),
        ("blocks/bottleneck.yaml", "block: bottleneck\nextends: bottleneck\nparams: {reduce: 2}\n"),
    ],
)
def test_a_folder_where_its_names_mean_something_else(new: Call, file: str, text: str) -> None:
    Path("nets/blocks").mkdir(parents=True)
    Path("nets", file).write_text(text, encoding="utf-8")
    call = ("net", "--from", "resnet50", "--depth", "77", "-o", "nets")
    assert "error[other-meaning]: `nets/net.yaml` would mean another" in errors(new(*call), 1)
    assert not Path("nets/net.yaml").exists()
    done(new(*call[:-2]))


def test_stages_whose_blocks_differ_in_depth_are_an_error(new: Call) -> None:
    text = """\
network: uneven
input: {channels: 3, size: [32, 32]}
shortcut: projection
stages:
  a: {op: odd, blocks: 2, twice: index % 2 == 0}
define:
  odd:
    params: {twice: bool}
    nodes:
      conv1: {op: conv, out: 8, kernel: 3, bias: true}
      conv2: {op: conv, out: 8, kernel: 3, bias: true, when: twice}
"""
    Path("uneven.yaml").write_text(text, encoding="utf-8")
    output = errors(new("net", "--from", "uneven.yaml", "--depth", "9"), 1)
    assert "error[fixed-repeats]" in output
    assert "differ in depth, so it is unknown which repeats make 9 layers" in output


def test_warnings_of_the_written_network_are_reported(new: Call) -> None:
    text = "network: loose\nextends: resnet50\nblock: bottleneck_v1\n"
    Path("loose.yaml").write_text(text, encoding="utf-8")
    result = new("net", "--from", "loose.yaml", "--depth", "77")
    assert result.exit_code == 0
    assert "warning[stride-skips-input]" in result.stderr
    assert Path("net.yaml").exists()


# --- overlays


@pytest.mark.parametrize(
    "settings",
    [
        {"layer3.blocks": "15"},
        {"block": "basic", "head": "null"},
        {"block": "{op: bottleneck, groups: 2}"},
        {"shortcut": "{op: zero_pad, centred: true}"},
        {"layer4": "null", "layer3.width": "2 * 128"},
        {"layer4": "{op: basic, blocks: 2, width: 512}"},
        {"stages.layer5": "{blocks: 2, width: 64}"},
        {"define.odd": "{nodes: {relu: {op: relu}}}", "act": "odd"},
    ],
)
def test_the_overlay_over_the_base_is_the_other_spec(settings: dict[str, str]) -> None:
    base = library.load("resnet50").tree
    later = base
    for key, value in settings.items():
        later = apply_override(later, key, value)
    assert canonical_text(merge(base, tree_difference(base, later))) == canonical_text(later)
    assert not tree_difference(base, base).entries


def test_the_overlay_has_only_what_differs() -> None:
    base, later = (
        parse_value(text, "text")
        for text in ("{a: {b: 1, c: {d: 2}}, e: 3, f: x}", "{a: {b: 1, c: {d: 4}}, e: 3}")
    )
    assert isinstance(base, MapTree)
    assert isinstance(later, MapTree)
    assert canonical_text(tree_difference(base, later)) == "{'a':{'c':{'d':4}},'f':None}"


# --- against torch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "wanted"),
    [
        ("resnet18", "20"),
        ("resnet50", "23"),
        ("resnet20", "26"),
        ("seresnet50", "20"),
        ("preact_resnet164", "29"),
    ],
)
def test_torch_agrees(new: Call, base: str, wanted: str) -> None:
    done(new("net", "--from", base, "--depth", wanted))
    result = CliRunner().invoke(app, ["verify", "net.yaml"])
    assert result.exit_code == 0, result.stderr
