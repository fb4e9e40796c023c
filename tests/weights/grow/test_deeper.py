"""Deeper networks compute bit by bit what the smaller ones did, and their added blocks learn."""

from __future__ import annotations

import pytest
import torch
from weights.grow.growing import Grown, Settings, grown

DROP_PATH = {"block.drop_path": 0.2}


def assert_equal(found: Grown) -> None:
    """In evaluation, on images for which outputs differ."""
    x = found.images()
    with torch.no_grad():
        expected, actual = found.small(x), found.large(x)
    assert (expected[0] - expected[1]).std() > 0.01 * expected.std() > 0
    assert torch.equal(expected, actual)


@pytest.mark.parametrize(
    ("small", "large", "of_large", "of_small", "blocks"),
    [
        ("resnet18", "resnet34", {}, {}, 8),
        ("seresnet18", "seresnet34", {}, {}, 8),
        ("ecaresnet26t", "ecaresnet50t", {}, {}, 8),
        ("preact_resnet18", "preact_resnet34", {}, {}, 8),
        ("resnetv2_50", "resnetv2_50", {"layer4.blocks": 4}, {}, 1),
        ("resnet20", "resnet110", {}, {}, 45),
        ("resnet20", "resnet1202", {}, {}, 591),
        ("resnet20_b", "resnet32_b", {}, {}, 6),
        ("resnet18_1d", "resnet18_1d", {"layer1.blocks": 3}, {}, 1),
        ("r3d_18", "r3d_18", {"layer4.blocks": 3}, {}, 1),
        ("resnet18", "resnet34", {"act": "relu6"}, {"act": "relu6"}, 8),
        ("resnet18", "resnet34", DROP_PATH, {}, 8),
        ("resnet18", "resnet34", {}, DROP_PATH, 8),
        ("resnet50_gn", "resnet50_gn", {"layer3.blocks": 8}, {}, 2),
        ("resnetblur18", "resnetblur18", {"layer2.blocks": 4}, {}, 2),
        ("tests/specs/unet_resnet34.yaml", "tests/specs/unet_resnet34.yaml", {"layer3.blocks": 8}, {}, 2),
    ],
)  # fmt: skip
def test_a_deeper_network_is_bit_equal(
    small: str, large: str, of_large: Settings, of_small: Settings, blocks: int
) -> None:
    found = grown(small, large, of_large, of_small)
    assert_equal(found)
    assert (len(found.pairing.joins), found.growth.widened) == (blocks, 0)
    assert found.growth.moved == len(found.small.state_dict())


@pytest.mark.slow
def test_growing_twice_is_growing_once() -> None:
    first, second = grown("resnet50", "resnet101"), grown("resnet50", "resnet152")
    assert_equal(first)
    assert_equal(second)
    assert (len(first.pairing.joins), len(second.pairing.joins)) == (17, 34)
    chained = grown("resnet101", "resnet152")
    x = chained.images()
    with torch.no_grad():
        assert torch.equal(chained.small(x), chained.large(x))
    assert len(chained.pairing.joins) == 17


def test_several_outputs_are_all_equal() -> None:
    spec = "tests/specs/resnet50_features.yaml"
    found = grown(spec, spec, {"layer2.blocks": 5, "layer4.blocks": 4})
    with torch.no_grad():
        pairs = zip(found.small(found.images()), found.large(found.images()), strict=True)
        assert [torch.equal(one, other) for one, other in pairs] == [True] * 4


def test_weights_used_in_training_only_are_moved_too() -> None:
    found = grown("googlenet", "googlenet")
    before, after = found.small.state_dict(), found.large.state_dict()
    assert any(key.startswith("aux") for key in before)
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_only_the_last_weights_of_added_blocks_are_zero() -> None:
    found = grown("resnet18", "resnet18", {"layer2.blocks": 3})
    assert [node.name for node in found.pairing.zeroed] == ["layer2.2.bn2"]
    added = {
        key.removeprefix("layer2.2."): value
        for key, value in found.large.state_dict().items()
        if key.startswith("layer2.2.")
    }
    assert {key for key, value in added.items() if value.is_floating_point() and not value.any()} == {
        "bn1.bias", "bn1.running_mean", "bn2.weight", "bn2.bias", "bn2.running_mean",
    }  # fmt: skip
    assert added["bn2.running_var"].eq(1).all()


@pytest.mark.parametrize(
    ("small", "last"),
    [
        ("resnet20", "bn2"),
        ("preact_resnet18", "conv2"),
        ("seresnet18", "bn2"),
        ("ecaresnet26t", "bn3"),
    ],
)
def test_gradients_reach_all_of_an_added_block_after_the_first_step(small: str, last: str) -> None:
    found = grown(small, small, {"layer1.blocks": 4})
    model = found.large.train()
    first, number = next(iter(found.pairing.joins)).rsplit(".", 2)[:2]
    added = model.get_submodule(f"{first}.{number}")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    reached = []
    for _ in range(2):
        optimizer.zero_grad()
        model(found.images(4)).square().mean().backward()
        reached.append({key for key, each in added.named_parameters() if each.grad.any()})
        optimizer.step()
    assert {key.partition(".")[0] for key in reached[0]} == {last}
    assert reached[1] == {key for key, _ in added.named_parameters()}
