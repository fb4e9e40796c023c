"""One rule for every file that a command writes: what it never replaces, and what only if forced."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetgen.compiler.codegen import files
from resnetgen.compiler.codegen.files import WriteError, restored_on_error, write_atomically

VARY = "--vary=layer1.blocks=1..2"
# Every command that needs no torch, as a call whose last argument is the file.
WRITERS = {
    "build": ["build", "mine.yaml", "-o", "out.py"],
    "draw": ["draw", "mine.yaml", "-o", "out.svg"],
    "report": ["report", "mine.yaml", "-o", "out.csv"],
    "report --paper": ["report", "--paper", "-o", "out.md"],
    "diff": ["diff", "mine.yaml", "tiny.yaml", "-o", "out.txt"],
    "new": ["new", "deep", "--from", "mine.yaml", "--depth", "20", "-o", "out.yaml"],
    "schema": ["schema", "-o", "out.json"],
    "sweep": ["sweep", "mine.yaml", VARY, "-o", "out.csv"],
    "sweep --plot": ["sweep", "mine.yaml", VARY, "-o", "rows.csv", "--plot", "out.svg"],
}
# What goes into a folder that is named by `-o`, where a command accepts one.
IN_FOLDER = {"build": "mine.py", "draw": "mine.svg", "new": "deep.yaml"}
MARKED = ("build", "draw", "schema", "sweep", "sweep --plot")  # replaced again without --force
DONE = (0, 1)  # `diff` ends with 1 where two networks differ

Contents = dict[str, object]


@pytest.fixture
def mine(tiny: Path) -> Path:
    """The working directory: `mine.yaml` extends `tiny.yaml` and uses a block of its own."""
    folder = tiny.parent
    (folder / "blocks").mkdir()
    (folder / "blocks/own.yaml").write_text("block: own\nextends: basic\n", encoding="utf-8")
    text = "network: mine\nextends: tiny\nblock: own\n"
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return folder


def contents(folder: Path) -> Contents:
    """What a folder has: texts, targets of links, types of other files."""

    def content(path: Path) -> object:
        if path.is_symlink():
            return os.readlink(path)
        return path.read_bytes() if path.is_file() else stat.S_IFMT(path.stat().st_mode)

    return {str(each.relative_to(folder)): content(each) for each in folder.rglob("*")}


def to(name: str, path: str) -> list[str]:
    """The call of a command with another output."""
    return [*WRITERS[name][:-1], path]


# --- inputs

INPUTS = ["mine.yaml", "tiny.yaml", "blocks/own.yaml"]
ALIASES: dict[str, Callable[[str, str], None]] = {
    "link": lambda source, path: os.symlink(source, path),
    "hard link": lambda source, path: os.link(source, path),
}


@pytest.mark.parametrize("source", INPUTS)
@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize(
    "name", [each for each in WRITERS if each not in ("report --paper", "schema")]
)
def test_an_input_is_never_replaced(call, mine: Path, name: str, source: str, alias: str) -> None:
    """A link has the suffix that the command wants; so do specs, in `test_other_spellings`."""
    if name == "diff" and source == "blocks/own.yaml":
        source = "tiny.yaml"  # its second spec
    ALIASES[alias](source, WRITERS[name][-1])
    before = contents(mine)
    done = call(*WRITERS[name], "--force")
    assert done.exit_code == 2, done.output
    assert "error[file-exists]" in done.stderr
    assert "is itself an input" in done.stderr
    assert {key: each for key, each in contents(mine).items() if key in before} == before


@pytest.mark.parametrize(
    "path", ["mine.yaml", "./mine.yaml", "blocks/../tiny.yaml", "{}/mine.yaml"]
)
@pytest.mark.parametrize("name", ["build", "draw", "diff"])
def test_other_spellings_of_an_input(call, mine: Path, name: str, path: str) -> None:
    before = contents(mine)
    done = call(*to(name, path.format(mine)), "--force")
    assert done.exit_code == 2
    assert "is itself an input" in done.stderr
    assert contents(mine) == before


def test_the_sidecar_of_a_sweep_and_the_plan_of_a_module_are_outputs_too(call, mine: Path) -> None:
    os.rename("mine.yaml", "out.csv.meta.json")
    done = call("sweep", "out.csv.meta.json", VARY, "-o", "out.csv", "--force")
    assert done.exit_code == 2
    assert "`out.csv.meta.json` is itself an input" in done.stderr


def test_two_outputs_need_two_files(call, mine: Path) -> None:
    done = call("sweep", "mine.yaml", VARY, "-o", "rows.csv", "--plot", "blocks/../rows.csv")
    assert done.exit_code == 2
    assert "is the file of --output" in done.stderr
    os.symlink("rows.csv.meta.json", "plot.svg")
    done = call("sweep", "mine.yaml", VARY, "-o", "rows.csv", "--plot", "plot.svg", "--force")
    assert done.exit_code in (0, 2)
    assert b'"complete": true' in Path("rows.csv.meta.json").read_bytes()


def test_an_input_of_one_command_is_an_output_of_the_next(call, mine: Path) -> None:
    assert call("report", "mine.yaml").exit_code == 0
    assert call(*WRITERS["new"][:-1], "mine.yaml", "--force").exit_code == 2
    assert call("new", "mine", "--from", "tiny.yaml", "--depth", "20", "--force").exit_code == 0


# --- foreign files


@pytest.mark.parametrize("name", WRITERS)
def test_a_foreign_file_is_replaced_only_if_forced(call, mine: Path, name: str) -> None:
    path = mine / WRITERS[name][-1]
    path.write_text("mine", encoding="utf-8")
    before = contents(mine)
    done = call(*WRITERS[name])
    assert done.exit_code == 2, done.output
    assert "error[file-exists]" in done.stderr
    assert "`--force`" in done.stderr
    after = contents(mine)
    assert {key: each for key, each in after.items() if not key.startswith("rows")} == before
    assert call(*WRITERS[name], "--force").exit_code in DONE
    assert path.read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize("option", ["-o", "--plot"])
def test_a_benchmark_is_refused_before_it_is_measured(
    call, mine: Path, monkeypatch, option: str
) -> None:
    monkeypatch.setattr("resnetgen.cli.bench._measure", lambda config: pytest.fail("measured"))
    (mine / "out.svg").write_text("mine", encoding="utf-8")
    done = call("bench", "mine.yaml", option, "out.svg")
    assert "`out.svg` already exists" in done.stderr
    done = call("bench", "mine.yaml", option, "tiny.yaml", "--force")
    assert done.exit_code == 2
    assert "`tiny.yaml` is itself an input" in done.stderr


@pytest.mark.parametrize("name", WRITERS)
def test_what_has_a_mark_is_replaced_again(call, mine: Path, name: str) -> None:
    assert call(*WRITERS[name]).exit_code in DONE
    again = call(*WRITERS[name])
    assert again.exit_code in (DONE if name in MARKED else (2,))
    assert name in MARKED or "does not show who wrote it" in again.stderr


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_is_replaced_only_if_forced_and_never_followed(call, mine: Path, name: str) -> None:
    path = mine / WRITERS[name][-1]
    (mine / "kept").write_text("kept", encoding="utf-8")
    path.symlink_to("kept")
    done = call(*WRITERS[name])
    assert done.exit_code == 2
    assert "is a symbolic link" in done.stderr
    assert path.is_symlink()
    assert call(*WRITERS[name], "--force").exit_code in DONE
    assert not path.is_symlink()
    assert (mine / "kept").read_text(encoding="utf-8") == "kept"


def test_a_text_that_is_too_large_to_be_ours_is_not_read(call, mine: Path, monkeypatch) -> None:
    assert call(*WRITERS["build"]).exit_code == 0
    monkeypatch.setattr(files, "MAX_TEXT", 1000)
    monkeypatch.setattr(files, "TextIOWrapper", None)
    assert "was not written by resnetgen" in call(*WRITERS["build"]).stderr


# --- what no file can be


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device", "link to itself"])
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_not_a_file_is_never_replaced(
    call, mine: Path, name: str, kind: str, force: list[str]
) -> None:
    path = mine / WRITERS[name][-1]
    if kind == "folder":
        (path / IN_FOLDER.get(name, "")).mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/full" if kind == "link to a device" else path.name)
    before = contents(mine) if kind != "link to itself" else os.listdir(mine)
    done = call(*to(name, str(path)), *force)
    assert done.exit_code == 2, done.output
    assert "error[unwritable]" in done.stderr or "Invalid value for --output" in done.stderr
    assert before == (contents(mine) if kind != "link to itself" else os.listdir(mine))


@pytest.mark.parametrize("stem", ["x" * 300, "a\0b", "\ud800", "no/folder", "mine.yaml/x"])
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_not_a_path_is_one_error(call, mine: Path, name: str, stem: str) -> None:
    before = contents(mine)
    done = call(*to(name, stem + Path(WRITERS[name][-1]).suffix))
    assert done.exit_code == 2, done.output
    assert "error[unwritable]" in done.stderr or "Invalid value" in done.stderr
    assert contents(mine) == before


# --- names of modules


@pytest.mark.parametrize("name", ["random", "types", "re", "typing", "numpy", "class", "resnetgen"])
def test_a_module_that_would_hide_another_is_refused(call, mine: Path, name: str) -> None:
    text = (mine / "mine.yaml").read_text().replace("network: mine", f"network: {name}")
    (mine / "mine.yaml").write_text(text, encoding="utf-8")
    for more in ([], ["-o", "blocks"], ["-o", f"{name}.py"], ["--force"]):
        done = call("build", "mine.yaml", *more)
        assert done.exit_code == 2
        assert "error[module-name]" in done.stderr
        assert f"help: name another file, such as `-o my_{name}.py`" in done.stderr
    assert not list(mine.rglob("*.py"))
    assert call("build", "mine.yaml", "-o", f"my_{name}.py").exit_code == 0
    assert call("build", "mine.yaml", "-o", "-").exit_code == 0


def test_no_network_of_the_library_has_such_a_name() -> None:
    from resnetgen.compiler.codegen.files import file_name
    from resnetgen.compiler.frontend.identifiers import module_file_error
    from resnetgen.compiler.frontend.library import network_files

    assert not [each for each in network_files() if module_file_error(file_name(each.stem, ""))]


# --- the file itself


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_replaced_keeps_its_mode(call, mine: Path, name: str, mode: int) -> None:
    path = mine / WRITERS[name][-1]
    path.write_text("mine", encoding="utf-8")
    path.chmod(mode)
    assert call(*WRITERS[name], "--force").exit_code in DONE
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_spec_that_is_fixed_keeps_its_mode(call, mine: Path) -> None:
    path = mine / "mine.yaml"
    path.write_text("network: mine\nextendz: tiny\n", encoding="utf-8")
    path.chmod(0o600)
    assert call("check", "mine.yaml", "--fix").exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "extends: tiny" in path.read_text(encoding="utf-8")


def test_a_new_file_has_the_mode_of_the_umask(mine: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(mine / "new", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((mine / "new").stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives away")
def test_a_file_that_is_replaced_keeps_its_owner(mine: Path) -> None:
    path = mine / "theirs"
    path.write_text("mine", encoding="utf-8")
    os.chown(path, 1234, 2345)
    write_atomically(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_an_owner_that_cannot_be_kept_is_no_error(mine: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (mine / "theirs").write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "chown", refuse)
    write_atomically(mine / "theirs", b"new")
    assert (mine / "theirs").read_text(encoding="utf-8") == "new"


def test_a_backup_that_fails_halfway_never_becomes_the_file(mine: Path, monkeypatch) -> None:
    def half(source: Path, target: Path, **_: object) -> None:
        Path(target).write_text("ha", encoding="utf-8")
        raise OSError(28, "No space left on device")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    (mine / "file").write_text("half", encoding="utf-8")
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(files.shutil, "copy2", half)
    before = contents(mine)
    with pytest.raises(WriteError, match="No space left"), restored_on_error(mine / "file"):
        raise AssertionError("unreachable")
    assert contents(mine) == before
