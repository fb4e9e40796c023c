"""Figures that are data: devices and the papers' tables, one YAML file each.

read_table("devices")  ->  {"h200": {"name": "NVIDIA H200 SXM", "bandwidth": 4.8e12, ...}, ...}
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from resnetgen.compiler.frontend.yaml_reader import ListTree, MapTree, Tree, read


@cache
def read_table(name: str, folder: Path = Path(__file__).parent) -> dict[str, Any]:
    """The content of `NAME.yaml` in a folder, by default this one; read once a process."""
    tree: dict[str, Any] = _plain(read(folder / f"{name}.yaml", f"{name}.yaml"))
    return tree


def _plain(tree: Tree) -> Any:
    if isinstance(tree, MapTree):
        return {key: _plain(each) for key, each in tree.entries.items()}
    return [_plain(each) for each in tree.items] if isinstance(tree, ListTree) else tree.value
