"""Imports point one way, and each outside library has its one place.

Read with ``ast``: no module of the package is imported here, so the rule holds for branches that
never run. An import under ``if TYPE_CHECKING:`` loads nothing, so it may name an outside library;
it still has to respect the layers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "resnetgen"
ROOT = Path(__file__).resolve().parents[1]

# From the bottom up: a room imports from the rooms before it. `resnetgen` itself is "".
ROOMS = (
    "_version",
    "compiler.diagnostics",
    "compiler.frontend",
    "compiler.ir",
    "compiler.passes",
    "compiler.analysis",
    "compiler.codegen",
    "compiler.editor",
    "compiler",
    "pipeline",
    "reports",
    "weights",
    "variants",
    "runtime",
    "api",
    "",
    "runtime.bench",  # a user of the public API
    "cli",
    "__main__",
)


@dataclass(frozen=True)
class Import:
    """One imported module, and where in the file it stands."""

    target: str
    line: int
    top_level: bool
    only_typing: bool


@dataclass(frozen=True)
class Place:
    """Where an outside library may be imported."""

    allows: Callable[[str, Import], bool]
    words: str


PLACES = {
    "torch": Place(
        lambda module, found: (
            within(module, "runtime") or (within(module, "weights") and not found.top_level)
        ),
        "only in runtime/, and inside functions of weights/",
    ),
    "jinja2": Place(
        lambda module, found: (
            within(module, "compiler.codegen.render") or within(module, "reports.html")
        ),
        "only in compiler/codegen/render.py and reports/html.py",
    ),
    "yaml": Place(
        lambda module, found: within(module, "compiler.frontend.yaml_reader"),
        "only in compiler/frontend/yaml_reader.py",
    ),
    "typer": Place(lambda module, found: within(module, "cli"), "only in cli/"),
}


def within(module: str, part: str) -> bool:
    name = f"{PACKAGE}.{part}"
    return module == name or module.startswith(name + ".")


def room_of(module: str) -> str | None:
    """The room of a module: `compiler.ir` for `resnetgen.compiler.ir.ops`; None outside of all."""
    if module == PACKAGE:
        return ""
    return max((room for room in ROOMS if room and within(module, room)), key=len, default=None)


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def targets(node: ast.AST, module: str, is_package: bool, known: frozenset[str]) -> Iterator[str]:
    """The modules that one node imports. ``from a import b`` is ``a.b`` where that is a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            parts = parts[: len(parts) - node.level + is_package]
            base = ".".join([*parts, base] if base else parts)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in known or room_of(inner) not in (None, room_of(base)) else base
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        callee = node.func
        name = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
        text = node.args[0].value
        if name in {"import_module", "__import__"} and isinstance(text, str):
            # A relative name here is relative to `resnetgen`, or written out; both are rare.
            yield PACKAGE + text if text.startswith(".") else text


def imports_of(
    source: str, module: str, is_package: bool = False, known: frozenset[str] = frozenset()
) -> list[Import]:
    """Every import of a source file, wherever it stands."""
    found: list[Import] = []

    def visit(node: ast.AST, top_level: bool, only_typing: bool) -> None:
        for target in targets(node, module, is_package, known):
            line = getattr(node, "lineno", 0)
            found.append(Import(target, line, top_level, only_typing))
        if isinstance(node, ast.If) and is_type_checking(node.test):
            for child in node.body:
                visit(child, top_level, True)
            for child in node.orelse:
                visit(child, top_level, only_typing)
            return
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, top_level and not inside, only_typing)

    visit(ast.parse(source), True, False)
    return found


def violations(module: str, imports: list[Import]) -> Iterator[str]:
    """What a module of the package imports and should not."""
    room = room_of(module)
    if room is None:
        yield f"{module}: is in no room; the rooms are {', '.join(filter(None, ROOMS))}"
        return
    for found in imports:
        head = found.target.partition(".")[0]
        where = f"{module}, line {found.line}: imports {found.target}"
        if head == PACKAGE:
            other = room_of(found.target) or ""  # a name of the package itself
            if ROOMS.index(other) > ROOMS.index(room):
                yield f"{where}; {room or PACKAGE} comes before {other or PACKAGE}"
        elif head in PLACES and not found.only_typing and not PLACES[head].allows(module, found):
            yield f"{where}; {PLACES[head].words}"


