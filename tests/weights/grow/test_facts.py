"""The properties of ops on which growth rests, each checked against torch for every op."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.ir.shape_rules import TensorType
from resnetgen.pipeline import compile_text
from resnetgen.runtime.load import build

CHANNELS, SIZE = 4, 6
ATTRIBUTES = {
    "convolution": "out: 6, kernel: 3, bias: true",
    "linear": "out: 6",
    "channel_conv": "kernel: 3",
    "group_norm": "groups: 2",
    "max_pool": "kernel: 3, padding: 1",
    "avg_pool": "kernel: 2",
    "avg_pool_same": "kernel: 2",
    "adaptive_avg_pool": "size: 2",
    "blur": "stride: 2",
    "subsample": "stride: 2",
    "pad_channels": "front: 1, back: 2",
    "resize": "scale: 2, mode: linear",
}
SINGLE = [name for name, op in OPS.items() if op.arity == 1 and not op.training_only]
WITHOUT_WEIGHTS = [name for name in SINGLE if not OPS[name].has_weights]


@cache
def alone(op: str) -> nn.Module:
    """A network of one op, with what it needs before it."""
    before = {"linear": "flatten", "channel_conv": "global_avg_pool"}.get(op)
    pool = "  pool: {op: global_avg_pool}\n" if op in ("linear", "channel_conv", "flatten") else ""
    flat = "  flat: {op: flatten}\n" if before == "flatten" else ""
    text = (
        f"network: alone\ninput: {{channels: {CHANNELS}, size: [{SIZE}, {SIZE}]}}\n"
        f"nodes:\n{pool}{flat}  it: {{op: {op}, {ATTRIBUTES.get(op, '')}}}\n"
    )
    torch.manual_seed(0)
    return build(compile_text(text).source, "alone").eval()


def image() -> torch.Tensor:
    seeded = torch.Generator().manual_seed(1)
    return torch.randn(1, CHANNELS, SIZE, SIZE, generator=seeded) * 4


@pytest.mark.parametrize("op", WITHOUT_WEIGHTS)
def test_ops_that_preserve_zero_have_a_gradient_there(op: str) -> None:
    x = torch.zeros(1, CHANNELS, SIZE, SIZE, requires_grad=True)
    result = alone(op)(x)
    result.sum().backward()
    keeps = not result.any() and bool(x.grad.any())
    assert keeps == (OPS[op].preserves_zero == "all")


@pytest.mark.parametrize("op", [op for op in SINGLE if OPS[op].kind == "activation"])
def test_idempotent_ops(op: str) -> None:
    once = alone(op)(image())
    assert torch.equal(alone(op)(once), once) == OPS[op].idempotent


@pytest.mark.parametrize("op", [op for op in SINGLE if OPS[op].has_weights])
def test_zero_weights_give_zero(op: str) -> None:
    module = alone(op)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        for each in module.parameters():
            each.zero_()
    assert not module(image()).any()
    module.load_state_dict(before)


@pytest.mark.parametrize("op", SINGLE)
def test_the_channels_that_a_channel_is_computed_from(op: str) -> None:
    x = image().requires_grad_()
    result = alone(op)(x)
    read = []
    for channel in range(result.shape[1]):
        (gradient,) = torch.autograd.grad(result[0, channel].sum(), x, retain_graph=True)
        read.append([c for c in range(CHANNELS) if gradient[0, c].any()])
    definition = OPS[op]
    if (
        definition.makes_channels
        or definition.reads_adjacent_channels
        or "groups" in definition.attributes
    ):
        assert any(len(each) > 1 for each in read)
    elif definition.channel_origins:
        attributes = {"front": 1, "back": 2}
        origins = definition.channel_origins(attributes, [TensorType(CHANNELS, (1, 1))])
        assert read == [[each.channel] if each else [] for each in origins]
    else:
        assert all(set(each) <= {channel} for channel, each in enumerate(read))
        assert len(read) == CHANNELS


def test_joins() -> None:
    assert [name for name, op in OPS.items() if op.is_sum] == ["add"]
    kept = {name: op.preserves_zero for name, op in OPS.items() if op.arity is None}
    assert kept == {"add": "all", "mul": "any", "concat": "all"}
    types = [TensorType(1, (1, 1)), TensorType(2, (1, 1))]
    assert OPS["concat"].channel_origins
    assert [(each.operand, each.channel) for each in OPS["concat"].channel_origins({}, types) if each] == [
        (0, 0), (1, 0), (1, 1),
    ]  # fmt: skip


def test_flatten_turns_positions_into_channels() -> None:
    assert OPS["flatten"].channel_origins
    origins = OPS["flatten"].channel_origins({}, [TensorType(2, (1, 3))])
    values = torch.tensor([[[[10, 11, 12]], [[20, 21, 22]]]])
    expected = [10 * (each.channel + 1) + each.position for each in origins if each]
    assert values.flatten(1)[0].tolist() == expected
