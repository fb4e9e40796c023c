"""Which files a spec can reach: those of its folder and of the library, and no name leaves them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen import SpecError, compile_spec
from resnetgen.compiler.codegen.files import file_name, output_path
from resnetgen.compiler.frontend import library

ROOT = Path(__file__).resolve().parents[1]
BLOCK = "block: unit\nnodes: {a: {op: relu}}\n"
NETWORK = (
    "network: net\ninput: {channels: 3, size: [8, 8]}\nnodes: {a: {op: conv, out: 3, kernel: 1}}\n"
)
CALLS = "network: net\ninput: {channels: 3, size: [8, 8]}\nnodes: {a: {op: unit}}\n"
EXTENDS = "network: net\nextends: base\n"

OUTSIDE = ["../base", "/base", "./base", "a/../base", "..", ".", "~/base", "base.yaml", "base\\0", "..\\base", "a/base"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a spec, beside files that it must not reach."""
    (tmp_path / "base.yaml").write_text(NETWORK)
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "unit.yaml").write_text(BLOCK)
    own = tmp_path / "own"
    (own / "blocks").mkdir(parents=True)
    (own / "a").mkdir()
    return own


def error_of(folder: Path, text: str) -> str:
    (folder / "net.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        compile_spec(folder / "net.yaml")
    assert len(caught.value.diagnostics) == 1
    return str(caught.value)


@pytest.mark.parametrize("name", OUTSIDE)
def test_extends_accepts_a_name_and_no_path(folder: Path, name: str) -> None:
    assert "error[" in error_of(folder, f'network: net\nextends: "{name}"\n')


@pytest.mark.parametrize(
    "name", ["../unit", "/unit", "../blocks/unit", "blocks/unit", "..", "unit.yaml"]
)
def test_an_op_is_a_name_and_not_a_path(folder: Path, name: str) -> None:
    assert "unknown-name" in error_of(folder, CALLS.replace("unit", f'"{name}"'))
    text = f'{CALLS}define: {{unit: {{extends: "{name}"}}}}\n'
    assert "unknown-name" in error_of(folder, text)


def test_files_in_the_folder_are_reached(folder: Path) -> None:
    (folder / "net.yaml").write_text(EXTENDS)
    (folder / "base.yaml").write_text(NETWORK)
    assert compile_spec(folder / "net.yaml").cost.params == 9 + 3
    (folder / "net.yaml").write_text(CALLS)
    (folder / "blocks" / "unit.yaml").write_text(BLOCK)
    assert compile_spec(folder / "net.yaml").cost.params == 0


def test_a_link_that_leaves_the_folder_is_not_followed_and_a_note_says_so(folder: Path) -> None:
    (folder / "base.yaml").symlink_to("../base.yaml")
    message = error_of(folder, EXTENDS)
    assert "unknown-spec" in message
    assert "base.yaml` is a symbolic link that leaves its folder" in message
    (folder / "blocks" / "unit.yaml").symlink_to("../../blocks/unit.yaml")
    assert "unit.yaml` is a symbolic link that leaves its folder" in error_of(folder, CALLS)
    text = f"{CALLS}define: {{two: {{extends: unit}}}}\n".replace("op: unit", "op: two")
    assert "leaves its folder" in error_of(folder, text)


def test_a_folder_that_is_a_link_elsewhere_is_not_followed(folder: Path) -> None:
    (folder / "blocks").rmdir()
    (folder / "blocks").symlink_to("../blocks")
    assert "leaves its folder" in error_of(folder, CALLS)


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "real.yaml").write_text(NETWORK)
    (folder / "base.yaml").symlink_to("real.yaml")
    (folder / "net.yaml").write_text(EXTENDS)
    assert compile_spec(folder / "net.yaml").cost.params == 9 + 3


def test_links_in_a_circle_are_not_a_file(folder: Path) -> None:
    (folder / "base.yaml").symlink_to("base.yaml")
    assert "unknown-spec" in error_of(folder, EXTENDS)


def test_a_text_in_memory_reaches_only_the_library(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(SpecError, match="there is no spec `base`"):
        library.load_text(EXTENDS)


@pytest.mark.parametrize("name", ["../net", "/net", "a/b", "..", "net\\n", "torch", "~", "-o", ""])
def test_the_name_of_a_network_is_not_a_path(folder: Path, name: str) -> None:
    assert "net.yaml:1:10: error[wrong-" in error_of(
        folder, NETWORK.replace("net\n", f'"{name}"\n', 1)
    )


def test_a_module_goes_to_where_it_was_sent(tmp_path: Path) -> None:
    assert file_name("a-b.c", ".py") == "a_b_c.py"
    assert output_path(None, "net.py") == Path("net.py")
    assert output_path(f"{tmp_path}", "net.py") == tmp_path / "net.py"
    assert output_path("x/y.py", "net.py") == Path("x/y.py")


def test_the_name_of_a_file_is_shown_without_its_control_characters(tmp_path: Path) -> None:
    name = "a\x1b[31mb\n::error::c\u202e.yaml"
    for text in (NETWORK, CALLS, "a: [\n"):
        (tmp_path / name).write_text(text)
        for command in (
            ["check"],
            ["report"],
            ["build", "-o", "-"],
            ["check", "--format", "github"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "resnetgen", command[0], name, *command[1:]],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            shown = done.stdout + done.stderr
            assert "\x1b" not in shown
            assert "\u202e" not in shown
            assert "\n::error::c" not in shown
