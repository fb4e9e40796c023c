"""Every network that a peer has, against that peer: on paper all of them, bit by bit some.

The multiply-adds of all are those that were recorded of the peer; of every fifth, torch counts them
anew, and of all with `pytest --exhaustive`.

`python -m tests.conformance` compares all of them bit by bit; see docs/conformance.md.
"""

from __future__ import annotations

import dataclasses

import pytest
from conformance import counts, numerics
from conformance.entries import ENTRIES, VARIATIONS, VIDEO, Entry

# One for each feature, small.
WITH_WEIGHTS = {
    "torchvision/resnet18": "basic block",
    "torchvision/alexnet": "dropout, kernels of 11 and 5",
    "torchvision/googlenet": "branches, auxiliary heads, truncated normal start",
    "torchvision/resnext50_32x4d": "groups",
    "timm/resnet14t": "tiered stem, average-pool shortcut",
    "timm/resnet26": "last norms start at 0",
    "timm/resnet50_gn": "group norm",
    "timm/seresnext26d_32x4d": "squeeze and excitation",
    "timm/ecaresnet26t": "efficient channel attention",
    "timm/resnetblur18": "blur",
    "timm/seresnetaa50d": "averages that stride",
    "timm/resnetrs50": "a convolution for a pool",
    "timm/resnetv2_50": "pre-activation",
}


@pytest.mark.parametrize("entry", [*ENTRIES, VIDEO], ids=lambda entry: entry.peer)
def test_keys_shapes_and_parameters_are_those_of_the_peer(entry: Entry) -> None:
    ours = counts.predicted(entry)
    assert (ours.keys, ours.params) == counts.held_by_peer(entry)
    if entry is not VIDEO:
        assert (ours.digest, ours.params, ours.macs) == counts.recorded(entry)


COUNTED = {entry.peer for entry in (*ENTRIES[::5], VIDEO)}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(e, id=e.peer, marks=() if e.peer in COUNTED else pytest.mark.exhaustive)
        for e in (*ENTRIES, VIDEO)
    ],
)
def test_torch_counts_the_operations_of_the_peer_alike(entry: Entry) -> None:
    assert counts.of_peer(entry).macs == entry.compiled().cost.macs


def _chosen() -> list[Entry]:
    return [each for each in ENTRIES if each.peer in WITH_WEIGHTS]


@pytest.mark.slow
@pytest.mark.parametrize("entry", _chosen(), ids=lambda entry: entry.peer)
@pytest.mark.filterwarnings("ignore")
def test_outputs_gradients_and_start_are_those_of_the_peer(entry: Entry) -> None:
    result = numerics.compare(entry)
    assert result.exact, result


@pytest.mark.slow
@pytest.mark.parametrize("title", VARIATIONS)
def test_a_variation_is_that_of_the_peer(title: str) -> None:
    entry = VARIATIONS[title]
    assert counts.predicted(entry) == counts.of_peer(entry)
    assert numerics.compare(entry).exact


def test_the_comparison_sees_a_stride_in_another_place() -> None:
    """Same keys, same shapes, same start: only running it shows the difference."""
    peer = next(each for each in ENTRIES if each.peer == "torchvision/resnet50")
    other = dataclasses.replace(peer, overrides={"block": "bottleneck_v1"})
    assert counts.predicted(other).keys == counts.of_peer(other).keys
    assert counts.predicted(other).macs != counts.of_peer(other).macs
    result = numerics.compare(other)
    assert not result.initial
    assert not result.evaluation
    assert not result.training
    assert not result.gradients


def test_every_name_that_is_run_is_an_entry() -> None:
    assert len(_chosen()) == len(WITH_WEIGHTS)
    assert len(ENTRIES) == 97
