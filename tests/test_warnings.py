"""The warnings about valid specs that are probably wrong: `warnings/NAME.yaml`, expected in `NAME.txt`.

    pytest tests/test_warnings.py --regenerate

writes the messages again; read the difference as the person who wrote the spec.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from announced import announced, found

from resnetgen import compile_spec
from resnetgen.compiler.diagnostics import catalog
from resnetgen.compiler.diagnostics.model import Diagnostic, render
from resnetgen.compiler.frontend import library

ROOT = Path(__file__).resolve().parents[1]
WARNINGS = ROOT / "tests" / "warnings"
NAMES = sorted(path.stem for path in WARNINGS.glob("*.yaml"))
ANNOUNCED = {name: announced(WARNINGS / f"{name}.yaml") for name in NAMES}
CODES = [entry.code for entry in catalog.entries() if entry.severity == "warning"]


def warnings(name: str) -> list[Diagnostic]:
    """The warnings about a spec, checked in its folder."""
    return compile_spec(f"{name}.yaml").warnings


@pytest.mark.parametrize("name", NAMES)
def test_one_warning_is_reported_where_its_cause_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(WARNINGS)
    assert found(warnings(name)) == ANNOUNCED[name]


@pytest.mark.parametrize("name", [name for name in NAMES if ANNOUNCED[name]])
def test_the_message_is_this(
    name: str, expect: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(WARNINGS)
    expect(WARNINGS / f"{name}.txt", render(warnings(name)) + "\n")


def test_every_code_and_every_message_has_a_spec() -> None:
    assert {each.partition(" ")[2] for name in NAMES for each in ANNOUNCED[name]} == set(CODES)
    messages = {path.stem for path in WARNINGS.glob("*.txt")}
    assert messages == {name for name in NAMES if ANNOUNCED[name]}


@pytest.mark.parametrize("network", [path.stem for path in library.network_files()])
def test_the_library_is_free_of_warnings(network: str) -> None:
    assert not compile_spec(network).warnings


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "specs").glob("*.yaml")), ids=str)
def test_the_specs_of_the_tests_are_free_of_warnings(path: Path) -> None:
    assert not compile_spec(path).warnings


def test_an_override_on_the_command_line_makes_nothing_redundant() -> None:
    assert not compile_spec(WARNINGS / "a_let_of_the_head.yaml", **{"head.classes": 7}).warnings
    allowed = compile_spec(WARNINGS / "allowed.yaml", block="bottleneck")
    assert not allowed.warnings


def test_an_inherited_allow_is_not_a_warning(tmp_path: Path) -> None:
    spec = tmp_path / "again.yaml"
    spec.write_text("network: again\nextends: resnet50_v1\nblock: bottleneck\n", encoding="utf-8")
    assert not compile_spec(spec).warnings
