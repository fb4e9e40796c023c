"""The roofline against arithmetic done by hand, and the data of devices against their own rules."""

from __future__ import annotations

import pytest

from resnetgen.compiler.ir.shape_rules import DTYPE_BYTES
from resnetgen.pipeline import compile_spec, compile_text
from resnetgen.reports.roofline import Device, OpWork, Roofline, devices

# One operation a second and one byte a second: times are counts.
SLOW = Device("slow", "slow", "made up", dict.fromkeys(DTYPE_BYTES, 1.0), 1.0, 1.0)
CHAIN = """
network: chain
input: {channels: 4, size: [8, 8]}
nodes:
  conv: {op: convolution, out: 16, kernel: 3}
  bn: {op: batch_norm}
  act: {op: relu}
head: none
"""
GATE = """
network: gate
input: {channels: 4, size: [8, 8]}
nodes:
  conv: {op: convolution, out: 16, kernel: 1}
  squeeze: {op: global_avg_pool}
  gate: {op: sigmoid}
  scale: {op: mul, inputs: [conv, gate]}
head: none
"""
TWICE = """
network: twice
input: {channels: 4, size: [8, 8]}
nodes:
  conv: {op: convolution, out: 16, kernel: 3}
  bn: {op: batch_norm}
  pool: {op: avg_pool, kernel: 3, stride: 1, padding: 1}
  both: {op: concat, inputs: [conv, pool]}
head: none
"""


def bound(spec: str, batch: int = 1, dtype: str = "int8"):
    typed = compile_text(spec).typed
    steps = [(step, 1) for step in typed.nodes]
    return Roofline(typed).bound(steps, SLOW, batch, dtype)


VALUES, WEIGHTS = 16 * 64, 16 * 4 * 9
ARITHMETIC, MOVED = 2 * 4 * 9 * VALUES, 4 * 64 + VALUES + WEIGHTS  # of the convolution


def traffic(spec: str) -> OpWork:
    typed = compile_text(spec).typed
    return Roofline(typed).work_of((step, 1) for step in typed.nodes)


def test_a_chain_by_hand() -> None:
    found = bound(CHAIN)
    assert found.eager_time == ARITHMETIC + (2 * VALUES + 32) + 2 * VALUES
    # The norm reads its weights and nothing else; the activation moves nothing.
    assert found.fused_time == ARITHMETIC + 32
    assert found.by == "arithmetic"


def test_traffic_by_hand() -> None:
    found = traffic(CHAIN)
    assert found.flops == ARITHMETIC
    assert found.moved(1, 4) == 4 * (MOVED + (2 * VALUES + 32) + 2 * VALUES)
    assert found.intensity(1, 4) == found.flops / found.moved(1, 4)


def test_the_batch_multiplies_values_but_not_weights() -> None:
    found = traffic(CHAIN)
    weights = WEIGHTS + 32
    assert found.moved(2, 1) == 2 * (found.moved(1, 1) - weights) + weights
    assert bound(CHAIN, batch=2).fused_time == 2 * ARITHMETIC + 32


def test_a_gate_is_not_fused_into_what_it_gates() -> None:
    """The value that a gate multiplies has to be read again: only the gate itself is at hand."""
    spared = bound(GATE).eager_time - bound(GATE).fused_time
    sigmoid, mul = 2 * 16, 2 * 16  # each spares its small operand, written and read
    assert spared == sigmoid + mul


def test_a_value_with_another_reader_is_still_written() -> None:
    found = traffic(TWICE)
    assert found.saved_by_fusion == VALUES  # read by the norm from registers, written for the sum


@pytest.mark.parametrize("name", sorted(devices()))
def test_devices(name: str) -> None:
    device = devices()[name]
    assert device.source
    assert set(device.rates) <= set(DTYPE_BYTES)
    assert 1e11 < device.bandwidth < 1e13
    assert 1e9 < device.memory < 1e12
    by_width = sorted(device.rates, key=lambda dtype: -DTYPE_BYTES[dtype])
    assert device.rates[by_width[0]] <= device.rates[by_width[-1]]


def test_resnet50_on_a_large_device_is_bound_by_memory() -> None:
    typed = compile_spec("resnet50").typed
    steps = [(step, 1) for step in typed.nodes]
    found = Roofline(typed).bound(steps, devices()["h200"], 256, "bfloat16")
    assert found.by == "memory"
    assert 256 * 8178368512 / 989.5e12 < found.fused_time < found.eager_time
