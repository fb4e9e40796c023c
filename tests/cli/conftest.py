"""A small network in the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

SPEC = """\
network: tiny
input: {channels: 3, size: [32, 32]}
stem: cifar
block: basic
shortcut: projection
stages:
  layer1: {blocks: 2, width: 16}
  layer2: {blocks: 2, width: 32, stride: 2}
head: {classes: 10}
"""


@pytest.fixture
def tiny(folder: Path) -> Path:
    """A sound spec in the working directory."""
    path = folder / "tiny.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path
