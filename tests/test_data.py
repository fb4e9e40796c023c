"""Networks, blocks and policies are data: no code asks for one by its name."""

from __future__ import annotations

import ast
from pathlib import Path

from resnetgen.compiler.frontend import library

ROOT = Path(__file__).resolve().parents[1]
PEERS = {"torchvision", "timm"}
# The name of the file that `head: {...}` means, and words that are also keys of the language.
OURS = {"default"}


def names() -> set[str]:
    """Every network, block, policy, stem and head of the library, and the peers."""
    found = {path.stem for path in library.network_files()}
    for kind in library.BLOCK_KINDS:
        found |= {path.stem for path in library.block_files(kind)}
    return (found | PEERS) - OURS


def strings(path: Path) -> set[str]:
    """The strings of a module that are values: not docstrings, which may give examples."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
        if isinstance(node.body[0], ast.Expr)
    }
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {c.value for c in constants if isinstance(c.value, str) and id(c) not in docs}


def test_the_library_is_large_enough_for_the_test_to_mean_something() -> None:
    assert {"resnet50", "bottleneck", "projection", "imagenet", "classifier"} <= names()


def test_no_code_holds_the_name_of_a_network_a_block_or_a_peer() -> None:
    for path in sorted((ROOT / "resnetgen").rglob("*.py")):
        assert not strings(path) & names(), path


def test_no_template_holds_one() -> None:
    for path in sorted((ROOT / "templates").rglob("*.jinja")):
        words = set(path.read_text(encoding="utf-8").replace('"', " ").split())
        assert not words & names(), path
