"""The program as a whole: help, version, completion, what it imports, `check` and `list`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from resnetgen._version import __version__
from resnetgen.cli.app import COMMANDS, app
from resnetgen.compiler.frontend import library
from resnetgen.compiler.ir.ops import OPS

OPTIONS = {
    "build": ["--output", "-o", "--set", "--force", "--target", "inference", "--trace", "--compile", "cpu", "cuda"],
    "check": ["--format", "text", "json", "github", "sarif", "--strict", "--fix", "--set"],
    "draw": ["--output", "-o", "--input", "--set", "--force"],
    "explain": ["CODE"],
    "infer": ["FILE", "--assume", "--name", "--output", "-o", "--force", "--format", "text", "json"],
    "report": [
        "--format", "text", "json", "csv", "md", "html", "--output", "--by", "node", "stage",
        "total", "--columns", "--input", "--batch", "--dtype", "--optimizer", "--convention",
        "--explain", "--match", "--device", "--paths", "--budget", "--paper", "--set", "--force",
    ],
    "show": ["--set", "--expanded"],
    "diff": ["--set", "--format", "text", "json", "md", "--output", "-o", "--force"],
    "new": ["NAME", "--from", "--depth", "--macs", "--params", "--output", "-o", "--set", "--force"],
    "list": ["networks", "blocks", "shortcuts", "stems", "heads", "ops"],
    "schema": ["network", "block", "--output", "-o", "--force"],
    "sweep": ["--vary", "--where", "--output", "--columns", "--pareto", "--plot", "--force", "--set"],
    "verify": ["--set"],
    "bench": [
        "--batch", "--dtype", "--side", "--mode", "inference", "training", "--cold", "--rounds", "--runs", "--no-memory",
        "--threads", "--limit", "--weights", "--format", "text", "json", "md", "--output", "--plot", "--set",
        "--force",
    ],
    "grow": ["CHECKPOINT", "--from", "--to", "--output", "-o", "--set", "--force"],
}  # fmt: skip

GROUPS = ("weights",)  # of commands, which have the options


def test_help_names_every_command_and_status(call) -> None:
    done = call("--help")
    assert done.exit_code == 0
    for word in (*COMMANDS, "--version", "--install-completion", "Exit status", "NO_COLOR"):
        assert word in done.stdout


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in GROUPS])
def test_help_of_a_command_names_every_option_and_has_examples(call, command: str) -> None:
    done = call(command, "--help")
    assert done.exit_code == 0
    assert f"  Examples:\n    resnetgen {command}" in done.stdout
    for word in OPTIONS[command]:
        assert word in done.stdout


def test_every_command_with_a_spec_has_set() -> None:
    found = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    of_specs = {
        name
        for name, command in found.items()
        for each in command.params
        if each.param_type_name == "argument" and (each.metavar or "").startswith("SPEC")
    }
    assert of_specs >= {"build", "check", "draw", "report", "show", "sweep", "verify"}
    for name in of_specs:
        assert any("--set" in each.opts for each in found[name].params), name


def test_version(call) -> None:
    assert call("--version").stdout == f"resnetgen {__version__}\n"


def test_a_program_by_either_name(program) -> None:
    assert program("--version").stdout == f"resnetgen {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["report"], ["report", "--frob", "resnet50"]]
)
def test_a_wrong_call_shows_the_usage(call, arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr


# --- start-up is a feature

HEAVY = ("torch", "networkx", "jinja2", "rich", "numpy")
ALLOWED = {
    "--help": [],
    "list": [],
    "report resnet152": [],
    "report resnet152 --format json --by node": [],
    "show resnet152": [],
    "show resnet152 --expanded": [],
    "diff resnet50 resnet152": [],
    "new my77 --from resnet50 --depth 77 -o -": [],
    "draw resnet152 -o -": [],
    "check resnet152": [],
    "build resnet152 -o -": ["networkx", "jinja2"],
    "report resnett50": [],
    "bench --side help": [],
}


@pytest.mark.parametrize("command", ALLOWED)
def test_only_what_is_needed_is_imported(environment, command: str) -> None:
    code = (
        "import atexit, sys\n"
        f"names = [name for name in {HEAVY!r}]\n"
        "found = lambda: print('', *[n for n in names if n in sys.modules], file=sys.stderr)\n"
        "atexit.register(found)\n"
        "from resnetgen.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    imported = done.stderr.splitlines()[-1].split()
    assert set(imported) <= set(ALLOWED[command])


# --- completion


def complete(environment, words: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from resnetgen.cli import main; main()"],
        env=environment(
            _RESNETGEN_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split(" ")) - 1),
        ),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.stdout.split()


def test_completion_knows_commands_networks_and_files(environment, tiny: Path) -> None:
    (tiny.parent / "more").mkdir()
    (tiny.parent / "notes.txt").touch()
    (tiny.parent / "more" / "net.yml").touch()
    assert complete(environment, "resnetgen re", tiny.parent) == ["report"]
    assert complete(environment, "resnetgen report resnext50_", tiny.parent) == ["resnext50_32x4d"]
    assert complete(environment, "resnetgen report ti", tiny.parent) == ["tiny.yaml"]
    assert complete(environment, "resnetgen check resnet50 mo", tiny.parent) == ["more/"]
    assert complete(environment, "resnetgen check more/", tiny.parent) == ["more/net.yml"]
    assert complete(environment, "resnetgen check not", tiny.parent) == []
    assert complete(environment, "resnetgen check gone/", tiny.parent) == []


# --- check


def test_check_says_that_specs_are_sound(call, tiny: Path) -> None:
    done = call("check", "resnet50", "tiny.yaml")
    assert done.exit_code == 0
    first, second = done.stdout.splitlines()
    assert first == "resnet50: sound, 25,557,032 parameters, 4.09 G multiply-adds"
    assert second.startswith("tiny: sound, ")


def test_check_continues_after_an_error(call, tiny: Path) -> None:
    Path("bad.yaml").write_text("network: bad\n", encoding="utf-8")
    done = call("check", "bad.yaml", "tiny.yaml")
    assert done.exit_code == 1
    assert done.stdout.startswith("tiny: sound")
    assert "error[missing-key]" in done.stderr


def test_the_worst_error_decides_the_status(call, folder: Path) -> None:
    Path("bad.yaml").write_text("network: bad\n", encoding="utf-8")
    assert call("check", "nowhere.yaml", "bad.yaml", "resnet50").exit_code == 2


def test_check_json_is_a_list_of_all_diagnostics(call, tiny: Path) -> None:
    Path("bad.yaml").write_text("network: bad\n", encoding="utf-8")
    done = call("check", "bad.yaml", "tiny.yaml", "nowhere", "--format", "json")
    assert done.exit_code == 2
    found = json.loads(done.stdout)
    assert [(each["code"], each["file"]) for each in found] == [
        ("missing-key", "bad.yaml"),
        ("unknown-spec", None),
    ]
    assert (found[0]["line"], found[0]["column"]) == (1, 1)
    assert json.loads(call("check", "tiny.yaml", "--format", "json").stdout) == []


def test_check_github_annotates_the_place(call, folder: Path) -> None:
    Path("bad.yaml").write_text("network: bad\n", encoding="utf-8")
    done = call("check", "bad.yaml", "--format", "github")
    assert done.exit_code == 1
    assert done.stdout.startswith(
        "::error file=bad.yaml,line=1,col=1,endColumn=8,title=missing-key::"
    )
    assert call("check", "resnet50", "--format", "github").stdout == ""


# --- list


def test_list_has_every_network_with_its_cost(call) -> None:
    lines = call("list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        each.stem for each in library.network_files()
    ]
    expected = ["resnet152", "resnet", "60,192,808", "11.51", "G"]
    assert any(line.split()[:5] == expected for line in lines)


def test_a_network_that_does_not_compile_is_still_listed(call, folder, monkeypatch) -> None:
    (folder / "bad.yaml").write_text("network: bad\n", encoding="utf-8")
    monkeypatch.setattr(library, "network_files", lambda: [folder / "bad.yaml"])
    done = call("list", "networks")
    assert done.exit_code == 0
    assert "the document needs a key `input`" in done.stdout


@pytest.mark.parametrize("kind", library.BLOCK_KINDS)
def test_list_has_every_block_with_its_parameters(call, kind: str) -> None:
    done = call("list", kind)
    assert done.exit_code == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert names == [each.stem for each in library.block_files(kind)]


def test_a_block_has_the_parameters_of_the_one_that_it_extends(call) -> None:
    lines = call("list", "blocks").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("bottleneck_v1 ")]
    assert "the first 1x1 strides" in line
    assert "width, stride = 1" in line


def test_list_has_every_op_with_its_attributes(call) -> None:
    lines = call("list", "ops").stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(OPS)
    assert lines[0].endswith(
        "out, kernel, stride = 1, dilation = 1, groups = 1, padding = ..., bias = ..."
    )


def test_list_filters_and_sorts(call) -> None:
    lines = call("list", "--family", "vgg", "--sort", "params").stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "vgg11",
        "vgg11_bn",
        "vgg16",
        "vgg19",
        "vgg19_bn",
    ]
    found = call("list", "--match", "option C").stdout.splitlines()[1:]
    assert [line.split()[0] for line in found] == ["resnet34_c"]
