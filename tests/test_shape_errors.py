"""Where shape errors are reported: at the number that the user can change, once for each cause."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from resnetgen import SpecError, compile_spec
from resnetgen.compiler.diagnostics.model import Diagnostic


def errors(text: str, folder: Path) -> Sequence[Diagnostic]:
    path = folder / "net.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        compile_spec(path)
    return caught.value.diagnostics


def position(error: Diagnostic) -> str:
    """The line at which an error is reported, and the text there."""
    assert error.span
    return f"{error.span.line}: {error.span.text}"


def test_a_number_is_traced_to_the_call_that_set_it_not_to_an_equal_one(tmp_path: Path) -> None:
    # Both stages are one instance; only the second is reached at a size that the kernel reduces.
    text = """
network: two_callers
input: {channels: 8, size: [32, 32]}
shortcut: identity
stages:
  one: {op: part, kernel: 1, out: 8}
  two: {op: part, kernel: 2, out: 8}
  three: {op: part, kernel: 2, out: 8}
define:
  part:
    params: {kernel: int, out: int}
    nodes:
      conv: {op: conv, out: out, kernel: kernel}
      narrow: {op: conv, out: out, kernel: 31, padding: 0, when: kernel > 1}
"""
    (error,) = errors(text, tmp_path)
    assert error.message.startswith("three.conv: ")
    assert position(error) == "8: 2"


def test_the_same_number_in_several_stages_is_one_error(tmp_path: Path) -> None:
    text = """
network: everywhere
extends: resnet50
block: mine
define:
  mine: {extends: bottleneck, nodes: {conv2: {kernel: 4}}}
"""
    (error,) = errors(text, tmp_path)
    assert position(error) == "6: 4"
    assert len(error.notes) <= 4


def test_all_numbers_from_which_a_library_block_computes_are_shown(tmp_path: Path) -> None:
    text = """
network: uneven
extends: resnet50
block: {groups: 64, base_width: 5, reduce: 2}
"""
    (error,) = errors(text, tmp_path)
    assert position(error) == "4: 64"
    assert {"64", "5", "2"} <= {note.span.text for note in error.notes if note.span}


def test_an_input_with_too_few_factors_is_reported_where_it_is_written(tmp_path: Path) -> None:
    text = """
network: odd_input
extends: resnet50d
block: {op: bottleneck_antialiased, antialias: avg_stride}
input: {size: [144, 288]}
"""
    (error,) = errors(text, tmp_path)
    assert position(error) == "5: [144, 288]"


def test_after_an_error_no_size_is_reported_as_too_small(tmp_path: Path) -> None:
    text = """
network: shrinking
extends: resnet110
block: {op: mine}
define:
  mine: {extends: basic, nodes: {conv1: {kernel: 4}}}
"""
    (error,) = errors(text, tmp_path)
    assert "cannot add" in error.message
    assert position(error) == "6: 4"


def test_a_branch_of_a_free_graph_is_traced_through_blocks_and_joins(tmp_path: Path) -> None:
    text = """
network: branches
input: {channels: 3, size: [33, 33, 33]}
nodes:
  a: {op: twice, out: 8, step: 2}
  b: {op: twice, inputs: x, out: 8, step: 3}
  c: {op: conv, out: 8, kernel: 3}
  join: {op: add, inputs: [a, c]}
define:
  twice:
    params: {out: int, step: int}
    nodes:
      one: {op: conv, out: out, kernel: 3}
      two: {op: conv, out: out, kernel: 3}
      sum: {op: add, inputs: [one, two]}
      down: {op: conv, out: out, kernel: 3, stride: step}
"""
    (error,) = errors(text, tmp_path)
    assert position(error) == "5: 2"
    assert [note.span.line for note in error.notes if note.span] == [5, 6, 8]


def test_a_stage_before_the_block_is_part_of_the_trace(tmp_path: Path) -> None:
    text = """
network: long_way
input: {channels: 8, size: [36, 36]}
stages:
  down: {op: halve, blocks: 2}
nodes:
  fine: {op: conv, inputs: x, out: 8, kernel: 1}
  join: {op: concat, inputs: [down, fine]}
define:
  halve: {nodes: {conv: {op: conv, out: 8, kernel: 3, stride: 2}}}
"""
    (error,) = errors(text, tmp_path)
    assert position(error) == "10: 2"


def test_what_both_paths_share_is_not_blamed_for_their_difference(tmp_path: Path) -> None:
    text = """
network: one_says_more
extends: resnet18
block: mine
define:
  mine:
    params: {width: int, stride: 1}
    let: {out: width * 1}
    nodes:
      conv: {op: conv, out: out, kernel: 3, stride: stride}
      downsample: {op: shortcut, inputs: x, out: out + 1, stride: stride}
      join: {op: add, inputs: [conv, downsample]}
stages: {layer1: {width: 64}}
"""
    (error,) = errors(text, tmp_path)
    assert position(error) == "11: out + 1"
