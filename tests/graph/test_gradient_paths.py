"""Paths through a network: shortest, longest, and how many."""

from __future__ import annotations

import networkx
import pytest

from resnetgen.compiler.analysis.gradient_paths import PathLengths, path_lengths
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.flatten import to_networkx
from resnetgen.compiler.passes.infer_types import INPUT
from resnetgen.pipeline import compile_spec, compile_text


def test_a_plain_network_has_one_path() -> None:
    assert path_lengths(compile_spec("plain34").checked_graph) == PathLengths(34, 34, 1)


def test_a_residual_network_has_a_path_for_each_choice_at_each_block() -> None:
    lengths = path_lengths(compile_spec("resnet50").checked_graph)
    # The stem, a projection in each of four stages, the classifier; or every layer. 16 blocks.
    assert lengths == PathLengths(6, 50, 2**16)


@pytest.mark.parametrize("depth", [20, 110, 1202])
def test_shortcuts_without_weights_are_passed_for_nothing(depth: int) -> None:
    blocks = (depth - 2) // 2
    assert path_lengths(compile_spec(f"resnet{depth}").checked_graph) == PathLengths(
        2, depth, 2**blocks
    )


def test_a_value_that_is_read_twice_is_two_paths() -> None:
    text = "network: n\ninput: {channels: 1, size: [8]}\nnodes:\n  a: {op: relu}\n"
    text += "  b: {op: add, inputs: [a, a]}\n"
    assert path_lengths(compile_text(text).checked_graph) == PathLengths(0, 0, 2)


def test_outputs_of_training_are_no_ends() -> None:
    lengths = path_lengths(compile_spec("googlenet").checked_graph)
    assert lengths.longest == 22  # not the auxiliary classifiers, which have a layer fewer
    assert lengths.paths == 4**9


@pytest.mark.parametrize("name", ["resnet18", "seresnet18", "googlenet", "preact_resnet110"])
def test_networkx_finds_the_same(name: str) -> None:
    graph = compile_spec(name).checked_graph
    drawn = networkx.DiGraph(to_networkx(graph))
    layers = {node.name: int(OPS[node.op].is_weighted) for node in graph.nodes}
    for _, target, data in drawn.edges(data=True):
        data["layers"] = layers[target]
    (output,) = graph.outputs
    behind = drawn.subgraph(networkx.ancestors(drawn, output) | {output})
    lengths = path_lengths(graph)
    assert lengths.longest == networkx.dag_longest_path_length(behind, weight="layers")
    assert lengths.shortest == networkx.dijkstra_path_length(behind, INPUT, output, weight="layers")
