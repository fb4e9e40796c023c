"""The command line in this process (`call`) and as a program (`program`)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

ROOT = Path(__file__).resolve().parents[2]

SPEC = """\
network: tiny
input: {channels: 3, size: [32, 32]}
stem: cifar
block: basic
shortcut: projection
stages:
  layer1: {blocks: 2, width: 16}
  layer2: {blocks: 2, width: 32, stride: 2}
head: {classes: 10}
"""

Call = Callable[..., Result]
Program = Callable[..., "subprocess.CompletedProcess[str]"]


def _environment(**extra: str) -> dict[str, str]:
    """This process's, able to import the package from any directory."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **extra}


@pytest.fixture
def environment() -> Callable[..., dict[str, str]]:
    return _environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(folder: Path) -> Path:
    """A sound spec of our own in the working directory."""
    path = folder / "tiny.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path


@pytest.fixture
def call() -> Call:
    from resnetgen.cli.app import app

    return lambda *arguments, **options: CliRunner().invoke(app, list(arguments), **options)


@pytest.fixture
def program() -> Program:
    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "resnetgen", *arguments],
            **{"env": _environment(), "capture_output": True, "text": True, **options},  # type: ignore[call-overload]
        )

    return run