def modules() -> dict[str, Path]:
    """The files of the package by dotted name."""
    names = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_by_module() -> dict[str, list[Import]]:
    files = modules()
    known = frozenset(files)
    return {
        module: imports_of(
            path.read_text(encoding="utf-8"), module, path.name == "__init__.py", known
        )
        for module, path in files.items()
    }


def test_imports_point_one_way() -> None:
    table = imports_by_module()
    assert table, f"no modules found in {ROOT / PACKAGE}"
    broken = [text for module, found in table.items() for text in violations(module, found)]
    assert not broken, "\n".join(broken)


def test_modules_import_each_other_without_cycles() -> None:
    table = imports_by_module()
    graph = {
        module: {
            found.target
            for found in imports
            if found.top_level and not found.only_typing and found.target in table
        }
        - {module}
        for module, imports in table.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("modules import each other: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("resnetgen.compiler.frontend.yaml_reader", "import resnetgen.compiler.ir.nodes"),
        ("resnetgen.compiler.frontend.yaml_reader", "from resnetgen.compiler import ir"),
        ("resnetgen.compiler.frontend.yaml_reader", "from resnetgen import compile_spec"),
        ("resnetgen.compiler.frontend.yaml_reader", "from ..ir import nodes"),
        ("resnetgen.compiler.frontend.yaml_reader", "from .. import ir"),
        (
            "resnetgen.compiler.ir.nodes",
            "def f():\n    from resnetgen.compiler.codegen import plan",
        ),
        (
            "resnetgen.compiler.ir.nodes",
            "if TYPE_CHECKING:\n    from resnetgen.compiler.codegen import plan",
        ),
        ("resnetgen.compiler.ir.nodes", "importlib.import_module('resnetgen.runtime.load')"),
        ("resnetgen.runtime.load", "import resnetgen.api"),
        ("resnetgen.pipeline", "from resnetgen.cli import app"),
        ("resnetgen", "from .cli import main"),
        ("resnetgen.helpers", "x = 1"),
        ("resnetgen.pipeline", "import torch"),
        ("resnetgen.pipeline", "def f():\n    from torch.nn import functional"),
        ("resnetgen.weights.read", "import torch"),
        ("resnetgen.weights.read", "try:\n    import torch.nn\nexcept ImportError:\n    pass"),
        ("resnetgen.weights.read", "class C:\n    import torch"),
        ("resnetgen.compiler.codegen.plan", "from jinja2 import Environment"),
        ("resnetgen.compiler.frontend.library", "import yaml"),
        ("resnetgen.reports.table_layout", "import typer"),
    ],
)
def test_a_violation_is_found(module: str, source: str) -> None:
    assert list(violations(module, imports_of(source, module, module == PACKAGE)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "resnetgen.compiler.frontend.yaml_reader",
            "import yaml\nfrom resnetgen.compiler.frontend.schema import Spec",
        ),
        (
            "resnetgen.compiler.frontend.yaml_reader",
            "from .schema import Spec\nfrom . import tree",
        ),
        ("resnetgen.compiler.ir.nodes", "from ..frontend import library"),
        (
            "resnetgen.compiler.codegen.render",
            "import jinja2\nfrom resnetgen._version import __version__",
        ),
        ("resnetgen.reports.html", "import jinja2"),
        ("resnetgen.weights.read", "def f():\n    import torch"),
        ("resnetgen.weights.read", "if TYPE_CHECKING:\n    import torch"),
        ("resnetgen.runtime.load", "import torch.nn as nn"),
        ("resnetgen.api", "from resnetgen import runtime, weights"),
        ("resnetgen", "from resnetgen.pipeline import compile_spec"),
        ("resnetgen.cli.build", "import typer\nfrom resnetgen import compile_spec"),
        ("resnetgen.__main__", "from resnetgen.cli import main"),
    ],
)
def test_what_is_allowed_is_let_through(module: str, source: str) -> None:
    assert not list(violations(module, imports_of(source, module, module == PACKAGE)))


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    found = imports_of("from .ops import OPS\nfrom ..codegen import plan", "resnetgen.ir", True)
    assert [one.target for one in found] == ["resnetgen.ir.ops", "resnetgen.codegen"]
