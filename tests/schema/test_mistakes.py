"""What a schema catches of the wrong specs under `tests/errors`, and what it leaves to `check`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resnetgen.compiler.diagnostics.model import SpecError

ERRORS = Path(__file__).resolve().parents[1] / "errors"
ANNOUNCED = re.compile(r"# \d+:\d+ ([a-z-]+):")

# Errors of form, of names of keys and arguments, of kinds of values.
CAUGHT = {
    "a_block_as_a_network": "'network' is a required property",
    "a_later_language": "language: 1 was expected",
    "bias_is_a_number": "nodes.conv.bias: 1 is not of type",
    "channels_is_a_word": "input.channels: 'three' is not of type",
    "four_axes": "input.size: [8, 8, 8, 8] is too long",
    "half_a_block": "stages.layer2.blocks: 2.5 is not of type",
    "input_is_a_list": "input: [3, 224, 224] is not of type",
    "kernel_is_a_boolean": "nodes.conv.kernel: True is not of type",
    "misspelt_argument_of_the_head": "head: 'clases' is not one of",
    "misspelt_argument_of_the_shortcut": "shortcut: 'strides' is not one of",
    "misspelt_attribute_of_a_node": "nodes.conv: 'kernal' is not one of",
    "misspelt_blocks_of_a_stage": "stages.layer1: 'block' is not one of",
    "misspelt_key_of_a_network": "('shortcuts' was unexpected)",
    "misspelt_key_of_input": "input: Additional properties are not allowed ('chanels'",
    "misspelt_parameter_of_a_block": "block: 'group' is not one of",
    "misspelt_parameter_of_a_stage": "stages.layer2: 'strides' is not one of",
    "misspelt_reserved_key_of_a_node": "nodes.norm: 'input' is not one of",
    "module_attribute_forward": "define.custom.nodes: False schema does not allow",
    "module_attribute_type": "nodes: False schema does not allow",
    "name_with_a_hyphen": "nodes: 'conv-1' does not match",
    "no_blocks": "stages.layer2.blocks: 0 is less than the minimum",
    "no_input": "'input' is a required property",
    "parameter_of_another_block": "block: 'groups' is not one of",
    "python_keyword": "nodes: False schema does not allow",
    "shadowed_name": "define: False schema does not allow",
    "stages_as_a_list": "stages: [3, 4, 6, 3] is not of type",
    "an_unknown_option_of_a_rule": "init.convolution.weight: {'kaiming_uniform': {'gain': 2}} is not valid",
    "width_is_a_float": "stages.layer1.width: 16.5 is not of type",
}
# What a schema may refuse: other codes need arithmetic, other parts of the file, or the YAML itself.
ITS_CODES = {
    "missing-argument",
    "missing-key",
    "not-a-network",
    "shadowed-name",
    "unknown-argument",
    "unknown-key",
    "wrong-name",
    "wrong-value",
}


@pytest.mark.parametrize("name", CAUGHT)
def test_a_mistake_is_caught(network, name: str) -> None:
    errors = network((ERRORS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert any(CAUGHT[name] in error for error in errors), errors


def test_what_is_caught_is_what_the_compiler_finds(network) -> None:
    for path in sorted(ERRORS.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        announced = ANNOUNCED.match(text)
        try:
            errors = network(text)
        except SpecError:
            continue  # it is not YAML
        assert announced
        assert not errors or announced[1] in ITS_CODES, (path.stem, errors)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("steges: {a: {op: relu}}", "('steges' was unexpected)"),
        ("nodes: {a: {op: relu, inplace: true}}", "nodes.a: 'inplace' is not one of"),
        ("nodes: {a: {op: resize, scale: 2, mode: cubic}}", "nodes.a.mode: 'cubic'"),
        ("nodes: {a: {op: dropout, rate: 1.5}}", "nodes.a.rate: 1.5 is greater than"),
        ("nodes: {a: {op: max_pool}}", "nodes.a: 'kernel' is a required property"),
        ("nodes: {a: {op: max_pool, kernel: [3, 0]}}", "nodes.a.kernel.1: 0 is less than"),
        ("nodes: {a: {kernel: 3}}", "nodes.a: {'kernel': 3} is not valid"),
        ("nodes: {a: {op: conv_norm, kernel: 3}}", "nodes.a: 'out' is a required property"),
        ("nodes: {a: {nodes: {b: {op: relu, slope: 1}}}}", "nodes.a.nodes.b: 'slope'"),
        ("nodes: {a: null}", "nodes.a: None is not of type"),
        ("stages: {a: {op: basic, blocks: 2}}", "stages.a: 'width' is a required property"),
        ("block: {op: basic, attention: {op: eca, t: 3}}", "block.attention: 't' is not one of"),
        ("norm: {epsilon: 1}", "norm: 'epsilon' is not one of"),
        ("head: {params: {classes: 10}, node: {}}", "head: 'node' is not one of"),
        ("define: {b: {parms: {}, nodes: {}}}", "('parms' was unexpected)"),
        ("define: {b: {params: {width: int}}}", "define.b: 'nodes' is a required property"),
        ("init: {linear: {weight: {normel: 1}}}", "init.linear.weight: {'normel': 1}"),
        ("init: {linear: {weigth: 1}}", "('weigth' was unexpected)"),
        ("output_stride: 0", "output_stride: 0 is less than"),
        ("outputs: 3", "outputs: 3 is not of type"),
    ],
)
def test_a_line_is_caught(network, line: str, error: str) -> None:
    errors = network(f"network: n\ninput: {{channels: 3, size: [32, 32]}}\n{line}\n")
    assert any(error in each for each in errors), errors


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("doc: nothing else", "'nodes' is a required property"),
        ("nodes: {a: {op: relu}}\nstages: {}", "('stages' was unexpected)"),
        ("nodes: {a: {op: conv, kernal: 3}}", "nodes.a: 'kernal' is not one of"),
        ("slots: {a: {op: eca, b: 1}}\nnodes: {c: {op: a}}", "slots.a: 'b' is not one of"),
        ("extends: basic\nnodes: {conv1: {op: relu, width: 3}}", "nodes.conv1: 'width'"),
    ],
)
def test_a_mistake_in_a_block_is_caught(block, text: str, error: str) -> None:
    errors = block(f"block: b\n{text}\n")
    assert any(error in each for each in errors), errors
