"""Containers: their numbers, the order in which they are registered, and containers within them."""

from __future__ import annotations

import ast

import pytest
from generated.agreement import agrees

from resnetgen.compiler.passes.flatten import state_dict
from resnetgen.pipeline import compile_text

SPEC = """
network: sample
input: {channels: 4, size: [32, 32]}
nodes:
  conv26: {op: convolution, out: 8, kernel: 5}
  part27.drop28: {op: drop_path, rate: 0.1}
  part27.add29: {op: add, inputs: [part27.drop28, conv26]}
  part27.sub30.sub31.act32: {op: gelu}
"""


def test_a_group_in_a_group_has_distinct_input_names() -> None:
    tree = ast.parse(compile_text(SPEC).source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        names = [argument.arg for argument in function.args.args]
        assert len(names) == len(set(names)), names


def test_torch_agrees_with_it() -> None:
    from resnetgen.runtime.verify import verify

    compiled = compile_text(SPEC)
    assert verify(compiled.checked_graph, compiled.source, compile=False).ok


# --- numbers, and the order of registration

UNITS = """
network: sample
input: {channels: 4, size: [8, 8]}
block: unit
stages:
  first:  {blocks: 2, %s}
  second: {blocks: 1, %s}
define:
  unit:
    params: {rate: 0.0}
    slots: {middle: identity}
    nodes:
      conv: {op: conv, out: 4, kernel: 3, as: body.*}
      drop: {op: drop_path, rate: rate, as: body.*}
      slot: {op: middle, as: body.*}
      norm: {op: norm, as: body.*}
"""


@pytest.mark.parametrize("second", ["rate: 0.0", "rate: 0.1", "middle: relu", "middle: batch_norm"])
@pytest.mark.parametrize("first", ["rate: 0.0", "rate: 0.1", "middle: eca"])
def test_keys_of_a_stage_do_not_depend_on_another_stage(first: str, second: str) -> None:
    compiled = compile_text(UNITS % (first, second))
    agrees(compiled)
    keys = {key for key in state_dict(compiled.checked_graph) if key.endswith("running_mean")}
    assert {key for key in keys if key.startswith("first")} == {
        f"first.{block}.body.3.running_mean" for block in (0, 1)
    }


ORDER = """
network: sample
input: {channels: 4, size: [8, 8]}
nodes:
  a.1: {op: %s}
  b: {op: batch_norm}
  a.2: {op: group_norm, groups: 2}
"""


@pytest.mark.parametrize(
    ("op", "is_module"),
    [
        ("add, inputs: [x, x]", False),
        ("subsample, stride: 2", False),
        ("pad_channels, front: 1, back: 1", False),
        ("relu", True),
        ("max_pool, kernel: 2", True),
    ],
)
def test_a_container_is_registered_with_its_first_module(op: str, is_module: bool) -> None:
    compiled = compile_text(ORDER % op)
    agrees(compiled)
    first = next(iter(state_dict(compiled.checked_graph)))
    assert first == ("a.2.weight" if is_module else "b.weight")


SLOTS = """
network: sample
input: {channels: 4, size: [8, 8]}
block: unit
stages:
  first:  {blocks: 2}
  second: {blocks: 1, middle: %s}
define:
  unit:
    slots: {middle: identity}
    nodes:
      conv: {op: conv, out: 4, kernel: 3, bias: false}
      0: {op: middle, inputs: %s}
      norm: {op: norm}
"""


@pytest.mark.parametrize(
    ("middle", "inputs"),
    [("add", "[conv, conv]"), ("{op: subsample, stride: 2}", "conv"), ("relu", "conv")],
)
def test_a_slot_that_is_an_expression_splits_the_class(middle: str, inputs: str) -> None:
    text = SLOTS.replace("0:", "filled:") % (middle, inputs)
    compiled = compile_text(text)
    agrees(compiled)
    classes = [line for line in compiled.source.splitlines() if line.startswith("class ")]
    assert len(classes) == (2 if middle == "relu" else 3)


def test_a_node_with_a_number_is_passed_in_under_a_name() -> None:
    text = UNITS % ("middle: relu", "middle: eca")
    for key, number in (("conv", 0), ("drop", 1), ("slot", 2), ("norm", 3)):
        text = text.replace(f"      {key}: {{", f"      {number}: {{").replace(", as: body.*", "")
    compiled = compile_text(text)
    agrees(compiled)
    assert "node_2: nn.Module" in compiled.source
