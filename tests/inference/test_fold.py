"""What is folded into what, and which memory is taken."""

from __future__ import annotations

import pytest

from resnetgen.compiler.passes.fold import FoldedGraph, FusedStep, fold
from resnetgen.pipeline import compile_spec, compile_text

HEAD = "network: tiny\ninput: {channels: 3, size: [8, 8]}\n"


def steps(text: str) -> dict[str, FusedStep]:
    return {step.name: step for step in fold(compile_text(HEAD + text).checked_graph).steps}


def named(folded: FoldedGraph) -> dict[str, FusedStep]:
    return {step.name: step for step in folded.steps}


def test_a_norm_an_addition_and_a_relu_are_one_step() -> None:
    folded = named(fold(compile_spec("resnet50").checked_graph))
    last = folded["layer1.1.act3"]
    assert last.node.name == "layer1.1.conv3"
    assert last.norm is not None
    assert last.norm.name == "layer1.1.bn3"
    assert last.reads == ("layer1.1.act2", "layer1.0.act3")
    assert last.relu
    assert last.overwrites
    assert {step.node.op for step in folded.values()} == {
        "convolution", "max_pool", "global_avg_pool", "flatten", "linear"
    }  # fmt: skip


def test_of_two_convolutions_the_later_one_adds() -> None:
    folded = named(fold(compile_spec("resnet50").checked_graph))
    joined = folded["layer2.0.act3"]
    assert joined.node.name == "layer2.0.downsample.0"
    assert joined.addend == "layer2.0.bn3"
    assert not folded["layer2.0.bn3"].relu


def test_a_norm_behind_an_activation_stays() -> None:
    folded = named(fold(compile_spec("preact_resnet18").checked_graph))
    assert folded["layer1.0.norm1"].node.op == "batch_norm"
    assert folded["layer1.0.act1"].node.op == "relu"
    assert folded["layer1.0.act1"].overwrites
    assert folded["layer1.0.act2"].node.name == "layer1.0.conv1"


def test_a_value_that_two_read_is_not_folded() -> None:
    folded = steps(
        "nodes:\n"
        "  a: {op: conv, out: 4, kernel: 1, bias: true}\n"
        "  b: {op: norm}\n"
        "  c: {op: add, inputs: [a, b]}\n"
    )
    assert list(folded) == ["a", "b", "c"]
    assert folded["a"].norm is None


def test_a_result_is_not_folded_away_and_not_overwritten() -> None:
    folded = steps(
        "nodes:\n"
        "  a: {op: conv, out: 4, kernel: 1}\n"
        "  b: {op: norm}\n"
        "  c: {op: act}\n"
        "outputs: [b, c]\n"
    )
    assert list(folded) == ["b", "c"]
    assert not folded["c"].overwrites


def test_the_input_is_not_overwritten() -> None:
    folded = steps("nodes:\n  a: {op: act}\n  b: {op: conv, out: 3, kernel: 1}\n")
    assert not folded["a"].overwrites


def test_what_a_view_shows_is_not_overwritten() -> None:
    folded = steps(
        "nodes:\n"
        "  a: {op: conv, out: 4, kernel: 1, bias: true}\n"
        "  b: {op: subsample, stride: 2}\n"
        "  c: {op: act, inputs: a}\n"
        "  d: {op: subsample, stride: 2}\n"
        "  e: {op: add, inputs: [b, d]}\n"
    )
    assert not folded["c"].overwrites


def test_an_addend_that_is_read_later_keeps_its_memory() -> None:
    folded = steps(
        "nodes:\n"
        "  a: {op: conv, out: 4, kernel: 1}\n"
        "  n: {op: norm}\n"
        "  b: {op: conv, out: 4, kernel: 1, bias: true}\n"
        "  c: {op: add, inputs: [b, n]}\n"
        "  d: {op: mul, inputs: [c, n]}\n"
    )
    assert folded["c"].addend == "n"
    assert not folded["c"].overwrites


def test_a_convolution_adds_once() -> None:
    folded = steps(
        "nodes:\n"
        "  a: {op: conv, out: 3, kernel: 1, bias: true}\n"
        "  b: {op: add, inputs: [a, x]}\n"
        "  c: {op: conv, out: 3, kernel: 1, bias: true, inputs: x}\n"
        "  d: {op: add, inputs: [b, c]}\n"
        "  e: {op: add, inputs: [d, x]}\n"
    )
    assert {name: step.reads for name, step in folded.items()} == {
        "b": ("<input>", "<input>"), "d": ("<input>", "b"), "e": ("d", "<input>")
    }  # fmt: skip


def test_a_relu_of_a_relu_is_not_a_step() -> None:
    folded = steps("nodes:\n  a: {op: conv, out: 3, kernel: 1}\n  b: {op: act}\n  c: {op: act}\n")
    assert list(folded) == ["c"]
    assert folded["c"].relu


@pytest.mark.parametrize("name", ["googlenet", "preact_resnet18", "resnet20", "seresnet18"])
def test_every_step_is_read(name: str) -> None:
    folded = fold(compile_spec(name).flat_graph)
    read = {*folded.outputs, *(value for step in folded.steps for value in step.reads)}
    assert {step.name for step in folded.steps} <= read


def test_training_leaves_no_step() -> None:
    net = compile_spec("googlenet")
    names = {step.node.name for step in fold(net.checked_graph).steps}
    training = {node.name for node in net.checked_graph.nodes if node.training}
    assert training
    assert not names & training
    assert "drop" not in "".join(step.node.op for step in fold(net.checked_graph).steps)


def test_a_drop_path_passes_its_input_on() -> None:
    net = compile_spec("resnet18", **{"block.drop_path": 0.1})
    assert any(node.op == "drop_path" for node in net.checked_graph.nodes)
    kept = {step.name: step for step in fold(net.checked_graph).steps}
    assert kept["layer1.0.act2"].addend == "maxpool"
