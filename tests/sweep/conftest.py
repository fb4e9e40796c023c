"""Sweeps in this process, and as a program that can be killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

ROOT = Path(__file__).resolve().parents[2]

Sweep = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sweep(folder: Path) -> Sweep:
    """`resnetgen sweep ...` in this process."""
    from resnetgen.cli.app import app

    return lambda *arguments: CliRunner().invoke(app, ["sweep", *arguments])


@pytest.fixture
def command() -> list[str]:
    """The command as a program."""
    return [sys.executable, "-m", "resnetgen", "sweep"]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
