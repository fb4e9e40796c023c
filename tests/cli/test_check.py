"""`check`: files, folders and blocks; warnings; the same content in every format."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from resnetgen import compile_spec
from resnetgen.reports.numbers import cost_summary

BLOCK = """\
block: unit
params: {width: int}
nodes: {conv: {op: conv, out: width, kernel: 3}}
"""
NETWORK = """\
network: %s
input: {channels: 3, size: [32, 32]}
block: unit
stages: {layer1: {blocks: 2, width: 8}}
"""
GATED = """\
network: gated
extends: resnet18
block: {op: mine, attention: squeeze_excite}
define:
  mine:
    extends: basic
    nodes:
      se: {op: attention, ratoi: 1 / 8}
"""
ACROSS = """\
network: across
extends: resnet18
stages:
  layer2: {stride: 2}
shortcut: identity
"""


@pytest.fixture
def nets(folder: Path) -> Path:
    """A folder of specs: two networks, one below, and the block that they repeat."""
    place(folder / "nets/a.yaml", NETWORK % "a")
    place(folder / "nets/more/b.yaml", NETWORK.replace("block: unit", "block: basic") % "b")
    place(folder / "nets/blocks/unit.yaml", BLOCK)
    place(folder / "nets/.hidden/c.yaml", "- no spec")
    place(folder / "nets/notes.txt", "no spec")
    return folder / "nets"


def place(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- files and folders


def test_a_dialect_is_checked_as_one(call, folder: Path) -> None:
    place(folder / "nets/mine.yaml", "dialect: mine\ndoc: mine\nnames: {bn1: norm}\n")
    place(folder / "nets/wrong.yaml", "dialect: wrong\ndoc: wrong\nnams: {bn1: norm}\n")
    done = call("check", "nets")
    assert done.exit_code == 1
    assert done.stdout == "mine: a sound dialect of 1 names\n"
    assert "nets/wrong.yaml:3:1: error[unknown-key]" in done.stderr


def test_every_spec_below_a_folder_is_checked(call, nets: Path) -> None:
    place(nets / "more/b.yaml", NETWORK.replace("unit", "basic") % "b" + "shortcut: projection\n")
    done = call("check", "nets")
    assert done.exit_code == 0, done.stderr
    assert [line.partition(",")[0] for line in done.stdout.splitlines()] == [
        "a: sound",
        "unit: a sound block of 1 nodes",
        "b: sound",
    ]


def test_an_error_in_a_block_is_reported_once_for_all_its_callers(call, nets: Path) -> None:
    place(nets / "more/b.yaml", NETWORK.replace("unit", "basic") % "b" + "shortcut: projection\n")
    place(nets / "d.yaml", NETWORK % "d")
    place(nets / "blocks/unit.yaml", BLOCK.replace("op: conv", "op: konv"))
    done = call("check", "nets")
    assert done.exit_code == 1
    assert done.stderr.count("error[") == 1
    assert "nets/blocks/unit.yaml:3:20: error[unknown-name]" in done.stderr
    assert done.stdout.startswith("b: sound")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("out: width", "out: widht", ":3:31: error[expression]: there is no `widht` here"),
        ("out: width", "outs: width", ":3:26: error[unknown-argument]"),
        ("{op: conv,", "{op: unit,", ":3:20: error[recursive-block]"),
        ("{op: conv,", "{op: conv, inputs: y,", ":3:34: error[unknown-value]"),
        ("width: int", "width: int, half: wide // 2", ":2:28: error[expression]"),
        ("params", "parms", ":2:1: error[unknown-key]"),
    ],
)
def test_a_block_is_checked_without_a_network(
    call, folder: Path, old: str, new: str, said: str
) -> None:
    place(folder / "blocks/unit.yaml", BLOCK.replace(old, new))
    done = call("check", "blocks/unit.yaml")
    assert done.exit_code == 1
    assert f"blocks/unit.yaml{said}" in done.stderr, done.stderr


def test_names_of_a_block_are_looked_up_in_the_folders_beside_its_own(call, folder: Path) -> None:
    place(
        folder / "stems/mine.yaml", BLOCK.replace("unit", "mine").replace("op: conv", "op: other")
    )
    place(folder / "blocks/other.yaml", BLOCK.replace("kernel: 3", "kernel: 1"))
    done = call("check", "stems/mine.yaml")
    assert "error[unknown-argument]: the block `other` has no parameter `out`" in done.stderr
    assert "help: did you mean" not in done.stderr


def test_every_block_of_the_library_is_sound(call) -> None:
    from resnetgen.compiler.frontend import library

    files = [str(path) for kind in library.BLOCK_KINDS for path in library.block_files(kind)]
    done = call("check", *files, "--strict")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count(": a sound block of ") == len(files)


def test_an_empty_folder_is_a_wrong_call(call, folder: Path) -> None:
    done = call("check", ".")
    assert done.exit_code == 2
    assert "error[unknown-spec]: there is no spec (*.yaml) in the folder `.`" in done.stderr


def test_a_folder_that_cannot_be_read_does_not_stop_the_rest(call, nets, monkeypatch) -> None:
    """The refusal is simulated: tests may run as root, which is refused nothing."""
    walk = os.walk

    def refuse(top: str, onerror: Any) -> Any:
        if top == "nets/more":
            onerror(PermissionError(13, "Permission denied", top))
        return walk(top, onerror=onerror)

    monkeypatch.setattr(os, "walk", refuse)
    done = call("check", "nets/more", "nets/a.yaml")
    assert done.exit_code == 2
    assert "error[unreadable]: cannot read `nets/more`: Permission denied" in done.stderr
    assert done.stdout.startswith("a: sound")


# --- warnings


def test_a_warning_fails_only_with_strict(call, folder: Path) -> None:
    place(folder / "gated.yaml", GATED)
    done = call("check", "gated.yaml")
    assert done.exit_code == 0
    assert "gated.yaml:8:27: warning[unused-argument]" in done.stderr
    assert "help: did you mean `ratio`?" in done.stderr
    assert done.stdout.endswith("multiply-adds; 1 warning\n")
    assert call("check", "gated.yaml", "--strict").exit_code == 1
    assert call("check", "resnet18", "--strict").exit_code == 0


def test_an_argument_that_one_content_of_a_slot_accepts_is_no_warning(call, folder: Path) -> None:
    text = GATED.replace("ratoi", "ratio") + "stages: {layer2: {attention: eca}}\n"
    place(folder / "gated.yaml", text)
    assert call("check", "gated.yaml", "--strict").stderr == ""


def test_an_argument_that_the_default_of_a_slot_accepts_is_no_warning(call) -> None:
    assert call("check", "resnetaa50", "--strict").stderr == ""  # of its pools only some dilate


def test_build_shows_warnings_and_builds(call, folder: Path) -> None:
    place(folder / "gated.yaml", GATED)
    done = call("build", "gated.yaml")
    assert done.exit_code == 0
    assert done.stderr.count("warning[unused-argument]") == 1
    assert (folder / "gated.py").is_file()
    assert "warning" not in call("report", "gated.yaml").stderr


def test_a_block_without_a_network_has_warnings_too(call, folder: Path) -> None:
    place(folder / "unit.yaml", BLOCK.replace("width: int", "width: int, inner: 8"))
    done = call("check", "unit.yaml", "--strict")
    assert done.exit_code == 1
    assert (
        "unit.yaml:2:22: warning[unused-name]: nothing reads the parameter `inner`" in done.stderr
    )
    assert done.stdout == "unit: a sound block of 1 nodes; 1 warning\n"


# --- fixes

TYPO = """\
# mine
network: typo
extends: resnet18          # the base
shortcut: projection
stages:
  layer1: {blocks: 2, widht: 96}
