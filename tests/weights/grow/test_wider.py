"""Wider networks compute what the smaller ones did, and their copies diverge in training."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from weights.grow.growing import Grown, Settings, grown, widened

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.runtime.compare import disagreement

DOUBLED = widened(32, 64, 128)
SHALLOW = {"layer1.blocks": 1, "layer2.blocks": 1, "layer3.blocks": 2, "layer4.blocks": 1}
UNET = "tests/specs/unet_resnet34.yaml"
FEATURES = "tests/specs/resnet50_features.yaml"


def deviation(found: Grown, *, exact: bool) -> float:
    """Of the outputs in float32 (`exact`) or float64, in standard deviations of the output."""
    one, other = copy.deepcopy(found.small), copy.deepcopy(found.large)
    return disagreement(one, other, found.image.shape, exact=exact)


@pytest.mark.parametrize(
    ("small", "large", "of_large", "blocks"),
    [
        ("resnet20", "resnet20", DOUBLED, 0),
        ("resnet20_appended", "resnet20_appended", widened(17, 40, 100), 0),
        ("resnet20", "resnet110", DOUBLED, 45),
        ("resnet18", "resnet34", {"layer4.width": 600, "layer3.width": 257}, 8),
        ("seresnet18", "seresnet34", widened(96, 192, 300, 512), 8),
        ("preact_resnet18", "preact_resnet34", widened(128, 160, 300, 512), 8),
        pytest.param("resnext50_32x4d", "resnext101_32x8d", {}, 17, marks=pytest.mark.slow),
        pytest.param("resnext50_32x4d", "resnext101_64x4d", {}, 17, marks=pytest.mark.slow),
        pytest.param("resnet50", "wide_resnet50_2", {}, 0, marks=pytest.mark.slow),
    ],
)
def test_a_wider_network_agrees(small: str, large: str, of_large: Settings, blocks: int) -> None:
    found = grown(small, large, of_large)
    assert deviation(found, exact=True) < 1e-5
    assert deviation(found, exact=False) < 1e-12
    assert found.growth.widened > 0
    assert len(found.pairing.joins) == blocks


@pytest.mark.parametrize(
    ("spec", "of_large"),
    [
        ("resnext50_32x4d", {"block.base_width": 8}),
        ("resnext50_32x4d", {"block.groups": 64}),
        ("resnext50_32x4d", {"block.groups": 48, "block.base_width": 5}),
        ("resnet50_gn", {"block.base_width": 128}),
        ("ecaresnet26t", {"block.base_width": 96}),
        ("resnet18_1d", {"layer4.width": 600}),
        pytest.param(UNET, {"layer3.width": 300, "layer4.width": 700}, marks=pytest.mark.slow),
        (FEATURES, {"block.base_width": 80}),
    ],
)
def test_groups_and_free_graphs_agree(spec: str, of_large: Settings) -> None:
    found = grown(spec, spec, SHALLOW | of_large, SHALLOW)
    assert deviation(found, exact=False) < 1e-12
    assert found.growth.widened > 0


NET = """\
network: mine
input: {channels: 3, size: [16, 16]}
stem: {op: cifar, width: 8}
block: {op: bottleneck, groups: 2, base_width: 64, expansion: 2}
shortcut: {op: zero_pad, centred: true}
stages:
  layer1: {blocks: 1, width: 4}
  layer2: {blocks: 2, width: 8, stride: 2}
head: {classes: 5}
"""


@settings(max_examples=25)
@given(
    widths=st.tuples(st.integers(4, 9), st.integers(8, 20)),
    groups=st.integers(1, 5),
    norm=st.sampled_from(["batch_norm", {"op": "group_norm", "groups": 2}]),
    shortcut=st.sampled_from(["projection", {"op": "zero_pad", "centred": False}]),
)
def test_random_networks_agree_unless_refused(
    widths: tuple[int, int], groups: int, norm: object, shortcut: object
) -> None:
    both = {"norm": norm, "shortcut": shortcut}
    of_large = both | {
        "layer1.width": widths[0],
        "layer2.width": widths[1],
        "stem.width": widths[0] * 2,
        "block.groups": groups,
    }
    try:
        found = grown(NET, NET, of_large, both)
    except SpecError:
        reject()  # hypothesis fails if most are
    assert deviation(found, exact=False) < 1e-12


# --- copies


def test_shares_are_positive_unequal_and_sum_to_the_column() -> None:
    found = grown("resnet20", "resnet20", widened(48, 96, 192))
    before, after = (
        net.state_dict()["layer1.0.conv1.weight"].double() for net in (found.small, found.large)
    )
    parts = after[:16].reshape(16, 3, 16, 3, 3)  # channel 16 * copy + c is a copy of c
    assert torch.equal(parts.sum(1), before)
    shares = parts / before[:, None]
    assert shares.min() > 0.05
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (shares[:, one] - shares[:, other]).abs().mean() > 0.1


def test_copies_diverge_in_training() -> None:
    found = grown("resnet20", "resnet20", DOUBLED)
    model = found.large.train()
    rows = model.get_submodule("conv1").weight
    assert torch.equal(rows[:16], rows[16:])
    model(found.images(4)).square().mean().backward()
    assert (rows.grad[:16] - rows.grad[16:]).norm() > 0.05 * rows.grad.norm()


def test_growth_is_deterministic() -> None:
    one, other = (grown("resnet20", "resnet20", DOUBLED).large.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
