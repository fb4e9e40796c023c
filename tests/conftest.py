"""Settings that hold for every test. Nothing here imports torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from typer.testing import Result

ROOT = Path(__file__).resolve().parents[1]

# Two workers share two cores. Set before any worker imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# `default` draws the same examples in every run. For a search: HYPOTHESIS_PROFILE=long pytest.
settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long",
    derandomize=False,
    deadline=None,
    max_examples=2000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--regenerate` and `--exhaustive`."""
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write the expected files of tests/golden and tests/errors again",
    )
    parser.addoption(
        "--exhaustive",
        action="store_true",
        help="run all of what the suite otherwise runs a sample of",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is beyond the sample, unless `--exhaustive` asks for it."""
    if config.getoption("exhaustive"):
        return
    beyond = [item for item in items if item.get_closest_marker("exhaustive")]
    config.hook.pytest_deselected(items=beyond)
    items[:] = [item for item in items if item not in set(beyond)]


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """`expect(path, text)`: the file holds the text, byte for byte; `--regenerate` writes it."""

    def hold(path: Path, text: str) -> None:
        if request.config.getoption("regenerate"):
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.is_file(), f"{path.name} is missing; `pytest --regenerate` writes it"
        assert path.read_bytes().decode() == text

    return hold


# --- the command line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call() -> Callable[..., Result]:
    """`call("report", "resnet50")`: the command line in this process."""
    from typer.testing import CliRunner

    from resnetgen.cli.app import app

    return lambda *arguments, **options: CliRunner().invoke(app, list(arguments), **options)


@pytest.fixture
def environment() -> Callable[..., dict[str, str]]:
    """`environment(NO_COLOR="1")`: this process's, able to import the package from any directory."""
    return lambda **extra: {**os.environ, "PYTHONPATH": str(ROOT), **extra}


@pytest.fixture
def program(
    environment: Callable[..., dict[str, str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`program("report", "resnet50")`: the command line as a program."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "resnetgen", *arguments],
            **{"env": environment(), "capture_output": True, "text": True, **options},  # type: ignore[call-overload]
        )

    return run
