"""Fixtures: `resnetgen sweep` in this process, and as a program that can be killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typer.testing import Result


@pytest.fixture
def sweep(folder: Path, call: Callable[..., Result]) -> Callable[..., Result]:
    """`resnetgen sweep ...` in this process."""
    return lambda *arguments: call("sweep", *arguments)


@pytest.fixture
def command() -> list[str]:
    """The command as a program."""
    return [sys.executable, "-m", "resnetgen", "sweep"]
