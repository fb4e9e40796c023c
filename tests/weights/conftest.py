"""A small network of our own, and its checkpoint; the library, compiled once for all tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resnetgen.weights.library_index import Networks

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """A state_dict of the network that no initialisation gives."""
    import torch

    from resnetgen import load

    generator = torch.Generator().manual_seed(7)
    found = load("tiny.yaml").state_dict()
    for value in found.values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            value.fill_(3)
    return found


@cache
def library() -> Networks:
    """The library, compiled: what every command asks for anew, in two seconds."""
    networks = Networks(None)
    for spec in networks.specs:
        networks.shapes(spec)
    return networks


@pytest.fixture(scope="session", autouse=True)
def known_library() -> Iterator[None]:
    """Questions about the whole library find it compiled: once for all tests of a process."""
    start = Networks.__init__

    def known(self: Networks, *of: Any, **settings: Any) -> None:
        start(self, *of, **settings)
        if not of and not settings:
            self._bodies |= library()._bodies
            self._graphs |= library()._graphs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Networks, "__init__", known)
        yield
