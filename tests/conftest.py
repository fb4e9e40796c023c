"""Settings that hold for every test. Nothing here imports torch."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
    """`--regenerate`."""
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write what tests/golden and tests/errors expect anew",
    )


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """`expect(path, text)`: the file holds the text, byte for byte; `--regenerate` writes it."""

    def hold(path: Path, text: str) -> None:
        if request.config.getoption("regenerate"):
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.is_file(), f"{path.name} is missing; `pytest --regenerate` writes it"
        assert path.read_bytes().decode() == text

    return hold
