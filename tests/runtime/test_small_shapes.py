"""What the compiler accepts, torch computes: each op on values of a few elements."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from resnetgen.compiler.diagnostics.model import SpecError
from resnetgen.compiler.ir.ops import OPS
from resnetgen.pipeline import Compiled, compile_text

SIZES = ([1], [2], [5], [1, 1], [1, 2], [3, 4], [1, 1, 1], [2, 3, 1])
# The values of attributes to try; of others, the default.
VALUES: dict[str, dict[str, tuple[object, ...]]] = {
    "convolution": {"out": (4,), "kernel": (1, 2, 3), "dilation": (1, 2), "padding": (0, 2)},
    "linear": {"out": (1,)},
    "channel_conv": {"kernel": (1, 3, 9)},
    "batch_norm": {"eps": (0, 1e-5), "momentum": (0, 1)},
    "group_norm": {"groups": (1, 2, 4), "eps": (0, 1e-5)},
    "max_pool": {"kernel": (1, 2, 3), "dilation": (1, 2), "padding": (0, 1), "ceil": ("true", "false")},
    "avg_pool": {"kernel": (1, 2, 3), "stride": (1, 2), "padding": (0, 1), "ceil": ("true", "false")},
    "avg_pool_same": {"kernel": (1, 9)},
    "adaptive_avg_pool": {"size": (1, 2, 9)},
    "blur": {"stride": (1, 5)},
    "subsample": {"stride": (1, 9)},
    "resize": {"scale": (1, 3), "mode": ("nearest", "linear")},
    "dropout": {"rate": (0.5, 1)},
    "drop_path": {"rate": (0.5, 1)},
}  # fmt: skip
BEFORE = ("", "  before: {op: global_avg_pool}\n", "  before: {op: adaptive_avg_pool, size: 2}\n  flat: {op: flatten}\n")  # fmt: skip
JOINS = ("add", "mul", "concat")


def networks(op: str) -> Iterator[Compiled]:
    """The networks of an op on small values that compile."""
    values = VALUES.get(op, {})
    for size, before, chosen in product(SIZES, BEFORE, product(*values.values())):
        given = "".join(f", {name}: {value}" for name, value in zip(values, chosen, strict=True))
        if op in JOINS:
            given = f", inputs: [{'before' if before else 'x'}, x]"
        text = f"network: small\ninput: {{channels: 4, size: {size}}}\nnodes:\n{before}  node: {{op: {op}{given}}}\n"
        try:
            net = compile_text(text)
            _ = net.plan, net.checked_graph
        except SpecError:
            continue
        yield net


@pytest.mark.parametrize("op", OPS)
def test_torch_computes_what_is_accepted(op: str) -> None:
    import torch

    from resnetgen.runtime.load import build

    accepted = list(networks(op))
    assert accepted
    for net in accepted:
        module = build(net.source, net.network.name)
        for training in (True, False):
            # A batch norm over one position of one image has nothing to normalise, in training.
            batch = 1 + (op == "batch_norm" and training)
            x = torch.randn(batch, *net.network.input.shape, requires_grad=True)
            result = module.train(training)(x)
            assert tuple(result.shape) == (batch, *net.typed.outputs[0].shape)
            result.sum().backward()
