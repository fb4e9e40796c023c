"""`resnetgen draw`: where the drawing goes, and what it may replace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from draw.networks import compiled
from typer.testing import CliRunner, Result

from resnetgen.cli.app import app
from resnetgen.reports.draw.page import draw

ROOT = Path(__file__).resolve().parents[2]
MADE = compiled("resnet20")
DRAWING = draw(MADE.network, MADE.typed)
Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["draw", *arguments])


def test_the_drawing_goes_to_its_name(call: Call) -> None:
    done = call("resnet20")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "wrote resnet20.svg\n"
    assert Path("resnet20.svg").read_bytes() == DRAWING.encode()


def test_a_file_and_a_folder(call: Call) -> None:
    Path("out").mkdir()
    assert call("resnet20", "-o", "net.svg").exit_code == 0
    assert call("resnet20", "-o", "out").exit_code == 0
    assert sorted(map(str, Path().rglob("*.svg"))) == ["net.svg", "out/resnet20.svg"]


def test_standard_output_has_the_drawing_alone(call: Call) -> None:
    assert call("resnet20", "-o", "-").stdout_bytes == DRAWING.encode()
    assert not os.listdir()


def test_settings_and_input_are_drawn(call: Call) -> None:
    done = call("resnet20", "-o", "-", "--set", "layer3.blocks=9", "--input", "3x64x64")
    assert "input: 3 × 64 × 64" in done.stdout
    assert "8 × basic" in done.stdout


def test_our_own_drawing_is_replaced(call: Call) -> None:
    assert call("resnet18", "-o", "net.svg").exit_code == 0
    assert call("resnet20", "-o", "net.svg").exit_code == 0
    assert Path("net.svg").read_bytes() == DRAWING.encode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("<svg/>\n", id="foreign"),
        pytest.param(DRAWING.replace("resnet20<", "mine<"), id="edited"),
        pytest.param(DRAWING + "\n", id="appended"),
    ],
)
def test_what_is_not_ours_is_left_alone_without_force(call: Call, text: str) -> None:
    path = Path("net.svg")
    path.write_bytes(text.encode())
    done = call("resnet20", "-o", "net.svg")
    assert done.exit_code == 2
    assert "error[file-exists]" in done.stderr
    assert path.read_bytes() == text.encode()
    assert call("resnet20", "-o", "net.svg", "--force").exit_code == 0
    assert path.read_bytes() == DRAWING.encode()


def test_a_link_is_left_alone(call: Call) -> None:
    Path("real.svg").write_text(DRAWING)
    Path("net.svg").symlink_to("real.svg")
    assert call("resnet20", "-o", "net.svg").exit_code == 2
    assert Path("net.svg").is_symlink()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_place_that_cannot_be_written(call: Call, force: list[str]) -> None:
    done = call("resnet20", "-o", "nowhere/net.svg", *force)
    assert done.exit_code == 2
    assert "there is no folder `nowhere`" in done.stderr


def test_a_wrong_spec_draws_nothing(call: Call) -> None:
    done = call("resnet20", "--set", "layer1.widht=3")
    assert done.exit_code == 2
    assert "did you mean `width`" in done.stderr
    assert not os.listdir()


def test_torch_is_not_imported() -> None:
    code = (
        "import sys; from resnetgen.cli import main; sys.argv[1:] = ['draw', 'resnet50', '-o', '-']\n"
        "try: main()\nfinally: print([m for m in ('torch', 'jinja2', 'networkx') if m in sys.modules],"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"
