"""Networks of torchvision and timm: the candidates are the library networks with the same state_dict.

The suite checks every fifth of these peers, `pytest --exhaustive tests/weights/infer` all of them.
"""

from __future__ import annotations

from functools import cache

import pytest
from conformance.entries import ENTRIES, VIDEO, Entry

from resnetgen.weights.infer.checkpoint import unwrap_checkpoint
from resnetgen.weights.infer.design import DesignCompiler
from resnetgen.weights.infer.search import infer
from resnetgen.weights.library_index import NetworkIndex

ALL = (*ENTRIES, VIDEO)
SAMPLE = {entry.peer for entry in (*ENTRIES[::5], VIDEO)}


@cache
def library() -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    networks = NetworkIndex()
    return {name: [*networks.shapes(name).items()] for name in networks.specs}


def tensors(entry: Entry) -> dict[str, tuple[int, ...]]:
    """The peer's keys and shapes; no memory is spent on weights."""
    import torch

    with torch.device("meta"):
        return {key: tuple(each.shape) for key, each in entry.theirs().state_dict().items()}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(e, id=e.peer, marks=() if e.peer in SAMPLE else pytest.mark.exhaustive)
        for e in ALL
    ],
)
def test_the_candidates_are_the_networks_with_the_tensors_of_a_peer(entry: Entry) -> None:
    shapes = tensors(entry)
    expected = {name for name, own in library().items() if own == [*shapes.items()]}
    found = infer(unwrap_checkpoint(entry.name, shapes), DesignCompiler()).candidates
    assert entry.name in expected
    assert {design.base for design in found} == expected
    assert len(found) == len(expected)
    assert not any(design.overrides for design in found)
