"""`resnetgen schema`: what it prints, and what it does not write over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resnetgen.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["schema", *arguments])


@pytest.mark.parametrize("kind", ["network", "block"])
def test_it_prints_the_schema_of_the_library(kind: str) -> None:
    done = call(kind)
    assert done.exit_code == 0
    assert done.stdout == (ROOT / f"specs/schema/{kind}.json").read_text(encoding="utf-8")
    assert done.stdout == call(kind, "-o", "-").stdout


def test_networks_are_the_default() -> None:
    assert "stages" in json.loads(call().stdout)["properties"]


def test_it_writes_a_file_and_replaces_an_older_one(folder: Path) -> None:
    (folder / "mine.yaml").write_text("network: mine\nextends: resnet18\n", encoding="utf-8")
    assert call("-o", "network.json").exit_code == 0
    older = (folder / "network.json").read_text(encoding="utf-8")
    (folder / "mine.yaml").unlink()
    assert call("--output", "network.json").exit_code == 0
    assert (folder / "network.json").read_text(encoding="utf-8") == call().stdout != older
    assert os.listdir(folder) == ["network.json"]


def test_a_schema_that_was_edited_or_is_of_another_kind_is_kept(folder: Path) -> None:
    path = folder / "network.json"
    assert call("-o", "network.json").exit_code == 0
    whole = path.read_bytes()
    assert call("block", "-o", "network.json").exit_code == 2
    path.write_bytes(whole.replace(b"stem", b"root"))
    assert "or was edited since" in call("-o", "network.json").stderr
    assert call("-o", "network.json", "--force").exit_code == 0
    assert path.read_bytes() == whole


@pytest.mark.parametrize("text", ["network: mine\n", "", "{}", '{\n "$schema": "x"\n}\n'])
def test_it_writes_over_nothing_else(folder: Path, text: str) -> None:
    (folder / "mine.json").write_text(text, encoding="utf-8")
    done = call("-o", "mine.json")
    assert done.exit_code == 2
    assert "error[file-exists]: `mine.json` was not written by resnetgen" in done.stderr
    assert (folder / "mine.json").read_text(encoding="utf-8") == text


def test_it_does_not_follow_a_link(folder: Path) -> None:
    (folder / "link.json").symlink_to("elsewhere.json")
    assert call("-o", "link.json").exit_code == 2
    assert os.listdir(folder) == ["link.json"]


@pytest.mark.parametrize("path", [".", "no/folder/file.json", "/dev/null", ""])
def test_what_cannot_be_written_is_a_wrong_call(folder: Path, path: str) -> None:
    done = call("-o", path)
    assert done.exit_code == 2
    assert done.stderr.startswith("error[unwritable]")
    assert os.listdir(folder) == []


def test_an_unknown_kind_is_a_wrong_call() -> None:
    assert call("netwrok").exit_code == 2


def test_it_needs_no_torch_and_prints_the_same_whatever_the_hashes() -> None:
    run = (
        "import sys; from resnetgen.cli.app import app; app(['schema'], standalone_mode=False);"
        "assert not {'torch', 'numpy', 'jsonschema'} & sys.modules.keys()"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", run],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert json.loads(printed.pop())
