"""The printed module in TorchScript, which accepts a part of Python and is strict about types."""

from __future__ import annotations

import pytest
from every_op import EVERY_OP

from resnetgen.compiler.ir.ops import OPS
from resnetgen.pipeline import compile_text

# A block whose factor, stride and padding differ by its call: its class reads them from `self`.
ARGUMENTS = """
network: arguments
input: {{channels: 4, size: {size}}}
nodes:
  one: {{op: unit, scale: 2, stride: 2, back: 1}}
  other: {{op: unit, scale: 3, stride: 3, back: 2}}
define:
  unit:
    params: {{scale: int, stride: int, back: int}}
    nodes:
      norm: {{op: norm}}
      nearest: {{op: resize, scale: scale}}
      linear: {{op: resize, scale: scale, mode: linear}}
      sampled: {{op: subsample, stride: stride}}
      padded: {{op: pad_channels, back: back}}
"""
SIZES = ([17], [17, 18], [9, 10, 11])


def test_the_network_contains_every_op() -> None:
    ops = {node.op for node in compile_text(EVERY_OP.format(size=[17])).flat_graph.nodes}
    assert ops == set(OPS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("spec", [EVERY_OP, ARGUMENTS], ids=["every_op", "arguments"])
@pytest.mark.parametrize("size", SIZES, ids=["1d", "2d", "3d"])
def test_torchscript_compiles_it_and_computes_the_same(spec: str, size: list[int]) -> None:
    import torch

    from resnetgen.runtime.load import build

    net = compile_text(spec.format(size=size))
    module = build(net.source, net.network.name).eval()
    scripted = torch.jit.script(module)
    x = torch.randn(2, *net.network.input.shape)
    assert torch.equal(scripted(x), module(x))