"""
FIXED = """\
# mine
network: typo
extends: resnet18          # the base
stages:
  layer1: {width: 96}
"""


def test_fix_shows_what_it_changes_and_checks_the_result(call, folder: Path) -> None:
    place(folder / "typo.yaml", TYPO)
    done = call("check", "typo.yaml", "--fix", "--strict")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "-  layer1: {blocks: 2, widht: 96}\n+  layer1: {width: 96}\n" in done.stdout
    assert done.stdout.startswith("--- typo.yaml (before)\n+++ typo.yaml (after)\n@@ ")
    assert done.stdout.splitlines()[-1].startswith("typo: sound, ")
    assert (folder / "typo.yaml").read_text(encoding="utf-8") == FIXED
    assert call("check", "typo.yaml", "--fix").stdout.startswith("nothing to fix\ntypo: sound")


def test_fix_changes_networks_and_blocks_of_a_folder_and_no_other_file(call, folder: Path) -> None:
    place(folder / "nets/typo.yaml", TYPO)
    place(folder / "nets/blocks/unit.yaml", BLOCK.replace("kernel", "kernal"))
    place(folder / "uses.yaml", NETWORK.replace("unit", "other") % "uses")
    place(folder / "blocks/other.yaml", BLOCK.replace("unit", "other").replace("kernel", "kernal"))
    done = call("check", "nets", "uses.yaml", "--fix")
    assert done.exit_code == 1
    assert done.stderr.count("error[") == 1
    assert "blocks/other.yaml:3:38: error[unknown-argument]" in done.stderr
    assert (folder / "nets/typo.yaml").read_text(encoding="utf-8") == FIXED
    assert (folder / "nets/blocks/unit.yaml").read_text(encoding="utf-8") == BLOCK
    assert "kernal" in (folder / "blocks/other.yaml").read_text(encoding="utf-8")
    assert sorted(path.name for path in (folder / "nets").iterdir()) == ["blocks", "typo.yaml"]


def test_fix_keeps_a_link_and_changes_its_target(call, folder: Path) -> None:
    place(folder / "far/typo.yaml", TYPO)
    (folder / "typo.yaml").symlink_to(folder / "far/typo.yaml")
    assert call("check", "typo.yaml", "--fix").exit_code == 0
    assert (folder / "typo.yaml").is_symlink()
    assert (folder / "far/typo.yaml").read_text(encoding="utf-8") == FIXED


def test_fix_does_not_touch_the_library(call, folder: Path, monkeypatch) -> None:
    from resnetgen.compiler.frontend import library

    monkeypatch.setattr(library, "LIBRARY", folder.resolve())
    place(folder / "typo.yaml", TYPO.replace("resnet18", "base"))
    place(folder / "base.yaml", NETWORK.replace("unit", "basic") % "base")
    for spec in ("typo", "typo.yaml"):
        assert call("check", spec, "--fix").stdout.startswith("nothing to fix\n")
    assert "widht" in (folder / "typo.yaml").read_text(encoding="utf-8")


def test_fix_needs_the_text_format(call, folder: Path) -> None:
    place(folder / "typo.yaml", TYPO)
    done = call("check", "typo.yaml", "--fix", "--format", "json")
    assert done.exit_code == 2
    assert (folder / "typo.yaml").read_text(encoding="utf-8") == TYPO


@pytest.mark.parametrize("spec", ["nowhere.yaml", "nowhere", "wrong.yaml"])
def test_fix_reports_an_unreadable_file_once(call, folder: Path, spec: str) -> None:
    (folder / "wrong.yaml").write_bytes(b"network: \xff\n")
    done = call("check", spec, "--fix")
    assert done.exit_code in (1, 2)
    assert done.stderr.count("error[") == 1


def test_fix_is_refused_with_set(call, folder: Path) -> None:
    place(folder / "gated.yaml", GATED)
    done = call("check", "gated.yaml", "--fix", "--set", "head.classes=10")
    assert done.exit_code == 2
    assert "--fix: fixes the file as it is, so it does not work with --set" in done.stderr
    assert (folder / "gated.yaml").read_text(encoding="utf-8") == GATED


# --- settings


@pytest.mark.parametrize("many", [1, 100])  # parted among processes, or not
def test_set_reaches_every_network_and_no_block(call, nets: Path, monkeypatch, many: int) -> None:
    monkeypatch.setattr("resnetgen.cli.check.MIN_PARALLEL", many)
    place(nets / "more/b.yaml", NETWORK.replace("unit", "basic") % "b" + "shortcut: projection\n")
    done = call("check", "nets", "--set", "layer1.blocks=3")
    assert done.exit_code == 0, done.stderr
    changed = [
        compile_spec(f"nets/{each}.yaml", **{"layer1.blocks": 3}) for each in ("a", "more/b")
    ]
    assert done.stdout.splitlines() == [
        f"a: sound, {cost_summary(changed[0].cost)}",
        "unit: a sound block of 1 nodes",
        f"b: sound, {cost_summary(changed[1].cost)}",
    ]


def test_an_error_in_a_setting_is_reported_once_as_a_usage_error(call, nets: Path) -> None:
    done = call("check", "nets/a.yaml", "resnet50", "--set", "layer1.blocks=0")
    assert done.exit_code == 2
    assert done.stderr.count("error[") == 1
    assert done.stderr.startswith("--set layer1.blocks")


# --- formats


@pytest.fixture
def wrong(folder: Path) -> list[str]:
    """An error with notes, a warning, and an error without a place."""
    place(folder / "across.yaml", ACROSS)
    place(folder / "gated.yaml", GATED)
    return ["across.yaml", "gated.yaml", "nowhere"]


def test_json_has_what_the_text_has(call, wrong: list[str]) -> None:
    text = call("check", *wrong).stderr
    found = json.loads(call("check", *wrong, "--format", "json").stdout)
    assert [(each["code"], each["severity"]) for each in found] == [
        ("shape-mismatch", "error"),
        ("unused-argument", "warning"),
        ("unknown-spec", "error"),
    ]
    for each in found:
        assert each["message"] in text
        assert (each["help"] or "") in text
        assert all(note["text"] in text for note in each["notes"])


def test_github_has_a_line_for_each(call, wrong: list[str]) -> None:
    done = call("check", *wrong, "--format", "github")
    assert done.exit_code == 2
    error, warning, bare = done.stdout.splitlines()
    place = "file=across.yaml,line=4,col=20,endColumn=21,title=shape-mismatch"
    assert error.startswith(f"::error {place}::layer2.0.add: cannot add ")
    assert "%0Anote: `conv1` turns 56 into 28 (across.yaml:4:20)%0A" in error
    assert warning.startswith("::warning file=gated.yaml,line=8,col=27,endColumn=32,title=unused")
    assert bare.startswith("::error title=unknown-spec::there is no file")


def test_sarif_has_rules_regions_and_related_locations(call, wrong: list[str]) -> None:
    done = call("check", *wrong, "--format", "sarif")
    assert done.exit_code == 2
    log = json.loads(done.stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["shape-mismatch", "unknown-spec", "unused-argument"]
    assert [rule["defaultConfiguration"]["level"] for rule in rules] == ["error"] * 2 + ["warning"]
    error, warning, bare = run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert location(error["locations"][0]) == ("across.yaml", 4, 20, 21)
    assert "help: use `shortcut: projection`" in error["message"]["text"]
    related = [location(each) for each in error["relatedLocations"]]
    assert ("across.yaml", 5, 11, 19) in related
    assert [each["id"] for each in error["relatedLocations"]] == list(range(1, len(related) + 1))
    assert (warning["level"], location(warning["locations"][0])[:2]) == (
        "warning",
        ("gated.yaml", 8),
    )
    assert (bare["locations"], bare["relatedLocations"]) == ([], [])


def location(found: Any) -> tuple[object, ...]:
    """File, line, column and end of a location."""
    place = found["physicalLocation"]
    region = place["region"]
    assert region.keys() == {"startLine", "startColumn", "endColumn"}
    return (place["artifactLocation"]["uri"], *region.values())


def test_sarif_keeps_to_the_structure_that_the_standard_asks_for(call, wrong: list[str]) -> None:
    """Required properties, and none that the standard does not know (sections 3.13 to 3.49)."""
    log = json.loads(call("check", *wrong, "--format", "sarif").stdout)
    message = {"text"}
    region = {"startLine", "startColumn", "endColumn"}
    physical = {"artifactLocation": {"uri"}, "region": region}
    known: dict[str, Any] = {
        "$schema": str,
        "version": str,
        "runs": {
            "tool": {
                "driver": {
                    "name": str,
                    "version": str,
                    "rules": {
                        "id": str,
                        "shortDescription": message,
                        "fullDescription": message,
                        "help": {"text", "markdown"},
                        "defaultConfiguration": {"level"},
                    },
                }
            },
            "columnKind": str,
            "results": {
                "ruleId": str,
                "ruleIndex": int,
                "level": str,
                "message": message,
                "locations": {"physicalLocation": physical},
                "relatedLocations": {"id": int, "physicalLocation": physical, "message": message},
            },
        },
    }
    assert misfits(log, known, "log") == []
    assert log["runs"][0]["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")


def misfits(value: Any, form: Any, at: str) -> list[str]:
    """Where plain data departs from a form: keys of maps, types of the rest, each item of a list."""
    if isinstance(value, list):
        return [error for each in value for error in misfits(each, form, at)]
    if isinstance(form, type):
        return [] if isinstance(value, form) else [at]
    if not isinstance(value, dict) or value.keys() != set(form):
        return [at]
    if isinstance(form, set):
        return []
    return [error for key in form for error in misfits(value[key], form[key], f"{at}.{key}")]


def test_a_file_with_a_difficult_name_has_a_sound_uri(call, folder: Path) -> None:
    place(folder / "a b#ü%.yaml", "network: bad\n")
    absolute = str(folder / "a b#ü%.yaml")
    for spec in ("a b#ü%.yaml", absolute):
        log = json.loads(call("check", spec, "--format", "sarif").stdout)
        uri = location(log["runs"][0]["results"][0]["locations"][0])[0]
        assert uri == "a%20b%23%C3%BC%25.yaml"


@pytest.mark.parametrize(("format", "empty"), [("json", "[]\n"), ("github", "")])
def test_without_diagnostics_nothing_is_printed(call, format: str, empty: str) -> None:
    assert call("check", "resnet18", "--format", format).stdout == empty


def test_a_sound_spec_is_a_log_without_results(call) -> None:
    log = json.loads(call("check", "resnet18", "--format", "sarif").stdout)
    assert log["runs"][0]["results"] == []


@pytest.mark.parametrize("format", ["text", "json", "github", "sarif"])
@pytest.mark.parametrize("spec", ["", "a\0b", "\udcff.yaml", "/dev/zero", "x" * 5000, "a/b/c"])
def test_no_argument_causes_a_traceback(call, folder: Path, format: str, spec: str) -> None:
    done = call("check", spec, "--format", format)
    assert done.exit_code == 2
    assert "internal" not in done.stdout + done.stderr
