"""Every import of the package, read with `ast`: no module is executed, and no branch is missed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.house.rooms import PACKAGE, Import, room_of

ROOT = Path(__file__).resolve().parents[2]


def modules() -> dict[str, Path]:
    """The files of the package by dotted name."""
    names = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_by_module() -> dict[str, list[Import]]:
    """The imports of every module."""
    files = modules()
    known = frozenset(files)
    return {
        module: imports_of(
            path.read_text(encoding="utf-8"), module, path.name == "__init__.py", known
        )
        for module, path in files.items()
    }


def imports_of(
    source: str, module: str, is_package: bool = False, known: frozenset[str] = frozenset()
) -> list[Import]:
    """Every import of a source file, in functions and under `if TYPE_CHECKING:` too."""
    imports: list[Import] = []

    def visit(node: ast.AST, top_level: bool, only_typing: bool) -> None:
        for target in _targets(node, module, is_package, known):
            line = getattr(node, "lineno", 0)
            imports.append(Import(target, line, top_level, only_typing))
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            for child in node.body:
                visit(child, top_level, True)
            for child in node.orelse:
                visit(child, top_level, only_typing)
            return
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, top_level and not inside, only_typing)

    visit(ast.parse(source), True, False)
    return imports


def _targets(node: ast.AST, module: str, is_package: bool, known: frozenset[str]) -> Iterator[str]:
    """The modules that one node imports. `from a import b` is `a.b` where that is a module."""
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
        function = node.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        text = node.args[0].value
        if name in {"import_module", "__import__"} and isinstance(text, str):
            # A relative name here is relative to `resnetgen`, or written out; both are rare.
            yield PACKAGE + text if text.startswith(".") else text


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))
