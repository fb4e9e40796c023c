"""Networks that do not grow into each other, and the reported reason."""

from __future__ import annotations

import pytest
from weights.grow.growing import Settings, compiled

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.weights.grow.pair import pair_nodes
from resnetgen.weights.grow.widen import channel_maps

OPTION_C: Settings = {"shortcut": "projection_all"}
SILU: Settings = {"act": "silu"}

BLOCK = """\
network: mine
input: {{channels: 3, size: [16, 16]}}
stem: cifar
block: mine
shortcut: projection
stages: {{layer1: {{blocks: {blocks}, width: 16}}}}
head: {{classes: 5}}
define:
  mine:
    params: {{width: int, stride: 1}}
    nodes:
      conv: {{op: conv, out: width, kernel: 3, stride: stride}}
      bn: {{op: norm}}
      last: {last}
      add: {{op: add, inputs: [last, x]}}
      after: {after}
"""


def refusal(
    small: str, large: str, of_large: Settings | None = None, of_small: Settings | None = None
) -> str:
    """The one error, as it is printed."""
    one, other = compiled(small, of_small or {}), compiled(large, of_large or {})
    with pytest.raises(SpecError) as caught:
        channel_maps(pair_nodes(one.checked_graph, other.checked_graph))
    (error,) = caught.value.diagnostics
    assert error.code == "cannot-grow"
    assert f"`{one.network.name}` does not grow into `{other.network.name}`: " in error.message
    return str(caught.value)


@pytest.mark.parametrize(
    ("small", "large", "of_large", "of_small", "reasons"),
    [
        ("resnet18", "resnet50", {}, {}, ["the kernel of `layer1.0.conv1` would change from 3 to 1"]),
        ("resnet50", "resnet18", {}, {}, ["`layer1.0.conv3` (convolution) would be removed", "--from"]),
        ("resnet34", "resnet18", {}, {}, ["`layer1.2.conv1` (convolution) would be removed"]),
        ("resnet50", "resnet101d", {}, {}, ["`conv1` (convolution) would be removed"]),
        ("vgg11", "vgg16", {}, {}, ["`features.2` would change from max_pool to convolution"]),
        ("plain18", "plain34", {}, {}, ["`layer1.2.conv1` (convolution) changes its input"]),
        ("resnet18", "resnet34", OPTION_C, OPTION_C, ["`layer1.2.add`", "its shortcut computes"]),
        ("resnet18", "resnet34", SILU, SILU, ["`layer1.2.act2` (silu) changes its input"]),
        ("resnet18", "resnet18", {"input.channels": 4}, {}, ["the input would change from 3 x 224 x 224 to"]),
        ("resnet18", "resnet34", {"head.classes": 10}, {}, ["`fc` would have 10 channels instead of 1000"]),
        ("resnet18", "resnet34", {"head.classes": 2000}, {}, ["`fc` is an output", "have 2000"]),
        ("resnet18", "resnet18", {"layer2.width": 64}, {}, ["`layer2.0.conv1` would have 64 channels"]),
        (
            "resnet18",
            "resnet18",
            {"layer1.width": 128},
            {},
            ["`layer1.0.add` would read `layer1.0.downsample.1` instead of `maxpool`"],
        ),
        (
            "ecaresnet26t",
            "ecaresnet26t",
            {"layer1.width": 65, "stem.width": 33},
            {},
            ["`layer1.0.se.conv` reads neighbouring channels together"],
        ),
        (
            "resnet50_gn",
            "resnet50_gn",
            {"block.base_width": 96},
            {},
            ["whole groups of `layer1.0.bn1`: it has 32 groups of 2 channels, and would have 32 of 3"],
        ),
        (
            "resnext50_32x4d",
            "resnext50_32x4d",
            {"block.groups": 16, "block.base_width": 32},
            {},
            ["groups of `layer1.0.conv2`: it has 32 groups of 4 channels, and would have 16 of 32"],
        ),
        (
            "tests/specs/resnet50_features.yaml",
            "tests/specs/resnet50_features.yaml",
            {"layer3.width": 300},
            {},
            ["`layer3.5.act3` is an output and has to keep its 1024 channels; it would have 1200"],
        ),
    ],
)  # fmt: skip
def test_the_reason_names_the_node(
    small: str, large: str, of_large: Settings, of_small: Settings, reasons: list[str]
) -> None:
    message = refusal(small, large, of_large, of_small)
    for reason in reasons:
        assert reason in message


IDENTITY, RELU, SIGMOID = "{op: identity}", "{op: relu}", "{op: sigmoid}"
POOL, GELU, NORM = "{op: avg_pool_same, kernel: 3}", "{op: gelu}", "{op: norm}"


@pytest.mark.parametrize("last", [IDENTITY, POOL, GELU])
def test_a_branch_may_end_in_ops_that_preserve_zero(last: str) -> None:
    one, other = (
        compiled(BLOCK.format(blocks=blocks, last=last, after=IDENTITY), {}) for blocks in (1, 2)
    )
    found = pair_nodes(one.checked_graph, other.checked_graph)
    assert [node.name for node in found.zeroed] == ["layer1.1.bn"]


@pytest.mark.parametrize(
    ("last", "after", "reason"),
    [
        (
            RELU,
            IDENTITY,
            "`layer1.1.last` (relu) turns zero into something else, or has no gradient at zero",
        ),
        (SIGMOID, IDENTITY, "`layer1.1.last` (sigmoid) turns zero into something else"),
        (IDENTITY, NORM, "`layer1.1.after` (batch_norm) changes its input"),
        (IDENTITY, GELU, "`layer1.1.after` (gelu) changes its input"),
    ],
)
def test_the_end_of_a_block_decides(last: str, after: str, reason: str) -> None:
    one, other = (BLOCK.format(blocks=n, last=last, after=after) for n in (1, 2))
    assert reason in refusal(one, other)


def test_a_relu_is_an_identity_only_after_a_relu() -> None:
    one, other = (
        f"""\
network: mine
input: {{channels: 3, size: [8, 8]}}
nodes:
  conv: {{op: convolution, out: 4, kernel: 3}}
{added}
  fc: {{op: convolution, out: 2, kernel: 1}}
"""
        for added in ("", "  relu: {op: relu}")
    )
    assert "`relu` (relu) changes its input" in refusal(one, other)


def test_the_error_points_at_the_node_in_the_spec() -> None:
    assert refusal("resnet18", "resnet34", SILU, SILU).startswith("specs/blocks/basic.yaml:")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("[layer3, layer4]", "[layer4]", "the number of outputs would change from 2 to 1"),
        (
            "[layer3, layer4]",
            "[layer4, layer3]",
            "it would return `layer4.1.act2` instead of `layer3.1.act2`",
        ),
    ],
)
def test_outputs_have_to_correspond(before: str, after: str, reason: str) -> None:
    one, other = (
        f"network: mine\nextends: resnet18\nhead: none\noutputs: {each}\n"
        for each in (before, after)
    )
    assert reason in refusal(one, other)
