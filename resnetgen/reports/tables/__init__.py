"""Figures that are data: devices and the papers' tables, one YAML file each.

read_table("devices")  ->  {"h200": {"name": "NVIDIA H200 SXM", "bandwidth": 4.8e12, ...}, ...}
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from resnetgen.compiler.frontend.tree import python_value
from resnetgen.compiler.frontend.yaml_reader import read


@cache
def read_table(name: str, folder: Path = Path(__file__).parent) -> dict[str, Any]:
    """The content of `NAME.yaml` in a folder, by default this one; read once per process."""
    table = python_value(read(folder / f"{name}.yaml", f"{name}.yaml"))
    assert isinstance(table, dict)
    return table
