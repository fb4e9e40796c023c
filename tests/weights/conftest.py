"""The small network `tiny`, and a checkpoint of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

SPEC = """\
network: tiny
input: {channels: 3, size: [32, 32]}
stem: cifar
block: basic
shortcut: projection
stages:
  layer1: {blocks: 1, width: 8}
  layer2: {blocks: 2, width: 16, stride: 2}
head: {classes: 10}
"""

State = dict[str, "torch.Tensor"]


@pytest.fixture
def folder(folder: Path) -> Path:
    """A working directory with the spec `tiny.yaml`."""
    (folder / "tiny.yaml").write_text(SPEC, encoding="utf-8")
    return folder


@pytest.fixture
def state(folder: Path) -> State:
    """A state_dict of the network that no initialisation returns."""
    import torch

    from resnetgen import load

    generator = torch.Generator().manual_seed(7)
    values = load("tiny.yaml").state_dict()
    for value in values.values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            value.fill_(3)
    return values
