"""What is said about wrong specs: `errors/NAME.yaml` is wrong in one way, `NAME.txt` is what is said.

    pytest tests/test_errors.py --regenerate

writes the messages anew; read the difference as the person who made the mistake.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from announced import announced, found

from resnetgen import SpecError, compile_spec
from resnetgen.compiler.diagnostics.model import render

ROOT = Path(__file__).resolve().parents[1]
ERRORS = ROOT / "tests" / "errors"
NAMES = sorted(path.stem for path in ERRORS.glob("*.yaml"))


def faults(name: str) -> SpecError:
    """What `resnetgen build NAME.yaml` would find, from the folder of the spec."""
    try:
        compiled = compile_spec(f"{name}.yaml")
        _ = compiled.checked_graph, compiled.source
    except SpecError as error:
        return error
    pytest.fail(f"{name}.yaml is taken for sound")


@pytest.mark.parametrize("name", NAMES)
def test_one_fault_is_found_where_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ERRORS)
    assert found(faults(name).diagnostics) == announced(ERRORS / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_the_message_is_this(
    name: str, expect: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ERRORS)
    expect(ERRORS / f"{name}.txt", render(faults(name).diagnostics) + "\n")


def test_every_message_has_a_spec() -> None:
    assert {path.stem for path in ERRORS.iterdir()} == set(NAMES)


BUILD = """
import json, os, sys
from typer.testing import CliRunner
from resnetgen.cli.app import app

folder, *names = sys.argv[1:]
done = {}
for name in names:
    result = CliRunner().invoke(app, ["build", f"{name}.yaml", "-o", f"{folder}/"])
    loaded = [module for module in ("torch", "numpy") if module in sys.modules]
    done[name] = [result.exit_code, result.stdout, os.listdir(folder), loaded, result.stderr]
    for file in os.listdir(folder):
        os.remove(f"{folder}/{file}")
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """`resnetgen build` of every wrong spec, one after the other in one process."""
    folder = tmp_path_factory.mktemp("built")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder), *NAMES],
        cwd=ERRORS,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RESNETGEN_DEBUG": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_build_ends_with_1_without_torch_or_a_file(
    name: str, built: dict[str, list[object]]
) -> None:
    status, output, files, loaded, errors = built[name]
    assert (status, output, files, loaded) == (1, "", [], []), errors
    assert errors == (ERRORS / f"{name}.txt").read_text(encoding="utf-8")
